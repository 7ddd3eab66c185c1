"""Figure: feature maps of some channels, from the strongest to the weakest of each model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from reflash.paper.analyses import depth_sentence
from reflash.paper.figures.channel_maps import Array, draw_maps, gather_maps
from reflash.paper.figures.drawing import Drawing
from reflash.study.artefacts import FeatureMaps, FigureStyle
from reflash.study.context import Context, images_phrase, listing, scale_sentence, sentences

NAME = "feature_maps"
_REMEDY = "make them with reflash saliency --arrays"

ENDS = (0.5, 99.5)
"""Percentiles of a channel's values that are drawn black and white."""


def gather(context: Context, settings: FeatureMaps, features: Mapping[str, Path | str]) -> Drawing:
    """Choose channels by their mean magnitude (see ``channel_maps.gather_maps``)."""
    frame, images = gather_maps(context, settings, features, _magnitudes, _levels, _REMEDY)
    strongest = frame[frame["rank"] == 1]
    shares = [f"{row['label']} {100 * row['share']:.1f} %" for _, row in strongest.iterrows()]
    return Drawing(
        name=NAME,
        frame=frame,
        title="Feature maps",
        caption=sentences(
            "Features of a layer, with dropout off. Every channel is scaled on its own, so "
            f"that weak channels show: black and white are the {ENDS[0]:g}th and "
            f"{ENDS[1]:g}th percentile of its values.",
            "Channels at even steps from the largest to the smallest mean magnitude of each "
            "model; below: share of the layer's magnitude.",
            depth_sentence(settings.layers),
            f"{images_phrase(context, [str(frame['image'].iloc[0])])}, seed {context.seeds[0]}.",
            "Which image and layer the paper shows was not found.",
            scale_sentence(context),
        ),
        alt=(
            "Rows of feature maps, one row per model, strongest channel first. Share of the "
            f"strongest channel: {listing(shares)}."
        ),
        images=images,
        options={
            "colours": "gray",
            "low": "low",
            "high": "high",
            "share": "share of the layer's magnitude",
            "scaled": "every map has a scale of its own, so that weak channels show",
        },
    )


def _magnitudes(features: Array) -> Array:
    return np.asarray(np.abs(features).mean((1, 2)))


def _levels(features: Array) -> Array:
    """Stretch every channel on its own, so that weak channels show; a constant one is black."""
    low, high = np.percentile(features, ENDS, axis=(1, 2), keepdims=True)
    return np.asarray((features - low) / np.where(high > low, high - low, np.inf), np.float32)


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a row of maps per model."""
    return draw_maps(drawing, style)
