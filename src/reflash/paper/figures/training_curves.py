"""Figure: validation PSNR (EMA weights) against iterations, a panel per kind, a line per model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from reflash.paper.figures.drawing import Drawing
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
from reflash.paper.logs import AVERAGED, read_logs, validated_kinds
from reflash.study.artefacts import FigureStyle, TrainingCurves
from reflash.study.context import (
    Context,
    kind_label,
    listing,
    scale_sentence,
    seeds_sentence,
    sentences,
)

NAME = "training_curves"


FALL = 0.1
"""dB below its best from which the end of a line is spoken of."""


def gather(context: Context, settings: TrainingCurves, logs: Iterable[Path | str]) -> Drawing:
    """Average the training logs over seeds.

    The frame has a row per kind of validation images, model and validation: kind, model, label,
    iteration, psnr (mean over seeds, dB), std (empty for one seed), seeds. Logs that tell no kinds
    apart have the kind ``all``.

    Raises
    ------
    ReflashError
        See ``reflash.paper.logs.read_logs``.
    """
    tables = read_logs(logs, context)
    columns = {kind: f"psnr_{kind}" for kind in validated_kinds(tables.values())} or {"all": "psnr"}
    parts = []
    for kind, column in columns.items():
        for model in context.models:
            runs = [f"{model}/seed{seed}" for seed in context.seeds]
            rows = pd.concat([tables[run].assign(seed=run) for run in runs])
            means = over_seeds(rows, column, "iteration").rename(columns={"value": "psnr"})
            parts.append(in_front(means, kind=kind, model=model, label=context.label(model)))
    frame = pd.concat(parts, ignore_index=True)
    return Drawing(
        name=NAME,
        frame=frame,
        title="Validation PSNR during training",
        caption=_caption(context, frame),
        alt=_alt(frame),
    )


def _caption(context: Context, frame: pd.DataFrame) -> str:
    return sentences(
        f"PSNR in dB on the validation images (8-bit RGB, border of {context.crop} pixels left "
        f"out) of {AVERAGED}.",
        *_falls(frame),
        PSNR_AXIS,
        seeds_sentence(context, "bands are"),
        scale_sentence(context),
    )


def _falls(frame: pd.DataFrame) -> list[str]:
    """Say which lines end below their best: with training a blind model may lose on a kind."""
    found = []
    for kind, of_kind in frame.groupby("kind", sort=False):
        psnr = of_kind.groupby("label", sort=False)["psnr"]
        falls = psnr.max() - psnr.last()
        ends = [f"{label} {fall:.2f} dB" for label, fall in falls.items() if fall >= FALL]
        if ends:
            images = f"{_title(str(kind))} images"
            found.append(f"On {images} {listing(ends)} below the best at the end.")
    return found


def _title(kind: str) -> str:
    return kind if kind == "all" else kind_label(kind)


def _alt(frame: pd.DataFrame) -> str:
    last = frame.groupby(["kind", "label"], sort=False, as_index=False).last()
    rows = last.to_dict("records")
    ends = [f"{_title(row['kind'])}, {row['label']}: {row['psnr']:.2f} dB" for row in rows]
    return f"Lines of validation PSNR against iterations. At the end: {'; '.join(ends)}."


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a line per model and a band of one standard deviation where there are seeds."""
    frame = drawing.frame.rename(columns={"psnr": "value"})
    look = looks(list(frame["model"].unique()), style)
    figure = draw_panels(frame, style, "kind", "iteration", look)
    for axes in figure.axes:
        axes.set_title(_title(str(axes.get_gid())))
        axes.set_xlim(left=0)
        axes.set_xlabel("Iterations")
        axes.set_ylabel("")
        whole_numbers(axes)
        span_at_least(axes, PSNR_SPAN)
    figure.axes[0].set_ylabel("Validation PSNR (dB)")
    return figure
