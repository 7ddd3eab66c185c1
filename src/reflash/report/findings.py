"""What a study found, as a few lines of Markdown for a page: scores, claims, how sure it is."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.files import require_file, write_text
from reflash.paper.claims.bootstrap import interval_name
from reflash.paper.claims.model import (
    Claim,
    Findings,
    Part,
    effect_text,
    interval_text,
    other_intervals,
    paper_text,
    read_claims,
    seed_text,
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


MARKER = (
    r"findings(?: (?P<results>(?!(?:scores|claims)\b)\S+))?"
    r"(?: (?:(?P<scores>scores)|(?P<claims>claims)(?: (?P<numbers>\d+(?:, \d+)*))?))?"
)
"""What a part to fill says of itself, all of it optional: folder, what is shown, which claims."""


def write_findings(page: Path, results: Path | None = None, out: Path | None = None) -> None:
    """Make the parts of a page anew that studies' results fill.

    Parameters
    ----------
    page
        A Markdown file with parts to fill. Each begins with a line ``<!-- findings FOLDER -->`` and
        ends with ``<!-- end -->``; FOLDER holds a study's results and is seen from the page, such
        as ``results/cpu/record``. ``<!-- findings FOLDER scores -->`` shows the scores alone,
        ``claims`` a number of each claim alone, and ``claims 1, 3`` all numbers of these.
    results
        Results for the parts that name no folder.
    out
        The page to write; None: ``page``.

    Raises
    ------
    ReflashError
        The page is no text or has no such part, a part names no results and none are given, or a
        file of the results is missing.
    """
    try:
        before = require_file(page, "name a Markdown page").read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ReflashError(f"{page}: cannot be read as text; save it in UTF-8") from error

    def fill(found: re.Match[str]) -> str:
        named = page.parent / found["results"] if found["results"] else results
        if named is None:
            raise ReflashError(
                f"{page}: <!-- findings --> names no results; write <!-- findings FOLDER -->, or "
                "give --results"
            )
        numbers = found["numbers"]
        claims = [int(n) for n in numbers.split(",")] if numbers else None
        return findings_text(named, found["scores"] or found["claims"], claims)

    after, count = replace_marked(before, MARKER, fill, page)
    if not count:
        raise ReflashError(
            f"{page}: no part to fill; give it a line <!-- findings FOLDER --> and a line "
            "<!-- end -->"
        )
    write_text(out or page, after)


def findings_text(
    results: Path, part: str | None = None, claims: Sequence[int] | None = None
) -> str:
    """Return what was found as Markdown.

    Parameters
    ----------
    results
        Folder of a study's results with ``claims.json`` and ``tables/multi_degradation.csv``.
    part
        ``scores`` or ``claims``: these alone; None: both.
    claims
        Numbers of claims to show alone, each with all that counts for its verdict.

    Returns
    -------
    str
        The scores of the first test set by kind, with gains and the paper's; every claim that was
        tested with verdict, effect and interval; then what was not, and what the scale is worth.

    Raises
    ------
    ReflashError
        A file is missing, or one of ``claims`` is none of the study's.
    """
    scores = results / "tables/multi_degradation.csv"
    if part == "scores":
        return _scores(scores)
    findings = read_claims(results / "claims.json")
    measured = {claim.number: claim for claim in findings.claims if claim.parts}
    if claims is None:
        shown = [(c, [one]) for c in measured.values() if (one := deciding_part(c))]
        parts = [_scores(scores)] if part is None else []
        missing = [f"{c.number} ({c.title})" for c in findings.claims if not c.parts]
    else:
        titles = {claim.number: claim.title for claim in findings.claims}
        for number in claims:
            if number not in titles:
                known = ", ".join(map(str, titles))
                raise ReflashError(f"{results}: has no claim {number}; name one of {known}")
        shown = [(measured[n], _judged(measured[n])) for n in claims if n in measured]
        parts, missing = [], [f"{n} ({titles[n]})" for n in claims if n not in measured]
    parts.append(_claims(findings, shown, of_parts=claims is not None))
    closing = [f"Not tested: {listing(missing)}."] if missing else []
    seeds = ", ".join(map(str, findings.seeds))
    over = f"seeds ({seeds}) and images"
    if len(findings.seeds) == 1:
        over = f"images alone, as there is one seed ({seeds})"
    others = other_intervals(part.method for _, measures in shown for part in measures)
    closing.append(f"Intervals are over {'; '.join([over, *others])}.")
    if any(part.paper is not None for _, measures in shown for part in measures):
        closing.append(
            f"Paper, of a claim: mean of its known kinds on {COMPARABLE_SET}; in parentheses the "
            "effect here on these, before them that on all test sets and kinds."
        )
    closing += [findings.warning] * bool(findings.warning)
    return "\n\n".join([*parts, " ".join(closing)])


def _judged(claim: Claim) -> list[Part]:
    """Return the parts that count for the verdict, or all where none does."""
    return [p for p in claim.parts if p.verdict != "not judged"] or list(claim.parts)


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


def _claims(
    findings: Findings, shown: Sequence[tuple[Claim, Sequence[Part]]], of_parts: bool
) -> str:
    words = [Column(name=name, numeric=False) for name in ("claim", "verdict", "measured")]
    confidence = interval_name(findings.confidence)
    numbers = [Column(name=name) for name in ("effect", confidence, "paper")]
    rows = []
    at_any_scale = findings.model_copy(update={"warning": ""})  # it is said once, at the end
    for claim, parts in shown:
        title = f"{claim.number}. {claim.title}"
        for part in parts:
            verdict = verdict_text(claim, at_any_scale)
            if of_parts:
                verdict = seed_text(part.verdict, [part])
            values = (part.name, effect_text(part), interval_text(part), paper_text(part))
            rows.append(_row([title, verdict, *values], bold=[1]))
    return markdown_table([*words, *numbers], rows)


def _row(texts: Sequence[str], bold: Container[int] = ()) -> Row:
    marks: list[Mark] = ["best" if place in bold else "" for place in range(len(texts))]
    return Row(cells=tuple(Cell(text=text, mark=m) for text, m in zip(texts, marks, strict=True)))
