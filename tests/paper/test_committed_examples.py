"""The committed example figures are what the code draws from their committed CSVs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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
    assert {"teaser_bars", "visual_comparison"} <= {path.stem for path in FIGURES}


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
