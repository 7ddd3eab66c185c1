"""Figure: PSNR while channels are masked one after another, in three orders."""

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
    PSNR_AXIS,
    PSNR_SPAN,
    draw_panels,
    in_front,
    over_runs,
    over_seeds,
    seeds_phrase,
    span_at_least,
    whole_numbers,
)
from reflash.paper.figures.looks import looks
from reflash.paper.figures.style import note_below
from reflash.paper.scores import same_images
from reflash.study.artefacts import FigureStyle, ProgressiveMasking
from reflash.study.context import (
    Context,
    border_phrase,
    images_phrase,
    listing,
    scale_sentence,
    seeds_sentence,
    sentences,
)

NAME = "progressive_masking"

ORDERS = {
    "saliency": "most salient first",
    "random": "random order",
    "natural": "natural order",
}
"""Orders in which channels are masked, and what each is called."""


def gather(
    context: Context,
    settings: ProgressiveMasking,
    masking: Iterable[Path | str],
    masking_area: Iterable[Path | str],
) -> Drawing:
    """Average the curves of every order over images, draws and seeds.

    The frame has a row per order, model and number of masked channels: order, model, label,
    layer, masked, value (PSNR, dB), std (over seeds), seeds, images, draws, area and area_std
    (normalised area under the curve; the same in all rows of a curve).

    Raises
    ------
    ReflashError
        A run was not analysed, or on other images or at another layer than the others.
    """
    keys = ("image", "layer", "order", "draw", "masked")
    table = read_analysis(masking, context, "mask", keys, ("psnr",))
    areas = read_analysis(masking_area, context, "mask", ("image", "order", "draw"), ("area",))
    images = same_images(table)
    layers = list(dict.fromkeys(table["layer"]))
    if len(layers) > 1:
        raise ReflashError(
            f"figures.{NAME}: runs were masked at {listing(layers)}; mask all at the same layer"
        )
    parts = []
    for order in [name for name in ORDERS if name in set(table["order"])]:
        for model in context.models:
            rows = table[(table["order"] == order) & (table["model"] == model)]
            own = areas[(areas["order"] == order) & (areas["model"] == model)]
            part = over_seeds(rows, "psnr", "masked")
            part["images"], part["draws"] = len(images), rows["draw"].nunique()
            part["area"], part["area_std"] = over_runs(own, "area")
            name = context.label(model)
            parts.append(in_front(part, order=order, model=model, label=name, layer=layers[0]))
    frame = pd.concat(parts, ignore_index=True)
    draws = int(frame["draws"].max())
    return Drawing(
        name=NAME,
        frame=frame,
        title="Progressive channel masking",
        caption=sentences(
            f"PSNR while the channels at {layer_label(layers[0])} are set to zero one after "
            "another (the others rescaled by the sum of magnitudes); 8-bit RGB, "
            f"{border_phrase(context)}.",
            PSNR_AXIS,
            f"Random order: mean of {draws} order{'s' if draws != 1 else ''}, the same for "
            "every model."
            if "random" in set(frame["order"])
            else "",
            "Area: area under the curve, divided by its height without masking (1: masking "
            "costs nothing; above 1: PSNR rises, as it may where a global residual alone scores "
            "more).",
            f"Mean over {images_phrase(context, images)}.",
            seeds_sentence(context, "bands are"),
            "Zeroing, rescaling and the natural order: the authors' analysis code (seen); other "
            "orders, the area, and the last point, where all channels are zero (what the rest of "
            "the network makes of that): this project's. The paper's values were not found.",
            scale_sentence(context),
        ),
        alt=f"PSNR against masked channels. {_numbers(frame)}.",
    )


def _numbers(frame: pd.DataFrame) -> str:
    first = frame.drop_duplicates(["order", "model"])
    return "; ".join(
        f"{ORDERS[row['order']]}, {row['label']}: area {row['area']:.3f}"
        for row in first.to_dict("records")
    )


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a panel per order with a line per model."""
    frame = drawing.frame
    look = looks(list(frame["model"].unique()), style)

    def note(row: dict[Hashable, Any]) -> str:
        return f"area {row['area']:.2f}"

    figure = draw_panels(frame, style, "order", "masked", look, note, sharey=True)
    for axes in figure.axes:
        axes.set_title(ORDERS[str(axes.get_gid())])
        axes.set_xlabel("Masked channels")
        axes.set_ylabel("PSNR (dB)" if axes is figure.axes[0] else "")
        axes.set_xlim(left=0)
        whole_numbers(axes)
    span_at_least(figure.axes[0], PSNR_SPAN)
    about = "area: under the curve, over its height without masking (1: masking costs nothing)"
    note_below(figure, f"{about}; {seeds_phrase(frame)}", style)
    return figure
