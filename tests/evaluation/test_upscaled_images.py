"""Images that any program upscaled become rows of the same table as a network's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reflash.cli import main
from reflash.evaluation.upscale import upscale_path

NAMES = ("img_1", "img_1_2", "owl")


@pytest.fixture
def folders(tmp_path: Path, photo: Callable[..., np.ndarray]) -> Path:
    """HR, LR and, by bicubic, SR images."""
    for name in ("hr", "clean"):
        (tmp_path / name).mkdir()
    for seed, name in enumerate(NAMES):
        hr = Image.fromarray(photo(48, 64, seed))
        hr.save(tmp_path / "hr" / f"{name}.png")
        hr.resize((16, 12), Image.Resampling.BICUBIC).save(tmp_path / "clean" / f"{name}.png")
    upscale_path(tmp_path / "clean", tmp_path / "sr", "bicubic")
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return int(done.value.code or 0)


def evaluate_sr(folder: Path, *more: object) -> int:
    sources = ("--sr", folder / "sr", "--hr", folder / "hr", "--out", folder / "sr.csv")
    return run("evaluate", *sources, *more)


def test_rows_are_those_of_the_network_that_made_the_images(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("--run", "bicubic", "--set", "mine")
    assert not evaluate_sr(folders, "--kind", "clean", *names)
    assert "psnr" in capsys.readouterr().out
    network = ("--weights", "bicubic", "--lr", folders / "clean", "--hr", folders / "hr")
    assert not run("evaluate", *network, "--out", folders / "lr.csv", *names)
    assert (folders / "sr.csv").read_bytes() == (folders / "lr.csv").read_bytes()


def test_names_as_programs_write_them(folders: Path) -> None:
    assert not evaluate_sr(folders)
    exact = pd.read_csv(folders / "sr.csv")
    assert set(exact["kind"]) == {"sr"}
    for name, ending in zip(NAMES, ("_out", "_SwinIR_x4", "x4"), strict=True):
        (folders / "sr" / f"{name}.png").rename(folders / "sr" / f"{name}{ending}.png")
    assert not evaluate_sr(folders)
    assert pd.read_csv(folders / "sr.csv").equals(exact)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("lost", r"owl\.png: no SR image for .*owl\.png; add it"),
        ("small", r"owl\.png: 16x12 pixels, but .*owl\.png has 64x48; upscale the LR images"),
        ("twice", r"owl_a, owl_b could all be owl of .*hr; keep one result"),
    ],
)
def test_a_mismatch_is_one_line(
    folders: Path, capsys: pytest.CaptureFixture[str], change: str, line: str
) -> None:
    owl = folders / "sr" / "owl.png"
    if change == "small":
        Image.open(owl).resize((16, 12)).save(owl)
    if change == "twice":
        for ending in "ab":
            Image.open(owl).save(owl.with_name(f"owl_{ending}.png"))
    if change != "small":
        owl.unlink()
    assert evaluate_sr(folders) == 1
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert pd.Series([error]).str.contains(line).all(), error


def test_what_does_not_go_together_is_said(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_sr(folders, "--weights", "bicubic") == 1
    assert "--sr: SR images need no --weights" in capsys.readouterr().err
    assert run("evaluate", "--hr", folders / "hr", "--out", folders / "sr.csv") == 1
    assert "--weights and --lr: give both, or --sr" in capsys.readouterr().err
