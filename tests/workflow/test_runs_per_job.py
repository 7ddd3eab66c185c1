"""Several runs in one job where the machine has one GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from project_copy import ROOT, copy_project

NAMES = [f"srresnet/multi/{dropout}/seed0" for dropout in ("none", "last_conv-channel-p0.7")]


@pytest.mark.slow
@pytest.mark.workflow
def test_a_job_trains_others_that_their_own_jobs_find(tmp_path: Path) -> None:
    project = copy_project(ROOT, tmp_path / "project")
    runs = project.folder / "results/tiny/runs"
    choices = ["--config", "scale=tiny", "study=main"]
    choices += ["overrides={runs_per_job: {srresnet: 2}, training: {iterations: 4}}", "--"]
    first, second = (f"results/tiny/runs/{name}/log.csv" for name in NAMES)
    project.snakemake("--resources", "gpu=1", *choices, first)
    assert (runs / NAMES[1] / ".new/log.csv").is_file()
    assert not (runs / NAMES[1] / "log.csv").exists()
    made = (runs / NAMES[1] / ".new/params.safetensors").read_bytes()

    project.snakemake("--resources", "gpu=1", *choices, second)
    assert (runs / NAMES[1] / "params.safetensors").read_bytes() == made
    assert not (runs / NAMES[1] / ".new").exists()
    for name in NAMES:
        assert json.loads((runs / name / "run.json").read_text())["runs_together"] == 2
    again = project.snakemake("--resources", "gpu=1", *choices, first)
    assert "Nothing to be done" in again.stderr

    # With another number of GPUs each job trains its own run, to the same bytes.
    (runs / NAMES[1] / "log.csv").unlink()
    project.snakemake("--resources", "gpu=2", *choices, second)
    assert json.loads((runs / NAMES[1] / "run.json").read_text())["runs_together"] == 1
    assert (runs / NAMES[1] / "params.safetensors").read_bytes() == made
