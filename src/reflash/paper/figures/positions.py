"""PSNR against the position of one dropout layer: what the figures of both settings share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from reflash.core.errors import ReflashError
from reflash.models.names import place_label
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.lines import PSNR_AXIS
from reflash.paper.figures.placements import (
    alt_values,
    chosen_models,
    draw_dimensions,
    kinds_phrase,
    measure,
)
from reflash.paper.figures.style import legend_above, new_figure, one_column, small, wrap
from reflash.paper.scores import metric_sentence
from reflash.study.artefacts import FigureStyle, Positions
from reflash.study.context import Context, scale_sentence, seeds_sentence, sentences, sets_phrase

APART = 0.06
"""Distance of channel and element from the middle of their position: equal values are both seen."""


def gather_positions(
    name: str,
    setting: str,
    context: Context,
    settings: Positions,
    evaluations: Iterable[Path | str],
) -> Drawing:
    """Average the models with one dropout layer of probability ``settings.p``.

    The frame has a row per model, as in ``placements.measure``, and ``position``, the place on
    the axis from left to right (empty for no dropout).

    Raises
    ------
    ReflashError
        No such model is among the context's, or a run was not evaluated.
    """
    network = settings.network
    models = chosen_models(
        context,
        network,
        setting,
        lambda layer: layer.where in settings.places and layer.p == settings.p,
    )
    if not models:
        example = f"{network}/{setting}/{settings.places[0]}-channel-p{settings.p:g}"
        raise ReflashError(
            f"figures.{name}: no model of the study has one dropout layer with p = {settings.p:g} "
            f"at one of {', '.join(settings.places)}; add models such as {example}, or leave the "
            "figure out"
        )
    frame = measure(
        context,
        name,
        setting,
        settings.set,
        list(models),
        f"{network}/{setting}/none",
        evaluations,
    )
    shown: list[str] = [place for place in settings.places if place in set(frame["place"])]
    frame.insert(4, "position", [_position(place, shown) for place in frame["place"]])
    frame = frame.sort_values("position", kind="stable", na_position="first", ignore_index=True)
    label = context.network_label(network, setting)
    return Drawing(
        name=name,
        frame=frame,
        title=f"PSNR against dropout position: {label}, {setting}-degradation setting",
        caption=_caption(context, setting, settings.p, frame, label),
        alt=(
            f"PSNR of {label} against the position of one dropout layer: "
            f"{alt_values(frame, lambda row: place_label(str(row['place'])))}."
        ),
        options={"places": shown, "p": settings.p},
    )


def _position(place: str, shown: list[str]) -> float:
    return float(shown.index(place)) if place in shown else float("nan")


def _caption(context: Context, setting: str, p: float, frame: pd.DataFrame, label: str) -> str:
    images = {str(frame["set"].iloc[0]): int(frame["images"].iloc[0])}
    return sentences(
        f"One dropout layer with p = {p:g} at each position of {label}, trained in the "
        f"{setting}-degradation setting; dashed: the same network without dropout.",
        "bK: after K/16 of the blocks; last-conv: before the last convolution.",
        f"Test set {sets_phrase(images)}, {kinds_phrase(setting)}.",
        metric_sentence("psnr", context),
        PSNR_AXIS,
        seeds_sentence(context, "error bars and the band are"),
        "The paper's values were not found; that its positions were compared at p = 0.2 is "
        "inferred.",
        scale_sentence(context),
    )


def draw_positions(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a line per dimension over the positions, and one across for no dropout."""
    places, rows = drawing.options["places"], drawing.frame
    apart = rows["dimension"].map({"channel": -APART, "element": APART})
    figure = new_figure(one_column(style), 2.35)
    axes = figure.subplots()
    legend = draw_dimensions(axes, rows.assign(x=rows["position"] + apart), "x", style)
    room = (one_column(style) - 0.6) / len(places)
    labels = [
        wrap(place_label(place).replace("-", "- "), room, small(style)).replace("- ", "-")
        for place in places
    ]
    axes.set_xticks(range(len(places)), labels)
    axes.set_xlim(-0.4, len(places) - 0.6)
    axes.set_xlabel(f"Position of dropout (p = {drawing.options['p']:g})")
    legend_above(figure, list(legend.values()), list(legend), style)
    return figure
