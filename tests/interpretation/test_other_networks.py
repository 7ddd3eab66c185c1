"""Every analysis of a network of others gives, on our own weights, what ours gives."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from torch import Tensor, nn

from reflash.core.errors import ReflashError
from reflash.interpretation.ablation import run_ablation
from reflash.interpretation.masking import run_masking
from reflash.interpretation.representations import run_representations
from reflash.interpretation.saliency import run_saliency
from reflash.interpretation.sensitivity import run_sensitivity
from reflash.interpretation.settings import AnalysisSettings
from reflash.models.weights import load_network

SETTINGS = AnalysisSettings(
    images=2,
    crop=8,
    layers=("last", "b1"),
    representation_crop=8,
    masking_draws=1,
    ratios=(0.0, 0.5),
    sensitivity_draws=1,
)


class Foreign(nn.Module):
    """Our network as somebody else's module: nothing but a forward pass."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.net = load_network(weights)

    def forward(self, lr: Tensor) -> Tensor:
        return self.net(lr)


def test_the_same_tables(weights, hr_folder, lr_folders, tmp_path) -> None:
    lr = lr_folders["clean"]
    tables: list[list[pd.DataFrame]] = []
    for network in (weights, Foreign(weights)):
        common = {"run": "x", "device": "cpu"}
        tables.append(
            [
                run_saliency(network, lr, tmp_path, SETTINGS, **common),
                run_ablation(network, lr, hr_folder, tmp_path, SETTINGS, layers=["b2"], **common),
                run_ablation(network, lr, hr_folder, tmp_path, SETTINGS, **common),
                run_masking(network, lr, hr_folder, tmp_path, SETTINGS, layer="hr", **common),
                run_sensitivity(network, lr, hr_folder, tmp_path, SETTINGS, **common),
                *run_representations(network, lr_folders, tmp_path, SETTINGS, **common),
            ]
        )
    for ours, theirs in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(theirs, ours, atol=2e-3, rtol=1e-4)


def test_modules_by_name_in_every_analysis(weights, hr_folder, lr_folders, tmp_path) -> None:
    network, lr, layer = Foreign(weights), lr_folders["clean"], "net.body.0.conv1"
    settings = SETTINGS.model_copy(update={"layers": (layer,), "sensitivity_layer": layer})
    saliency = run_saliency(network, lr, tmp_path, settings, layers=[layer], device="cpu")
    assert set(saliency["layer"]) == {layer}
    assert set(saliency["run"]) == {"Foreign"}
    ablation = run_ablation(
        network, lr, hr_folder, tmp_path, settings, layers=[layer], device="cpu"
    )
    # Without a channel behind the first convolution of a block the image is another one.
    assert (ablation["psnr"] != ablation["psnr_full"]).all()
    masking = run_masking(network, lr, hr_folder, tmp_path, settings, layer=layer, device="cpu")
    unmasked = masking[masking["masked"] == 0].groupby("image")["psnr"].first()
    full = ablation.groupby("image")["psnr_full"].first()
    pd.testing.assert_series_equal(unmasked, full, check_names=False, atol=1e-3)
    sensitivity = run_sensitivity(network, lr, hr_folder, tmp_path, settings, device="cpu")
    assert sensitivity["value"].notna().all()
    points, _ = run_representations(network, lr_folders, tmp_path, settings, device="cpu")
    assert set(points["layer"]) == {layer}
    with pytest.raises(ReflashError, match=r"layer 'net\.nothing': no such layer"):
        run_masking(network, lr, hr_folder, tmp_path, settings, layer="net.nothing", device="cpu")
