"""What figures of images share: choosing crops, and a grid of images with their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from reflash.core.errors import ReflashError
from reflash.datasets.images import Pixels, list_images
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.style import ACCENT, fit_height, new_figure, small, two_columns, wrap
from reflash.study.artefacts import FigureStyle

THUMBNAIL = 360
"""Longest side of the whole image shown beside the crops, in pixels."""

MOST_CELLS = 8
"""Images beside each other at most; more go to a second line."""

Cell: TypeAlias = dict[Any, Any]
"""A row of the frame: one image."""


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


def cut(
    pixels: Pixels, box: tuple[int, int, int], shape: tuple[int, int], source: Path, of: Path
) -> Pixels:
    """Return the crop ``box`` (x, y, side) of an image that must have the shape (H, W).

    Raises
    ------
    ReflashError
        The image has another shape: ``source`` was not made from ``of``.
    """
    if pixels.shape[:2] != shape:
        raise ReflashError(
            f"{source}: {pixels.shape[1]}x{pixels.shape[0]} pixels, but {of} needs "
            f"{shape[1]}x{shape[0]}; regenerate it with reflash upscale"
        )
    x, y, side = box
    return np.ascontiguousarray(pixels[y : y + side, x : x + side])


def add_example(
    rows: list[Cell], images: dict[str, Pixels], common: Cell, cells: Sequence[Cell]
) -> None:
    """Add an example's crops to the rows of a frame and to the images of a drawing.

    Parameters
    ----------
    rows, images
        What is added to.
    common
        Columns that all crops have: row, image, x, y, size.
    cells
        From left to right: role, model, label, width and height (of what is shown, in HR pixels),
        pixels (H, W, 3), psnr where it is known, and file where it has a name of its own.
    """
    for column, cell in enumerate(cells):
        named = {"file": f"{common['row']}-{column}-{cell['role']}.png", **cell}
        images[named["file"]] = named.pop("pixels")
        rows.append({**common, "column": column, **named})


def thumbnail(image: Pixels) -> Pixels:
    """Return an image of at most ``THUMBNAIL`` pixels on its longer side."""
    factor = max(image.shape[:2]) / THUMBNAIL
    if factor <= 1:
        return image
    height, width = (max(1, round(side / factor)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def image_grid(rows: int, columns: int, style: FigureStyle) -> tuple[Figure, NDArray[Any]]:
    """Return a figure over both columns and its axes (rows, columns), without ticks and frames.

    Call ``fit_height`` when the images and their names are in.
    """
    width = two_columns(style)
    figure = new_figure(width, rows * (2 * width / columns + 1))
    figure.set_layout_engine("compressed", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.xaxis.labelpad = 2
        axes.xaxis.label.set_fontsize(small(style))
        axes.yaxis.label.set_fontsize(small(style))
    return figure, grid


def draw_crops(drawing: Drawing, style: FigureStyle, whole: str) -> Figure:
    """Draw the whole image and its crops in cells of one size; many models take more lines.

    The frame has a row per image: row, column, role (``image`` for the whole one), label, x, y,
    size, width, height, file, and psnr where it is known. ``whole`` is the header of the whole
    image.
    """
    frame = drawing.frame
    cells = int(frame["column"].max()) + 1
    lines = -(-cells // MOST_CELLS)
    per_line = -(-cells // lines)
    figure, grid = image_grid(frame["row"].nunique() * lines, per_line, style)
    room = two_columns(style) / per_line - 0.06
    for line, axes_of_line, of_line in _lines(frame, grid, lines):
        best = _best(frame, int(of_line[0]["row"]))
        for axes in axes_of_line[len(of_line) :]:
            axes.remove()
        for axes, one in zip(axes_of_line, of_line, strict=False):
            _show(axes, drawing, one)
            is_whole = one["role"] == "image"
            if lines > 1 or line == 0:
                header = whole if is_whole else str(one["label"])
                axes.set_title(wrap(header, room, small(style)), fontsize=small(style), pad=3)
            if is_whole:
                axes.set_anchor("N")
                _frame_crop(axes, one, ACCENT[style.palette])
                axes.set_xlabel(_shorten(str(one["label"])))
            elif (value := one.get("psnr", float("nan"))) == value:
                weight = "bold" if round(value, 2) == best else "normal"
                axes.set_xlabel(f"{value:.2f} dB", fontweight=weight)
    fit_height(figure)
    return figure


def _lines(
    frame: pd.DataFrame, grid: NDArray[Any], lines: int
) -> Iterator[tuple[int, NDArray[Any], list[Cell]]]:
    """Yield number, axes and images of every line of the grid; an example takes ``lines``."""
    number, per_line = 0, grid.shape[1]
    for _, rows in frame.groupby("row", sort=False):
        example = rows.to_dict("records")
        for start in range(0, lines * per_line, per_line):
            yield number, grid[number], example[start : start + per_line]
            number += 1


def _best(frame: pd.DataFrame, row: int) -> float:
    """Return the highest PSNR of an example, as it is printed."""
    known = frame.loc[frame["row"] == row, "psnr"].dropna() if "psnr" in frame else pd.Series([0.0])
    return round(float(known.max()), 2)


def _show(axes: Axes, drawing: Drawing, one: Cell) -> None:
    axes.imshow(
        drawing.images[str(one["file"])],
        interpolation="nearest" if one["role"] != "image" else "antialiased",
        extent=(0, float(one["width"]), float(one["height"]), 0),
        gid=str(one["file"]),
    )


def _frame_crop(axes: Axes, one: Cell, color: str) -> None:
    """Frame the crop in the whole image, visible on any background."""
    for edge, linewidth in (("white", 2.2), (color, 1.1)):
        corner, side = (one["x"], one["y"]), one["size"]
        axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=edge, lw=linewidth))


def _shorten(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"
