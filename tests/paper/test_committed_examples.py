"""The committed example figures are what the code draws from their committed CSVs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reflash.paper.figures.drawing import redraw

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "figures/benchmarks/main"
FIGURES = sorted([*EXAMPLES.glob("*.csv"), *(ROOT / "docs/images").glob("*.csv")])

TOLERANCE = 0.002
"""Share of pixels that may differ by more than 24 grey levels: font rendering, nothing else."""


def differing_share(first: Path, second: Path) -> float:
    with Image.open(first) as a, Image.open(second) as b:
        assert a.size == b.size, f"{first.name}: {a.size} became {b.size}"
        one, two = (np.asarray(image.convert("RGB")).astype(int) for image in (a, b))
    return float((np.abs(one - two).max(-1) > 24).mean())


def test_there_are_examples() -> None:
    assert {"teaser_bars", "visual_comparison", "dropout_placements"} <= {
        path.stem for path in FIGURES
    }


@pytest.mark.parametrize("csv", FIGURES, ids=lambda path: path.stem)
def test_a_drawing_change_is_seen(csv: Path, tmp_path: Path) -> None:
    redraw(csv, tmp_path / csv.stem)
    share = differing_share(csv.with_suffix(".png"), tmp_path / f"{csv.stem}.png")
    remedy = "if the change is meant, draw the examples again with reflash figure --from"
    assert share <= TOLERANCE, f"{csv.stem}: {share:.2%} of the pixels differ; {remedy}"


def test_the_comparison_can_fail(tmp_path: Path) -> None:
    """Other numbers than the committed ones are seen."""
    csv = EXAMPLES / "teaser_bars.csv"
    for suffix in (".csv", ".json"):
        (tmp_path / f"teaser_bars{suffix}").write_bytes(csv.with_suffix(suffix).read_bytes())
    lines = (tmp_path / "teaser_bars.csv").read_text().splitlines()
    (tmp_path / "teaser_bars.csv").write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    redraw(tmp_path / "teaser_bars.csv", tmp_path / "teaser_bars")
    assert differing_share(csv.with_suffix(".png"), tmp_path / "teaser_bars.png") > TOLERANCE


def test_what_the_readme_says_of_the_examples_is_in_their_tables() -> None:
    text = (ROOT / "README.md").read_text()
    assert "SRResNet gains from dropout in every degradation" in text
    assert "Bicubic stays ahead\nwhere there is no noise" in text
    bars = pd.read_csv(EXAMPLES / "teaser_bars.csv").set_index(["kind", "model"])["value"]
    table = pd.read_csv(ROOT / "results/benchmarks/main/tables/multi_degradation.csv")
    own = table[(table["set"] == "Set5") & (table["row"] == "model")]
    by_kind = own.pivot(index="kind", columns="model", values="value")
    plain, dropped = "srresnet/multi/none", "srresnet/multi/last_conv-channel-p0.7"
    assert (by_kind[dropped] > by_kind[plain]).all()
    assert (own["seeds"][own["model"] == plain] == 3).all()
    for kind in ("clean", "blur", "jpeg", "blur_jpeg"):
        assert by_kind.loc[kind, "bicubic"] > by_kind.loc[kind, [plain, dropped]].max()
    assert bars["clean", dropped] == pytest.approx(by_kind.loc["clean", dropped])
    rrdb = by_kind["rrdb/multi/last_conv-channel-p0.5"] - by_kind["rrdb/multi/none"]
    assert (rrdb < 0).all()
    claims = pd.read_csv(ROOT / "results/benchmarks/main/tables/claims.csv")
    effect = claims.set_index("part")["effect"]
    for network, words in (("srresnet", "gains +0.26 dB"), ("rrdb", "loses 1.02 dB")):
        value = effect[f"gain of dropout before the last conv, {network}/multi"]
        assert words in text
        assert f"{abs(value):.2f}" in words
    ranked = pd.read_csv(EXAMPLES / "saliency_distribution.csv")
    gini = ranked[ranked["layer"] == "last"].groupby("model")["gini"].first()
    assert gini[dropped] < gini[plain] / 2
