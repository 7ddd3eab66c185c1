"""What the figures of feature maps and saliency maps share: channels in rows of images."""

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
from reflash.paper.figures.image_grid import image_grid
from reflash.paper.figures.style import fit_height, note_below, small, wrap
from reflash.study.artefacts import FigureStyle, Maps
from reflash.study.context import Context

LARGEST = 160
"""Longest side of a stored map in pixels."""

LABEL = 0.95
"""Inches left of the maps for the model's name."""

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
                images[file] = _pixels(shown[channel])
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


def _pixels(levels: Array) -> Pixels:
    """Turn (h, w) in [0, 1] into grey RGB of at most ``LARGEST`` pixels on a side."""
    height, width = levels.shape
    factor = max(height, width) / LARGEST
    if factor > 1:
        size = (max(1, round(width / factor)), max(1, round(height / factor)))
        levels = np.asarray(cv2.resize(levels, size, interpolation=cv2.INTER_AREA))
    grey = np.rint(levels.clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def draw_maps(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a row per layer and model, with a scale of colours beside them.

    ``options``: ``colours`` (a colour map of matplotlib), ``low`` and ``high`` (what its ends
    mean), ``share`` (what the percentage below a map is of).
    """
    frame, options, size = drawing.frame, drawing.options, small(style)
    lines = list(frame.groupby(["layer", "row"], sort=False))
    # Networks of other numbers of channels have other ranks in a column: too many for its head.
    alike = bool((frame.groupby(["layer", "column"])["rank"].nunique() == 1).all())
    figure, grid = image_grid(len(lines), int(frame["column"].max()) + 1, style)
    for number, ((layer, _), rows) in enumerate(lines):
        for axes in grid[number, len(rows) :]:
            axes.remove()
        label = f"{depth_label(str(layer))}: {rows['label'].iloc[0]}"
        grid[number, 0].set_ylabel(
            wrap(label, LABEL, size), rotation=0, ha="right", va="center", multialignment="left"
        )
        headed = number == 0 or layer != lines[number - 1][0][0]
        for axes, one in zip(grid[number], rows.to_dict("records"), strict=False):
            shown = axes.imshow(
                drawing.images[str(one["file"])][:, :, 0],
                cmap=options["colours"],
                vmin=0,
                vmax=255,
                interpolation="antialiased",
                gid=str(one["file"]),
            )
            rank = "" if alike else f"{one['rank']}: "
            axes.set_xlabel(f"{rank}{100 * float(one['share']):.1f} %")
            if headed and alike:
                axes.set_title(f"rank {one['rank']}", fontsize=size, pad=3)
    scaled = options.get("scaled")
    below = options["share"] if alike else f"rank and {options['share']}"
    note = f"below each map: {below}" + (f"; {scaled}" if scaled else "")
    note_below(figure, note, style)
    scale = figure.colorbar(shown, ax=figure.axes, shrink=0.6, aspect=12, pad=0.01, ticks=[0, 255])
    scale.ax.set_yticklabels([options["low"], options["high"]])
    scale.outline.set_visible(False)
    fit_height(figure)
    return figure
