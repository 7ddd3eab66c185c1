"""dvc.yaml is written by hand; what it names is what the plan of each scale makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from reflash.models.names import BICUBIC
from reflash.study.config import load
from reflash.study.files import RAW
from reflash.study.plan import Plan

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "dvc.yaml").read_text()
DVC: dict[str, Any] = yaml.safe_load(TEXT)
SCALES: list[str] = DVC["stages"]["publish"]["foreach"]
PLOTS: dict[str, Any] = {name: plot for entry in DVC["plots"] for name, plot in entry.items()}


def main_runs(plan: Plan) -> list[str]:
    """First seed of each model of the main comparison."""
    return [f"{model}/seed{plan.scale.seeds[0]}" for model in plan.main_labels if model != BICUBIC]


def test_it_is_short_and_nothing_in_it_is_run() -> None:
    assert len(TEXT.splitlines()) <= 80
    stages = [DVC["stages"]["datasets"], DVC["stages"]["publish"]["do"]]
    assert all(stage["frozen"] for stage in stages)
    outs = [out for stage in stages for out in (*stage["outs"], *stage.get("metrics", []))]
    assert all(options == {"persist": True} for out in outs for options in out.values())
    assert list(DVC["stages"]["datasets"]["outs"][0]) == [RAW]


@pytest.mark.parametrize("scale", SCALES)
def test_its_paths_are_those_of_the_plan(scale: str) -> None:
    plan = Plan(load({"scale": scale}, ROOT / "config"))
    files, runs = plan.files, main_runs(plan)
    publish = DVC["stages"]["publish"]["do"]
    stored = [next(iter(out)).replace("${item}", scale) for out in publish["outs"]]
    metrics_csv = files.metrics.replace(".json", ".csv")
    assert set(stored) == {
        f"{files.data}/test",
        files.runs,
        files.config,
        metrics_csv,
        f"{files.results}/provenance.json",
    }
    assert publish["metrics"] == [{files.metrics.replace(scale, "${item}"): {"persist": True}}]
    assert all(files.hr(name).startswith(f"{files.data}/test/") for name in plan.test_sets)
    assert PLOTS[f"bars-{scale}"]["y"] == {metrics_csv: "name"}
    assert PLOTS[f"training-{scale}"]["y"] == {files.training_log(r): "psnr" for r in runs}
    weights = [
        artifact["path"]
        for name, artifact in DVC["artifacts"].items()
        if name.startswith(f"{scale}-")
    ]
    assert weights == [files.weights(run) for run in runs]


def test_it_names_no_other_scale_and_only_names_that_dvc_accepts() -> None:
    assert set(PLOTS) == {f"{plot}-{scale}" for plot in ("bars", "training") for scale in SCALES}
    for name in DVC["artifacts"]:
        assert name.split("-")[0] in SCALES
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
