"""What a study would cost, from measured iterations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

from reflash.cli.app import main
from reflash.core.errors import ReflashError
from reflash.study import hours
from reflash.study.checks import load_plan as load_plan_of
from reflash.study.plan import Plan
from reflash.training.cost import Cost, measure_cost

CONFIG = Path(__file__).parents[2] / "config"


def load_plan(values: dict) -> Plan:
    return load_plan_of(values, CONFIG)


def shown(
    monkeypatch: pytest.MonkeyPatch, overrides: dict, hours_given: float | None = None
) -> str:
    monkeypatch.setattr(hours, "measure_cost", lambda *_: Cost(step=0.5, pair=0.01))
    plan = load_plan({"scale": "tiny", "study": "main", "overrides": overrides})
    return "\n".join(hours.estimate(plan, torch.device("cpu"), 1, hours_given))


def test_hours_are_runs_by_iterations_by_seconds(monkeypatch):
    sizes = {
        "seeds": [0, 1, 2],
        "training": {"iterations": 7200, "batch": 4},
        "pairs": {"count": 72000},
    }
    text = shown(monkeypatch, sizes)
    # 2 models x 3 seeds x 7,200 iterations x 0.5 s = 6 h of each network; 72,000 x 0.01 s = 0.2 h
    assert "srresnet/multi: 6 runs of 7,200 iterations, 0.5 s each: 6.0 hours" in text
    assert "rrdb/multi: 6 runs" in text
    assert "pairs of multi: 72,000, 0.20 hours" in text
    assert "12 runs, 12.2 hours one after another on a CPU" in text
    assert "jobs: 12 that train, 13 that evaluate" in text
    # 72,000 pairs of 32 x 32 and 8 x 8 pixels in three colours
    assert f"{72000 * 3 * (32**2 + 8**2) / 2**30:.2f} GiB of pairs" in text


def test_hours_give_the_length_of_training(monkeypatch):
    monkeypatch.setattr(hours.os, "cpu_count", lambda: 2)
    sizes = {"training": {"iterations": 7200}, "pairs": {"count": 72000}}
    lines = shown(monkeypatch, sizes, hours_given=1.1).splitlines()
    # of 2 x 1.1 h the pairs take 0.2 h, and 4 runs share the rest: 2 h of 0.5 s an iteration
    assert "1.1 hours hold 3,600 iterations" in lines[-4]
    made = yaml.safe_load("\n".join(lines[-4:]))
    assert made["training"] == {"iterations": 3600}
    assert made["extends"] == "tiny"
    with pytest.raises(ReflashError, match="--hours 0: too few for an iteration"):
        shown(monkeypatch, sizes, hours_given=0)


def test_hours_of_a_study_that_trains_nothing():
    plan = load_plan({"scale": "set5", "study": "main", "weights": "released"})
    device = torch.device("cpu")
    lines = list(hours.estimate(plan, device, 1))
    assert "jobs: 0 that train, 5 that evaluate" in lines
    with pytest.raises(ReflashError, match="--hours 2: the study trains nothing; leave it out"):
        list(hours.estimate(plan, device, 1, 2.0))


@pytest.mark.parametrize("given", ["nan", "inf"])
def test_hours_are_a_number(given, capsys):
    with pytest.raises(SystemExit) as end:
        main(["plan", "--scale", "tiny", "--hours", given, "--folder", str(CONFIG)])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert "--hours" in error
    assert len(error.splitlines()) == 1


def test_pairs_made_online_count_in_every_iteration(monkeypatch):
    text = shown(monkeypatch, {"pairs": {"synthesis": "online"}, "training": {"batch": 4}})
    assert "0.54 s each (7% of it for pairs)" in text
    assert "GiB of pairs" not in text


@pytest.mark.parametrize("synthesis", ["pool", "online"])
def test_a_run_is_measured(synthesis):
    plan = load_plan(
        {"scale": "tiny", "study": "main", "overrides": {"pairs": {"synthesis": synthesis}}}
    )
    settings = plan.run_settings("srresnet/multi/none/seed0")
    cost = measure_cost(settings, torch.device("cpu"), 1)
    assert 0 < cost.step < 60
    assert 0 < cost.pair < 60


def test_the_command_measures_and_says_so(root, capsys):
    words = "plan --scale tiny --study main --iterations 1 --device cpu --folder"
    with pytest.raises(SystemExit) as end:
        main([*words.split(), str(root / "config")])
    assert not end.value.code
    said = capsys.readouterr().out
    assert len(re.findall(r"s each: [\d.]+ hours", said)) == 2
    assert "not measured: evaluation" in said
