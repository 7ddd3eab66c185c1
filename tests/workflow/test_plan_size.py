"""The paper with many seeds and test sets can be planned and started."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from project_copy import PARTS, ROOT, copy_project

from reflash.study.checks import load_plan
from reflash.study.size import study_jobs, submissions

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

LONGEST = 8192
"""Bytes of a command; an argument list of 128 KiB cannot be started at all."""


def test_seven_seeds_on_ten_test_sets(tmp_path: Path) -> None:
    project = copy_project(ROOT, tmp_path / "project", PARTS)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    own = {"source": "folder", "folder": str(mirror)}
    sets = ", ".join(f"own{i}: {{source: folder, folder: {mirror}}}" for i in range(5))
    trial = f"overrides={{seeds: [0, 1, 2, 3, 4, 5, 6], test_sets: {{{sets}}}}}"
    shown = project.run(
        *("snakemake", "--dry-run", "--printshellcmds", "--config", "scale=paper"),
        *(f"mirror={mirror}", trial),
    ).stdout
    commands = re.findall(r"^Shell command: (logged .*(?:\n[^\n]+)*?)\n", shown, re.MULTILINE)
    jobs = int(re.search(r"^total +(\d+)$", shown, re.MULTILINE)[1])
    assert len(commands) == jobs - 1  # all but `all`
    assert max(map(len, commands)) < LONGEST
    sizes = {"seeds": list(range(7)), "test_sets": {f"own{i}": own for i in range(5)}}
    assert (
        study_jobs(load_plan({"scale": "paper", "overrides": sizes}, ROOT / "config")).total()
        == jobs - 1
    )
    shutil.rmtree(project.folder)


def test_what_a_cluster_is_sent(tmp_path: Path) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install 'reflash[slurm]'")
    project = copy_project(ROOT, tmp_path / "project", PARTS)
    shown = project.run(
        *("snakemake", "--dry-run", "--workflow-profile", "workflow/profiles/slurm"),
        *("--config", "scale=paper", "study=main", f"mirror={tmp_path}"),
    ).stdout
    groups = re.findall(r"Group job ([\w-]+)", shown)
    assert len(set(groups)) == len(groups)
    plan = load_plan({"scale": "paper", "study": "main"}, ROOT / "config")
    assert len(groups) == submissions(plan)
    alone = re.findall(r"^(?:local)?rule (\w+):|^Job \d+: (\w+)", shown, re.MULTILINE)
    assert {word for words in alone for word in words if word} == {"all", "Fetching"}
