"""The command line: what mistakes are told, and that nothing is left half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reflash.cli.app import main
from reflash.datasets.images import write_png
from reflash.models.build import build_network
from reflash.models.settings import SRResNetSettings, parse_dropout
from reflash.models.weights import load_weights, save_weights
from reflash.training.settings import RunSettings


@pytest.fixture
def photo(tmp_path: Path, photo_like: np.ndarray) -> Path:
    write_png(tmp_path / "photo.png", photo_like)
    return tmp_path / "photo.png"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    settings = SRResNetSettings(features=8, blocks=2)
    network = build_network(settings, parse_dropout("none"))
    path = tmp_path / "weights.safetensors"
    metadata = {"network": settings.model_dump(), "dropout": "none", "which": "params"}
    save_weights(path, network.state_dict(), metadata)
    return path


def fails(arguments: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail; return its one line of error."""
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    assert stop.value.code == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    return lines[-1]


def succeeds(arguments: list[object]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    assert stop.value.code in (0, None)


def test_degrading_needs_no_torch(photo: Path, tmp_path: Path) -> None:
    arguments = ["degrade", str(photo.parent), str(tmp_path / "lr"), "--kind", "noise"]
    code = (
        f"import sys\nfrom reflash.cli.app import main\n"
        f"try: main({arguments})\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
    assert (tmp_path / "lr/photo.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "fog"], "fog: no such degradation; choose one of clean, blur"),
        (["--kind", "noise", "--noise-sigma", "-1"], "noise_sigma"),
        (["--kind", "noise", "--noise-rounding", "up"], "noise_rounding"),
        (["--kind", "clean", "--mod", "5"], "mod"),
        (["--kind", "clean", "--settings", "{sede: 1}"], "did you mean 'seed'?"),
        (["--kind", "clean", "--settings", "nowhere.yaml"], "nowhere.yaml: no such file"),
    ],
)
def test_degrade_explains_bad_options(
    arguments: list[str],
    message: str,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = fails(["degrade", photo.parent, tmp_path / "lr", *arguments], capsys)
    assert message in line
    assert not (tmp_path / "lr/manifest.csv").exists()


def test_unwritable_destination_is_named(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    line = fails(["degrade", photo.parent, tmp_path / "file", "--kind", "clean"], capsys)
    assert str(tmp_path / "file") in line


def test_convert_there_and_back(weights: Path, tmp_path: Path) -> None:
    succeeds(["convert", weights, tmp_path / "a.pth", "--layout", "authors"])
    keys = torch.load(tmp_path / "a.pth", weights_only=True)["params"]
    assert "body1.0.conv1.weight" in keys
    succeeds(["convert", tmp_path / "a.pth", tmp_path / "back.safetensors"])
    before, after = load_weights(weights)[0], load_weights(tmp_path / "back.safetensors")[0]
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_training_explains_a_missing_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = {
        "id": "x",
        "network": {"name": "srresnet", "features": 8, "blocks": 2},
        "dropout": "none",
        "setting": "multi",
        "seed": 0,
    }
    arguments = ["train", "--config", json.dumps(run), "--out", tmp_path, "--validation", tmp_path]
    assert "give --images and not the other source" in fails(arguments, capsys)
    arguments += ["--images", tmp_path / "none"]
    assert "not a finished image cache" in fails(arguments, capsys)
    run["dropout"] = "last_conv-channel-p1"
    arguments[2] = json.dumps(run)
    assert "p is 1 but must lie" in fails(arguments, capsys)


def test_settings_of_a_run_are_printed_to_train_with(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--folder", root / "config"]
    succeeds(["config", "run", "rrdb/single/none", "--scale", "paper", "--seed", 3, *folder])
    printed = json.loads(capsys.readouterr().out)
    assert printed["id"] == "rrdb/single/none/seed3"
    assert printed["network"]["blocks"] == 23
    assert RunSettings.model_validate(printed).training.iterations == 500_000
    line = fails(["config", "run", "edsr/multi/none", *folder], capsys)
    assert "no network 'edsr'" in line


def test_memory_of_the_gpu_that_does_not_suffice_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**unused: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore words")

    monkeypatch.setattr("reflash.cli.app._command", lambda: SimpleNamespace(main=full))
    line = fails(["train"], capsys)
    assert "CUDA out of memory. Tried to allocate 2 GiB" in line
    assert "use a smaller training.batch" in line


def test_other_errors_of_the_program_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**unused: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("reflash.cli.app._command", lambda: SimpleNamespace(main=broken))
    with pytest.raises(RuntimeError, match="broken"):
        main(["train"])


def test_two_folders_of_one_kind_are_refused(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--weights", weights, "--lr", tmp_path / "a/clean", "--lr", tmp_path / "b/clean"]
    line = fails(["represent", *arguments, "--out", tmp_path / "out"], capsys)
    assert "two folders have the same name" in line


def test_weights_of_others_are_evaluated(weights: Path, photo: Path, tmp_path: Path) -> None:
    """A file that holds averaged weights only, as is common, needs no option."""
    tensors, _ = load_weights(weights)
    torch.save({"params_ema": tensors}, tmp_path / "ema.pth")
    succeeds(
        [
            "data",
            "test-set",
            tmp_path / "hr",
            "--settings",
            f"{{source: folder, folder: {photo.parent}}}",
        ]
    )
    succeeds(["degrade", tmp_path / "hr", tmp_path / "clean", "--kind", "clean"])
    out = tmp_path / "scores.csv"
    succeeds(
        [
            "evaluate",
            "--weights",
            tmp_path / "ema.pth",
            "--hr",
            tmp_path / "hr",
            "--lr",
            tmp_path / "clean",
            "--out",
            out,
        ]
    )
    assert len(out.read_text().splitlines()) == 2


def test_results_without_a_configuration_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "config.json: no such file; name the folder of a study's results" in fails(
        ["metrics", "--results", tmp_path], capsys
    )


def test_bench_outside_a_clone_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "run this in a clone" in fails(["bench"], capsys)
    assert "no such benchmark" in fails(["bench", "nosuch"], capsys)


def test_a_border_that_leaves_nothing_is_told(
    weights: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    succeeds(["degrade", photo, tmp_path / "clean", "--kind", "clean", "--mod", "4"])
    arguments = ["--lr", tmp_path / "clean/photo.png", "--hr", photo, "--out", tmp_path / "o.csv"]
    settings = ["--settings", "{crop: 8, border: 16}"]
    line = fails(["ablate", "--weights", weights, *arguments, *settings], capsys)
    assert "photo.png: nothing of 32x32 pixels is left without a border of 16" in line
