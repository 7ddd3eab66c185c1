"""Figure: features dropped at test time, PSNR of the models beside a classifier's accuracy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from reflash.paper.analyses import layer_label, read_analysis, read_classifier
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.lines import (
    PSNR_AXIS,
    PSNR_SPAN,
    draw_panels,
    in_front,
    seeds_phrase,
    span_at_least,
)
from reflash.paper.figures.looks import Look, looks
from reflash.study.artefacts import FeatureDropSensitivity, FigureStyle
from reflash.study.context import Context, border_phrase, crop_phrase, scale_sentence, sentences

NAME = "feature_drop_sensitivity"

CLASSIFIER = Look("#222222", "#222222", "", "s", "-", True)
"""How the classifier is drawn."""


def gather(
    context: Context, settings: FeatureDropSensitivity, sensitivity: Iterable[Path | str]
) -> Drawing:
    """Average over random draws and seeds.

    The frame has a row per model (or the classifier) and ratio: task (sr or classification),
    model, label, ratio, value (dB, or accuracy from 0 to 1), std (over the draws and seeds),
    draws, seeds.

    Raises
    ------
    ReflashError
        A run was not analysed, or there is no classifier among the rows.
    """
    sensitivity = list(sensitivity)
    table = read_analysis(
        sensitivity,
        context,
        "sensitivity",
        ("task", "metric", "ratio", "draw"),
        ("value",),
        "model",
    )
    parts = []
    for model in context.models:
        rows = table[table["model"] == model]
        part = _curve(rows).assign(seeds=rows["seed"].nunique())
        parts.append(in_front(part, task="sr", model=model, label=context.label(model)))
    other = read_classifier(sensitivity)
    part = _curve(other).assign(seeds=1)
    name = str(other["model"].iloc[0])
    parts.append(in_front(part, task="classification", model=name, label="classifier of digits"))
    frame = pd.concat(parts, ignore_index=True)
    spread = "bands are one standard deviation (n - 1) over draws"
    spread += " and, of the models, seeds." if len(context.seeds) > 1 else "."
    place = f" on images of {context.analysis_set}" if context.analysis_set else ""
    rest = ", the others scaled up" if context.sensitivity_rescale else ""
    return Drawing(
        name=NAME,
        frame=frame,
        title="Dropping features at test time",
        caption=sentences(
            f"A share of the {context.sensitivity_dimension}s "
            f"at {layer_label(context.sensitivity_layer)} (of channels whole ones) is set to zero "
            f"at test time{rest}. "
            f"Left: PSNR of the models{place} ({crop_phrase(context.analysis_crop)}, "
            f"8-bit RGB, {border_phrase(context)}). Right: accuracy of a small network that "
            "classifies scikit-learn's digits, its last features dropped the same way.",
            PSNR_AXIS,
            "PSNR may rise where a network's global residual alone scores more.",
            f"Mean over {frame['draws'].max()} random choices; {spread}",
            f"Seed{'s' if len(context.seeds) > 1 else ''} {', '.join(map(str, context.seeds))}.",
            "The paper's networks, layer and values were not found.",
            scale_sentence(context),
        ),
        alt=f"Two panels. {_numbers(frame)}.",
    )


def _curve(table: pd.DataFrame) -> pd.DataFrame:
    stats = table.groupby("ratio")["value"].agg(["mean", "std"]).reset_index()
    stats.columns = pd.Index(["ratio", "value", "std"])
    stats["draws"] = table["draw"].nunique()
    return stats


def _numbers(frame: pd.DataFrame) -> str:
    parts = []
    for _, rows in frame.groupby("model", sort=False):
        first, last = rows.iloc[0], rows.iloc[-1]
        sr = first["task"] == "sr"
        values = [f"{v['value']:.2f} dB" if sr else f"{v['value']:.0%}" for v in (first, last)]
        parts.append(
            f"{first['label']}: {values[0]} with {first['ratio']:.0%} dropped, {values[1]} with "
            f"{last['ratio']:.0%}"
        )
    return "; ".join(parts)


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw the models on the left and the classifier on the right."""
    frame = drawing.frame
    models = list(frame.loc[frame["task"] == "sr", "model"].unique())
    others = list(frame.loc[frame["task"] != "sr", "model"].unique())
    factor = frame["task"].map({"sr": 1, "classification": 100})
    shown = frame.assign(value=factor * frame["value"], std=factor * frame["std"])
    look = looks(models, style) | dict.fromkeys(others, CLASSIFIER)
    figure = draw_panels(shown, style, "task", "ratio", look)
    left, right = figure.axes
    of_models = seeds_phrase(frame[frame["task"] == "sr"])
    left.set(title="super-resolution", ylabel=f"PSNR (dB), {of_models}")
    right.set(title="classification", ylabel="Accuracy (%)", ylim=(0, 102))
    for axes in figure.axes:
        axes.set_xlabel("Share of features dropped")
        axes.set_xlim(left=0)
    span_at_least(left, PSNR_SPAN)
    return figure
