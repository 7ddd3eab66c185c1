"""Figure: the gain of a regulariser by frequency, against the target, and while training."""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from reflash.core.errors import ReflashError
from reflash.degradations.settings import KINDS
from reflash.evaluation.metrics import BANDS
from reflash.models.names import baseline_of, regularisers_of
from reflash.paper.anatomy import (
    BANDS_SENTENCE,
    PARTS_SENTENCE,
    band_parts,
    read_measures,
    target_sentence,
)
from reflash.paper.claims.bootstrap import estimate, interval_name
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.lines import PSNR_SPAN, seeds_phrase, span_at_least, whole_numbers
from reflash.paper.figures.looks import HUE, looks
from reflash.paper.figures.style import (
    INK,
    legend_above,
    new_figure,
    note_below,
    shade,
    two_columns,
)
from reflash.paper.logs import AVERAGED, read_logs, validated_kinds
from reflash.paper.scores import MEAN
from reflash.study.artefacts import Claims, FigureStyle, GainAnatomy
from reflash.study.context import Context, kind_label, scale_sentence, sentences, sets_phrase

NAME = "gain_anatomy"

GAIN, TARGET = "gain", "sharpened"
"""What is marked beside the bars of the bands: the whole gain, and that against the target."""

_SHADES = (-0.3, 0.35, 0.75)


def gather(
    context: Context,
    settings: GainAnatomy,
    evaluations: Sequence[Path | str],
    logs: Sequence[Path | str],
) -> Drawing:
    """Compare every model that has a regulariser with the same network and setting without.

    The frame has a row per model and, for panel ``bands``, kind and part (low, middle, high,
    which add up to gain; sharpened: gain in PSNR against the sharpened image), mean over the
    images of all test sets; for panel ``training``, kind validated and iteration: value, low and
    high (the interval of the claims, with its confidence; empty without one), seeds, images
    (empty for panel ``training``, whose logs do not say).

    Raises
    ------
    ReflashError
        No model is shown beside the same without a regulariser; or see ``read_measures``,
        ``read_logs``.
    """
    pairs = {m: str(base) for m in context.models if (base := baseline_of(m)) in context.models}
    if not pairs:
        raise ReflashError(
            f"figures.{NAME}: shows no model beside the same without a regulariser; add both to "
            "models"
        )
    measured, tables = read_measures(evaluations, context), read_logs(logs, context)
    validated = validated_kinds(tables.values()) or [""]
    rows: list[dict[str, object]] = []
    for model, base in pairs.items():
        key = {"model": model, "label": context.label(model), "against": base}
        own, other = measured[model], measured[base]
        parts = band_parts(own[..., 1:-1], other[..., 1:-1])
        differences = dict(zip(BANDS, np.moveaxis(parts, -1, 0), strict=True))
        differences |= {GAIN: (own - other)[..., 0], TARGET: (own - other)[..., -1]}
        for kind in settings.kinds:
            for part, values in differences.items():
                of_kind = values.mean(2) if kind == MEAN else values[..., KINDS.index(kind)]
                place = {"panel": "bands", "kind": kind, "part": part}
                rows.append(key | place | _estimate(of_kind, context.claims))
        for name in validated:
            column = f"psnr_{name}" if name else "psnr"
            of_seeds = [
                [tables[f"{m}/seed{seed}"].set_index("iteration")[column] for m in (model, base)]
                for seed in context.seeds
            ]
            along = pd.concat([a - b for a, b in of_seeds], axis="columns").dropna()
            for iteration, gains in zip(along.index, along.to_numpy(np.float64), strict=True):
                place = {"panel": "training", "kind": name or MEAN, "iteration": iteration}
                found = _estimate(gains[:, None], context.claims)
                rows.append(key | place | found | {"images": float("nan")})
    frame = pd.DataFrame(rows)
    images = {name: _images(evaluations, context, name) for name in context.test_sets}
    return Drawing(
        name=NAME,
        frame=frame,
        title="Anatomy of the gain",
        caption=_caption(context, images),
        alt=_alt(frame),
    )


def _images(evaluations: Sequence[Path | str], context: Context, test_set: str) -> int:
    one = context.model_copy(update={"test_sets": (test_set,), "models": context.models[:1]})
    return next(iter(read_measures(evaluations, one).values())).shape[1]


def _estimate(differences: NDArray[np.float64], claims: Claims) -> dict[str, object]:
    """Return the mean of (seeds, images) with the interval that claims would give it."""
    found = estimate(differences, claims)
    return {
        "value": found.effect,
        "low": found.low,
        "high": found.high,
        "confidence": claims.confidence,
        "seeds": found.seeds,
        "images": found.units,
    }


