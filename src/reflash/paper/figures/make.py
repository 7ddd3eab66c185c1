"""Making a figure by name from the files its settings ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reflash.paper.figures.drawing import write_figure
from reflash.paper.figures.registry import figure_module
from reflash.study.artefacts import FigureStyle
from reflash.study.context import Context
from reflash.study.inputs import Inputs


def make_figure(
    name: str,
    context: Context,
    settings: Any,
    inputs: Inputs,
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
    given = inputs.required(settings.inputs, f"figure {name}")
    write_figure(module.gather(context, settings, **given), stem, style)
