"""The paper's main comparison beside ours: known values, their evidence, and differences."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reflash.models.names import baseline_of
from reflash.paper.reference import (
    COMPARABLE_SET,
    EVIDENCE_NOTE,
    NOT_FOUND,
    reference_psnr,
    reference_table,
)
from reflash.paper.scores import read_table
from reflash.paper.tables.layout import Cell, Column, Layout, Row, number
from reflash.study.context import Context, kind_label

LABELS = {
    "srresnet/multi/none": "SRResNet",
    "srresnet/multi/last_conv-channel-p0.7": "SRResNet + dropout",
    "rrdb/multi/none": "RRDB",
    "rrdb/multi/last_conv-channel-p0.5": "RRDB + dropout",
}
"""The paper's models and what they are called where the study has no label for them."""


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
    """Return (model, row, kind) -> our value on the comparable set."""
    columns = ("set", "model", "row", "kind", "value")
    table = read_table(path, columns, "make it with reflash table multi_degradation")
    table = table[table["set"] == COMPARABLE_SET]
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
        known = reference_psnr(model, COMPARABLE_SET, kind)
        paper = known[0] if known else float("nan")
        if baseline is not None:
            other = reference_psnr(baseline, COMPARABLE_SET, kind)
            paper -= other[0] if other else float("nan")
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
        parts.append(f"Ours: scale {context.scale}; diff.: ours less the paper's.")
    elif COMPARABLE_SET in context.test_sets:
        parts.append("This study makes no table of these models to compare with.")
    else:
        sets = ", ".join(context.test_sets)
        parts.append(
            f"Results of this scale are on other images ({sets}) and are not comparable with "
            "these values, so no difference is shown."
        )
    return " ".join(parts)
