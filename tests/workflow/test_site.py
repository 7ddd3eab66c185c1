"""The site: it builds with every link, and what its pages tell one to type works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from project_copy import PARTS, ROOT, Project, copy_project

from reflash.datasets.images import write_png
from reflash.datasets.photos import sample_photos
from reflash.degradations.benchmark import degrade_image
from reflash.models.build import build_network
from reflash.models.settings import SRResNetSettings, parse_dropout
from reflash.models.weights import convert, save_weights
from warm_commands import warm_commands

PAGES = {
    path.relative_to(ROOT / "docs").as_posix(): path.read_text()
    for path in sorted((ROOT / "docs").rglob("*.md"))
}
BLOCK = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")
COMMAND = re.compile(r"^ *(reflash|snakemake|make|pip|dvc|tensorboard|python -m) [\w\-\[']")
NOT_RUN = {"performance.md"}
"""Pages whose commands measure a machine, which tests/report/test_bench.py and others run."""
RESULTS = ("tutorial/table.md", "how-to/watch.md")
"""Pages that begin with finished results."""
REALLY_RUN = ("tutorial/", "how-to/")
"""Folders of pages whose commands do their work; those of others are parsed."""


def test_every_command_of_a_page_is_in_a_block_that_is_run() -> None:
    for name, text in PAGES.items():
        if name in NOT_RUN:
            continue
        others = BLOCK.sub(lambda block: "" if block[1] == "bash" else block[0], text)
        left = [line for line in others.splitlines() if COMMAND.match(line)]
        assert not left, f"{name}: put into a block of bash: {left}"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SRResNet with seeded weights, in the place of those that pages name."""
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    settings = SRResNetSettings(features=8, blocks=1)
    metadata = {"network": settings.model_dump(), "dropout": "none", "which": "params"}
    save_weights(path, build_network(settings, parse_dropout("none")).state_dict(), metadata)
    convert(path, path.with_suffix(".pth"))
    return path


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, weights: Path) -> Project:
    """A project with what the page at hand presupposes: photos, weights and results."""
    name = request.getfixturevalue("name")
    parts = (*PARTS, "Makefile", "pyproject.toml", "constraints.txt")
    if name not in RESULTS:
        made = copy_project(ROOT, tmp_path / "project", tuple(p for p in parts if p != "src"))
    else:
        made = request.getfixturevalue("project")
        for kind in ("results", "figures"):
            (made.folder / kind / "demo").symlink_to("tiny")
    folder = made.folder
    of_record = "results/cpu/record_places/runs"
    shutil.copytree(ROOT / of_record, folder / of_record)
    photos = [hr[:120, :120] for hr in map(read, list(sample_photos().values())[:2])]
    for number, hr in enumerate(photos):
        write_png(folder / f"photos/day {number}/{number}.png", hr)
        write_png(folder / f"Set5/hr/{number}.png", hr)
        write_png(folder / f"Set5/clean/{number}.png", degrade_image(hr, "clean"))
    write_png(folder / "photo.jpg", photos[0][:48, :64])
    for file in ("data/weights/RealESRNet_x4plus", "weights"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(weights, folder / f"{file}.safetensors")
    for file in ("RealESRGAN_x4plus.pth", "swinir.pth"):
        (folder / "elsewhere").mkdir(exist_ok=True)
        for there in (folder / "elsewhere" / file, folder / file):
            shutil.copy2(weights.with_suffix(".pth"), there)
    (folder / ".venv/bin").mkdir(parents=True, exist_ok=True)
    (folder / ".venv/bin/activate").touch()
    return made


def read(path: Path) -> np.ndarray:
    from reflash.datasets.images import read_rgb

    return read_rgb(path)


def shell(folder: Path, script: str, name: str) -> None:
    stand_ins = folder / ".stand-ins"
    if not stand_ins.exists():
        stand_ins.mkdir()
        text = Path(__file__).with_name("stand_in.py").read_text()
        text = text.replace("Path(__file__).parents[2]", f"Path({str(ROOT)!r})")
        for program in ("snakemake", "reflash", "make", "pip", "dvc", "git", "tensorboard"):
            (stand_ins / program).write_text(f"#!{sys.executable}\n{text}")
            (stand_ins / program).chmod(0o755)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": f"{stand_ins}{os.pathsep}{path}",
        "REAL_PATH": path,
        "REFLASH": str(warm_commands() / "reflash"),
        "PYTHONPATH": str(ROOT / "src"),
        "HOME": str(folder),
        "SHELL": "/bin/bash",
        "DRY_RUNS": "yes" if name.startswith("tutorial/") or "own-folder" in name else "",
        "PARSE_ALL": "" if name.startswith(REALLY_RUN) else "yes",
    }
    done = subprocess.run(
        ["bash", "-euc", f"{script}\n:"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


def python(folder: Path, code: str, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile(code, "page", "exec"), names)


class Run:
    """What `wandb.init` returns, keeping what is logged."""

    made: ClassVar[list[Run]] = []

    def __init__(self, **about: Any) -> None:
        self.about, self.rows, self.finished = about, [], False
        self.made.append(self)

    def log(self, row: dict[str, float], step: int) -> None:
        self.rows.append((step, row))

    def finish(self) -> None:
        self.finished = True


@pytest.mark.slow
@pytest.mark.workflow
@pytest.mark.parametrize("name", [name for name, text in PAGES.items() if "```bash" in text])
def test_the_commands_of_a_page(name: str, place: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written, commands and code carried out, in the order of the page."""
    folder, names = place.folder, {"__name__": "page"}
    stub = ModuleType("wandb")
    stub.init = Run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", stub)
    Run.made.clear()
    if "network" in name or name == "external.md":
        from reflash import load_network

        names |= {"model": load_network(folder / "weights.safetensors")}
        names |= {"hr": read(folder / "Set5/hr/0.png")}
    for language, block in BLOCK.findall(PAGES[name]):
        text = block.replace("/data/", f"{folder}/elsewhere/")
        file = re.match(r"# ([\w./-]+\.(?:yaml|py))\n", text)
        if file:
            path = folder / file[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif language == "bash":
            shell(folder, text, name)
        elif language == "python":
            python(folder, text, names, monkeypatch)
    if name == "how-to/watch.md":
        assert len(Run.made) == 10
        assert all(run.finished and [step for step, _ in run.rows] == [10, 20] for run in Run.made)
    if name == "tutorial/photo.md":
        assert (folder / "photo_x4.png").is_file()
        assert (folder / "upscaled/day 0/0.png").is_file()
        assert (folder / "network.csv").is_file()
    if name == "tutorial/table.md":
        assert (folder / "bars.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_the_python_page(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy2(weights, tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for language, block in BLOCK.findall(PAGES["how-to/python.md"]):
        assert language == "python"
        python(tmp_path, block, names, monkeypatch)
    assert names["sr"].shape == names["hr"].shape == (240, 240, 3)
    assert names["psnr"].shape == (8,)
    assert len(names["points"]) == 20
    assert sum(type(one).__name__ == "Dropout2d" for one in names["network"].modules()) == 1


class Links(HTMLParser):
    """What a page loads, and where it leads."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "img", "iframe") and values.get("src"):
            self.loaded.append(str(values["src"]))
        if tag == "link" and "stylesheet" in (values.get("rel") or ""):
            self.loaded.append(str(values["href"]))


@pytest.mark.slow
def test_the_site_builds_with_every_link_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    if find_spec("mkdocs") is None or find_spec("mkdocstrings") is None:
        pytest.skip("the site needs pip install 'reflash[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        links = Links()
        links.feed(page.read_text())
        assert links.loaded or page.name == "404.html"
        assert not [one for one in links.loaded if "://" in one], page
    for name in ("reflash upscale", "reflash init"):
        assert name in (tmp_path / "reference/commands.html").read_text()
    assert "insert_dropout" in (tmp_path / "reference/functions.html").read_text()
