"""What docs/faithfulness.md says of the scales is what their files say."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from reflash.study.checks import load_plan
from reflash.study.config import Scale

ROOT = Path(__file__).parents[2]
SCALES = ("paper", "hour", "cpu", "demo", "benchmarks")


@cache
def scale(name: str) -> Scale:
    return load_plan({"scale": name}, ROOT / "config").scale


def cells(question: str) -> dict[str, str]:
    """Return what a row says of each scale: one text for all, or parts that name theirs."""
    page = (ROOT / "docs/faithfulness.md").read_text()
    (line,) = [row for row in page.splitlines() if row.startswith(f"| {question} |")]
    _, _, _, large, small, *_ = line.split("|")
    said = {}
    for text, names in ((large, SCALES[:3]), (small, SCALES[3:])):
        for part in text.split(";"):
            found = re.match(r"\s*((?:`\w+`(?:, )?)+): (.*)", part)
            for name in re.findall(r"`(\w+)`", found[1]) if found else names:
                said[name] = (found[2] if found else part).strip()
    return said


@pytest.mark.parametrize("name", SCALES)
def test_numbers_of_the_scales(name: str) -> None:
    one = scale(name)
    assert cells("Seeds")[name] == ", ".join(map(str, one.seeds))
    assert float(cells("Averaged weights")[name].split(",")[0]) == one.training.ema
    assert int(cells("Window that is degraded")[name]) == one.pairs.window
    assert int(cells("Crops of each window")[name].split()[0]) == one.pairs.crops
    images = one.training_images
    words = " and ".join(getattr(images, "names", ["synthetic"]))
    assert cells("Training images")[name] == words.replace("DIV2K_train", "DIV2K")
    training = cells("Optimisation")[name]
    numbers = [float(n.replace(",", "")) for n in re.findall(r"\d[\d,.]*(?:e-\d)?", training)]
    expected = [one.training.iterations, one.training.batch, one.pairs.patch, one.training.lr]
    if name == "hour":  # "20,000, else the same"
        assert scale("paper").pairs.patch == one.pairs.patch
        assert scale("paper").training.batch == one.training.batch
        assert scale("paper").training.lr == one.training.lr
        expected = expected[:1]
    assert numbers == expected
