"""Table: every model on the eight degradations of every test set, with gains and the paper."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from reflash.degradations.settings import KINDS
from reflash.models.names import baseline_of
from reflash.paper.reference import (
    COMPARABLE_SET,
    EVIDENCE_NOTE,
    NOT_FOUND,
    reference_gain,
    reference_psnr,
)
from reflash.paper.scores import (
    MEAN,
    Mean,
    gains,
    image_counts,
    metric_name,
    metric_sentence,
    over_seeds,
    perfect_sentence,
    read_scores,
)
from reflash.paper.tables.layout import (
    EMPTY,
    Cell,
    Column,
    Layout,
    Row,
    RowKind,
    number,
    rank_marks,
    section,
    shown_sets,
)
from reflash.study.artefacts import MultiDegradation
from reflash.study.context import (
    Context,
    kind_label,
    scale_sentence,
    seeds_sentence,
    sentences,
    sets_phrase,
)

NAME = "multi_degradation"
COLUMNS = (*KINDS, MEAN)
Lines: TypeAlias = list[dict[Hashable, Any]]


def gather(
    context: Context, settings: MultiDegradation, evaluations: Iterable[Path | str]
) -> pd.DataFrame:
    """Average the evaluations and compute gains and differences to the paper.

    Parameters
    ----------
    context
        The models shown, the seeds and the test sets; bicubic is shown where it was evaluated.
    settings
        What the study declares.
    evaluations
        CSV files of ``reflash evaluate``; every run of the context must be in them.

    Returns
    -------
    pandas.DataFrame
        Tidy: one line per set, model, row (``model``, or ``gain`` over the model named in
        ``against``) and kind (the eight and their mean). ``value`` and ``std`` are of ``metric``,
        PSNR in dB; a gain is the mean over seeds of the difference between runs of one seed.
        ``perfect`` counts images reproduced exactly. ``mark`` says best or second of the models of
        a set, as printed. ``paper`` is the paper's value with ``paper_evidence``, and ``delta`` is
        value less paper; both only for PSNR on the test set the paper's values belong to.

    Raises
    ------
    ReflashError
        A file is missing or empty, or a run was not evaluated (see ``read_scores``).
    """
    scores = read_scores(evaluations, context, settings.metric, KINDS)
    known = settings.metric == "psnr"
    models = [str(model) for model in scores["model"].unique()]
    means = over_seeds(scores)
    lines: list[dict[str, object]] = []
    for test_set in context.test_sets:
        for model in models:
            key = {
                "set": test_set,
                "model": model,
                "label": context.label(model),
                "metric": settings.metric,
            }
            for kind in COLUMNS:
                paper = reference_psnr(model, test_set, kind) if known else None
                line = {**key, "row": "model", "against": "", "kind": kind}
                lines.append(line | _values(means[test_set, model, kind], paper))
            baseline = baseline_of(model)
            if baseline not in models:
                continue
            difference = over_seeds(gains(scores, model, str(baseline)))
            for kind in COLUMNS:
                paper = reference_gain(model, str(baseline), test_set, kind) if known else None
                line = {**key, "row": "gain", "against": baseline, "kind": kind}
                lines.append(line | _values(difference[test_set, model, kind], paper))
    return mark(pd.DataFrame(lines), settings)


def mark(frame: pd.DataFrame, settings: MultiDegradation) -> pd.DataFrame:
    """Mark the best and second model of every set and kind, as printed."""
    models = frame[frame["row"] == "model"]
    for _, group in models.groupby(["set", "kind"], sort=False):
        frame.loc[group.index, "mark"] = rank_marks(group["value"], settings.digits)
    return frame


def _values(mean: Mean, paper: tuple[float, str] | None) -> dict[str, object]:
    known, evidence = paper or (float("nan"), NOT_FOUND)
    return {
        "value": mean.mean,
        "std": mean.std,
        "seeds": mean.seeds,
        "images": mean.images,
        "perfect": mean.perfect,
        "mark": "",
        "paper": known,
        "paper_evidence": evidence,
        "delta": mean.mean - known,
    }


def arrange(frame: pd.DataFrame, context: Context, settings: MultiDegradation) -> Layout:
    """Arrange the frame of ``gather`` as it is printed.

    A block per test set: models, and below each model with dropout its gain. The values of the
    paper follow in a block of their own with the difference to ours in brackets, for the test set
    they belong to only.
    """
    rows: list[Row] = []
    images = image_counts(frame)
    compared = False
    printed = frame[frame["kind"].isin(settings.kinds)].sort_values(
        "kind", key=lambda kinds: kinds.map(settings.kinds.index), kind="stable"
    )
    for test_set in shown_sets(frame, settings, NAME):
        of_set = printed[printed["set"] == test_set]
        rows.append(section(sets_phrase({str(test_set): images[str(test_set)]})))
        groups = _groups(of_set)
        rows += [_row(lines, context, settings.digits) for lines in groups]
        known = [lines for lines in groups if any(v["paper"] == v["paper"] for v in lines)]
        if known:
            compared = True
            rows.append(section(f"{test_set}: the paper's values (in brackets: ours - paper's)"))
            rows += [_paper_row(lines, context, settings.digits) for lines in known]
    columns = [Column(name="model", numeric=False)]
    columns += [Column(name=kind_label(kind)) for kind in settings.kinds]
    if compared:
        about_paper = f"The paper's values are {EVIDENCE_NOTE}."
    else:
        about_paper = (
            f"The paper's values that are known are PSNR for {COMPARABLE_SET} and not shown beside "
            "other metrics or images."
        )
    once = (frame["kind"] == MEAN) & (frame["row"] == "model")
    caption = sentences(
        metric_sentence(settings.metric, context),
        perfect_sentence(int(frame.loc[once, "perfect"].sum())),
        "Gain: over the same network and setting without dropout, from unrounded values.",
        seeds_sentence(context),
        about_paper,
        scale_sentence(context),
    )
    return Layout(
        name=NAME,
        title=f"{metric_name(settings.metric)} by degradation and test set",
        caption=caption,
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _groups(of_set: pd.DataFrame) -> list[Lines]:
    """Return the lines of one printed row each."""
    return [g.to_dict("records") for _, g in of_set.groupby(["model", "row"], sort=False)]


def _name(line: dict[Hashable, Any], context: Context) -> str:
    if line["row"] == "gain":
        return f"gain over {context.label(line['against'])}"
    return str(line["label"])


def _row(lines: Lines, context: Context, digits: int) -> Row:
    kind: RowKind = lines[0]["row"]
    cells = [
        Cell(
            text=number(line["value"], line["std"], digits, sign=kind == "gain"), mark=line["mark"]
        )
        for line in lines
    ]
    return Row(kind=kind, cells=(Cell(text=_name(lines[0], context)), *cells))


def _paper_row(lines: Lines, context: Context, digits: int) -> Row:
    kind: RowKind = lines[0]["row"]
    cells = []
    for line in lines:
        text = number(line["paper"], sign=kind == "gain")  # two decimals are known
        if text != EMPTY:
            text = f"{text} ({number(line['delta'], digits=digits, sign=True)})"
        cells.append(Cell(text=text))
    return Row(kind=kind, cells=(Cell(text=_name(lines[0], context)), *cells))
