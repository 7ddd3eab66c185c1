"""The layout of a network with its dropout, as data for drawing: no torch is imported here.

The figure of the placements is drawn from this, and a test holds the sequence of layers equal to
the one the built network executes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from reflash.core.errors import ReflashError
from reflash.models.placement import Placement, place
from reflash.models.settings import (
    Dropout,
    DropoutLayer,
    FactorySettings,
    NetworkSettings,
    SRResNetSettings,
    StagedSettings,
)

Kind = Literal["conv", "activation", "upsample", "dropout", "add", "block"]


@dataclass(frozen=True)
class Stage:
    """One step of the forward pass."""

    name: str
    """Path of the module in the network; for add and activation, which have none, a label."""
    kind: Kind
    """What it does; an upsample is a convolution with the upsampling that goes with it."""
    layer: DropoutLayer | None = None
    """For a dropout: its place, dimension and probability."""
    source: str | None = None
    """For an add: where the second summand comes from."""
    parts: tuple[Stage, ...] = ()
    """For a block: its steps in order."""


def describe(settings: NetworkSettings, dropout: Dropout) -> list[Stage]:
    """Return the stages of the network in the order in which they run.

    Raises
    ------
    ReflashError
        The network has no such place, or is a user's own, whose layers only its code knows.
    """
    if isinstance(settings, FactorySettings):
        raise ReflashError(
            f"{settings.factory}: only SRResNet and RRDB can be drawn; choose one of them"
        )
    placement = place(settings, dropout)
    srresnet = isinstance(settings, SRResNetSettings)
    stages = [Stage("conv_first", "conv")]
    if srresnet:
        stages.append(Stage("conv_first.activation", "activation"))
    for number in range(1, settings.blocks + 1):
        path = f"body.{number - 1}"
        layer = placement.inside.get(number)
        parts = _residual_block(path, layer) if srresnet else _rrdb(path)
        stages += [Stage(path, "block", parts=parts), *_dropout_after(f"b{number}", placement)]
    if not srresnet:
        stages += [Stage("conv_body", "conv"), Stage("conv_body.add", "add", source="conv_first")]
    for name in _upconvolutions(settings):
        stages += [Stage(name, "upsample"), Stage(f"{name}.activation", "activation")]
    stages += _dropout_after("hr", placement)
    stages += [Stage("conv_hr", "conv"), Stage("conv_hr.activation", "activation")]
    stages += _dropout_after("last", placement)
    stages.append(Stage("conv_last", "conv"))
    if isinstance(settings, SRResNetSettings) and settings.global_residual:
        stages.append(Stage("conv_last.add", "add", source="lr, bilinear"))
    return stages


def flatten(stages: Iterable[Stage]) -> Iterator[Stage]:
    """Yield the steps one by one, those of a block instead of the block."""
    for stage in stages:
        if stage.parts:
            yield from flatten(stage.parts)
        else:
            yield stage


def _dropout_after(layer: str, placement: Placement) -> list[Stage]:
    drop = placement.after.get(layer)
    return [] if drop is None else [Stage(f"dropout_after.{layer}", "dropout", layer=drop)]


def _residual_block(path: str, layer: DropoutLayer | None) -> tuple[Stage, ...]:
    steps = [
        Stage(f"{path}.conv1", "conv"),
        Stage(f"{path}.drop1", "dropout", layer=layer),
        Stage(f"{path}.activation", "activation"),
        Stage(f"{path}.conv2", "conv"),
        Stage(f"{path}.drop2", "dropout", layer=layer),
        Stage(f"{path}.add", "add", source=f"input of {path}"),
        Stage(f"{path}.drop3", "dropout", layer=layer),
    ]
    return tuple(step for step in steps if layer is not None or step.kind != "dropout")


def _rrdb(path: str) -> tuple[Stage, ...]:
    dense = [Stage(f"{path}.rdb{n}", "block", parts=_dense(f"{path}.rdb{n}")) for n in (1, 2, 3)]
    return (*dense, Stage(f"{path}.add", "add", source=f"input of {path}"))


def _dense(path: str) -> tuple[Stage, ...]:
    steps = []
    for n in (1, 2, 3, 4):
        steps += [
            Stage(f"{path}.conv{n}", "conv"),
            Stage(f"{path}.activation{n}", "activation"),
        ]
    return (
        *steps,
        Stage(f"{path}.conv5", "conv"),
        Stage(f"{path}.add", "add", source=f"input of {path}"),
    )


def _upconvolutions(settings: StagedSettings) -> tuple[str, ...]:
    if isinstance(settings, SRResNetSettings):
        return ("upconv1", "upconv2") if settings.scale == 4 else ("upconv1",)
    return ("conv_up1", "conv_up2")
