"""The table says what claims.json says, with the label of the scale."""

from __future__ import annotations

import pandas as pd
import pytest

from reflash.paper.claims.model import (
    Claim,
    Findings,
    Part,
    seed_text,
    verdict_text,
    write_claims,
)
from reflash.paper.tables.claims import arrange, gather
from reflash.paper.tables.registry import make_table
from reflash.study.artefacts import Claims
from reflash.study.inputs import Inputs

PART = Part(
    name="gain",
    effect=0.512,
    low=0.4,
    high=0.6,
    unit="dB",
    digits=2,
    method="paired bootstrap over 3 seeds and 24 images",
    compared=("a - b", "c - d"),
    rule="supported if …",
    verdict="supported",
    paper=0.5275,
    comparable=0.161,
    comparable_low=0.07,
    comparable_high=0.25,
    paper_evidence="digitised",
)
BARE = PART.model_copy(
    update={
        "name": "memory",
        "low": None,
        "high": None,
        "verdict": "not judged",
        "paper": None,
        "comparable": None,
        "comparable_low": None,
        "comparable_high": None,
    }
)


def made_claim(number, parts, missing, verdict):
    return Claim(
        number=number,
        title=f"Claim {number}",
        statement="What is tested.",
        paper="What the paper says.",
        evidence="restated",
        parts=parts,
        missing=missing,
        rule="all parts",
        verdict=verdict,
    )


def one_seed(claim, warning=""):
    return Findings(
        study="regularisers",
        scale="demo",
        evidence="none",
        warning=warning,
        seeds=(0,),
        confidence=0.95,
        resamples=100,
        claims=(claim,),
    )


@pytest.fixture
def claims(tmp_path):
    findings = Findings(
        study="paper",
        scale="demo",
        evidence="none",
        warning="Demo scale: no evidence about the paper.",
        seeds=(0, 1),
        confidence=0.9,
        resamples=100,
        claims=(
            made_claim(1, (PART, BARE), (), "supported"),
            made_claim(2, (), ("models such as x",), "not tested"),
        ),
    )
    write_claims(tmp_path / "claims.json", findings)
    return tmp_path / "claims.json"


def test_a_row_per_part_and_per_untested_claim(make_context, claims):
    frame = gather(make_context(), Claims(), claims)
    assert frame["part"].tolist() == ["gain", "memory", ""]
    assert frame["effect"].tolist()[:2] == [0.512, 0.512]
    assert frame["compared"][0] == "a - b; c - d"
    assert frame["missing"].tolist() == ["", "", "models such as x"]
    assert frame["paper_evidence"][0] == "digitised"


def test_layout_labels_every_verdict(make_context, claims):
    context = make_context(seeds=(0, 1))
    layout = arrange(gather(context, Claims(), claims), context, Claims())
    assert [[cell.text for cell in row.cells] for row in layout.rows] == [
        ["1. Claim 1: supported (demo scale: no evidence about the paper)"],
        [
            "gain",
            "+0.51 dB",
            "[+0.40, +0.60]",
            "supported",
            "+0.53 dB (here +0.16 dB [+0.07, +0.25])",
        ],
        ["memory", "+0.51 dB", "--", "not judged", "--"],
        ["2. Claim 2: not tested"],
    ]
    assert layout.columns[2].name == "90 % interval"
    for part in ("Not tested, or not all of it: 2.", "seeds (0, 1) and images", "digitised"):
        assert part in layout.caption


def test_one_seed_is_said(make_context, claims):
    context = make_context()
    caption = arrange(gather(context, Claims(), claims), context, Claims()).caption
    assert "images only, as there is one seed (0)" in caption
    assert "supported if one part is" not in caption


def test_a_verdict_of_one_seed_is_said_as_such():
    """Its interval covers other images and no other trainings; an open verdict says no less."""
    one = PART.model_copy(update={"method": "one seed: paired bootstrap over 5 images only"})
    open_one = one.model_copy(update={"verdict": "inconclusive"})
    assert seed_text("supported", [PART, BARE]) == "supported"
    assert seed_text("supported", [one, BARE]) == "supported for one seed"
    assert seed_text("inconclusive", [one, open_one]) == "inconclusive"
    claim = made_claim(1, (one,), ("models such as x",), "supported")
    findings = one_seed(claim, "Demo scale.")
    assert verdict_text(claim, findings) == (
        "supported for one seed in the parts tested (demo scale)"
    )


def test_the_caption_says_which_claim_one_part_bears_out(tmp_path, make_context):
    findings = one_seed(made_claim(8, (PART,), (), "supported"))
    write_claims(tmp_path / "claims.json", findings)
    context = make_context()
    frame = gather(context, Claims(), tmp_path / "claims.json")
    assert "(claim 8: supported if one part is)" in arrange(frame, context, Claims()).caption


def test_files_of_the_table(tmp_path, make_context, claims):
    make_table("claims", make_context(), Claims(), Inputs(claims=claims), tmp_path / "claims")
    frame = pd.read_csv(tmp_path / "claims.csv")
    assert frame["low"].dropna().tolist() == [0.4]
    text = (tmp_path / "claims.tex").read_text()
    assert r"\textit{1. Claim 1: supported (demo scale: no" in text
    assert "Best value" not in text
