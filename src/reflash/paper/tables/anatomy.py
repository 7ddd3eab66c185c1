"""Table: where the error and the gain lie, by frequency and against the sharpened image."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reflash.degradations.settings import KINDS
from reflash.models.names import baseline_of
from reflash.paper.anatomy import (
    BAND_METRICS,
    BANDS_SENTENCE,
    MEASURES,
    PARTS_SENTENCE,
    band_parts,
    read_measures,
    target_sentence,
)
from reflash.paper.scores import MEAN, gains, image_counts, metric_sentence, over_seeds, read_scores
from reflash.paper.tables.layout import (
    Cell,
    Column,
    Layout,
    Row,
    RowKind,
    number,
    rank_marks,
    section,
)
from reflash.study.artefacts import Anatomy
from reflash.study.context import (
    Context,
    kind_label,
    scale_sentence,
    seeds_sentence,
    sentences,
    sets_phrase,
)

NAME = "anatomy"
_COLUMNS = ("PSNR", "low", "middle", "high", "to sharpened")


def gather(context: Context, settings: Anatomy, evaluations: Sequence[Path | str]) -> pd.DataFrame:
    """Average the anatomy of every model's error, and of its gain over no dropout.

    Returns
    -------
    pandas.DataFrame
        Tidy: one line per set, kind (the eight and their mean), model, row (``model``; ``gain``
        over the model named in ``against``; ``parts`` of that gain by band) and measure (the
        columns of the evaluation). ``value`` in dB: mean over images, then over seeds with
        ``std``; mark says best or second of a set and kind, as printed.

    Raises
    ------
    ReflashError
        A file is missing or was evaluated without these metrics, or a run was not evaluated.
    """
    scores = {m: read_scores(evaluations, context, m, KINDS) for m in MEASURES}
    means = {m: over_seeds(table) for m, table in scores.items()}
    models = [str(model) for model in scores["psnr"]["model"].unique()]
    lines: list[dict[str, object]] = []
    for test_set in context.test_sets:
        only = context.model_copy(update={"test_sets": (test_set,)})
        measured = read_measures(evaluations, only)
        for model in models:
            key: dict[str, object] = {
                "set": test_set,
                "model": model,
                "label": context.label(model),
            }
            baseline = baseline_of(model)
            rows = [("model", "", means)]
            if baseline in models:
                differences = {
                    m: over_seeds(gains(table, model, str(baseline))) for m, table in scores.items()
                }
                rows.append(("gain", str(baseline), differences))
            for row, against, values in rows:
                for kind in (*KINDS, MEAN):
                    for measure in MEASURES:
                        mean = values[measure][test_set, model, kind]
                        line = {**key, "kind": kind, "row": row, "against": against}
                        line |= {"measure": measure, "value": mean.mean, "std": mean.std}
                        lines.append({**line, "seeds": mean.seeds, "images": mean.images})
            if baseline in models:
                parts = _parts(measured[model], measured[str(baseline)])
                lines += [{**key, "against": baseline, "row": "parts", **line} for line in parts]
    frame = pd.DataFrame(lines)
    frame["mark"] = ""
    for _, group in frame[frame["row"] == "model"].groupby(["set", "kind", "measure"], sort=False):
        frame.loc[group.index, "mark"] = rank_marks(group["value"])
    return frame


def _parts(own: NDArray[np.float64], other: NDArray[np.float64]) -> list[dict[str, object]]:
    """Return lines of a gain's parts by band, of every kind and of their mean."""
    bands = slice(1, 1 + len(BAND_METRICS))
    of_kinds = band_parts(own[..., bands], other[..., bands]).mean(axis=1)
    every = np.concatenate([of_kinds, of_kinds.mean(axis=1, keepdims=True)], axis=1)
    seeds = len(every)
    return [
        {
            "kind": kind,
            "measure": measure,
            "value": float(every[:, k, b].mean()),
            "std": float(every[:, k, b].std(ddof=1)) if seeds > 1 else float("nan"),
            "seeds": seeds,
            "images": own.shape[1],
        }
        for k, kind in enumerate((*KINDS, MEAN))
        for b, measure in enumerate(BAND_METRICS)
    ]


def arrange(frame: pd.DataFrame, context: Context, settings: Anatomy) -> Layout:
    """Arrange the frame of ``gather``: a block for each test set and kind that is printed."""
    rows: list[Row] = []
    images = image_counts(frame)
    for test_set in dict.fromkeys(frame["set"]):
        for kind in settings.kinds:
            shown = frame[(frame["set"] == test_set) & (frame["kind"] == kind)]
            name = "mean of the eight degradations" if kind == MEAN else kind_label(kind)
            where = sets_phrase({str(test_set): images[str(test_set)]})
            rows.append(section(f"{where}, {name}"))
            for (_, row), group in shown.groupby(["model", "row"], sort=False):
                rows.append(_row(str(row), group.to_dict("records"), context))
    columns = [Column(name="model", numeric=False)]
    groups = ("", "of the error's band", "of the error's band", "of the error's band", "")
    columns += [Column(name=n, group=g) for n, g in zip(_COLUMNS, groups, strict=True)]
    caption = sentences(
        metric_sentence("psnr", context),
        BANDS_SENTENCE,
        "To sharpened: against the HR image sharpened as training targets are.",
        target_sentence(context),
        "Gain: over the same network and setting without dropout, from unrounded values. "
        f"{PARTS_SENTENCE}",
        "The paper says nothing of frequencies.",
        seeds_sentence(context),
        scale_sentence(context),
    )
    return Layout(
        name=NAME,
        title="Anatomy of the gain: PSNR by frequency and against the sharpened image",
        caption=caption,
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _row(kind: str, lines: list[dict[Hashable, Any]], context: Context) -> Row:
    first = lines[0]
    names = {
        "model": str(first["label"]),
        "gain": f"gain over {context.label(first['against'])}",
        "parts": "its parts, adding up to the gain",
    }
    found = {line["measure"]: line for line in lines}
    cells = [
        Cell(
            text=number(line["value"], line["std"], sign=kind != "model"),
            mark=line["mark"],
        )
        if (line := found.get(measure)) is not None
        else Cell()
        for measure in MEASURES
    ]
    shown: RowKind = "model" if kind == "model" else "gain"
    return Row(kind=shown, cells=(Cell(text=names[kind]), *cells))
