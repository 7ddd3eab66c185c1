"""Models, runs and the settings each stage is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reflash.config import load
from reflash.errors import ReflashError
from reflash.study import Plan


def plan(root: Path, **values: Any) -> Plan:
    return Plan(load(values, root / "config"))


def test_runs_are_models_times_seeds(root: Path) -> None:
    two = plan(root, overrides={"seeds": [0, 3]})
    assert two.runs("srresnet/multi/none") == [
        "srresnet/multi/none/seed0",
        "srresnet/multi/none/seed3",
    ]
    assert two.run_settings("srresnet/multi/none/seed3").seed == 3


def test_a_run_depends_on_no_test_setting(root: Path) -> None:
    run = "srresnet/multi/last_conv-channel-p0.7/seed0"
    benchmark = {"noise_sigma": 40, "noise_rounding": "round", "mod": 4, "jpeg_quality": 10}
    changed = plan(
        root, overrides={"benchmark": benchmark, "evaluation": {"weights": "params_ema"}}
    )
    assert changed.run_settings(run) == plan(root).run_settings(run)


def test_a_degradation_depends_on_its_own_settings_only(root: Path) -> None:
    changed = plan(root, overrides={"benchmark": {"noise_sigma": 40, "seed": 5}})
    for kind in plan(root).kinds:
        same = changed.benchmark_settings(kind) == plan(root).benchmark_settings(kind)
        assert same == ("noise" not in kind), kind


def test_pool_changes_with_degradation_not_with_iterations(root: Path) -> None:
    base = plan(root).pool_settings("multi")
    assert plan(root, overrides={"training": {"iterations": 7}}).pool_settings("multi") == base
    usm = plan(root, overrides={"degradation": {"usm": False}}).pool_settings("multi")
    assert usm != base


def test_studies_share_runs_not_artefacts(root: Path) -> None:
    assert plan(root).name == "demo"


def test_a_run_of_an_unknown_network_is_refused(root: Path) -> None:
    with pytest.raises(ReflashError, match="no network 'edsr'"):
        plan(root).run_settings("edsr/multi/none/seed0")
