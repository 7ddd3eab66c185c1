"""What installs the project says the same everywhere, and names no host."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def pinned(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs)
    return {normal(name): version for name, version in pairs}


def normal(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def test_every_dependency_has_a_tested_version(
    project: dict[str, Any], pinned: dict[str, str]
) -> None:
    wanted = [
        *project["dependencies"],
        *chain.from_iterable(project["optional-dependencies"].values()),
    ]
    missing = {normal(r) for r in wanted} - set(pinned)
    assert not missing
    assert re.fullmatch(r"\d+\.\d+\.\d+", pinned["torch"])  # of two parts would be any build


def test_environment_yml_is_python_and_the_project(root: Path, project: dict[str, Any]) -> None:
    environment = yaml.safe_load((root / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    (python,) = [entry for entry in conda if entry.startswith("python")]
    lowest = tuple(map(int, project["requires-python"].removeprefix(">=").split(".")))
    assert tuple(map(int, python.removeprefix("python=").split("."))) >= lowest
    assert environment["name"] == project["name"]
    constraint, editable = pip["pip"]
    assert constraint == "--constraint constraints.txt"
    extras = re.fullmatch(r"--editable \.\[(.+)\]", editable)
    assert extras
    assert set(extras.group(1).split(",")) <= set(project["optional-dependencies"])
    assert {"workflow", "dvc"} <= set(extras.group(1).split(","))


def test_no_file_that_installs_names_a_host(root: Path) -> None:
    for name in ("constraints.txt", "environment.yml", "Makefile", ".ci/run"):
        text = (root / name).read_text()
        assert "://" not in text, name
        assert "--index" not in text, name


def test_the_two_commands_are_in_readme_makefile_and_ci(root: Path) -> None:
    readme, makefile = (root / "README.md").read_text(), (root / "Makefile").read_text()
    for command in ("reproduce", "test"):
        assert f"make {command}" in readme.split("##")[0]
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)
    ci = (root / ".ci/run").read_text()
    assert "make check" in ci
    assert "make test" in ci
    assert "bash .ci/run" in (root / ".github/workflows/ci.yml").read_text()


def test_an_environment_of_ones_own_is_kept_and_that_of_another_folder_is_not(
    root: Path, tmp_path: Path
) -> None:
    shutil.copy(root / "Makefile", tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)

    def planned() -> str:
        command = ["make", "-n", ".venv/bin/.installed"]
        for name in ("pyproject.toml", "constraints.txt"):
            (tmp_path / name).touch()
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    assert "rm -rf" not in planned()
    (tmp_path / ".venv/bin/.installed").write_text("/another/folder\n")
    assert "rm -rf .venv" in planned()


def test_make_help_lists_every_target(root: Path) -> None:
    makefile = (root / "Makefile").read_text()
    shown = subprocess.run(
        ["make", "-s", "help"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    for target in phony.split():
        assert re.search(rf"^{target} ", shown, re.MULTILINE), target


def test_links_of_the_documentation_lead_somewhere(root: Path) -> None:
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), root / "config/README.md"]
    for page in pages:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("scale", ["", "..", "no-such", "demo/../.."])
def test_only_a_scale_is_cleaned(scale: str, root: Path, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((root / "Makefile").read_text())
    (tmp_path / "config/scale").mkdir(parents=True)
    (tmp_path / "config/scale/demo.yaml").touch()
    for name in ("data/demo", "results/demo", "figures/demo"):
        (tmp_path / name).mkdir(parents=True)

    def clean(scale: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "clean", f"SCALE={scale}"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    refused = clean(scale)
    assert refused.returncode != 0
    assert f"SCALE={scale}: no such scale" in refused.stderr
    assert (tmp_path / "results/demo").is_dir()
    assert clean("demo").returncode == 0
    assert not (tmp_path / "results/demo").exists()
    assert (tmp_path / "results").is_dir()
