"""Figure: mean metric per degradation as grouped bars, one bar per model."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from reflash.degradations.settings import KINDS
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.lines import interval, intervals
from reflash.paper.figures.looks import Look, looks
from reflash.paper.figures.style import (
    INK,
    legend_above,
    new_figure,
    one_column,
    small,
    two_columns,
)
from reflash.paper.reference import COMPARABLE_SET, EVIDENCE_NOTE, reference_psnr
from reflash.paper.scores import (
    MEAN,
    METRIC_LABELS,
    image_counts,
    metric_sentence,
    over_seeds,
    read_scores,
)
from reflash.study.artefacts import FigureStyle, TeaserBars
from reflash.study.context import (
    Context,
    kind_label,
    listing,
    scale_sentence,
    seeds_sentence,
    sentences,
    sets_phrase,
)

NAME = "teaser_bars"

PITCH = 8.4
"""Points from bar to bar, so that a value printed upright fits into its bar."""

MOST_VALUE_SIZE = 7.0
"""Points of a printed value at most, so that it is not wider than its bar."""

VALUE_ROOM = 0.3
"""Height of a printed value as a share of the axis: in a shorter bar it stands above the bar."""

GAP = 1.0
"""Room between two groups, in bars."""


def gather(context: Context, settings: TeaserBars, evaluations: Iterable[Path | str]) -> Drawing:
    """Average the evaluations on one test set.

    The frame has a row per degradation and model: group (number), kind, model, label, value, std
    (over seeds), seeds, images, and paper with paper_evidence where the paper's value may be held
    against ours: its own test set, at a scale that is evidence about it.

    Raises
    ------
    ReflashError
        A file is missing or empty, or a run was not evaluated.
    """
    test_set = settings.set or context.test_sets[0]
    only = context.model_copy(update={"test_sets": (test_set,)})
    needed = KINDS if MEAN in settings.kinds else tuple(k for k in KINDS if k in settings.kinds)
    scores = read_scores(evaluations, only, settings.metric, needed)
    means = over_seeds(scores)
    known = test_set == COMPARABLE_SET and settings.metric == "psnr"
    comparable = known and context.evidence != "none"
    rows = []
    for group, kind in enumerate(settings.kinds):
        for model in map(str, scores["model"].unique()):
            value = means[test_set, model, kind]
            paper = reference_psnr(model, test_set, kind) if comparable else None
            rows.append(
                {
                    "group": group,
                    "kind": kind,
                    "model": model,
                    "label": context.label(model),
                    "value": value.mean,
                    "std": value.std,
                    "seeds": value.seeds,
                    "images": value.images,
                    "paper": paper[0] if paper else float("nan"),
                    "paper_evidence": paper[1] if paper else "",
                }
            )
    frame = pd.DataFrame(rows)
    images = image_counts(scores)
    name = METRIC_LABELS[settings.metric].removesuffix(" (dB)")
    return Drawing(
        name=NAME,
        frame=frame,
        title=f"{name} by degradation on {test_set}",
        caption=_caption(context, settings.metric, images, frame, comparable),
        alt=_alt(frame, test_set, name),
        options={"metric": settings.metric, "set": test_set},
    )


def _caption(
    context: Context, metric: str, images: dict[str, int], frame: pd.DataFrame, comparable: bool
) -> str:
    if frame["paper"].notna().any():
        paper = f"Black lines: the paper's values, {EVIDENCE_NOTE}."
    elif comparable:
        paper = "The paper's values for these models were not found."
    else:
        paper = "The paper's values are not comparable with these and are not shown."
    return sentences(
        f"Test set {sets_phrase(images)}.",
        metric_sentence(metric, context),
        "The axis does not start at 0." if _limits(frame, metric)[0] > 0 else "",
        seeds_sentence(context, "error bars are"),
        paper,
        scale_sentence(context),
    )


def _alt(frame: pd.DataFrame, test_set: str, metric: str) -> str:
    best = frame.loc[frame.groupby("group", sort=False)["value"].idxmax()]
    highest = [f"{kind_label(row['kind'])}: {row['label']}" for _, row in best.iterrows()]
    models = listing(list(dict.fromkeys(frame["label"])))
    return (
        f"Grouped bars of {metric} on {test_set} for {models}. "
        f"Highest bar per degradation: {'; '.join(highest)}."
    )


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw the bars; groups wrap to further rows where one row would be too narrow to read."""
    frame, metric = drawing.frame, drawing.options["metric"]
    models = list(dict.fromkeys(frame["model"]))
    look = looks(models, style)
    kinds = list(dict.fromkeys(frame["kind"]))
    group = (len(models) + GAP) * PITCH / 72  # inches
    inner = 0.55  # inches taken by the y axis
    wide = len(kinds) * group > one_column(style) - inner
    width = two_columns(style) if wide else one_column(style)
    per_row = max(1, min(len(kinds), int((width - inner) / group)))
    rows = -(-len(kinds) // per_row)
    per_row = -(-len(kinds) // rows)
    legend_rows = 1 + len(models) // (4 if wide else 2)
    figure = new_figure(width, 0.35 + 0.14 * legend_rows + 1.65 * rows)
    bottom, top = _limits(frame, metric)
    for row, axes in enumerate(figure.subplots(rows, 1, squeeze=False)[:, 0]):
        of_row = kinds[row * per_row : (row + 1) * per_row]
        axes.set_ylim(bottom, top)
        _draw_row(axes, frame[frame["kind"].isin(of_row)], of_row, look, style, metric)
        axes.set_xlim(-0.5, per_row - 0.5)
        _mark_cut_axis(axes)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=k.color, edgecolor=k.edge, hatch=k.hatch, linewidth=0.6)
        for k in look.values()
    ]
    labels = [str(frame.loc[frame["model"] == m, "label"].iloc[0]) for m in models]
    if frame["paper"].notna().any():
        handles.append(Line2D([], [], color="black", linewidth=1.3))
        evidence = dict.fromkeys(frame.loc[frame["paper"].notna(), "paper_evidence"])
        labels.append(f"the paper ({', '.join(evidence)})")
    legend_above(figure, handles, labels, style)
    return figure


