"""Channel saliency: a closed form, finite differences, one backward pass for all layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from reflash.datasets.images import centre_crop, read_rgb
from reflash.interpretation.contact_sheet import contact_sheet
from reflash.interpretation.saliency import (
    channel_saliency,
    channel_totals,
    detail,
    run_saliency,
    saliency_of_layer,
    saliency_table,
)
from reflash.interpretation.settings import AnalysisSettings
from reflash.models.build import build_network
from reflash.models.layers import HookedNetwork
from reflash.models.settings import NO_DROPOUT, SRResNetSettings
from reflash.models.staged import Stage, StagedNetwork, conv3x3
from reflash.models.weights import load_network


class Linear(StagedNetwork):
    """Features are the input times 1, 2 and 4; only the second reaches the output, times -3."""

    def __init__(self) -> None:
        super().__init__(SRResNetSettings(features=3, blocks=1), NO_DROPOUT)
        self.conv_last = conv3x3(3, 3)
        for parameter in self.conv_last.parameters():
            parameter.data.zero_()
        self.conv_last.weight.data[0, 1, 1, 1] = -3.0

    def _stages(self, passed: Mapping[str, Tensor]) -> list[Stage]:
        gains = torch.tensor([1.0, 2.0, 4.0])[:, None, None]
        return [
            ("first", lambda x: x * gains),
            *((name, lambda x: x * 1.0) for name in ("b1", "hr", "last")),
        ]

    def _output(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.conv_last(features)


def test_objective_is_the_sum_of_forward_differences():
    sr = torch.tensor([[[[0.0, 3.0, 1.0], [4.0, 5.0, 6.0], [9.0, 9.0, 9.0]]]])
    # Corners (0, 0), (0, 1), (1, 0), (1, 1); the last row and column start no difference.
    expected = np.hypot(4, 3) + np.hypot(2, 2) + np.hypot(5, 1) + np.hypot(4, 1)
    assert detail(sr).item() == pytest.approx(expected)
    assert detail(sr.repeat(2, 3, 1, 1)).item() == pytest.approx(6 * expected)
    assert detail(torch.full((1, 3, 4, 4), 0.3)).item() == 0


def test_closed_form_of_one_bright_pixel():
    """Of a single point the objective is |v| (sqrt 2 + 1 + 1), and its derivatives are known."""
    lr = torch.zeros(1, 3, 5, 6)
    lr[..., 2, 3] = 0.25
    maps = channel_saliency(Linear(), lr)
    assert list(maps) == ["first", "b1", "hr", "last"]
    peak, half = 2 + 2**0.5, 2**-0.5
    expected = torch.zeros(5, 6)
    expected[2, 3] = 1
    expected[1, 3] = expected[2, 2] = 1 / peak
    expected[3, 3] = expected[2, 4] = half / peak
    for layer in maps.values():
        torch.testing.assert_close(layer[1], expected)
        assert not layer[0].any()
        assert not layer[2].any()
    total = 1 + (2 + 2 * half) / peak
    assert channel_totals(maps["last"]) == pytest.approx([0, total, 0])


@pytest.mark.parametrize("layer", ["first", "b1", "hr", "last"])
def test_maps_are_the_finite_differences_of_the_objective(network, lr, layer):
    features = network.forward_features(lr, (layer,))[1][layer]
    step = 1e-6
    steps = torch.eye(features.numel()).double().reshape(-1, *features.shape[1:]) * step

    def objectives(changes: Tensor) -> Tensor:
        outputs = [
            network.forward_from(layer, features + part, lr).split(1) for part in changes.split(100)
        ]
        return torch.stack([detail(output) for part in outputs for output in part])

    slopes = ((objectives(steps) - objectives(-steps)) / (2 * step)).abs()
    expected = (slopes / slopes.max()).reshape(features.shape[1:])
    torch.testing.assert_close(channel_saliency(network, lr)[layer], expected, rtol=0, atol=1e-5)


def test_one_backward_pass_is_a_backward_pass_per_layer(network, lr, monkeypatch):
    passes = []
    backward = torch.autograd.grad

    def counted(*args, **kwargs):
        passes.append(len(args[1]))
        return backward(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    maps = channel_saliency(network, lr)
    assert passes == [len(network.layer_names)]
    assert tuple(maps) == network.layer_names
    for layer, features in network.forward_features(lr)[1].items():
        leaf = features.detach().requires_grad_()
        (gradient,) = backward(detail(network.forward_from(layer, leaf, lr)), leaf)
        expected = gradient[0].abs() / gradient.abs().max()
        torch.testing.assert_close(maps[layer], expected)
        assert maps[layer].max() == 1


def test_all_nineteen_layers_of_the_papers_network():
    network = build_network(SRResNetSettings(features=8)).eval()
    maps = channel_saliency(network, torch.rand(1, 3, 4, 6))
    assert list(maps) == ["first", *(f"b{n}" for n in range(1, 17)), "hr", "last"]
    shapes = {layer: tuple(of_layer.shape) for layer, of_layer in maps.items()}
    assert {shapes.pop("hr"), shapes.pop("last")} == {(8, 16, 24)}
    assert set(shapes.values()) == {(8, 4, 6)}


def test_flat_output_gives_zeros():
    maps = channel_saliency(Linear(), torch.full((1, 3, 5, 6), 0.5))
    for of_layer in maps.values():
        assert torch.equal(of_layer, torch.zeros(3, 5, 6))


def test_flat_parts_add_nothing_to_the_derivative():
    sr = torch.zeros(1, 1, 4, 9)
    sr[..., 5:] = torch.rand(4, 4, generator=torch.Generator().manual_seed(0))
    leaf = sr.clone().requires_grad_()
    detail(leaf).backward()
    part = sr[..., 4:].clone().requires_grad_()
    detail(part).backward()
    assert not leaf.grad[..., :4].any()
    torch.testing.assert_close(leaf.grad[..., 4:], part.grad)


def test_table_sums_every_map():
    maps = {"hr": torch.tensor([[[0.5, 1.0]], [[0.25, 0.0]]]), "last": torch.ones(1, 2, 2)}
    table = saliency_table(maps, "a run", "baby")
    assert table.to_dict("list") == {
        "run": ["a run"] * 3,
        "image": ["baby"] * 3,
        "layer": ["hr", "hr", "last"],
        "channel": [0, 1, 0],
        "saliency": [1.5, 0.25, 4.0],
    }


def test_command_writes_tables_and_maps(weights: Path, lr_folders, tmp_path):
    settings = AnalysisSettings(images=2, crop=9)
    table = run_saliency(weights, lr_folders["clean"], tmp_path, settings, run="r", arrays=True)
    network = load_network(weights)
    image = centre_crop(read_rgb(lr_folders["clean"] / "b.png"), 9)
    assert image.shape == (9, 9, 3)
    lr = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    maps = channel_saliency(network, lr)

    written = pd.read_csv(tmp_path / "saliency.csv")
    assert list(written.columns) == ["run", "image", "layer", "channel", "saliency"]
    assert len(written) == len(table) == 2 * 5 * 5
    last = written.query("image == 'b' and layer == 'last'")["saliency"].to_numpy()
    np.testing.assert_allclose(last, maps["last"].sum((1, 2)), rtol=1e-4, atol=2e-6)
    summary = pd.read_csv(tmp_path / "concentration.csv")
    assert summary.groupby("image")["layer"].agg(tuple).tolist() == [network.layer_names] * 2
    assert summary["gini"].between(0, 0.8).all()
    pictures = {f"{name}-{layer}.png" for name in "ab" for layer in network.layer_names}
    assert {path.name for path in (tmp_path / "maps").glob("*.png")} == pictures
    with np.load(tmp_path / "maps" / "b.npz") as stored:
        np.testing.assert_allclose(stored["b1"], maps["b1"], atol=1e-3)
    _, features = network.forward_features(lr)
    with np.load(tmp_path / "features" / "b.npz") as stored:
        np.testing.assert_allclose(
            stored["last"], features["last"][0].detach(), rtol=2e-3, atol=1e-3
        )


def test_nothing_of_an_earlier_call_stays(weights: Path, lr_folders, tmp_path):
    """Arrays of other weights beside this call's table, or maps of layers it did not take."""
    run_saliency(weights, lr_folders["clean"], tmp_path, arrays=True)
    assert list(tmp_path.glob("*/*.npz"))
    run_saliency(weights, lr_folders["clean"], tmp_path, layers=["last"])
    assert not list(tmp_path.glob("*/*.npz"))
    assert {path.stem.rpartition("-")[2] for path in tmp_path.glob("maps/*.png")} == {"last"}


