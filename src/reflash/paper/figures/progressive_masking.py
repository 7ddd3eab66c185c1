"""Figure: PSNR while channels are masked one after another, in three orders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reflash.core.errors import ReflashError
from reflash.paper.analyses import layer_label, read_analysis
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.ranked import draw_line, over_runs, write_notes
from reflash.paper.figures.style import legend_above, looks, new_figure, two_columns
from reflash.paper.scores import same_images
from reflash.study.artefacts import FigureStyle, ProgressiveMasking
from reflash.study.context import (
    Context,
    border_phrase,
    images_phrase,
    listing,
    scale_sentence,
    seeds_sentence,
)

NAME = "progressive_masking"

ORDERS = {
    "saliency": "most salient first",
    "random": "random order",
    "natural": "order of the network",
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
            per_seed = rows.groupby(["masked", "seed"])["psnr"].mean()
            part = per_seed.groupby("masked").agg(["mean", "std", "size"]).reset_index()
            part.columns = pd.Index(["masked", "value", "std", "seeds"])
            part.insert(0, "layer", layers[0])
            part.insert(0, "label", context.label(model))
            part.insert(0, "model", model)
            part.insert(0, "order", order)
            part["images"], part["draws"] = len(images), rows["draw"].nunique()
            own = areas[(areas["order"] == order) & (areas["model"] == model)]
            part["area"], part["area_std"] = over_runs(own, "area")
            parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    draws = int(frame["draws"].max())
    return Drawing(
        name=NAME,
        frame=frame,
        title="Masking channels one after another",
        caption=" ".join(
            [
                f"PSNR while the channels {layer_label(layers[0])} are set to zero (the others "
                f"rescaled by the sum of magnitudes); 8-bit RGB, {border_phrase(context)}.",
                f"Random order: mean of {draws} orders, the same for every model."
                if "random" in set(frame["order"])
                else "",
                "A: area under the curve over its height at the start (1 if masking costs "
                "nothing).",
                f"Mean over {images_phrase(context, images)}.",
                seeds_sentence(context, "bands are"),
                "Method of the authors' analysis code (seen); the paper's values were not found.",
                scale_sentence(context),
            ]
        ).replace("  ", " "),
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
    orders = list(dict.fromkeys(frame["order"]))
    models = list(dict.fromkeys(frame["model"]))
    look = looks(models, style)
    figure = new_figure(two_columns(style), 2.35 if len(models) <= 2 else 2.7)
    panels = figure.subplots(1, len(orders), squeeze=False, sharey=True)[0]
    legend: dict[str, Artist] = {}
    for order, axes in zip(orders, panels, strict=True):
        lines, notes = [], []
        for model in models:
            rows = frame[(frame["order"] == order) & (frame["model"] == model)]
            lines.append(draw_line(axes, rows, look[model], model, "masked"))
            notes.append(f"A {rows['area'].iloc[0]:.2f}")
        legend.update(zip(models, lines, strict=True))
        write_notes(axes, lines, notes)
        axes.set_gid(order)
        axes.set_title(ORDERS[order])
        axes.set_xlabel("Masked channels")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlim(left=0)
        axes.grid(axis="y")
    panels[0].set_ylabel("PSNR (dB)")
    labels = [str(frame.loc[frame["model"] == model, "label"].iloc[0]) for model in models]
    legend_above(figure, [legend[model] for model in models], labels, style)
    return figure
