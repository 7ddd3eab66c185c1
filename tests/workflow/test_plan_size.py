"""The paper with many seeds and test sets can be planned and started."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from project_copy import PARTS, ROOT, copy_project

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

LONGEST = 8192
"""Bytes of a command; an argument list of 128 KiB cannot be started at all."""


def test_seven_seeds_on_ten_test_sets(tmp_path: Path) -> None:
    project = copy_project(ROOT, tmp_path / "project", PARTS)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
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
    shutil.rmtree(project.folder)
