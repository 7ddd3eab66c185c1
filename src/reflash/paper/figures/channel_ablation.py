"""Figure: change of PSNR when one channel of a layer is removed, sorted over the channels."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from reflash.core.errors import ReflashError
from reflash.paper.analyses import layer_label, read_analysis
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.lines import (
    PSNR_SPAN,
    draw_panels,
    in_front,
    over_runs,
    ranked,
    seeds_phrase,
    span_at_least,
    whole_numbers,
)
from reflash.paper.figures.looks import looks
from reflash.paper.scores import same_images
from reflash.study.artefacts import ChannelAblation, FigureStyle
from reflash.study.context import (
    Context,
    border_phrase,
    images_phrase,
    listing,
    scale_sentence,
    seeds_sentence,
    sentences,
)

NAME = "channel_ablation"


def gather(context: Context, settings: ChannelAblation, ablation: Iterable[Path | str]) -> Drawing:
    """Sort the changes of PSNR within every image, and average over images and seeds.

    The frame has a row per layer, model and rank: layer, model, label, rank (from 1, the channel
    that costs most), value (PSNR without the channel less PSNR with all, dB), std (over seeds),
    seeds, images, channels, psnr_full and psnr_full_std (PSNR with all channels; the same in all
    rows of a model).

    Raises
    ------
    ReflashError
        A run was not analysed, or on other images, or not at this layer.
    """
    table = read_analysis(
        ablation, context, "ablate", ("image", "layer", "channel"), ("psnr", "psnr_full")
    )
    images = same_images(table)
    table["change"] = table["psnr"] - table["psnr_full"]
    parts = []
    for layer in settings.layers:
        for model in context.models:
            rows = table[(table["model"] == model) & (table["layer"] == layer)]
            if rows.empty:
                raise ReflashError(
                    f"model {model}: layer {layer!r} was not ablated; name it to reflash ablate or "
                    f"take it out of figures.{NAME}.layers"
                )
            part = ranked(rows, "change", largest=False)
            part["psnr_full"], part["psnr_full_std"] = over_runs(rows, "psnr_full")
            parts.append(in_front(part, layer=layer, model=model, label=context.label(model)))
    frame = pd.concat(parts, ignore_index=True)
    where = listing([layer_label(layer) for layer in settings.layers])
    return Drawing(
        name=NAME,
        frame=frame,
        title="Channel ablation",
        caption=sentences(
            f"PSNR without one channel at {where} (the others rescaled) minus PSNR with all "
            "channels, sorted within each image; in the legend: PSNR with all channels. The "
            f"axis spans at least {PSNR_SPAN} dB.",
            f"8-bit RGB, {border_phrase(context)} (none in the authors' analysis code, seen).",
            f"Mean over {images_phrase(context, images)}.",
            seeds_sentence(context, "bands are"),
            "The paper's values were not found.",
            scale_sentence(context),
        ),
        alt=f"Sorted changes of PSNR when a channel is removed. {_numbers(frame)}.",
    )


def _numbers(frame: pd.DataFrame) -> str:
    first = frame.drop_duplicates(["layer", "model"])
    return "; ".join(
        f"{layer_label(row['layer'])}, {row['label']}: worst channel {row['value']:+z.2f} dB from "
        f"{row['psnr_full']:.2f} dB"
        for row in first.to_dict("records")
    )


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a panel per layer with a line per model."""
    frame = drawing.frame
    look = looks(list(frame["model"].unique()), style)

    def note(row: dict[Hashable, Any]) -> str:
        return f"all channels: {row['psnr_full']:.2f} dB"

    figure = draw_panels(frame, style, "layer", "rank", look, note)
    for axes in figure.axes:
        axes.axhline(0, color="#777777", linewidth=0.6, zorder=1)
        axes.set_xlabel(f"Channels at {layer_label(str(axes.get_gid()))}, sorted")
        axes.set_ylabel(f"Change of PSNR (dB), {seeds_phrase(frame)}")
        whole_numbers(axes)
        span_at_least(axes, PSNR_SPAN)
    return figure
