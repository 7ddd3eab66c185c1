"""Regularisers in the plan of a study: names, settings, a user's own, what reruns."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from reflash.core.errors import ReflashError
from reflash.study.checks import load_plan
from reflash.study.plan import Plan
from reflash.study.workflow import text

RUN = "srresnet/multi/{}/seed0"
FACTORY = """from reflash.training.regulariser import Regulariser


class Half(Regulariser):
    acts_on = "pairs"

    def __init__(self, strength, share=0.5):
        self.strength, self.share = strength, share

    def pairs(self, lr, hr):
        return lr * self.share, hr * self.share
"""


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(root / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FACTORY)
    return tmp_path


def plan(*parts: str, own: dict[str, Any] | None = None, **more: Any) -> Plan:
    models = [f"srresnet/multi/{part}" for part in parts]
    study = {"title": "Regularisers", "models": models, **more}
    Path("config/study/own.yaml").write_text(yaml.safe_dump(study))
    overrides = {"regularisers": own} if own else {}
    return load_plan({"study": "own", "scale": "tiny", "overrides": overrides})


def test_ours_need_no_declaration(project: Path) -> None:
    settings = plan("none", "mixup-0.2").run_settings(RUN.format("mixup-0.2"))
    (one,) = settings.regularisers
    assert one.factory == "reflash.training.regularisers.mixup:build"
    assert (one.name, one.strength, len(one.code)) == ("mixup", 0.2, 20)
    assert str(settings.dropout) == "none"


def test_a_users_own_is_part_of_its_runs_alone(project: Path) -> None:
    own = {"dim": {"factory": "mine.py:Half", "arguments": {"share": 0.25}}}

    def texts() -> dict[str, str]:
        chosen = plan("none", "mixup-0.2", "dim-1", own=own)
        return {run: text(chosen.run_settings(run)) for run in chosen.trained_runs}

    before = texts()
    assert '"share": 0.25' in before[RUN.format("dim-1")]
    Path("mine.py").write_text(f"# a comment\n{FACTORY}")
    assert texts() == before
    Path("mine.py").write_text(FACTORY.replace("hr * self.share", "hr"))
    after = texts()
    assert [run for run in before if after[run] != before[run]] == [RUN.format("dim-1")]


def test_ours_under_another_name_with_other_arguments(project: Path) -> None:
    own = {
        "dropblock3": {
            "factory": "reflash.training.regularisers.dropblock:build",
            "arguments": {"size": 3},
        }
    }
    chosen = plan("dropblock3-0.1", own=own)
    assert chosen.run_settings(RUN.format("dropblock3-0.1")).regularisers[0].arguments == {
        "size": 3
    }


@pytest.mark.parametrize(
    ("part", "own", "says"),
    [
        ("dropblok-0.1", None, "'dropblok': not known; use one of .*dropblock.*or add it under"),
        ("dropblock-1.5", None, "dropblock-1.5: the share dropped must lie above 0 and below 1"),
        ("dim-1", {"dim": {"factory": "other.py:Half"}}, "other.py: no such file"),
        ("dim-1", {"dim": {"factory": "mine.py:Whole"}}, "has no function 'Whole'"),
        ("dim-1", {"dim": {"factory": "mine.py:Half", "arguments": {"n": 1}}}, "unexpected"),
        ("mixup-0.1", {"a-b": {"factory": "mine.py:Half"}}, "regularisers.a-b"),
        *(
            ("mixup-0.1", {name: {"factory": "mine.py:Half"}}, f"'{name}' {why}")
            for name, why in [
                ("mixup", "is a regulariser of the project; take another name"),
                *((n, "means something else") for n in ("none", "last_conv", "b8", "all")),
                ("external", "means something else in a model's name; take another"),
            ]
        ),
        ("dim-1", {"dim": {"factory": "mine.py:Half", "argument": {}}}, "mean 'arguments'"),
        ("mixup", None, "or NAME-STRENGTH of a regulariser such as mixup-0.2"),
        ("mixup-1e-3", None, "or NAME-STRENGTH of a regulariser such as mixup-0.2"),
    ],
)
def test_a_mistake_is_told_before_any_work(
    project: Path, part: str, own: dict[str, Any] | None, says: str
) -> None:
    with pytest.raises(ReflashError, match=says):
        plan("none", part, own=own)


def test_a_layer_that_is_not_analysed_is_told_before_any_work(project: Path) -> None:
    with pytest.raises(ReflashError, match=r"tables.regularisers.layer: 'b9' is not among"):
        plan("none", "mixup-0.2", tables={"regularisers": {"layer": "b9"}})


@pytest.mark.parametrize("figure", ["gain_anatomy", "regulariser_gains"])
def test_what_compares_pairs_asks_for_one(project: Path, figure: str) -> None:
    figures = {figure: {}}
    assert figure in plan("none", "mixup-0.2", figures=figures).artefacts("figures")
    with pytest.raises(ReflashError, match=f"figures.{figure} shows none.*beside its baseline"):
        plan("mixup-0.2", "last_conv-channel-p0.5", figures=figures)


def test_two_terms_of_a_loss_are_told_before_any_work(project: Path) -> None:
    own = {"second": {"factory": "reflash.training.regularisers.feature_alignment:build"}}
    with pytest.raises(ReflashError, match="multi/.*two regularisers act on the loss"):
        plan("feature_alignment-1+second-1", own=own)


def test_a_scale_validates_on_kinds_of_super_resolution(project: Path) -> None:
    overrides = {"training": {"validation": {"kinds": ["clean", "gaussian25"]}}}
    with pytest.raises(ReflashError, match=r"scale tiny: training.validation.kinds: gaussian25"):
        load_plan({"study": "main", "scale": "tiny", "overrides": overrides})


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (
            {"figures": {"teaser_bars": {"models": ["srresnet/denoise/none"]}}},
            "figures.teaser_bars",
        ),
        ({"tables": {"tasks": {"models": ["srresnet/multi/none"]}}}, "name models of other tasks"),
        (
            {"figures": {"regulariser_gains": {"models": ["srresnet/multi/mixup-0.2"]}}},
            "super-resolution that are trained here, and one of them beside its baseline",
        ),
    ],
)
def test_models_that_are_named_and_cannot_be_shown_are_told(
    project: Path, where: dict[str, Any], says: str
) -> None:
    with pytest.raises(ReflashError, match=f"{says}.*null"):
        plan("none", "mixup-0.2", **where)
