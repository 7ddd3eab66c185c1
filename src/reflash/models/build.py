"""From settings to a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from torch import nn

from reflash.models.factory import build_factory
from reflash.models.rrdbnet import RRDBNet
from reflash.models.settings import (
    NO_DROPOUT,
    Dropout,
    FactorySettings,
    NetworkSettings,
    RRDBSettings,
    SRResNetSettings,
    StagedSettings,
)
from reflash.models.srresnet import SRResNet
from reflash.models.staged import StagedNetwork

CLASSES: dict[type[NetworkSettings], Callable[[Any, Dropout], nn.Module]] = {
    SRResNetSettings: SRResNet,
    RRDBSettings: RRDBNet,
    FactorySettings: build_factory,
}
"""The network that each kind of settings describes."""


@overload
def build_network(settings: StagedSettings, dropout: Dropout = ...) -> StagedNetwork: ...
@overload
def build_network(settings: NetworkSettings, dropout: Dropout = ...) -> nn.Module: ...
def build_network(settings: NetworkSettings, dropout: Dropout = NO_DROPOUT) -> nn.Module:
    """Return the network of ``settings`` with ``dropout``, in training mode, freshly initialised.

    Initial weights depend on torch's global seed and on the settings, not on the dropout.

    Raises
    ------
    ReflashError
        The network has no such place (see ``reflash.models.placement.place``), or a factory fails.
    """
    return CLASSES[type(settings)](settings, dropout)
