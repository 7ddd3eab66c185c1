"""The pages of the configuration: worked examples that load, and every key in its section."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from reflash.study.checks import load_plan
from reflash.study.documents import EXAMPLES, SCHEMAS, page, readme
from reflash.study.plan import Plan
from reflash.study.reading import parse_yaml


@pytest.fixture
def written(root: Path, tmp_path: Path) -> Path:
    """A copy of config/ with the examples in it."""
    shutil.copytree(root / "config", tmp_path / "config")
    for text in EXAMPLES.values():
        first, rest = text.split("\n", 1)
        (tmp_path / first.removeprefix("# ")).write_text(rest)
    return tmp_path / "config"


def loaded(folder: Path, **values: str) -> Plan:
    return load_plan(values, folder)


def test_the_examples_load_and_do_what_they_say(written: Path) -> None:
    chosen = parse_yaml(EXAMPLES["config"], "example")
    assert load_plan(chosen, written).config.style.palette == "tableau_colorblind"
    plan = loaded(written, study="places", scale="trial")
    assert plan.scale.seeds == (0, 1, 2)
    assert plan.test_sets == ("holiday",)
    assert plan.scale.training.tensorboard
    assert plan.scale.training.batch == loaded(written, scale="demo").scale.training.batch
    assert "chi" not in plan.artefacts("tables")
    assert len(plan.artefact_models("teaser_bars", "figures")) == 2
    assert len(plan.all_runs) == 4 * 3


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_page_has_every_key_once_and_those_of_readme(kind: str) -> None:
    text = page(kind)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len(set(rows))
    assert set(rows) <= set(readme().splitlines())
    for key in SCHEMAS[kind].model_fields:
        assert f"| `{key}`" in text