def _caption(context: Context, images: dict[str, int]) -> str:
    seeds = len(context.seeds)
    interval = interval_name(context.claims.confidence)
    what = "regularisers" if any(map(regularisers_of, context.models)) else "dropout"
    over = "over images only; it says nothing about other seeds" if seeds == 1 else "over both"
    return sentences(
        f"Gain in PSNR (dB) of {what} over the same network and setting without.",
        f"Above: by frequency, mean over {sets_phrase(images)}; whiskers: {interval}, "
        f"paired bootstrap of {seeds} seed{'s' if seeds > 1 else ''} and images ({over}).",
        BANDS_SENTENCE,
        PARTS_SENTENCE,
        "Circles: gain of PSNR against the sharpened HR image.",
        target_sentence(context),
        f"Below: on the validation images while training, {AVERAGED}"
        + (f", band: {interval} over seeds." if seeds > 1 else ", one seed: no interval."),
        scale_sentence(context),
    )


def _alt(frame: pd.DataFrame) -> str:
    bands = frame[frame["panel"] == "bands"]
    lines = []
    for _, rows in bands.groupby("model", sort=False):
        first = rows[rows["kind"] == rows["kind"].iloc[0]].set_index("part")
        kind = kind_label(str(rows["kind"].iloc[0]))
        parts = ", ".join(f"{part} {first.loc[part, 'value']:+.2f} dB" for part in (*BANDS, GAIN))
        lines.append(f"{first['label'].iloc[0]} on {kind}: {parts}")
    return f"Bars of the gain by frequency; lines of the gain while training. {'; '.join(lines)}."


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a row of bars by band, a panel per model, above a row of lines, one per kind."""
    bands, training = (drawing.frame[drawing.frame["panel"] == p] for p in ("bands", "training"))
    models, kinds = list(bands["model"].unique()), list(training["kind"].unique())
    figure = new_figure(two_columns(style), 4.3)
    above, below = _rows_of_panels(figure, len(models), len(kinds))
    for axes, model in zip(above, models, strict=True):
        _draw_bands(axes, bands[bands["model"] == model], style)
    look = looks(models, style)
    for axes, kind in zip(below, kinds, strict=True):
        for model in models:
            rows = training[(training["kind"] == kind) & (training["model"] == model)]
            own = look[model]
            axes.plot(rows["iteration"], rows["value"], color=own.stroke, label=model, gid=model)
            axes.fill_between(
                rows["iteration"], rows["low"], rows["high"], color=own.stroke, alpha=0.2, lw=0
            )
        axes.axhline(0, color=INK, linewidth=0.6)
        axes.set(title=f"validation, {kind_label(kind)}", xlabel="Iterations")
        axes.set_xlim(left=0)
        whole_numbers(axes)
        axes.grid(axis="y")
    for first in (above[0], below[0]):
        first.set_ylabel(f"Gain in PSNR (dB), {seeds_phrase(bands)}")
        span_at_least(first, PSNR_SPAN)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=color, edgecolor=INK, linewidth=0.6) for color in _colors(style)
    ]
    handles += [_mark(True), _mark(False)]
    handles += [Line2D([], [], color=look[model].stroke) for model in models]
    names = [f"{band} frequencies" for band in BANDS]
    labels = [str(bands.loc[bands["model"] == model, "label"].iloc[0]) for model in models]
    names += ["whole gain", "gain against the sharpened image", *labels]
    legend_above(figure, handles, names, style)
    banded = " and bands" if training["low"].notna().any() else ""
    note_below(figure, f"whiskers{banded}: {interval_name(bands['confidence'].iloc[0])}", style)
    return figure


def _rows_of_panels(figure: Figure, *counts: int) -> list[list[Axes]]:
    """Return rows of panels, ``counts`` of them in each, all of the figure's width."""
    columns = lcm(*counts)
    grid = figure.add_gridspec(len(counts), columns)
    rows: list[list[Axes]] = []
    for row, count in enumerate(counts):
        span, panels = columns // count, list[Axes]()
        for start in range(0, columns, span):
            shared = panels[0] if panels else None
            panels.append(figure.add_subplot(grid[row, start : start + span], sharey=shared))
        rows.append(panels)
    return rows


def _colors(style: FigureStyle) -> list[str]:
    return [shade(HUE[style.palette], amount) for amount in _SHADES]


def _mark(filled: bool) -> Line2D:
    face = INK if filled else "white"
    marker = "D" if filled else "o"
    return Line2D([], [], color=INK, marker=marker, markerfacecolor=face, ls="", markersize=4)


def _draw_bands(axes: Axes, rows: pd.DataFrame, style: FigureStyle) -> None:
    """Draw a group per kind: a bar per band, then the whole gain and that against the target."""
    kinds = list(rows["kind"].unique())
    width = 0.17
    for index, part in enumerate((*BANDS, GAIN, TARGET)):
        own = rows[rows["part"] == part].set_index("kind").loc[kinds]
        x = np.arange(len(kinds)) + (index - 2) * width
        if part in BANDS:
            color = _colors(style)[index]
            axes.bar(x, own["value"], width, color=color, edgecolor=INK, linewidth=0.6, label=part)
        else:
            mark = _mark(part == GAIN)
            mark.set(xdata=x, ydata=own["value"], label=part, zorder=3)
            axes.add_line(mark)
        axes.vlines(x, own["low"], own["high"], color=INK, linewidth=0.8)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_xticks(range(len(kinds)), [kind_label(str(kind)) for kind in kinds])
    axes.set_title(str(rows["label"].iloc[0]))
    axes.grid(axis="y")
