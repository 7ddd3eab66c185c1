"""Table: the paper's claims with effect, interval and verdict."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd

from reflash.paper.claims.bootstrap import interval_name
from reflash.paper.claims.model import (
    Part,
    claim_texts,
    effect_text,
    interval_text,
    other_intervals,
    paper_text,
    read_claims,
    seed_text,
    verdict_text,
)
from reflash.paper.reference import EVIDENCE_NOTE
from reflash.paper.tables.layout import Column, Layout, Row, plain_row, section
from reflash.study.artefacts import Claims
from reflash.study.context import Context, listing, scale_sentence, sentences

NAME = "claims"


def gather(context: Context, settings: Claims, claims: Path | str) -> pd.DataFrame:
    """Lay out claims.json as a frame.

    Parameters
    ----------
    context
        The study and scale.
    settings
        What the study declares.
    claims
        ``claims.json`` of ``reflash claims``.

    Returns
    -------
    pandas.DataFrame
        Tidy: a row per part of a claim, or one with an empty ``part`` for a claim that was not
        tested: number, title, claim_verdict (labelled with what the scale is worth), part,
        effect, low, high, unit, digits, verdict (of the part), method, rule, compared, paper (its
        value, if known), comparable (the effect here on the same images and kinds, with its
        interval), paper_evidence, paper_says, evidence (that it says so), missing, and confidence
        (of the intervals).

    Raises
    ------
    ReflashError
        The file is missing or no claims.json.
    """
    findings = read_claims(claims)
    lines = []
    for claim in findings.claims:
        about = {
            "number": claim.number,
            "title": claim.title,
            "claim_verdict": verdict_text(claim, findings),
            "confidence": findings.confidence,
        }
        says = {
            "paper_says": claim.paper,
            "evidence": claim.evidence,
            "missing": "; ".join(claim.missing),
        }
        for part in claim.parts:
            lines.append(about | _line(part) | says)
        if not claim.parts:
            lines.append({**about, "part": "", "verdict": claim.verdict, **says})
    frame = pd.DataFrame(lines)
    order = [*about, *Part.model_fields, *says]
    order[order.index("name")] = "part"
    return frame.reindex(columns=order)


def _line(part: Part) -> dict[str, object]:
    values = part.model_dump()
    return {"part": values.pop("name"), **values, "compared": "; ".join(part.compared)}


def arrange(frame: pd.DataFrame, context: Context, settings: Claims) -> Layout:
    """Arrange the frame of ``gather`` as it is printed: a block per claim, a row per part."""
    rows: list[Row] = []
    for _, group in frame.groupby("number", sort=False):
        lines = group.to_dict("records")
        heading = f"{lines[0]['number']}. {lines[0]['title']}: {lines[0]['claim_verdict']}"
        rows.append(section(heading))
        rows += [_row(line) for line in lines if line["part"]]
    confidence = interval_name(frame["confidence"].iloc[0])
    columns = (
        Column(name="part", numeric=False),
        Column(name="effect"),
        Column(name=confidence),
        Column(name="verdict", numeric=False),
        Column(name="paper"),
    )
    return Layout(
        name=NAME,
        title="The paper's claims",
        caption=_caption(frame, context),
        columns=columns,
        rows=tuple(rows),
    )


def _row(line: dict[Hashable, Any]) -> Row:
    known = {name: line[name] for name in Part.model_fields if name in line}
    known |= {"name": line["part"], "compared": ()}
    known = {name: None if value != value else value for name, value in known.items()}
    part = Part.model_validate(known)
    texts = [
        part.name,
        effect_text(part),
        interval_text(part),
        seed_text(part.verdict, [part]),
        paper_text(part),
    ]
    return plain_row(*texts)


def _caption(frame: pd.DataFrame, context: Context) -> str:
    claims = frame.drop_duplicates("number")
    missing = [str(number) for number in claims.loc[claims["missing"] != "", "number"]]
    others = "; ".join(other_intervals(frame["method"].dropna().astype(str)))
    return sentences(
        "A claim is supported if all its parts that are judged are, not supported if one of "
        f"them is not{_other_rule(claims)}.",
        "Effects are means of differences between models with the same seed on the same image, of "
        "the scores (2, 3, 7 to 10, and dropout inside the body in 1) over all test sets, every "
        "image with the same weight, of analyses over the images that they saw; intervals by "
        "paired bootstrap over "
        f"{_resampled(context)}, as wide as Student's t where these are few"
        f"{f' ({others})' if others else ''}.",
        f"Paper: its value where one is known ({EVIDENCE_NOTE}), mean of the known kinds; in "
        "parentheses the effect here on the same images and kinds, with its interval.",
        f"Not tested, or not all of it: {listing(missing)}." if missing else "",
        scale_sentence(context),
    )


def _other_rule(claims: pd.DataFrame) -> str:
    """Say which claims one part alone may bear out."""
    rules = {number: text.rule for number, text in enumerate(claim_texts().values(), start=1)}
    found = [str(number) for number in claims["number"] if rules.get(int(number)) == "one"]
    return f" (claim {listing(found)}: supported if one part is)" if found else ""


def _resampled(context: Context) -> str:
    if len(context.seeds) == 1:
        return f"images only, as there is one seed ({context.seeds[0]})"
    return f"seeds ({', '.join(map(str, context.seeds))}) and images"
