"""Figure: deep features in the plane (t-SNE), coloured by degradation, with CHI."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reflash.core.errors import ReflashError
from reflash.degradations.settings import KINDS
from reflash.paper.analyses import layer_label, read_analysis
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.lines import in_front
from reflash.paper.figures.style import (
    fit_height,
    legend_above,
    new_figure,
    note_below,
    one_column,
    small,
    two_columns,
    wrap,
)
from reflash.paper.tables.layout import digits_for
from reflash.study.artefacts import DegradationClusters, FigureStyle
from reflash.study.context import Context, crop_phrase, kind_label, scale_sentence, sentences

NAME = "degradation_clusters"

SPACES = {"tsne": "t-SNE", "pca": "PCA", "paired": "pairs"}
"""Where the index is taken, and what panels call it."""

PER_ROW = 4
"""Panels beside each other at most."""

KIND_COLORS = {
    "okabe_ito": (
        "#0072B2",
        "#E69F00",
        "#009E73",
        "#D55E00",
        "#56B4E9",
        "#CC79A7",
        "#999933",
        "#444444",
    ),
    "tableau_colorblind": (
        "#006BA4",
        "#FF800E",
        "#595959",
        "#C85200",
        "#5F9ED1",
        "#A2C8EC",
        "#FFBC79",
        "#ABABAB",
    ),
}
"""Colour of every degradation, in the order of ``KINDS``."""

KIND_MARKERS = "o^sDvPX*"


def gather(
    context: Context,
    settings: DegradationClusters,
    points: Iterable[Path | str],
    chi: Iterable[Path | str],
) -> Drawing:
    """Take the points of every model's first seed, and the index of that run.

    The frame has a row per point: model, label, layer, image, kind, x, y, chi_tsne, chi_pca (of
    the run; the same in all rows of a model), images (per kind), components (of PCA).

    Raises
    ------
    ReflashError
        A run was not analysed, or not at this layer.
    """
    first = context.model_copy(update={"seeds": context.seeds[:1]})
    table = read_analysis(points, first, "represent", ("layer", "image", "kind"), ("x", "y"))
    index = read_analysis(
        chi, first, "represent", ("layer", "space"), ("chi", "images", "components", "chance")
    )
    parts = []
    for model in context.models:
        rows = table[(table["model"] == model) & (table["layer"] == settings.layer)]
        known = index[(index["model"] == model) & (index["layer"] == settings.layer)]
        by_space = {str(one["space"]): one for one in known.to_dict("records")}
        if rows.empty or not {"tsne", "pca"} <= set(by_space):
            raise ReflashError(
                f"figures.{NAME}.layer: {settings.layer!r} of {model} was not analysed; name it in "
                "analysis.layers of the scale or choose another layer"
            )
        part = rows[["layer", "image", "kind", "x", "y"]]
        part = in_front(part, model=model, label=context.label(model))
        for space in SPACES:
            for name in ("chi", "chance"):
                one = by_space.get(space, {})
                part[f"{name}_{space}"] = float(one.get(name, float("nan")))
        part["images"] = int(by_space["pca"]["images"])
        part["components"] = int(by_space["pca"]["components"])
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    images = int(frame["images"].iloc[0])
    place = f" of {context.representation_set}" if context.representation_set else ""
    shown = crop_phrase(context.representation_crop, "the largest crop they share")
    return Drawing(
        name=NAME,
        frame=frame,
        title="Deep degradation representations",
        caption=sentences(
            f"t-SNE of the features at {layer_label(settings.layer)}, {images} images{place} "
            f"({shown}) per degradation; axes have no unit.",
            "CHI: Calinski-Harabasz index with the degradation as label (by chance), of the t-SNE "
            f"plane and of the {frame['components'].iloc[0]} principal components, where what "
            "images show counts as spread and outweighs the degradation; and of pairs, the mean "
            "over the degradations taken off each image. Lower: less separated by degradation.",
            f"Seed {context.seeds[0]}.",
            "Which images and layer the paper used, and its values, were not found.",
            scale_sentence(context),
        ),
        alt=f"Scatter plots of deep features. {_numbers(frame)}.",
    )


def _numbers(frame: pd.DataFrame) -> str:
    first = frame.drop_duplicates("model").to_dict("records")
    return "; ".join(f"{row['label']}: CHI {', '.join(_indices(row))}" for row in first)


def _sizes(count: int) -> list[float]:
    """Return the areas of markers in points^2, from the first and largest to the last."""
    widest, narrowest = 6.6, 2.2
    steps = max(count - 1, 1)
    return [(widest - (widest - narrowest) * place / steps) ** 2 for place in range(count)]


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a square panel per model."""
    frame, size = drawing.frame, small(style)
    models = list(dict.fromkeys(frame["model"]))
    kinds = [kind for kind in KINDS if kind in set(frame["kind"])]
    colors = dict(zip(KINDS, KIND_COLORS[style.palette], strict=True))
    markers = dict(zip(KINDS, KIND_MARKERS, strict=True))
    sizes = dict(zip(kinds, _sizes(len(kinds)), strict=True))
    rows = -(-len(models) // PER_ROW)
    columns = -(-len(models) // rows)
    width = one_column(style) if columns <= 2 else two_columns(style)
    side = width / columns
    figure = new_figure(width, rows * (side + 0.6) + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(models) :]:
        axes.remove()
    for model, axes in zip(models, panels, strict=False):
        sns.scatterplot(
            frame[frame["model"] == model],
            x="x",
            y="y",
            hue="kind",
            style="kind",
            hue_order=kinds,
            style_order=kinds,
            palette={kind: colors[kind] for kind in kinds},
            markers={kind: markers[kind] for kind in kinds},
            size="kind",
            sizes=sizes,
            legend=False,
            ax=axes,
        )
        # Outlines, one within the other: the kinds of one image often lie on top of each other.
        (cloud,) = axes.collections
        cloud.set(edgecolors=cloud.get_facecolors(), facecolors="none", linewidths=0.8)
        axes.set_gid(model)
        axes.set_title(_title(frame, model, side - 0.1, size), fontsize=size)
        axes.set(xlabel="", ylabel="", xticks=[], yticks=[])
        axes.set_box_aspect(1)
        axes.spines[:].set_visible(True)
        axes.margins(0.06)
    handles = [
        Line2D(
            [], [], color=colors[k], marker=markers[k], ls="none", mfc="none", ms=sizes[k] ** 0.5
        )
        for k in kinds
    ]
    legend_above(figure, handles, [kind_label(kind) for kind in kinds], style)
    note_below(figure, "Calinski-Harabasz index; lower: less separated", style)
    fit_height(figure)
    return figure


def _title(frame: pd.DataFrame, model: str, width: float, size: float) -> str:
    row = frame[frame["model"] == model].iloc[0]
    label = wrap(str(row["label"]), width, size)
    return "\n".join([label, *_indices(row.to_dict())])


def _indices(row: Mapping[Hashable, Any]) -> list[str]:
    """Say the index in each space that there is, with what it is by chance."""
    return [
        f"{name}: {_index(row[f'chi_{space}'])} (chance {_index(row[f'chance_{space}'])})"
        for space, name in SPACES.items()
        if row[f"chi_{space}"] == row[f"chi_{space}"]
    ]


def _index(value: float) -> str:
    """Return the index with three digits: 137.7, 2.03, 0.0134."""
    return f"{value:.{digits_for([value])}f}"
