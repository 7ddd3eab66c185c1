"""Figure: validation PSNR (EMA weights) against iterations, one line per model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from reflash.paper.figures.drawing import Drawing, sentences
from reflash.paper.figures.lines import (
    PSNR_AXIS,
    PSNR_SPAN,
    draw_panels,
    in_front,
    over_seeds,
    span_at_least,
    whole_numbers,
)
from reflash.paper.figures.looks import looks
from reflash.paper.logs import read_logs, validated_kinds
from reflash.study.artefacts import FigureStyle, TrainingCurves
from reflash.study.context import Context, kind_label, listing, scale_sentence, seeds_sentence

NAME = "training_curves"


def gather(context: Context, settings: TrainingCurves, logs: Iterable[Path | str]) -> Drawing:
    """Average the training logs over seeds.

    The frame has a row per model and validation: model, label, iteration, psnr (mean over seeds,
    dB), std (empty for one seed), seeds.

    Raises
    ------
    ReflashError
        See ``reflash.paper.logs.read_logs``.
    """
    tables = read_logs(logs, context)
    kinds = validated_kinds(tables.values())
    parts = []
    for model in context.models:
        runs = [f"{model}/seed{seed}" for seed in context.seeds]
        rows = pd.concat([tables[run].assign(seed=run) for run in runs])
        means = over_seeds(rows, "psnr", "iteration").rename(columns={"value": "psnr"})
        parts.append(in_front(means, model=model, label=context.label(model)))
    frame = pd.concat(parts, ignore_index=True)
    names = [kind_label(kind) for kind in kinds]
    return Drawing(
        name=NAME,
        frame=frame,
        title="Validation PSNR during training",
        caption=_caption(context, names),
        alt=_alt(frame),
    )


def _caption(context: Context, kinds: list[str]) -> str:
    mean = f", mean over {listing(kinds)} images" if len(kinds) > 1 else ""
    only = f" on {kinds[0]} images" if len(kinds) == 1 else ""
    return sentences(
        "PSNR in dB of the moving average of the weights on the validation images"
        f"{only}{mean} (8-bit RGB, border of {context.crop} pixels left out).",
        PSNR_AXIS,
        seeds_sentence(context, "bands are"),
        scale_sentence(context),
    )


def _alt(frame: pd.DataFrame) -> str:
    last = frame.groupby("model", sort=False).last()
    ends = [f"{row['label']} {row['psnr']:.2f} dB" for _, row in last.iterrows()]
    return f"Lines of validation PSNR against iterations. At the end: {'; '.join(ends)}."


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a line per model and a band of one standard deviation where there are seeds."""
    frame = drawing.frame.rename(columns={"psnr": "value"}).assign(panel="")
    look = looks(list(frame["model"].unique()), style)
    figure = draw_panels(frame, style, "panel", "iteration", look)
    (axes,) = figure.axes
    axes.set_xlim(left=0)
    axes.set_xlabel("Iterations")
    axes.set_ylabel("Validation PSNR (dB)")
    whole_numbers(axes)
    span_at_least(axes, PSNR_SPAN)
    return figure
