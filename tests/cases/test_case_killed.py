"""A workflow that was killed: what the next one says, and what helps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from project_copy import PARTS, ROOT, copy_project

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


def test_a_killed_snakemake_is_unlocked(tmp_path: Path) -> None:
    """Killed with -9 it cannot remove its lock: ``make`` says what does, and that works."""
    parts = (*PARTS, "Makefile", "pyproject.toml", "constraints.txt")
    project = copy_project(ROOT, tmp_path / "project", parts)
    folder, tools = project.folder, project.folder / ".venv/bin"
    tools.mkdir(parents=True)
    for name in ("python", "snakemake", "reflash"):
        (tools / name).symlink_to(Path(sys.executable).parent / name)
    (tools / ".installed").write_text(str(folder))
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}  # of the make that runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    options = ("SCALE=tiny", "CORES=1", "CONFIG=study=main")

    running = subprocess.Popen(
        ["make", "reproduce", *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 300
    while not list(folder.glob("results/tiny/logs/**/*.log")):  # the first job runs
        assert running.poll() is None
        assert time.monotonic() < end
        time.sleep(0.2)
    os.killpg(running.pid, signal.SIGKILL)  # snakemake and its jobs are in the group of make
    running.wait()
    assert list(folder.glob(".snakemake/locks/*"))

    def make(target: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", target, *options],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    locked = make("reproduce")
    assert locked.returncode != 0
    assert "error: the folder is locked" in locked.stderr
    assert "make unlock, then try again" in locked.stderr
    assert "Traceback" not in locked.stderr

    assert make("unlock").returncode == 0
    assert not list(folder.glob(".snakemake/locks/*"))
    target = "data/tiny/train/images/manifest.csv"
    project.snakemake(target, "--config", "scale=tiny", "study=main")
    assert (folder / target).is_file()
