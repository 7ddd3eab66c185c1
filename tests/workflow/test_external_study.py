"""A study of anybody's networks: every table, figure and analysis, beside one trained here."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
import yaml
from project_copy import ROOT, Project, copy_project

from reflash.models.build import build_network
from reflash.models.external import _import_spandrel
from reflash.models.settings import RRDBSettings

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

MYNET = '''
"""A network of one's own."""

from torch import nn


class MyNet(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.first = nn.Conv2d(3, features, 3, padding=1)
        self.second = nn.Conv2d(features, features, 3, padding=1)
        self.wide = nn.Conv2d(features, 16 * features, 3, padding=1)
        self.up = nn.PixelShuffle(4)
        self.act = nn.LeakyReLU(0.1)
        self.tail = nn.Conv2d(features, 3, 3, padding=1)

    def forward(self, lr):
        features = self.act(self.second(self.act(self.first(lr))))
        large = nn.functional.interpolate(lr, scale_factor=4.0, mode="bilinear")
        return self.tail(self.act(self.up(self.wide(features)))) + large


def build(features=8):
    return MyNet(features)
'''

OWN = ["mynet/multi/none", "mynet/multi/last_conv-channel-p0.5"]
STUDY = {
    "title": "Zoo",
    "models": ["srresnet/multi/none", *OWN, "external/esrgan", "external/swinir"],
    "external": {
        "esrgan": {"weights": "weights/esrgan.pth", "label": "ESRGAN"},
        "swinir": {"weights": "weights/swinir.pth"},
    },
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The study's results at scale tiny, made from an empty folder."""
    pytest.importorskip("einops", reason="spandrel is not installed: reflash[external]")
    folder = tmp_path_factory.mktemp("zoo")
    project = copy_project(ROOT, folder)
    (folder / "mynet.py").write_text(MYNET)
    (folder / "weights").mkdir()
    torch.manual_seed(0)
    rrdb = build_network(RRDBSettings(features=8, blocks=2, growth=4)).state_dict()
    torch.save({"params_ema": rrdb}, folder / "weights/esrgan.pth")
    _import_spandrel()
    from spandrel.architectures.SwinIR import SwinIR

    swinir = SwinIR(
        img_size=16,
        window_size=8,
        depths=[2],
        embed_dim=12,
        num_heads=[2],
        mlp_ratio=2,
        upsampler="nearest+conv",
        upscale=4,
    )
    torch.save({"params": swinir.state_dict()}, folder / "weights/swinir.pth")
    (folder / "config/study/zoo.yaml").write_text(yaml.safe_dump(STUDY))
    scale = {"extends": "tiny", "networks": {"mynet": {"factory": "mynet.py:build"}}}
    scale |= {"description": "tiny with a network of one's own"}
    (folder / "config/scale/mine.yaml").write_text(yaml.safe_dump(scale))
    project.snakemake("--config", "scale=mine", "study=zoo")
    return project


def test_every_artefact_shows_every_network(zoo: Project) -> None:
    results, figures = zoo.folder / "results/mine/zoo", zoo.folder / "figures/mine/zoo"
    everyone = set(STUDY["models"])
    trained = {model for model in everyone if not model.startswith("external")}
    for name in ("multi_degradation", "dropout_grid", "chi"):
        assert everyone == set(pd.read_csv(results / f"tables/{name}.csv").model) - {"bicubic"}
    assert set(pd.read_csv(figures / "training_curves.csv").model) == trained
    shown = {path.stem for path in figures.glob("*.csv")}
    for name in shown - {"training_curves", "dropout_placements"}:
        models = set(pd.read_csv(figures / f"{name}.csv").model)
        assert models >= everyone, name
    assert {"feature_maps", "saliency_maps", "progressive_masking", "channel_ablation"} <= shown
    assert {"degradation_clusters", "feature_drop_sensitivity", "visual_comparison"} <= shown
    page = (results / "report/index.html").read_text()
    assert "ESRGAN" in page
    assert "ESRGAN, not trained here" in page


def test_claims_are_those_of_the_trained_runs(zoo: Project) -> None:
    text = (zoo.folder / "results/mine/zoo/claims.json").read_text()
    assert "external" not in text


def test_training_with_dropout_drops_and_is_compared(zoo: Project) -> None:
    table = pd.read_csv(zoo.folder / "results/mine/zoo/tables/multi_degradation.csv")
    gains = table[table.row == "gain"]
    assert set(gains.model) == set(OWN[1:])
    assert gains.value.abs().max() > 0
    run = zoo.folder / "results/mine/runs" / OWN[1] / "seed0"
    assert json.loads((run / "run.json").read_text())["settings"]["network"]["code"]


def test_nothing_is_left_to_do_until_a_file_changes(zoo: Project) -> None:
    planned = ("--config", "scale=mine", "study=zoo")
    assert not zoo.planned(*planned)
    path = zoo.folder / "weights/esrgan.pth"
    content = torch.load(path)
    content["params_ema"]["conv_last.bias"] += 0.1
    torch.save(content, path)
    rules = zoo.planned(*planned)
    assert rules["evaluate_network"] == 1
    assert rules["measure_saliency"] == 1
    assert "train_network" not in rules
    zoo.edit("mynet.py", "LeakyReLU(0.1)", "LeakyReLU(0.2)")
    rules = zoo.planned(*planned, "replace=true")
    assert rules["train_network"] == len(OWN)
    assert rules["evaluate_network"] == 1 + len(OWN)
