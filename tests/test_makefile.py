"""The Makefile where a project was copied, moved or left locked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

STUB_PYTHON = """#!/bin/sh
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip") pwd -P >> installed.txt; echo "$*" >> asked.txt
    cp snakemake.stub .venv/bin/snakemake ;;
esac
"""

STUB_SNAKEMAKE = """#!/bin/sh
echo "snakemake of $(cat "$(dirname "$0")/.installed"): $*"
case "$*" in
  *--unlock*) rm -r .snakemake/locks ;;
  *) ! ls .snakemake/locks/* > /dev/null 2>&1 ;;
esac
"""


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Path:
    """A folder with the Makefile, and a Python and a snakemake that only say what they do."""
    folder = tmp_path / "it's a «project», 図 $HOME \"#`"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(root / name, folder)
    for name, text in {"python.stub": STUB_PYTHON, "snakemake.stub": STUB_SNAKEMAKE}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ("make", *arguments, "PYTHON=./python.stub")
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}  # of the make that runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def installations(folder: Path) -> list[str]:
    return (folder / "installed.txt").read_text().splitlines()


def test_an_environment_is_made_once(project: Path) -> None:
    assert make(project, "install").returncode == 0
    assert make(project, "install").returncode == 0
    assert installations(project) == [str(project)]


@pytest.mark.parametrize("before", [[], ["install"]])
def test_what_tests_need_is_installed_in_one_go_or_added(before: list[str], project: Path) -> None:
    for target in before:
        assert make(project, target).returncode == 0
    assert make(project, ".venv/bin/.tested").returncode == 0
    asked = (project / "asked.txt").read_text().splitlines()
    extras = [line.split("-e ")[1] for line in asked if " -e " in line]
    wanted = ".[workflow,dvc,tensorboard,docs,test]"
    assert extras == [*(".[workflow,dvc]" for _ in before), wanted]
    assert "--no-deps spandrel einops axe-playwright-python" in asked[-1]


@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_a_copied_or_moved_project_makes_its_own(how, project: Path, tmp_path: Path) -> None:
    make(project, "install")
    left = project / ".venv/left-over"
    left.touch()
    other = tmp_path / "other place"
    how(project, other)
    done = make(other, "reproduce")
    assert done.returncode == 0, done.stderr
    assert f"snakemake of {other}: --cores all --config scale=demo" in done.stdout
    assert installations(other)[-1] == str(other)
    assert not (other / ".venv/left-over").exists()
    assert make(other, "install").returncode == 0
    assert len(installations(other)) == 2  # the original's, and its own


def test_the_last_line_says_what_next(project: Path) -> None:
    last = make(project, "reproduce").stdout.splitlines()[-1]
    assert "results/demo" in last
    assert "source .venv/bin/activate" in last
    assert "snakemake --cores all --config study=mine" in last


def test_a_lock_that_was_left_names_make_unlock(project: Path) -> None:
    make(project, "install")
    (project / ".snakemake/locks").mkdir(parents=True)
    assert make(project, "reproduce").returncode == 0  # an empty folder is no lock
    (project / ".snakemake/locks/0.input.lock").touch()
    locked = make(project, "reproduce")
    assert locked.returncode != 0
    assert "make unlock, then try again" in locked.stderr
    assert "next:" not in locked.stdout
    assert "--unlock" in make(project, "unlock").stdout
    assert make(project, "reproduce").returncode == 0
