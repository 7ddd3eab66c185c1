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


def plan(*parts: str, own: dict[str, Any] | None = None) -> Plan:
    study = {"title": "Regularisers", "models": [f"srresnet/multi/{part}" for part in parts]}
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
    own = {"half": {"factory": "mine.py:Half", "arguments": {"share": 0.25}}}

    def texts() -> dict[str, str]:
        chosen = plan("none", "mixup-0.2", "half-1", own=own)
        return {run: text(chosen.run_settings(run)) for run in chosen.trained_runs}

    before = texts()
    assert '"share": 0.25' in before[RUN.format("half-1")]
    Path("mine.py").write_text(f"# a comment\n{FACTORY}")
    assert texts() == before
    Path("mine.py").write_text(FACTORY.replace("hr * self.share", "hr"))
    after = texts()
    assert [run for run in before if after[run] != before[run]] == [RUN.format("half-1")]


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
        ("half-1", {"half": {"factory": "other.py:Half"}}, "other.py: no such file"),
        ("half-1", {"half": {"factory": "mine.py:Whole"}}, "has no function 'Whole'"),
        ("half-1", {"half": {"factory": "mine.py:Half", "arguments": {"n": 1}}}, "unexpected"),
        ("mixup-0.1", {"a-b": {"factory": "mine.py:Half"}}, "regularisers.a-b"),
    ],
)
def test_a_mistake_is_told_before_any_work(
    project: Path, part: str, own: dict[str, Any] | None, says: str
) -> None:
    with pytest.raises(ReflashError, match=says):
        plan("none", part, own=own)
