"""What figures of crops share: choosing the crop, finding the images, drawing the cells."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reflash.core.errors import ReflashError
from reflash.datasets.images import Pixels, list_images
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.style import (
    ACCENT,
    inch_axes,
    inch_text,
    new_figure,
    small,
    two_columns,
    wrap,
)
from reflash.study.artefacts import FigureStyle

THUMBNAIL = 360
"""Longest side of the whole image shown beside the crops, in pixels."""

MOST_CELLS = 8
"""Pictures beside each other at most; more go to a second line."""

MARGIN, GAP = 0.03, 0.04
"""Inches around the figure and between pictures."""

Cell: TypeAlias = dict[Hashable, Any]


def detailed_crop(image: Pixels, size: int, grid: int = 4) -> tuple[int, int]:
    """Return (x, y) of the square crop with the most detail, both multiples of ``grid``.

    Detail is the sum of absolute differences between neighbouring grey values.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64)
    detail = np.zeros_like(grey)
    detail[:, 1:] += np.abs(np.diff(grey, axis=1))
    detail[1:, :] += np.abs(np.diff(grey, axis=0))
    total = np.pad(detail, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    sums = sums[::grid, ::grid]
    top, left = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return int(left) * grid, int(top) * grid


def by_stem(folder: Path | str) -> dict[str, Path]:
    """Return the images of a folder by their names without suffix."""
    return {path.stem: path for path in list_images(folder)}


def find_image(images: dict[str, Path], stem: str, folder: Path | str) -> Path:
    """Return the image called ``stem``; raise ReflashError if ``folder`` has none."""
    if stem not in images:
        raise ReflashError(
            f"{Path(folder) / stem}.png: no such image; make it with reflash upscale"
        )
    return images[stem]


def thumbnail(image: Pixels) -> Pixels:
    """Return an image of at most ``THUMBNAIL`` pixels on its longer side."""
    factor = max(image.shape[:2]) / THUMBNAIL
    if factor <= 1:
        return image
    height, width = (max(1, round(side / factor)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def draw_crops(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw the whole image and its crops in cells of one size; many models take more lines.

    The frame has a row per picture: row, column, role (``image`` for the whole one), label, x, y,
    size, width, height, file, and psnr where it is known.
    """
    frame = drawing.frame
    cells = int(frame["column"].max()) + 1
    lines = -(-cells // MOST_CELLS)
    per_line = -(-cells // lines)
    width, size = two_columns(style), small(style)
    side = (width - 2 * MARGIN - GAP * (per_line - 1)) / per_line
    line_height = 1.25 * size / 72
    names = {
        int(one["column"]): wrap(str(one["label"]), side - 0.02, size)
        for one in frame[frame["role"] != "image"].to_dict("records")
    }
    heads = [
        max(text.count("\n") + 1 for at, text in names.items() if at // per_line == line)
        * line_height
        + 0.03
        for line in range(lines)
    ]
    foot = line_height + 0.05 if _needs_foot(frame, side, line_height) else GAP
    examples = [rows.to_dict("records") for _, rows in frame.groupby("row", sort=False)]
    repeats = len(examples) if lines > 1 else 1
    figure = new_figure(
        width,
        2 * MARGIN + len(examples) * lines * (side + foot) + repeats * sum(heads),
    )
    figure.set_layout_engine("none")
    top = figure.get_figheight() - MARGIN
    for number, example in enumerate(examples):
        known = [v for one in example if (v := _psnr(one)) is not None]
        best = max((round(value, 2) for value in known), default=0.0)
        for line in range(lines):
            named = lines > 1 or number == 0
            top -= heads[line] if named else 0.0
            for one in example[line * per_line : (line + 1) * per_line]:
                left = MARGIN + (int(one["column"]) - line * per_line) * (side + GAP)
                middle = left + side / 2
                below = top - side - 0.02
                if one["role"] == "image":
                    below = _whole(figure, drawing, one, left, top, side, style) - 0.02
                    inch_text(figure, middle, below, _shorten(str(one["label"])), size)
                    continue
                _picture(figure, (left, top - side, side, side), drawing, one)
                if named:
                    name = names[int(one["column"])]
                    inch_text(figure, middle, top + 0.02, name, size, "bottom")
                value = _psnr(one)
                if value is not None:
                    bold = round(value, 2) == best
                    inch_text(figure, middle, below, f"{value:.2f} dB", size, bold=bold)
            top -= side + foot
    return figure


def _needs_foot(frame: pd.DataFrame, side: float, line_height: float) -> bool:
    """Whether anything is written below the cells: PSNR, or the name of a tall image."""
    if "psnr" in frame and frame["psnr"].notna().any():
        return True
    whole = frame[frame["role"] == "image"]
    shown = side * (whole["height"] / whole[["width", "height"]].max(axis=1)).max()
    return bool(shown + line_height + 0.02 > side)


def _psnr(one: Cell) -> float | None:
    value = one.get("psnr", float("nan"))
    return float(value) if value == value else None


def _shorten(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"


def _picture(
    figure: Figure, box: tuple[float, float, float, float], drawing: Drawing, one: Cell
) -> Axes:
    """Show a file in ``box``: left, bottom, width, height in inches."""
    axes = inch_axes(figure, *box)
    axes.imshow(
        drawing.images[str(one["file"])],
        interpolation="nearest" if one["role"] != "image" else "antialiased",
        extent=(0, float(one["width"]), float(one["height"]), 0),
    )
    return axes


def _whole(
    figure: Figure,
    drawing: Drawing,
    one: Cell,
    left: float,
    top: float,
    side: float,
    style: FigureStyle,
) -> float:
    """Show the whole image with its crop framed in a square cell; return where it ends below."""
    scale = side / max(one["width"], one["height"])
    w, h = one["width"] * scale, one["height"] * scale
    axes = _picture(figure, (left + (side - w) / 2, top - h, w, h), drawing, one)
    for color, linewidth in (("white", 2.2), (ACCENT[style.palette], 1.1)):
        axes.add_patch(
            Rectangle(
                (one["x"], one["y"]),
                one["size"],
                one["size"],
                fill=False,
                edgecolor=color,
                linewidth=linewidth,
            )
        )
    return top - h
