"""The wheel works outside a clone: it brings what a project needs."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from reflash.core.errors import ReflashError
from reflash.study.project import PARTS, project_source, write_project

SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "src", *PARTS)


@pytest.fixture(scope="module")
def installed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network from a copy of the sources and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    for part in SOURCES:
        source, target = root / part, folder / "clone" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, target, ignore=ignore)
        else:
            shutil.copy2(source, target)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
    options = ["--no-build-isolation", "--wheel-dir", str(folder), str(folder / "clone")]
    subprocess.run([*pip, *options], check=True, capture_output=True, text=True)
    shutil.rmtree(folder / "clone")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def run(installed: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(installed), "PATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_every_file_of_the_package_is_in_the_wheel(root: Path, installed: Path) -> None:
    """Templates, styles, registries, manifests, reference values, and the weights that ship."""
    files = [path for path in (root / "src/reflash").rglob("*") if path.is_file()]
    wanted = {path.relative_to(root / "src") for path in files if path.suffix != ".pyc"}
    assert {path.suffix for path in wanted} >= {".yaml", ".csv", ".j2", ".mplstyle", ".safetensors"}
    for path in wanted:
        assert filecmp.cmp(root / "src" / path, installed / path, shallow=False), path


@pytest.mark.slow
def test_a_project_of_ones_own_from_the_wheel(root: Path, installed: Path, tmp_path: Path) -> None:
    made = run(installed, tmp_path, sys.executable, "-m", "reflash", "init", "my-study")
    assert made.returncode == 0, made.stderr
    assert "cd my-study && snakemake --cores all" in made.stdout
    project = tmp_path / "my-study"
    for part in PARTS:
        for path in [root / part, *(root / part).rglob("*")]:
            if path.is_file() and "__pycache__" not in path.parts:
                assert filecmp.cmp(path, project / path.relative_to(root), shallow=False), path

    options = ("--dry-run", "--config", "study=mine", "scale=tiny")
    planned = run(installed, project, "snakemake", *options)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "Training srresnet/multi/b8-channel-p0.2/seed0" in planned.stdout
    where = run(installed, project, sys.executable, "-c", "import reflash; print(reflash.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(installed)


def test_what_is_there_stays(tmp_path: Path) -> None:
    write_project(tmp_path / "a")
    (tmp_path / "a/config/config.yaml").write_text("study: mine\n")
    with pytest.raises(ReflashError, match="Snakefile: exists already; name another folder"):
        write_project(tmp_path / "a")
    assert (tmp_path / "a/config/config.yaml").read_text() == "study: mine\n"
    (tmp_path / "b").mkdir()
    (tmp_path / "b/config").mkdir()
    with pytest.raises(ReflashError, match="config: exists already"):
        write_project(tmp_path / "b")
    assert not (tmp_path / "b/Snakefile").exists()


def test_a_package_without_them_says_so(tmp_path: Path) -> None:
    with pytest.raises(ReflashError, match="install reflash from its wheel again"):
        project_source(tmp_path / "lib/site-packages/reflash")
