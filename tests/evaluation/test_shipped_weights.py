"""Upscaling without weights of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reflash.cli import evaluation
from reflash.cli.app import main
from reflash.core.errors import ReflashError
from reflash.evaluation.shipped import WEIGHTS, shipped_weights
from reflash.models.build import build_network
from reflash.models.settings import SRResNetSettings
from reflash.models.weights import convert, load_network, load_weights, save_weights


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """Weights as `reflash convert --half` makes them of a run's."""
    run = "srresnet/multi/last_conv-channel-p0.7"
    network = SRResNetSettings(features=4, blocks=1)
    about = {"network": network, "dropout": "none", "run": f"{run}/seed0", "iterations": 6000}
    trained, path = tmp_path / "params.safetensors", tmp_path / "upscale.safetensors"
    save_weights(trained, build_network(network).state_dict(), about)
    convert(trained, path, half=True)
    return path


def test_they_say_what_they_are(shipped):
    path, description = shipped_weights(shipped)
    assert path == shipped
    assert description.startswith("SRResNet")
    assert description.endswith("after 6,000 of the paper's 500,000 iterations")


def test_those_of_this_version_are_a_srresnet_with_dropout():
    if not WEIGHTS.is_file():
        with pytest.raises(ReflashError, match="--weights: none come with this version"):
            shipped_weights()
        return
    path, description = shipped_weights()
    assert path.stat().st_size < 4e6
    assert "SRResNet" in description
    assert load_weights(path)[1]["run"] == "srresnet/multi/last_conv-channel-p0.7/seed0"
    assert sum(weight.numel() for weight in load_network(path).parameters()) == 1_517_571


def test_without_weights_the_remedy_is_said(tmp_path):
    with pytest.raises(ReflashError, match="--weights: none come with this version"):
        shipped_weights(tmp_path / "none.safetensors")


def test_weights_that_nothing_describes_are_not_used(weights):
    with pytest.raises(ReflashError, match="does not say what it is"):
        shipped_weights(weights)


def test_a_photo_alone_is_enough(shipped, tmp_path, photo, monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "shipped_weights", lambda: shipped_weights(shipped))
    Image.fromarray(photo(9, 12)).save(tmp_path / "cat.png")
    with pytest.raises(SystemExit) as end:
        main(["upscale", str(tmp_path / "cat.png"), "--device", "cpu"])
    assert end.value.code == 0
    assert np.array(Image.open(tmp_path / "cat_x4.png")).shape == (36, 48, 3)
    assert "weights: SRResNet" in capsys.readouterr().err


def test_results_lie_beside_what_was_named(shipped, tmp_path, photo, monkeypatch):
    monkeypatch.setattr(evaluation, "shipped_weights", lambda: shipped_weights(shipped))
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
