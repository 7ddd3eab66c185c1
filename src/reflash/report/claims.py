"""The section of the page about the paper's claims, from claims.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reflash.paper.claims.model import (
    Claim,
    Findings,
    Part,
    effect_text,
    interval_text,
    paper_text,
    read_claims,
    verdict_text,
)


def claims_section(path: Path | str, files: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return what the page shows of claims.json.

    Parameters
    ----------
    path
        ``claims.json``.
    files
        Names and addresses of the files to link.

    Raises
    ------
    ReflashError
        The file is missing or no claims.json.
    """
    findings = read_claims(path)
    return {
        "confidence": f"{100 * findings.confidence:g} %",
        "resamples": f"{findings.resamples:,}",
        "seeds": len(findings.seeds),
        "warning": findings.warning,
        "claims": [_claim(claim, findings) for claim in findings.claims],
        "files": list(files),
    }


def _claim(claim: Claim, findings: Findings) -> dict[str, Any]:
    return {
        "number": claim.number,
        "title": claim.title,
        "verdict": verdict_text(claim, findings),
        "mark": claim.verdict.replace(" ", "-"),
        "statement": claim.statement,
        "paper": claim.paper,
        "evidence": claim.evidence,
        "rule": claim.rule,
        "missing": claim.missing,
        "parts": [_part(part) for part in claim.parts],
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "effect": effect_text(part),
        "interval": interval_text(part),
        "verdict": part.verdict,
        "paper": paper_text(part),
        "paper_evidence": part.paper_evidence,
        "rule": part.rule,
        "method": part.method,
        "compared": part.compared,
    }
