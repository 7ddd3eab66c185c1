"""From settings to a network."""

from __future__ import annotations

from reflash.models.rrdbnet import RRDBNet
from reflash.models.settings import NO_DROPOUT, Dropout, NetworkSettings, SRResNetSettings
from reflash.models.srresnet import SRResNet
from reflash.models.staged import StagedNetwork


def build_network(settings: NetworkSettings, dropout: Dropout = NO_DROPOUT) -> StagedNetwork:
    """Return the network of ``settings`` with ``dropout``, in training mode, freshly initialised.

    Initial weights depend on torch's global seed and on the settings, not on the dropout.

    Raises
    ------
    ReflashError
        The network has no such place (see ``reflash.models.placement.place``).
    """
    if isinstance(settings, SRResNetSettings):
        return SRResNet(settings, dropout)
    return RRDBNet(settings, dropout)
