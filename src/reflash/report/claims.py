"""The section of the page about the paper's claims, from claims.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reflash.paper.claims.bootstrap import interval_name
from reflash.paper.claims.model import (
    ONE_RULE,
    Claim,
    Findings,
    Part,
    effect_text,
    interval_text,
    paper_text,
    read_claims,
    seed_text,
    verdict_text,
)
from reflash.report.attachments import Attachment


def claims_section(path: Path | str, files: Sequence[tuple[str, Attachment]]) -> dict[str, Any]:
    """Return what the page shows of claims.json.

    Parameters
    ----------
    path
        ``claims.json``.
    files
        The files to link, by what they are called.

    Raises
    ------
    ReflashError
        The file is missing or no claims.json.
    """
    findings = read_claims(path)
    return {
        "name": "claims",
        "title": "The paper’s claims",
        "interval": interval_name(findings.confidence),
        "resamples": f"{findings.resamples:,}",
        "seeds": len(findings.seeds),
        "warning": findings.warning,
        "proves": findings.evidence != "none",
        "claims": [_claim(claim, findings) for claim in findings.claims],
        "files": list(files),
    }


def deciding_part(claim: Claim) -> Part | None:
    """Return the part that says most about a claim: the first with the claim's own verdict.

    Where one part is enough it is the largest of them.
    """
    own = [part for part in claim.parts if part.verdict == claim.verdict]
    if claim.rule == ONE_RULE:
        own.sort(key=lambda part: part.effect, reverse=True)
    return next(iter([*own, *claim.parts]), None)


def _claim(claim: Claim, findings: Findings) -> dict[str, Any]:
    part = deciding_part(claim)
    # At a scale that is no evidence a verdict has no colour: it says nothing about the paper.
    shown = claim.verdict if findings.evidence != "none" else "no evidence"
    return claim.model_dump() | {
        "word": seed_text(claim.verdict, claim.parts),
        "verdict": verdict_text(claim, findings),
        "mark": shown.replace(" ", "-"),
        "deciding": _part(part) if part else None,
        "parts": [_part(part) for part in claim.parts],
    }


def _part(part: Part) -> dict[str, Any]:
    return part.model_dump() | {
        "verdict": seed_text(part.verdict, [part]),
        "effect": effect_text(part),
        "interval": interval_text(part),
        "paper": paper_text(part),
    }
