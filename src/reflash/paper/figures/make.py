"""Making a figure by name from the files its settings ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reflash.errors import ReflashError
from reflash.models.settings import NetworkSettings
from reflash.paper.context import Context
from reflash.paper.figures.drawing import write_figure
from reflash.paper.figures.registry import figure_module
from reflash.paper.settings import FigureStyle


@dataclass(frozen=True)
class FigureInputs:
    """Files that figures are gathered from; each figure uses some of them."""

    evaluations: Sequence[Path] = ()
    """CSVs of ``reflash evaluate``."""
    logs: Sequence[Path] = ()
    """Training logs."""
    hr: Path | None = None
    """Folder of HR images."""
    lr: Path | None = None
    """Folder of LR images."""
    sr: Mapping[str, Path] = field(default_factory=dict)
    """Folder of SR images for each model."""
    network: NetworkSettings | None = None
    """The network that is described."""


def make_figure(
    name: str,
    context: Context,
    settings: Any,
    inputs: FigureInputs,
    style: FigureStyle,
    stem: Path | str,
) -> None:
    """Gather the figure ``name`` and write ``stem`` with .csv, .json, .pdf and .png.

    Raises
    ------
    ReflashError
        An input that the figure needs is not given, missing or unusable.
    """
    module = figure_module(name)
    given: dict[str, Any] = {}
    for need in settings.inputs:
        value = getattr(inputs, need)
        if not value:
            raise ReflashError(f"figure {name}: needs {need}; give --{need.removesuffix('s')}")
        given[need] = value
    write_figure(module.gather(context, settings, **given), stem, style)
