"""From settings to a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reflash.models.rrdbnet import RRDBNet
from reflash.models.settings import (
    NO_DROPOUT,
    Dropout,
    NetworkSettings,
    RRDBSettings,
    SRResNetSettings,
)
from reflash.models.srresnet import SRResNet
from reflash.models.staged import StagedNetwork

CLASSES: dict[type[NetworkSettings], Callable[[Any, Dropout], StagedNetwork]] = {
    SRResNetSettings: SRResNet,
    RRDBSettings: RRDBNet,
}
"""The network that each kind of settings describes."""


def build_network(settings: NetworkSettings, dropout: Dropout = NO_DROPOUT) -> StagedNetwork:
    """Return the network of ``settings`` with ``dropout``, in training mode, freshly initialised.

    Initial weights depend on torch's global seed and on the settings, not on the dropout.

    Raises
    ------
    ReflashError
        The network has no such place (see ``reflash.models.placement.place``).
    """
    return CLASSES[type(settings)](settings, dropout)
