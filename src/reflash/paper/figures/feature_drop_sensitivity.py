"""Figure: features dropped at test time, PSNR of the models beside a classifier's accuracy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reflash.paper.analyses import layer_label, read_analysis, read_classifier
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.ranked import draw_line
from reflash.paper.figures.style import Look, legend_above, looks, new_figure, two_columns
from reflash.study.artefacts import FeatureDropSensitivity, FigureStyle
from reflash.study.context import Context, border_phrase, crop_phrase, scale_sentence

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
        part = _curve(table[table["model"] == model])
        part["seeds"] = len(context.seeds)
        parts.append(_named(part, "sr", model, context.label(model)))
    other = read_classifier(sensitivity)
    part = _curve(other)
    part["seeds"] = 1
    name = str(other["model"].iloc[0])
    parts.append(_named(part, "classification", name, "classifier of digits"))
    frame = pd.concat(parts, ignore_index=True)
    spread = "bands are one standard deviation over draws"
    spread += " and seeds (n - 1)." if len(context.seeds) > 1 else " (n - 1)."
    place = f" on images of {context.analysis_set}" if context.analysis_set else ""
    rest = ", the others scaled up" if context.sensitivity_rescale else ""
    return Drawing(
        name=NAME,
        frame=frame,
        title="Dropping features at test time",
        caption=" ".join(
            [
                f"A share of the {context.sensitivity_dimension}s "
                f"{layer_label(context.sensitivity_layer)} is set to zero at test time{rest}. "
                f"Left: PSNR of the models{place} ({crop_phrase(context.analysis_crop)}, "
                f"8-bit RGB, {border_phrase(context)}). Right: accuracy of a small network that "
                "classifies scikit-learn's digits, its last features dropped the same way.",
                f"Mean over {frame['draws'].max()} random choices; {spread}",
                f"Seed{'s' if len(context.seeds) > 1 else ''} "
                f"{', '.join(map(str, context.seeds))}.",
                "The paper's networks, layer and values were not found.",
                scale_sentence(context),
            ]
        ),
        alt=f"Two panels. {_numbers(frame)}.",
    )


def _curve(table: pd.DataFrame) -> pd.DataFrame:
    stats = table.groupby("ratio")["value"].agg(["mean", "std"]).reset_index()
    stats.columns = pd.Index(["ratio", "value", "std"])
    stats["draws"] = table["draw"].nunique()
    return stats


def _named(part: pd.DataFrame, task: str, model: str, label: str) -> pd.DataFrame:
    part.insert(0, "label", label)
    part.insert(0, "model", model)
    part.insert(0, "task", task)
    return part


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
    models = list(dict.fromkeys(frame.loc[frame["task"] == "sr", "model"]))
    look = looks(models, style)
    figure = new_figure(two_columns(style), 2.35)
    left, right = figure.subplots(1, 2)
    handles: list[Artist] = []
    labels = []
    for (task, model), rows in frame.groupby(["task", "model"], sort=False):
        axes, own = (left, look[str(model)]) if task == "sr" else (right, CLASSIFIER)
        shown = (
            rows if task == "sr" else rows.assign(value=100 * rows["value"], std=100 * rows["std"])
        )
        handles.append(draw_line(axes, shown, own, str(model), "ratio"))
        labels.append(str(rows["label"].iloc[0]))
    _finish(left, "PSNR (dB)", "super-resolution")
    _finish(right, "Accuracy (%)", "classification")
    right.set_ylim(0, 102)
    legend_above(figure, handles, labels, style)
    return figure


def _finish(axes: Axes, ylabel: str, title: str) -> None:
    axes.set_title(title)
    axes.set_ylabel(ylabel)
    axes.set_xlabel("Share of features dropped")
    axes.set_xlim(left=0)
    axes.grid(axis="y")
