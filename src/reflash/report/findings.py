"""What a study found, as a few lines of Markdown for a README: scores, claims, how sure it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.files import require_file, write_text
from reflash.paper.claims.model import Findings, effect_text, interval_text, paper_text, read_claims
from reflash.paper.reference import EVIDENCE_NOTE
from reflash.paper.scores import MEAN, METRIC_LABELS, read_table
from reflash.paper.tables.layout import EMPTY, number
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
    if len(findings.seeds) == 1:
        closing.append(f"Intervals are over images alone: there is one seed ({seeds}).")
    else:
        closing.append(f"Intervals are over seeds ({seeds}) and images.")
    closing += [findings.warning] * bool(findings.warning)
    return "\n\n".join([*parts, " ".join(closing)])


def _scores(path: Path) -> str:
    remedy = "make it with reflash table multi_degradation"
    columns = ("set", "label", "row", "kind", "value", "std", "seeds", "paper", "metric")
    table = read_table(path, columns, remedy)
    table = table[table["set"] == table["set"].iloc[0]]
    metric = str(table["metric"].iloc[0])
    digits = 2 if metric.startswith("psnr") else 4
    kinds = [kind for kind in SHOWN if kind in set(table["kind"])]
    rows = [["", *("mean of 8" if kind == MEAN else kind_label(kind) for kind in kinds)]]
    for (row, label), group in table.groupby(["row", "label"], sort=False):
        lines = group.set_index("kind")
        gain = row == "gain"
        words = f"gain, {label}" if gain else str(label)
        shown = [number(lines["value"][k], lines["std"][k], digits, sign=gain) for k in kinds]
        rows.append([f"**{text}**" if gain else text for text in (words, *shown)])
        if gain and lines["paper"][kinds].notna().any():
            known = [number(lines["paper"][k], sign=True) for k in kinds]
            rows.append(["the paper's", *("" if text == EMPTY else text for text in known)])
    seeds = int(table["seeds"].max())
    mean = f", mean over {seeds} seeds ± one standard deviation" if seeds > 1 else ""
    note = f" The paper's: {EVIDENCE_NOTE}." if table["paper"].notna().any() else ""
    title = f"{METRIC_LABELS[metric]} on {table['set'].iloc[0]}{mean}.{note}"
    return f"{title}\n\n{_markdown(rows, numeric=range(1, len(kinds) + 1))}"


def _claims(findings: Findings) -> str:
    confidence = f"{100 * findings.confidence:g} % interval"
    rows = [["claim", "verdict", "decided by", "effect", confidence, "paper"]]
    for claim in findings.claims:
        part = deciding_part(claim)
        if part is not None:
            name = f"{claim.number}. {claim.title}"
            shown = (effect_text(part), interval_text(part), paper_text(part))
            rows.append([name, f"**{claim.verdict}**", part.name, *shown])
    return _markdown(rows, numeric=(3, 4, 5))


def _markdown(rows: Iterable[list[str]], numeric: Iterable[int]) -> str:
    head, *body = rows
    numeric = set(numeric)
    rule = "|".join("---:" if column in numeric else "---" for column in range(len(head)))
    lines = [f"| {' | '.join(head)} |", f"|{rule}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in body)])
