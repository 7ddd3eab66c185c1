"""Upscaling without weights of one's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reflash.cli import evaluation
from reflash.cli.app import main
from reflash.core.errors import ReflashError
from reflash.evaluation.shipped import NAME, shipped_weights


@pytest.fixture
def shipped(weights: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "shipped"
    folder.mkdir()
    shutil.copy(weights, folder / NAME)
    about = {"description": "SRResNet + dropout, 1 % of the paper's training"}
    (folder / "upscale.json").write_text(json.dumps(about))
    return folder


def test_the_first_folder_that_has_weights_counts(shipped, tmp_path):
    path, description = shipped_weights((tmp_path / "none", shipped))
    assert path == shipped / NAME
    assert description.startswith("SRResNet + dropout")


def test_without_weights_the_remedy_is_said(tmp_path):
    with pytest.raises(ReflashError, match="--weights: none come with this version"):
        shipped_weights((tmp_path,))


def test_weights_that_nothing_describes_are_not_used(shipped):
    (shipped / "upscale.json").unlink()
    with pytest.raises(ReflashError, match=r"upscale\.json: does not say what"):
        shipped_weights((shipped,))


def test_a_photo_alone_is_enough(shipped, tmp_path, photo, monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "shipped_weights", lambda: shipped_weights((shipped,)))
    Image.fromarray(photo(9, 12)).save(tmp_path / "cat.png")
    with pytest.raises(SystemExit) as end:
        main(["upscale", str(tmp_path / "cat.png"), "--device", "cpu"])
    assert end.value.code == 0
    assert np.array(Image.open(tmp_path / "cat_x4.png")).shape == (36, 48, 3)
    assert "weights: SRResNet + dropout, 1 %" in capsys.readouterr().err


def test_results_lie_beside_what_was_named(shipped, tmp_path, photo, monkeypatch):
    monkeypatch.setattr(evaluation, "shipped_weights", lambda: shipped_weights((shipped,)))
    album, elsewhere = tmp_path / "album.2024", tmp_path / "elsewhere"
    for folder in (album, elsewhere):
        folder.mkdir()
        Image.fromarray(photo(8, 8)).save(folder / "cat.png")
    (tmp_path / "link.png").symlink_to(elsewhere / "cat.png")
    for source in (album, tmp_path / "link.png"):
        with pytest.raises(SystemExit) as end:
            main(["upscale", str(source), "--device", "cpu"])
        assert end.value.code == 0
    assert (tmp_path / "album.2024_x4/cat.png").is_file()
    assert (tmp_path / "link_x4.png").is_file()
