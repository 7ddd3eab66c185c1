"""The study's own headline, and the paper's main comparison beside ours with its evidence."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reflash.degradations.settings import KINDS
from reflash.models.names import baseline_of
from reflash.paper.reference import (
    COMPARABLE_SET,
    EVIDENCE_NOTE,
    NOT_FOUND,
    reference_gain,
    reference_psnr,
    reference_table,
)
from reflash.paper.scores import MEAN, metric_name, read_table
from reflash.paper.tables.layout import Cell, Column, Layout, Row, number
from reflash.study.context import (
    Context,
    evidence_sentence,
    kind_label,
    seeds_sentence,
    sentences,
)

_REMEDY = "make it with reflash table multi_degradation"

LABELS = {
    "srresnet/multi/none": "SRResNet",
    "srresnet/multi/last_conv-channel-p0.7": "SRResNet + dropout",
    "rrdb/multi/none": "RRDB",
    "rrdb/multi/last_conv-channel-p0.5": "RRDB + dropout",
}
"""The paper's models and what they are called where the study has no label for them."""


def headline(context: Context, table: Path | str) -> Layout:
    """Lay out the mean over all degradations of every model and test set, with its gain.

    Parameters
    ----------
    context
        Names the models.
    table
        ``multi_degradation.csv`` of the study.

    Raises
    ------
    ReflashError
        The table is missing or not one that ``reflash table multi_degradation`` wrote.
    """
    columns = ("set", "model", "label", "metric", "row", "kind", "value", "std", "mark")
    frame = read_table(table, columns, _REMEDY)
    frame = frame[frame["kind"] == MEAN]
    metric = str(frame["metric"].iloc[0])
    digits = 2 if metric.startswith("psnr") else 4
    sets = list(dict.fromkeys(frame["set"]))
    lines = {(line["set"], line["model"], line["row"]): line for line in frame.to_dict("records")}
    rows = []
    for model in dict.fromkeys(frame["model"]):
        label = lines[sets[0], model, "model"]["label"]
        cells = [Cell(text=str(label))]
        for name in sets:
            own, gain = lines[name, model, "model"], lines.get((name, model, "gain"))
            mark = own["mark"] if isinstance(own["mark"], str) else ""
            cells.append(Cell(text=number(own["value"], own["std"], digits), mark=mark))
            text = number(gain["value"], gain["std"], digits, sign=True) if gain else ""
            cells.append(Cell(text=text))
        rows.append(Row(cells=tuple(cells)))
    named = metric_name(metric)
    return Layout(
        name="headline",
        title=f"{named}, mean of the {len(KINDS)} degradations",
        caption=sentences(
            "Gain: over the same network and setting without dropout, from unrounded values.",
            seeds_sentence(context),
            evidence_sentence(context),
        ),
        columns=(
            Column(name="model", numeric=False),
            *(Column(name=n, group=name) for name in sets for n in (named, "gain")),
        ),
        rows=tuple(rows),
    )


def main_comparison(context: Context, table: Path | str | None) -> Layout:
    """Lay out the paper's known values, with ours and the difference where comparable.

    Parameters
    ----------
    context
        Names the test sets and models of ours.
    table
        ``multi_degradation.csv`` of ours, if the study has it. Values of ours are shown only for
        the test set that the paper's belong to.

    Raises
    ------
    ReflashError
        The table is missing or not one that ``reflash table multi_degradation`` wrote.
    """
    own = _own_values(table) if table is not None and COMPARABLE_SET in context.test_sets else {}
    kinds = _known_kinds()
    columns = [Column(name="model", numeric=False)]
    for kind in kinds:
        columns.append(Column(name="paper", group=kind_label(kind)))
        if own:
            columns.append(Column(name="ours", group=kind_label(kind)))
            columns.append(Column(name="diff.", group=kind_label(kind)))
    columns.append(Column(name="evidence", numeric=False))
    rows: list[Row] = []
    for model in LABELS:
        rows.append(_row(context.labels.get(model, LABELS[model]), model, None, kinds, own))
        baseline = baseline_of(model)
        if baseline:
            rows.append(_row("gain by dropout", model, baseline, kinds, own))
    return Layout(
        name="main_comparison",
        title=f"The paper's main comparison: PSNR (dB) on {COMPARABLE_SET}",
        caption=_caption(context, bool(own)),
        columns=tuple(columns),
        rows=tuple(rows),
    )


def restated_notes() -> list[str]:
    """Return a sentence for each value that somebody else reports about the paper."""
    table = reference_table()
    notes = []
    for row in table[table["evidence"] == "restated"].to_dict("records"):
        label = LABELS.get(row["model"], row["model"])
        notes.append(
            f"{row['psnr']:g} dB for {label} on {row['set']}, restated by {row['source']}: "
            f"{row['note']}."
        )
    return notes


def _known_kinds() -> list[str]:
    table = reference_table()
    known = table[(table["set"] == COMPARABLE_SET) & table["psnr"].notna()]
    return list(dict.fromkeys(known["kind"]))


def _own_values(path: Path | str) -> dict[tuple[str, str, str], float]:
    """Return (model, row, kind) -> our PSNR on the comparable set; nothing of another metric."""
    columns = ("set", "model", "metric", "row", "kind", "value")
    table = read_table(path, columns, _REMEDY)
    table = table[(table["set"] == COMPARABLE_SET) & (table["metric"] == "psnr")]
    keys = zip(table["model"], table["row"], table["kind"], strict=True)
    return dict(zip(keys, map(float, table["value"]), strict=True))


def _row(
    label: str,
    model: str,
    baseline: str | None,
    kinds: list[str],
    own: dict[tuple[str, str, str], float],
) -> Row:
    gain = baseline is not None
    cells = [Cell(text=label)]
    evidence: list[str] = []
    for kind in kinds:
        if baseline is None:
            known = reference_psnr(model, COMPARABLE_SET, kind)
        else:
            known = reference_gain(model, baseline, COMPARABLE_SET, kind)
        paper = known[0] if known else float("nan")
        evidence.append(known[1] if known else NOT_FOUND)
        cells.append(Cell(text=number(paper, sign=gain)))
        if own:
            value = own.get((model, "gain" if gain else "model", kind), float("nan"))
            cells.append(Cell(text=number(value, sign=gain)))
            cells.append(Cell(text=number(value - paper, sign=True)))
    inferred = "test set" if _model_evidence(model) == "seen" else "p and test set"
    known_how = ", ".join(dict.fromkeys(evidence))
    cells.append(Cell(text=f"{known_how}; {inferred} inferred"))
    return Row(kind="gain" if gain else "model", cells=tuple(cells))


def _model_evidence(model: str) -> str:
    table: pd.DataFrame = reference_table()
    return str(table.loc[table["model"] == model, "model_evidence"].iloc[0])


def _caption(context: Context, compared: bool) -> str:
    parts = [f"The paper's values are {EVIDENCE_NOTE}.", "The paper's other values were not found."]
    if compared:
        parts.append(
            f"Ours: scale {context.scale}; diff.: ours, not rounded, less the paper's value."
        )
        parts += [seeds_sentence(context, ""), evidence_sentence(context)]
    elif COMPARABLE_SET in context.test_sets:
        parts.append("This study makes no table of the PSNR of these models to compare with.")
    else:
        sets = ", ".join(context.test_sets)
        parts.append(
            f"Results of this scale are on other images ({sets}) and are not comparable with "
            "these values, so no difference is shown."
        )
    return sentences(*parts)
