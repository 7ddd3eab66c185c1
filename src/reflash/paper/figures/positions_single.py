"""Figure: PSNR against the position of one dropout layer, single-degradation setting."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure

from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.positions import draw_positions, gather_positions
from reflash.study.artefacts import FigureStyle, PositionsSingle
from reflash.study.context import Context

NAME = "positions_single"


def gather(
    context: Context, settings: PositionsSingle, evaluations: Iterable[Path | str]
) -> Drawing:
    """Average the models of the single setting by position (see ``gather_positions``)."""
    return gather_positions(NAME, "single", context, settings, evaluations)


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw the positions from left to right."""
    return draw_positions(drawing, style)
