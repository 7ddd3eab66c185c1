"""Figure: channel saliency maps, from the most to the least salient channel of each model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from reflash.paper.analyses import depth_sentence
from reflash.paper.figures.channel_maps import Array, draw_maps, gather_maps
from reflash.paper.figures.drawing import Drawing
from reflash.study.artefacts import FigureStyle, SaliencyMaps
from reflash.study.context import Context, images_phrase, listing, scale_sentence, sentences

NAME = "saliency_maps"
_REMEDY = "make them with reflash saliency --arrays"


def gather(context: Context, settings: SaliencyMaps, maps: Mapping[str, Path | str]) -> Drawing:
    """Choose channels by the sum of their saliency map (see ``channel_maps.gather_maps``)."""
    frame, images = gather_maps(context, settings, maps, _totals, _levels, _REMEDY)
    strongest = frame[frame["rank"] == 1]
    shares = [f"{row['label']} {100 * row['share']:.1f} %" for _, row in strongest.iterrows()]
    return Drawing(
        name=NAME,
        frame=frame,
        title="Channel saliency maps",
        caption=sentences(
            "Magnitude of the derivative of the output's gradient magnitude with respect to a "
            "channel, divided by the largest of the layer; the colour scale is its square "
            "root, so that weak channels show.",
            "Channels at even steps from the most to the least salient of each model; below: "
            "share of the layer's saliency.",
            depth_sentence(settings.layers),
            f"{images_phrase(context, [str(frame['image'].iloc[0])])}, seed {context.seeds[0]}.",
            "Method of the authors' analysis code (seen); the paper's maps cannot be compared "
            "value by value.",
            scale_sentence(context),
        ),
        alt=(
            "Rows of saliency maps, one row per model, strongest channel first. Share of the "
            f"strongest channel: {listing(shares)}."
        ),
        images=images,
        options={
            "colours": "inferno",
            "low": "0",
            "high": "max",
            "share": "share of the layer's saliency",
            "scaled": "one scale for a model's layer, its square root, so that weak channels show",
        },
    )


def _totals(maps: Array) -> Array:
    return np.asarray(maps.sum((1, 2)))


def _levels(maps: Array) -> Array:
    """Most values are close to zero: the square root shows them."""
    peak = maps.max()
    return np.sqrt(maps.clip(0) / peak) if peak > 0 else np.zeros_like(maps)


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a row of maps per model."""
    return draw_maps(drawing, style)
