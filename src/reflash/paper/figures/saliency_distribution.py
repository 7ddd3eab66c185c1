"""Figure: sorted saliency of a layer's channels, with its Gini coefficient and entropy."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from reflash.paper.analyses import (
    depth_label,
    depth_sentence,
    find_layer,
    layers_there,
    read_analysis,
)
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.lines import (
    draw_panels,
    in_front,
    over_runs,
    ranked,
    seeds_phrase,
    whole_numbers,
)
from reflash.paper.figures.looks import looks
from reflash.paper.figures.style import note_below
from reflash.paper.scores import same_images
from reflash.study.artefacts import FigureStyle, SaliencyDistribution
from reflash.study.context import Context, images_phrase, scale_sentence, seeds_sentence, sentences

NAME = "saliency_distribution"


def gather(
    context: Context,
    settings: SaliencyDistribution,
    saliency: Iterable[Path | str],
    concentration: Iterable[Path | str],
) -> Drawing:
    """Sort the channels of every image, and average rank by rank over images and seeds.

    The frame has a row per layer, model and rank: layer, model, label, network_layer (the name
    in this network), rank (from 1), value (share of the layer's saliency), std (over seeds), seeds,
    images, channels, gini, gini_std, entropy, entropy_std (over seeds; the same in all rows of a
    model).

    Raises
    ------
    ReflashError
        A run was not analysed, or on other images, or its network has no such layer.
    """
    table = read_analysis(
        saliency, context, "saliency", ("image", "layer", "channel"), ("saliency",)
    )
    summary = read_analysis(
        concentration, context, "saliency", ("image", "layer"), ("gini", "entropy")
    )
    images = same_images(table)
    sums = table.groupby(["model", "seed", "image", "layer"])["saliency"].transform("sum")
    table["share"] = (table["saliency"] / sums).fillna(0)
    parts = []
    for layer in settings.layers:
        for model in context.models:
            own = table[table["model"] == model]
            layers_had = dict.fromkeys(own["layer"])
            if layer not in layers_there(settings.layers, layers_had, f"model {model}"):
                continue
            network_layer = find_layer(layer, layers_had, f"model {model}")
            part = ranked(own[own["layer"] == network_layer], "share", largest=True)
            rows = summary[(summary["model"] == model) & (summary["layer"] == network_layer)]
            for number in ("gini", "entropy"):
                part[number], part[f"{number}_std"] = over_runs(rows, number)
            name = context.label(model)
            parts.append(
                in_front(part, layer=layer, model=model, label=name, network_layer=network_layer)
            )
    frame = pd.concat(parts, ignore_index=True)
    return Drawing(
        name=NAME,
        frame=frame,
        title="Distribution of channel saliency",
        caption=sentences(
            "Share of each channel in its layer's saliency, sorted within each image; "
            "dotted: equal shares.",
            depth_sentence(frame["layer"].unique()),
            "Gini coefficient: 0 for equal shares; normalised entropy: 1 for equal shares.",
            f"Mean over {images_phrase(context, images)}.",
            seeds_sentence(context, "bands are"),
            "The paper's values were not found.",
            scale_sentence(context),
        ),
        alt=f"Sorted shares of saliency. {_numbers(frame)}.",
    )


def _numbers(frame: pd.DataFrame) -> str:
    first = frame.drop_duplicates(["layer", "model"])
    return "; ".join(
        f"{depth_label(row['layer'])}, {row['label']}: Gini {row['gini']:.3f}, entropy "
        f"{row['entropy']:.3f}, largest share {100 * row['value']:.1f} %"
        for row in first.to_dict("records")
    )


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a panel per layer with a line per model."""
    shown = drawing.frame.assign(value=100 * drawing.frame["value"], std=100 * drawing.frame["std"])
    look = looks(list(shown["model"].unique()), style)

    def note(row: dict[Hashable, Any]) -> str:
        return f"Gini {row['gini']:.2f}, entropy {row['entropy']:.3f}"

    figure = draw_panels(shown, style, "layer", "rank", look, note)
    for axes in figure.axes:
        channels = shown.loc[shown["layer"] == axes.get_gid(), "channels"]
        if channels.nunique() == 1:
            axes.axhline(100 / channels.iloc[0], color="#777777", linestyle=":", linewidth=0.9)
        axes.set_ylim(bottom=0)
        axes.set_title(depth_label(str(axes.get_gid())))
        axes.set_xlabel("Channels, sorted")
        axes.set_ylabel("Share of saliency (%)")
        whole_numbers(axes)
    about = "dotted: equal shares (Gini 0, normalised entropy 1)"
    note_below(figure, f"{about}; {seeds_phrase(shown)}", style)
    return figure
