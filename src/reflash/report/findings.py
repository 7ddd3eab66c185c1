"""What a study found, as a few lines of Markdown for a README: scores, claims, how sure it is."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.files import require_file, write_text
from reflash.paper.claims.model import (
    OTHER_INTERVALS,
    Findings,
    effect_text,
    interval_text,
    paper_text,
    read_claims,
    verdict_text,
)
from reflash.paper.reference import COMPARABLE_SET, EVIDENCE_NOTE
from reflash.paper.scores import MEAN, METRIC_LABELS, read_table
from reflash.paper.tables.layout import Cell, Column, Mark, Row, markdown_table, number
from reflash.report.claims import deciding_part
from reflash.report.marked import replace_marked
from reflash.study.context import kind_label, listing

SHOWN = ("clean", "blur", "noise", "jpeg", "blur_noise_jpeg", MEAN)
"""The kinds of a table that a first screen has room for."""


def write_findings(page: Path, results: Path, out: Path | None = None) -> None:
    """Make the part ``<!-- findings -->`` of a page anew from a study's results.

    Parameters
    ----------
    page
        A Markdown file with the marker, and ``<!-- end -->`` after it.
    results
        Folder of a study's results, such as ``results/cpu/record``.
    out
        The page to write; None: ``page``.

    Raises
    ------
    ReflashError
        The page is no text or has no such marker, or a file of the results is missing.
    """
    try:
        before = require_file(page, "name a Markdown page").read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ReflashError(f"{page}: cannot be read as text; save it in UTF-8") from error
    text = findings_text(results)
    after, count = replace_marked(before, "findings", lambda found: text)
    if not count:
        raise ReflashError(
            f"{page}: no part to fill; give it a line <!-- findings --> and a line <!-- end -->"
        )
    write_text(out or page, after)


def findings_text(results: Path) -> str:
    """Return what was found as Markdown.

    Parameters
    ----------
    results
        Folder of a study's results with ``claims.json`` and ``tables/multi_degradation.csv``.

    Returns
    -------
    str
        The scores of the first test set by kind, with gains and the paper's; every claim that was
        tested with verdict, effect and interval; then what was not, and what the scale is worth.
    """
    findings = read_claims(results / "claims.json")
    parts = [_scores(results / "tables/multi_degradation.csv"), _claims(findings)]
    missing = [f"{claim.number} ({claim.title})" for claim in findings.claims if not claim.parts]
    closing = [f"Not tested: {listing(missing)}."] if missing else []
    seeds = ", ".join(map(str, findings.seeds))
    over = f"seeds ({seeds}) and images"
    if len(findings.seeds) == 1:
        over = f"images alone, as there is one seed ({seeds})"
    closing.append(f"Intervals are over {over}; {OTHER_INTERVALS}.")
    if any(part.paper is not None for claim in findings.claims for part in claim.parts):
        closing.append(
            f"Paper, of a claim: mean of its known kinds on {COMPARABLE_SET}; effects are of all "
            "test sets and kinds."
        )
    closing += [findings.warning] * bool(findings.warning)
    return "\n\n".join([*parts, " ".join(closing)])


def _scores(path: Path) -> str:
    remedy = "make it with reflash table multi_degradation"
    columns = ("set", "model", "label", "row", "kind", "value", "std", "seeds", "paper", "metric")
    table = read_table(path, columns, remedy)
    table = table[table["set"] == table["set"].iloc[0]]
    metric = str(table["metric"].iloc[0])
    digits = 2 if metric.startswith("psnr") else 4
    known = set(table["kind"])
    kinds = [kind for kind in SHOWN if kind in known]
    names = [f"mean of {len(known - {MEAN})}" if k == MEAN else kind_label(k) for k in kinds]
    rows, compared = [], False
    for (row, _), group in table.groupby(["row", "model"], sort=False):
        gain = row == "gain"
        lines = group.drop_duplicates("kind").set_index("kind").reindex(kinds)
        words = f"gain, {group['label'].iloc[0]}" if gain else str(group["label"].iloc[0])
        values = zip(lines["value"], lines["std"], strict=True)
        shown = [number(value, std, digits, sign=gain) for value, std in values]
        rows.append(_row([words, *shown], bold=range(len(kinds) + 1) if gain else ()))
        if gain and lines["paper"].notna().any():
            compared = True
            rows.append(_row(["the paper's", *(number(v, sign=True) for v in lines["paper"])]))
    seeds = int(table["seeds"].max())
    mean = f", mean over {seeds} seeds ± one standard deviation" if seeds > 1 else ""
    note = f" The paper's: {EVIDENCE_NOTE}." if compared else ""
    title = f"{METRIC_LABELS[metric]} on {table['set'].iloc[0]}{mean}.{note}"
    first = Column(name="", numeric=False)
    return f"{title}\n\n{markdown_table([first, *(Column(name=name) for name in names)], rows)}"


def _claims(findings: Findings) -> str:
    words = [Column(name=name, numeric=False) for name in ("claim", "verdict", "decided by")]
    confidence = f"{100 * findings.confidence:g} % interval"
    numbers = [Column(name=name) for name in ("effect", confidence, "paper")]
    rows = []
    at_any_scale = findings.model_copy(update={"warning": ""})  # it is said once, at the end
    for claim in findings.claims:
        part = deciding_part(claim)
        if part is not None:
            verdict = verdict_text(claim, at_any_scale)
            shown = (part.name, effect_text(part), interval_text(part), paper_text(part))
            rows.append(_row([f"{claim.number}. {claim.title}", verdict, *shown], bold=[1]))
    return markdown_table([*words, *numbers], rows)


def _row(texts: Sequence[str], bold: Container[int] = ()) -> Row:
    marks: list[Mark] = ["best" if place in bold else "" for place in range(len(texts))]
    return Row(cells=tuple(Cell(text=text, mark=m) for text, m in zip(texts, marks, strict=True)))
