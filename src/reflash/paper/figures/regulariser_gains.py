"""Figure: the gain of every regulariser and strength over none, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from reflash.core.errors import ReflashError
from reflash.degradations.settings import KINDS
from reflash.models.names import baseline_of, network_of
from reflash.paper.claims.bootstrap import estimate, interval_name
from reflash.paper.claims.data import last_conv_pairs
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.looks import HUE
from reflash.paper.figures.style import ACCENT, INK, legend_above, new_figure, shade, two_columns
from reflash.paper.regularisers import best_validated, family_of, kind_of, strength_of
from reflash.paper.scores import metric_sentence, read_images
from reflash.study.artefacts import FigureStyle, RegulariserGains
from reflash.study.context import Context, scale_sentence, seeds_sentence, sentences

NAME = "regulariser_gains"

_BAR = 0.17
"""Inches from bar to bar."""


def gather(
    context: Context,
    settings: RegulariserGains,
    evaluations: Sequence[Path | str],
    logs: Sequence[Path | str],
) -> Drawing:
    """Compare every model with the same network and setting without a regulariser.

    The frame has a row per model that has one: family, kind, name (kind and strength), model,
    label, value, low and high (dB, mean of the eight degradations; interval of the paired
    bootstrap), best (whether validation chooses this strength of its kind), dropout (whether it
    is the paper's), seeds, images.

    Raises
    ------
    ReflashError
        No model is shown beside the same without a regulariser; or see ``read_images``.
    """
    psnr = read_images(evaluations, context, "psnr", KINDS)
    best = best_validated(logs, context)
    dropout = [model for model, _ in last_conv_pairs(context.models, context.claims).values()]
    rows = []
    for model in context.models:
        base = baseline_of(model)
        if base not in psnr:
            continue
        found = estimate(psnr[model] - psnr[str(base)], context.claims)
        key = family_of(model), kind_of(model)
        rows.append(
            {
                "family": key[0],
                "kind": key[1],
                "name": f"{key[1]} {strength_of(model)}",
                "model": model,
                "label": context.label(model),
                "value": found.effect,
                "low": found.low,
                "high": found.high,
                "best": int(best[key] == model),
                "dropout": int(model in dropout),
                "seeds": found.seeds,
                "images": found.units,
            }
        )
    if not rows:
        raise ReflashError(
            f"figures.{NAME}: shows no model beside the same without a regulariser; add both"
        )
    frame = pd.DataFrame(rows)
    seeds = len(context.seeds)
    over = "images only" if seeds == 1 else "seeds and images"
    return Drawing(
        name=NAME,
        frame=frame,
        title="Gain of regularisers",
        caption=sentences(
            "Gain over the same network without a regulariser, mean of the eight degradations and "
            f"of {frame['images'].iloc[0]} images; whiskers: "
            f"{interval_name(context.claims.confidence)}, paired bootstrap over {over}.",
            metric_sentence("psnr", context),
            "" if frame["best"].all() else "Dark: the strength of its kind that validates best.",
            "Dashed line: the paper's dropout.",
            "The paper compares with no other regulariser.",
            seeds_sentence(context, ""),
            scale_sentence(context),
        ),
        alt=_alt(frame),
    )


def _alt(frame: pd.DataFrame) -> str:
    lines = []
    for family, rows in frame.groupby("family", sort=False):
        top = rows.sort_values("value").iloc[-1]
        own = rows[rows["dropout"] == 1]["value"]
        text = f"{family}: highest {top['name']} with {top['value']:+z.2f} dB"
        lines.append(text + (f", the paper's dropout {own.iloc[0]:+z.2f} dB" if len(own) else ""))
    return f"Bars of the gain in PSNR by regulariser and strength. {'; '.join(lines)}."


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a panel of horizontal bars for each network, grouped by regulariser."""
    frame = drawing.frame
    families = list(dict.fromkeys(frame["family"]))
    most = max(len(rows) for _, rows in frame.groupby("family"))
    figure = new_figure(two_columns(style), 0.9 + _BAR * (most + 1))
    panels = figure.subplots(1, len(families), squeeze=False)[0]
    for axes, family in zip(panels, families, strict=True):
        _panel(axes, frame[frame["family"] == family], style)
    hue, accent = HUE[style.palette], ACCENT[style.palette]
    several = not frame["best"].all()
    bars = [("validates best", hue), ("other strength", shade(hue, 0.7))]
    bars = bars if several else [("other regularisers", hue)]
    bars += [("the paper's dropout", accent)] * bool(frame["dropout"].any())
    handles = [Patch(facecolor=color, edgecolor=INK, linewidth=0.6) for _, color in bars]
    legend_above(figure, handles, [name for name, _ in bars], style)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, style: FigureStyle) -> None:
    hue, accent = HUE[style.palette], ACCENT[style.palette]
    y = np.arange(len(rows), dtype=float)
    y += 0.5 * (rows["kind"] != rows["kind"].shift()).cumsum().to_numpy()  # a gap between kinds
    colors = [
        accent if own else hue if best else shade(hue, 0.7)
        for own, best in zip(rows["dropout"], rows["best"], strict=True)
    ]
    axes.barh(y, rows["value"], 0.8, color=colors, edgecolor=INK, linewidth=0.6)
    axes.hlines(y, rows["low"], rows["high"], color=INK, linewidth=0.8)
    own = rows[rows["dropout"] == 1]
    if len(own):
        axes.axvline(float(own["value"].iloc[0]), color=accent, ls="--", lw=1, zorder=0)
    axes.axvline(0, color=INK, linewidth=0.6)
    axes.set_yticks(y, rows["name"])
    axes.invert_yaxis()
    family = str(rows["family"].iloc[0])
    title = {"srresnet": "SRResNet", "rrdb": "RRDB"}.get(network_of(family), family)
    axes.set(title=title, xlabel="Gain in PSNR (dB)")
    axes.grid(axis="x")