def _draw_row(
    axes: Axes,
    rows: pd.DataFrame,
    kinds: list[str],
    look: dict[str, Look],
    style: FigureStyle,
    metric: str,
) -> None:
    """Draw a group of bars per degradation, each with its value, std and the paper's value."""
    sns.barplot(
        intervals(rows),
        x="kind",
        y="value",
        hue="model",
        order=kinds,
        hue_order=list(look),
        palette={model: own.color for model, own in look.items()},
        saturation=1,
        width=len(look) / (len(look) + GAP),
        gap=0.14,
        linewidth=0.6,
        capsize=0.3,
        err_kws={"color": INK, "linewidth": 0.8},
        legend=False,
        ax=axes,
        **interval(rows),
    )
    by_bar = {(row["model"], row["kind"]): row for row in rows.to_dict("records")}
    for container, (model, own) in zip(axes.containers, look.items(), strict=True):
        container.set_label(model)
        shown = [by_bar[model, kind] for kind in kinds if (model, kind) in by_bar]
        for bar, row in zip(container, shown, strict=True):
            bar.set(edgecolor=own.edge, hatch=own.hatch)
            _annotate(axes, bar, row, style, metric)
    axes.set_xticks(range(len(kinds)), [kind_label(kind) for kind in kinds])
    axes.tick_params(axis="x", length=0)
    axes.set(xlabel="", ylabel=METRIC_LABELS[metric])
    axes.grid(axis="y")


def _annotate(
    axes: Axes, bar: Rectangle, row: dict[Hashable, Any], style: FigureStyle, metric: str
) -> None:
    """Print the value at the foot of the bar, and draw the paper's value across it."""
    middle, half = bar.get_x() + bar.get_width() / 2, 0.56 * bar.get_width()
    if row["paper"] == row["paper"]:
        axes.plot(
            [middle - half, middle + half],
            [row["paper"], row["paper"]],
            color="black",
            linewidth=1.3,
            path_effects=[withStroke(linewidth=2.3, foreground="white")],
            zorder=2.5,
            gid="paper",
        )
    bottom, top = axes.get_ylim()
    within = row["value"] - bottom > VALUE_ROOM * (top - bottom)
    axes.annotate(
        f"{row['value']:.{2 if metric.startswith('psnr') else 3}f}",
        (middle, bottom if within else row["value"] + _std(row)),
        xytext=(0, 3),
        textcoords="offset points",
        rotation=90,
        ha="center",
        va="bottom",
        fontsize=min(small(style), MOST_VALUE_SIZE),
        color=_text_color(bar.get_facecolor()) if within else INK,
        bbox={
            "facecolor": bar.get_facecolor() if within else "white",
            "edgecolor": "none",
            "pad": 0.8,
        },
    )


def _std(row: dict[Hashable, Any]) -> float:
    return row["std"] if row["std"] == row["std"] else 0.0


def _text_color(background: Any) -> str:
    """Return the colour that text is read best in: WCAG's relative luminance decides."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in background[:3]]
    luminance = float(np.dot([0.2126, 0.7152, 0.0722], linear))
    return INK if luminance > 0.18 else "white"


def _limits(frame: pd.DataFrame, metric: str) -> tuple[float, float]:
    """Axis from below the lowest bar, so that a value fits into it, or from 0."""
    std = frame["std"].fillna(0)
    low = np.nanmin([frame["value"] - std, frame["paper"]])
    high = np.nanmax([frame["value"] + std, frame["paper"]])
    step = 0.5 if metric.startswith("psnr") else 0.02
    span = max(high - low, step)
    bottom = math.floor((low - 0.6 * span) / step) * step
    if bottom < high / 4:  # a network far behind: hardly anything of the axis would be cut
        bottom = 0.0
    return bottom, high + 0.06 * (high - bottom)


def _mark_cut_axis(axes: Axes) -> None:
    """Draw two short strokes through the foot of the y axis: it does not start at 0."""
    if axes.get_ylim()[0] <= 0:
        return
    for offset in (0.05, 0.075):
        axes.plot(
            [0],
            [offset],
            marker=[(-1, -0.5), (1, 0.5)],
            markersize=7,
            markeredgewidth=0.8,
            color=INK,
            transform=axes.transAxes,
            clip_on=False,
            gid="cut",
        )
