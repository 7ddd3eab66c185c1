"""The recipes of CONTRIBUTING.md are carried out as they stand there, in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reflash.core.keys import numpy_generator
from reflash.datasets.images import write_png
from reflash.degradations.settings import KINDS

ROOT = Path(__file__).parents[1]
RECIPES = dict(
    re.findall(r"(?ms)^## Add an? (\w+)\n(.*?)(?=^## |\Z)", (ROOT / "CONTRIBUTING.md").read_text())
)


def write_block(project: Path, block: str) -> None:
    """Carry out one block: its first line names the file and where in it the rest belongs."""
    first, text = block.split("\n", 1)
    found = re.fullmatch(r"# ([\w./]+)(?:, (?:(before|instead of): (.+)|(at the end)))?", first)
    assert found, first
    name, how, anchor, at_the_end = found.groups()
    path = project / name
    if not how and not at_the_end:
        assert not path.exists(), f"{name}: is there already"
        path.write_text(text)
        return
    lines = path.read_text().splitlines(keepends=True)
    if at_the_end:
        path.write_text("".join([*lines, "\n\n" * (path.suffix != ".yaml"), text]))
        return
    places = [number for number, line in enumerate(lines) if line.strip() == anchor]
    assert len(places) == 1, f"{name}: {anchor!r} is there {len(places)} times"
    (at,) = places
    text += "\n\n" * (text.startswith("class ") or anchor.startswith("class "))
    path.write_text("".join([*lines[:at], text, *lines[at + (how == "instead of") :]]))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the recipes need."""
    for part in ("src", "config", "workflow", "benchmarks/results", "Snakefile"):
        source, target = ROOT / part, tmp_path / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    return tmp_path


@pytest.fixture
def shell(project: Path) -> Callable[[str], str]:
    def run(script: str) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=project,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(project / "src")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def carry_out(recipe: str, project: Path) -> str:
    """Write the blocks of a recipe and return its commands."""
    blocks = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", RECIPES[recipe])
    for language, block in blocks:
        if language != "bash":
            write_block(project, block)
    (command,) = [block for language, block in blocks if language == "bash"]
    return command


@pytest.fixture
def evaluated(project: Path) -> np.ndarray:
    """Scores of two models at scale demo, as evaluation leaves them; the mean of each model."""
    models = ("srresnet/multi/none", "srresnet/multi/last_conv-channel-p0.7")
    (project / "config/study/short.yaml").write_text(f"title: Two models\nmodels: {list(models)}\n")
    means = []
    for run in ("bicubic", *(f"{model}/seed0" for model in models)):
        rng = numpy_generator("scores", run)
        rows = [(run, "photos", kind, "one", psnr) for kind in KINDS for psnr in [rng.normal(25)]]
        table = pd.DataFrame(rows, columns=["run", "set", "kind", "image", "psnr"])
        out = project / f"results/demo/runs/{run}/evaluation/photos.csv"
        out.parent.mkdir(parents=True)
        table.to_csv(out, index=False)
        means.append(table["psnr"].mean())
    return np.array(means)


def test_every_recipe_has_a_test() -> None:
    assert set(RECIPES) == {"figure", "table", "analysis", "network", "regulariser", "dataset"}


@pytest.mark.slow
def test_a_figure(project: Path, evaluated: np.ndarray, shell: Callable[[str], str]) -> None:
    command = carry_out("figure", project)
    shell("reflash config save --values '{scale: demo}'")
    shell(command)
    stem = project / "figures/demo/mean_bars"
    assert pd.read_csv(stem.with_suffix(".csv"))["psnr"].to_numpy() == pytest.approx(evaluated)
    assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_a_regulariser(project: Path, shell: Callable[[str], str]) -> None:
    for part in ("tests", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__", "results")
        shutil.copytree(ROOT / part, project / part, ignore=ignored, dirs_exist_ok=True)
    shutil.copy2(ROOT / "pyproject.toml", project)
    shell("! reflash config run srresnet/multi/rgb_permute-0.5")
    said = shell(carry_out("regulariser", project))
    assert " passed" in said
    assert "failed" not in said
    assert '"name":"rgb_permute"' in (project / "run.json").read_text().replace(" ", "")


@pytest.mark.slow
def test_a_table(project: Path, evaluated: np.ndarray, shell: Callable[[str], str]) -> None:
    command = carry_out("table", project)
    shell("reflash config save --values '{scale: demo}'")
    shell(command)
    text = (project / "results/demo/tables/best_model.md").read_text()
    assert f"{evaluated.max():.2f}" in text
    assert "PSNR (dB)" in text


@pytest.mark.slow
def test_an_analysis(project: Path, shell: Callable[[str], str], photo_like: np.ndarray) -> None:
    command = carry_out("analysis", project)
    run, images = "srresnet/multi/none/seed0", project / "images"
    write_png(images / "one.png", photo_like[:24, :24])
    shell(
        "python - <<'END'\n"
        "from reflash.models.build import build_network\n"
        "from reflash.models.settings import SRResNetSettings\n"
        "from reflash.models.weights import save_weights\n"
        "settings = SRResNetSettings(features=4, blocks=1)\n"
        "network = build_network(settings)\n"
        "network.conv_hr.weight.data[:3] = 0\n"
        "network.conv_hr.bias.data[:3] = 0\n"
        "metadata = {'network': settings.model_dump(), 'dropout': 'none', 'which': 'params'}\n"
        "save_weights('weights.safetensors', network.state_dict(), metadata)\n"
        "END\n"
        f"reflash dead-channels one.csv --weights weights.safetensors --lr images --run {run}"
    )
    table = pd.read_csv(project / "one.csv")
    assert table.to_dict("records") == [{"run": run, "image": "one", "layer": "last", "dead": 3}]
    planned = shell(f"{command.strip().replace('--cores all', '-n')}")
    assert "count_dead_channels" in planned
    assert "Dead channels of srresnet/multi/none/seed0" in planned


@pytest.mark.slow
def test_a_network(project: Path, shell: Callable[[str], str]) -> None:
    command = carry_out("network", project)
    shell(command)
    sizes = shell(
        "python - <<'END'\n"
        "import json, torch\n"
        "from reflash.models.build import build_network\n"
        "from reflash.training.settings import RunSettings\n"
        "settings = RunSettings.model_validate(json.load(open('run.json')))\n"
        "network = build_network(settings.network, settings.dropout)\n"
        "sr, layers = network.forward_features(torch.zeros(1, 3, 5, 6))\n"
        "print(type(network).__name__, tuple(sr.shape), *layers, *network.dropout_after)\n"
        "END"
    )
    assert sizes == "PlainNet (1, 3, 20, 24) first b1 b2 b3 b4 hr last last\n"


@pytest.mark.slow
def test_a_dataset(project: Path, shell: Callable[[str], str], photo_like: np.ndarray) -> None:
    command = carry_out("dataset", project)
    for name in ("beach", "hills"):
        write_png(project / f"photos/{name}.png", photo_like)
    shell(command)
    listed = (project / "data/raw/Holiday/manifest.csv").read_text()
    assert "beach" in listed
    assert "hills" in listed
