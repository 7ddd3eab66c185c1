"""What the figures of feature maps and saliency maps share: channels in rows of pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reflash.datasets.images import Pixels
from reflash.paper.analyses import depth_label, read_maps
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.style import (
    inch_axes,
    inch_text,
    new_figure,
    small,
    text_width,
    two_columns,
    wrap,
)
from reflash.study.artefacts import FigureStyle, Maps
from reflash.study.context import Context

LARGEST = 160
"""Longest side of a stored map in pixels."""

LABEL, GAP = 0.95, 0.035
"""Inches left of the maps for the model's name, and between maps."""

Array = NDArray[np.float32]


def gather_maps(
    context: Context,
    settings: Maps,
    folders: Mapping[str, Path | str],
    strengths: Callable[[Array], Array],
    levels: Callable[[Array], Array],
    remedy: str,
) -> tuple[pd.DataFrame, dict[str, Pixels]]:
    """Choose channels of every layer and model, evenly spaced from strong to weak.

    Parameters
    ----------
    context
        The models shown.
    settings
        Image, layers and number of channels.
    folders
        A folder of ``IMAGE.npz`` for each model.
    strengths
        From the maps of a layer (C, h, w) to a number per channel, not negative.
    levels
        From the maps of a layer to what is shown, in [0, 1].
    remedy
        What makes such files.

    Returns
    -------
    frame : pandas.DataFrame
        A row per map: layer, row (number of the model), column, model, label, image, channel,
        rank (from 1), channels (how many there are), share (of the layer's strength), file.
    images : dict of str to (h, w, 3) uint8

    Raises
    ------
    ReflashError
        A file is missing or holds something else, or a network has no such layer.
    """
    rows: list[dict[str, object]] = []
    images: dict[str, Pixels] = {}
    image = settings.image
    for number, model in enumerate(context.models):
        image, maps = read_maps(folders, model, image, settings.layers, remedy)
        for layer, of_layer in maps.items():
            strength = strengths(of_layer).astype(np.float64)
            total = strength.sum()
            order = np.argsort(-strength, kind="stable")
            shown = levels(of_layer)
            last, count = len(order) - 1, min(settings.channels, len(order))
            for column, rank in enumerate(np.linspace(0, last, count).round().astype(int)):
                channel = int(order[rank])
                file = f"{layer}-{number}-{column}.png"
                images[file] = _picture(shown[channel])
                rows.append(
                    {
                        "layer": layer,
                        "row": number,
                        "column": column,
                        "model": model,
                        "label": context.label(model),
                        "image": image,
                        "channel": channel,
                        "rank": int(rank) + 1,
                        "channels": len(order),
                        "share": float(strength[channel] / total) if total else 0.0,
                        "file": file,
                    }
                )
    frame = pd.DataFrame(rows)
    layers = list(settings.layers)
    frame = frame.sort_values(
        "layer", key=lambda names: names.map(layers.index), kind="stable", ignore_index=True
    )
    return frame, images


def _picture(levels: Array) -> Pixels:
    """Turn (h, w) in [0, 1] into grey RGB of at most ``LARGEST`` pixels on a side."""
    height, width = levels.shape
    factor = max(height, width) / LARGEST
    if factor > 1:
        size = (max(1, round(width / factor)), max(1, round(height / factor)))
        levels = np.asarray(cv2.resize(levels, size, interpolation=cv2.INTER_AREA))
    grey = np.rint(levels.clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def draw_maps(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a block of rows per layer, a row per model, with a scale of colours on top.

    ``options``: ``colours`` (a colour map of matplotlib), ``low`` and ``high`` (what its ends
    mean), ``share`` (what the percentage below a map is of).
    """
    frame, size = drawing.frame, small(style)
    width, line = two_columns(style), 1.25 * small(style) / 72
    columns = int(frame["column"].max()) + 1
    side = (width - LABEL - GAP * columns) / columns
    shapes = [image.shape for image in drawing.images.values()]
    high = side * max(shape[0] / shape[1] for shape in shapes)
    blocks = [(str(layer), rows) for layer, rows in frame.groupby("layer", sort=False)]
    models = frame["row"].nunique()
    head, foot = 1.3 * line, line + 0.06
    figure = new_figure(width, 2 * line + len(blocks) * (head + models * (high + foot)) + 0.02)
    figure.set_layout_engine("none")
    top = figure.get_figheight() - 0.02
    _draw_scale(figure, drawing, width, top, size)
    top -= 1.9 * line
    for layer, rows in blocks:
        inch_text(figure, 0.03, top, depth_label(layer), size, horizontal="left", bold=True)
        top -= head
        for _, of_model in rows.groupby("row", sort=False):
            label = wrap(str(of_model["label"].iloc[0]), LABEL - 0.1, size)
            inch_text(figure, 0.03, top - high / 2, label, size, "center", "left")
            for one in of_model.to_dict("records"):
                left = LABEL + int(one["column"]) * (side + GAP)
                axes = inch_axes(figure, left, top - high, side, high)
                axes.imshow(
                    drawing.images[str(one["file"])][:, :, 0],
                    cmap=drawing.options["colours"],
                    vmin=0,
                    vmax=255,
                    interpolation="antialiased",
                    gid=str(one["file"]),
                )
                text = f"{100 * float(one['share']):.1f} %"
                inch_text(figure, left + side / 2, top - high - 0.02, text, size)
            top -= high + foot
    return figure


def _draw_scale(figure: Figure, drawing: Drawing, width: float, top: float, size: float) -> None:
    """Draw the colours from low to high in the upper right corner."""
    options, right, long = drawing.options, width - GAP, 0.9
    inch_text(figure, right, top, options["high"], size, horizontal="right")
    right -= text_width(options["high"], size) + 0.06
    axes = inch_axes(figure, right - long, top - 1.15 * size / 72, long, 0.9 * size / 72)
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=options["colours"], aspect="auto")
    inch_text(figure, right - long - 0.06, top, options["low"], size, horizontal="right")
    text = f"Strongest channel left, weakest right; below: {options['share']}"
    inch_text(figure, 0.03, top, text, size, horizontal="left")