def test_files_of_others_stay(weights: Path, lr_folders, tmp_path):
    """Also where a folder of maps is the user's own."""
    others = [tmp_path / name for name in ("maps/my-map.png", "maps/mine.npz", "features/x.npz")]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    for arrays in (True, False):
        run_saliency(weights, lr_folders["clean"], tmp_path, arrays=arrays)
    assert [path.read_text() for path in others] == ["mine"] * 3
    assert len(list(tmp_path.glob("*/*.npz"))) == 2


def test_command_repeats_itself_byte_by_byte(weights: Path, lr_folders, tmp_path):
    for name in ("first", "second"):
        out = tmp_path / name
        run_saliency(weights, lr_folders["clean"] / "a.png", out, arrays=True)
    files = sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file())
    assert len(files) == 5 + 1 + 1 + 2 + 1
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (out / file).read_bytes(), file
    assert set(pd.read_csv(out / "saliency.csv")["run"]) == {"tiny"}


@pytest.mark.parametrize(("size", "shown"), [((512, 256), (128, 64)), ((20, 30), (60, 90))])
def test_contact_sheet_shows_every_map(size, shown):
    maps = np.zeros((5, *size), np.float32)
    maps[3] = 1
    sheet = np.array(contact_sheet(maps, "title").convert("RGB"))
    brightest = (sheet == (252, 255, 164)).all(-1)  # the end of matplotlib's inferno
    rows, columns = np.nonzero(brightest)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == shown
    assert brightest.sum() == shown[0] * shown[1]
    # Three columns, so number 3 begins the second row.
    assert columns.min() < shown[1]
    assert rows.min() > shown[0]
    darkest = (sheet == (0, 0, 4)).all(-1)
    assert darkest.sum() == 4 * shown[0] * shown[1]


@pytest.mark.parametrize("layer", ["b2", "last"])
@pytest.mark.parametrize("hooked", [False, True])
def test_one_layer_by_itself_has_the_same_map(srresnet, lr, layer, hooked):
    network = HookedNetwork(srresnet) if hooked else srresnet
    lr = lr.to(next(network.parameters()).dtype)
    features, saliency = saliency_of_layer(network, lr, layer)
    assert torch.equal(saliency, channel_saliency(network, lr, (layer,))[layer])
    assert torch.equal(features, network.forward_features(lr, (layer,))[1][layer])
    assert not features.requires_grad
