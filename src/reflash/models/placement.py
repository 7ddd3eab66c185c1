"""From a dropout's places to the layers and blocks of one network: no torch is imported here.

The networks build their layers from a ``Placement`` and ``describe`` draws the same one, so the
figure of the placements cannot differ from what is trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reflash.core.errors import ReflashError
from reflash.models.settings import (
    BLOCKS,
    DROPOUT_BLOCKS,
    PLACES,
    Dropout,
    DropoutLayer,
    FactorySettings,
    NetworkSettings,
    StagedSettings,
)


@dataclass(frozen=True)
class Placement:
    """Where the dropout of one network sits."""

    after: dict[str, DropoutLayer] = field(default_factory=dict)
    """Layer name -> the dropout that acts on this layer's tensor."""
    inside: dict[int, DropoutLayer] = field(default_factory=dict)
    """Block number, from 1 -> the dropout that this block holds three times."""


def layer_names(settings: StagedSettings) -> tuple[str, ...]:
    """Return the names of the tensors a network can be read at, in order.

    ``first`` (output of the first convolution and its activation), ``b1`` … (block outputs, skip
    included), ``hr`` (input of conv_hr), ``last`` (input of conv_last).
    """
    return ("first", *(f"b{n}" for n in range(1, settings.blocks + 1)), "hr", "last")


def place(settings: NetworkSettings, dropout: Dropout) -> Placement:
    """Find the layers and blocks where ``dropout`` acts in the network of ``settings``.

    Places are named for 16 blocks and keep their meaning at any depth: in a network of n blocks
    ``bK`` is after block ceil(K n / 16), and quarter, half and all are its last ceil(n / 4),
    ceil(n / 2) and n blocks.

    Raises
    ------
    ReflashError
        quarter, half or all for RRDB, which has no dropout residual blocks; or two places that
        are the same block of a network with fewer than 16 blocks; or a place that the network
        has not.
    """
    placement = Placement()
    for drop in dropout:
        _check_place(settings, drop)
        if isinstance(settings, FactorySettings):  # found by the names of its modules when built
            continue
        if drop.where in DROPOUT_BLOCKS:
            if settings.name == "rrdb":
                raise ReflashError(
                    f"dropout {drop}: rrdb has no dropout residual blocks; "
                    "choose b1 to b16, conv_hr or last_conv"
                )
            plain = settings.blocks * DROPOUT_BLOCKS[drop.where] // BLOCKS
            numbers = range(plain + 1, settings.blocks + 1)
            placement.inside.update(dict.fromkeys(numbers, drop))
            continue
        layer = _layer(drop, settings.blocks)
        if layer in placement.after:
            raise ReflashError(
                f"dropout {dropout}: {placement.after[layer].where} and {drop.where} are both "
                f"after block {layer[1:]} of {settings.blocks}; keep one"
            )
        placement.after[layer] = drop
    return placement


def _check_place(settings: NetworkSettings, drop: DropoutLayer) -> None:
    if isinstance(settings, FactorySettings):
        if not (drop.is_module or drop.where == "last_conv"):
            raise ReflashError(
                f"dropout {drop}: {settings.factory} has no place '{drop.where}'; "
                "write last_conv, or the name of a module to drop before"
            )
    elif drop.is_module:
        raise ReflashError(
            f"dropout {drop}: no place is called '{drop.where}'; places are {PLACES}"
        )


def _layer(drop: DropoutLayer, blocks: int) -> str:
    """Return the layer that a dropout acts on."""
    if drop.sixteenth is not None:
        return f"b{-(-drop.sixteenth * blocks // BLOCKS)}"
    return {"conv_hr": "hr", "last_conv": "last"}[drop.where]
