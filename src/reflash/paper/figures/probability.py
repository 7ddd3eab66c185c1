"""Figure: PSNR against the dropout probability, channel and element, a panel per setting."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from reflash.core.errors import ReflashError
from reflash.models.names import place_label
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.lines import PSNR_AXIS
from reflash.paper.figures.placements import (
    MEASURED,
    alt_values,
    chosen_models,
    draw_dimensions,
    kinds_phrase,
    measure,
)
from reflash.paper.figures.style import legend_above, new_figure, one_column, two_columns
from reflash.paper.scores import metric_sentence
from reflash.study.artefacts import FigureStyle, ProbabilityCurves
from reflash.study.context import (
    Context,
    listing,
    scale_sentence,
    seeds_sentence,
    sentences,
    sets_phrase,
)

NAME = "probability"


def gather(
    context: Context, settings: ProbabilityCurves, evaluations: Iterable[Path | str]
) -> Drawing:
    """Average the models with one dropout layer at ``settings.place``.

    The frame has a row per model, as in ``placements.measure``, setting by setting.

    Raises
    ------
    ReflashError
        No such model is among the context's, or a run was not evaluated.
    """
    evaluations, network, parts = list(evaluations), settings.network, []
    for setting in MEASURED:
        models = chosen_models(
            context, network, setting, lambda layer: layer.where == settings.place
        )
        if models:
            baseline = f"{network}/{setting}/none"
            part = measure(
                context, NAME, setting, settings.set, list(models), baseline, evaluations
            )
            order = ["dimension", "p"]
            parts.append(part.sort_values(order, kind="stable", na_position="first"))
    if not parts:
        raise ReflashError(
            f"figures.{NAME}: no model of the study has one dropout layer at {settings.place}; add "
            f"models such as {network}/multi/{settings.place}-channel-p0.5, or leave the figure out"
        )
    frame = pd.concat(parts, ignore_index=True)
    settings_shown = list(dict.fromkeys(frame["setting"]))
    return Drawing(
        name=NAME,
        frame=frame,
        title=f"PSNR against dropout probability at {place_label(settings.place)}",
        caption=_caption(context, settings, frame, settings_shown),
        alt=_alt(frame),
        options={"settings": settings_shown},
    )


def _caption(
    context: Context, settings: ProbabilityCurves, frame: pd.DataFrame, shown: list[str]
) -> str:
    images = {str(frame["set"].iloc[0]): int(frame["images"].iloc[0])}
    tested = listing([f"{setting}: {kinds_phrase(setting)}" for setting in shown])
    label = context.network_label(settings.network, shown[0])
    return sentences(
        f"{label} with one dropout layer at {place_label(settings.place)}; dashed: the same "
        "network without dropout.",
        f"Test set {sets_phrase(images)}; {tested}.",
        metric_sentence("psnr", context),
        PSNR_AXIS,
        seeds_sentence(context, "error bars and the band are"),
        "The paper's values were not found.",
        scale_sentence(context),
    )


def _p(row: dict[Hashable, Any]) -> str:
    return f"p = {row['p']:g}"


def _alt(frame: pd.DataFrame) -> str:
    parts = [
        f"{setting} setting: {alt_values(rows, _p)}"
        for setting, rows in frame.groupby("setting", sort=False)
    ]
    return f"PSNR against dropout probability. {'. '.join(parts)}."


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a panel per setting with a line per dimension, and one across for no dropout."""
    frame, shown = drawing.frame, drawing.options["settings"]
    width = one_column(style) if len(shown) == 1 else two_columns(style)
    figure = new_figure(width, 2.35)
    legend: dict[str, Artist] = {}
    for axes, setting in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        legend |= draw_dimensions(axes, frame[frame["setting"] == setting], "p", style)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        axes.set_xlabel("Dropout probability p")
        axes.set_title(f"{setting}-degradation setting")
    legend_above(figure, list(legend.values()), list(legend), style)
    return figure
