"""Figure: PSNR less SEAL's acceptance line, degradations sorted, beside published models."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.lines import draw_panels, in_front, over_seeds, whole_numbers
from reflash.paper.figures.looks import looks
from reflash.paper.seal import CONVENTION, OURS, degradations_sentence, read_seal
from reflash.study.artefacts import FigureStyle, SealDistribution
from reflash.study.context import Context, scale_sentence, seeds_sentence, sentences

NAME = "seal_distribution"


def gather(context: Context, settings: SealDistribution, seal: Iterable[Path | str]) -> Drawing:
    """Sort the degradations of every run by their margin, and average rank by rank over seeds.

    The frame has a row per source, model and rank: source (the panel), model, label, rank (from 1),
    value (PSNR less the acceptance line, dB, largest first), std (over seeds), seeds, accepted
    (share of degradations at or above the line; the same in all rows of a model), degradations.

    Raises
    ------
    ReflashError
        See `reflash.paper.seal.read_seal`.
    """
    scores = read_seal(context, seal, settings.published)
    count = scores["degradation"].nunique()
    parts = []
    for (source, model, label), own in scores.groupby(["source", "model", "label"], sort=False):
        ordered = own.sort_values("margin", ascending=False, kind="stable")
        rank = ordered.groupby("seed").cumcount() + 1
        part = over_seeds(ordered.assign(rank=rank), "margin", "rank")
        part = part.assign(accepted=(own["margin"] >= 0).mean(), degradations=count)
        parts.append(in_front(part, source=str(source), model=str(model), label=str(label)))
    frame = pd.concat(parts, ignore_index=True)
    return Drawing(
        name=NAME,
        frame=frame,
        title="Degradations above and below SEAL's acceptance line",
        caption=sentences(
            "PSNR less the acceptance line (an FSRCNN trained for each degradation), each model's "
            "degradations sorted; dotted: the line. AR: share at or above it.",
            degradations_sentence(count),
            CONVENTION.replace(" and the degradations", ""),
            seeds_sentence(context, "bands are"),
            "Published values: seen in SEAL's repository.",
            scale_sentence(context),
        ),
        alt=f"Sorted margins to the acceptance line. {_numbers(frame)}.",
    )


def _numbers(frame: pd.DataFrame) -> str:
    first = frame.drop_duplicates(["source", "model"])
    return "; ".join(
        f"{row['label']} ({row['source']}): AR {row['accepted']:.2f}, best {row['value']:+z.2f} dB"
        for row in first.to_dict("records")
    )


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw a panel for this study and one for the published models, a line per model."""
    frame = drawing.frame
    look = looks(list(frame["model"].unique()), style)

    def note(row: dict[Hashable, Any]) -> str:
        return f"AR {row['accepted']:.2f}"

    figure = draw_panels(frame, style, "source", "rank", look, note, sharey=True)
    for axes in figure.axes:
        own = str(axes.get_gid()) == OURS
        axes.set_title("This study" if own else "Published by SEAL")
        axes.axhline(0, color="0.4", linestyle=":", linewidth=0.8, zorder=1)
        axes.set_xlabel("Degradation, sorted")
        axes.set_ylabel("PSNR less acceptance line (dB)" if own else "")
        axes.set_xlim(left=0)
        whole_numbers(axes)
    return figure
