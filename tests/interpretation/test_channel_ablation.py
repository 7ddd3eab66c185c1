"""Channel ablation against plain forward passes with hooks, and the shortcut against both."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from reflash.core.errors import ReflashError
from reflash.interpretation import inputs
from reflash.interpretation.ablation import ablate_channels, run_ablation
from reflash.interpretation.settings import AnalysisSettings
from reflash.interpretation.silencing import channel_amounts, rescale_factors, silenced
from reflash.models.weights import load_network


def hooked_module(network, layer):
    """The module whose output (b1, b2) or input (hr, last) is the tensor of a layer."""
    if layer.startswith("b"):
        return network.body[int(layer[1:]) - 1], False
    return getattr(network, {"hr": "conv_hr", "last": "conv_last"}[layer]), True


def forward_without(network, lr, layer, channel):
    """A whole forward pass in which a hook silences one channel of a layer."""

    def silence(features):
        amounts = features.abs().sum((0, 2, 3))
        without = features.clone()
        without[:, channel] = 0
        return without / ((amounts.sum() - amounts[channel]) / amounts.sum())

    module, before = hooked_module(network, layer)
    if before:
        handle = module.register_forward_pre_hook(lambda _, args: (silence(args[0]),))
    else:
        handle = module.register_forward_hook(lambda _, args, out: silence(out))
    with torch.no_grad():
        sr = network(lr)
    handle.remove()
    return sr


@pytest.mark.parametrize("layer", ["b1", "hr", "last"])
@pytest.mark.parametrize("linear", [True, False])
def test_outputs_are_those_of_whole_forward_passes(network, lr, layer, linear):
    features = network.forward_features(lr, (layer,))[1][layer]
    outputs = list(silenced(network, layer, features, lr, ~np.eye(5, dtype=bool), linear))
    assert len(outputs) == 5
    for channel, output in enumerate(outputs):
        expected = forward_without(network, lr, layer, channel)
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3


@pytest.mark.parametrize("layer", ["b2", "hr", "last"])
def test_psnr_is_that_of_whole_forward_passes(srresnet, lr, hr, layer, eight_bit_psnr):
    lr = lr.float()
    values, full = ablate_channels(srresnet, lr, hr, layer)
    with torch.no_grad():
        assert full == pytest.approx(eight_bit_psnr(srresnet(lr), hr), abs=1e-9)
    expected = [
        eight_bit_psnr(forward_without(srresnet, lr, layer, channel), hr) for channel in range(5)
    ]
    # A float that falls beside a half may be rounded either way: one level of one of 1440 values.
    np.testing.assert_allclose(values, expected, atol=2e-3)


@pytest.mark.parametrize("layer", ["first", "last"])
def test_values_do_not_depend_on_the_batch(network, lr, hr, layer, monkeypatch):
    together, _ = ablate_channels(network, lr, hr, layer, linear=False)
    monkeypatch.setattr(inputs, "MEMORY", 1)
    alone, _ = ablate_channels(network, lr, hr, layer, linear=False)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-9)


def test_float32_shortcut_stays_exact_for_a_dominating_channel(srresnet, lr):
    """Without it a millionth of the layer is left, which is then blown up a million times."""
    lr = lr.float()
    features = srresnet.forward_features(lr, ("last",))[1]["last"].abs() + 0.1
    features[:, 2] *= 1e6
    keep = np.array([[True] * 5, [True, True, False, True, True], [False] * 4 + [True]])
    plain = list(silenced(srresnet, "last", features, lr, keep, linear=False))
    fast = list(silenced(srresnet, "last", features, lr, keep))
    for a, b in zip(plain, fast, strict=True):
        assert (a - b).abs().max() <= 1e-5 * a.abs().max()


def test_the_layer_keeps_its_sum_of_magnitudes(lr):
    features = lr - 0.5
    keep = np.array([[True, True, True], [False, True, True], [True, False, False]])
    factors = rescale_factors(channel_amounts(features), keep)
    assert factors[0] == 1
    for row, factor in zip(keep, factors, strict=True):
        kept = features[:, np.flatnonzero(row)] * factor
        assert kept.abs().sum().item() == pytest.approx(features.abs().sum().item())


def test_nothing_left_to_rescale_is_no_division_by_zero():
    amounts = np.array([0.0, 3.0, 0.0])
    factors = rescale_factors(amounts, ~np.eye(3, dtype=bool))
    assert factors.tolist() == [1, 1, 1]
    assert rescale_factors(np.zeros(2), np.ones((1, 2), bool)).tolist() == [1]


def test_a_layer_of_one_live_channel(srresnet, lr, hr):
    """Without it the features are zero, and bias and global residual are left."""
    srresnet.conv_hr.weight[1:] = 0
    srresnet.conv_hr.bias[1:] = 0
    lr = lr.float()
    for linear in (True, False):
        values, full = ablate_channels(srresnet, lr, hr, "last", linear)
        assert values[1:].tolist() == [full] * 4
        nothing = srresnet.forward_from("last", torch.zeros(1, 5, 24, 20), lr)
        assert values[0] == pytest.approx(inputs.quality(nothing, hr), abs=2e-3)


def test_only_the_channel_that_matters_costs_anything(srresnet, lr):
    lr = lr.float()
    srresnet.conv_last.weight[:, [0, 1, 3, 4]] = 0
    layers = srresnet.forward_features(lr)[1]
    without = list(silenced(srresnet, "last", layers["last"], lr, ~np.eye(5, dtype=bool)))
    base = srresnet.forward_from("last", torch.zeros_like(layers["last"]), lr)
    torch.testing.assert_close(without[2], base)
    amounts = channel_amounts(layers["last"])
    residual = srresnet(lr) - base
    for channel in (0, 1, 3, 4):
        grown = base + residual * (amounts.sum() / (amounts.sum() - amounts[channel]))
        torch.testing.assert_close(without[channel], grown, rtol=1e-5, atol=1e-5)


def test_identical_images_have_a_finite_psnr(srresnet, lr):
    sr = srresnet(lr.float())
    image = sr[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    assert inputs.quality(sr, image) == 100


def test_the_border_left_out_is_a_choice() -> None:
    hr = np.zeros((24, 24, 3), np.uint8)
    sr = torch.zeros(1, 3, 24, 24)
    sr[..., :4, :] = 1
    assert inputs.quality(sr, hr) < 20
    assert inputs.quality(sr, hr, 4) == 100


def test_command_writes_every_channel_of_every_layer(
    weights, lr_folders, hr_folder, tmp_path, eight_bit_psnr
):
    settings = AnalysisSettings(images=2)
    layers = ("b1", "last")
    lr_folder = lr_folders["noise"]
    run_ablation(weights, lr_folder, hr_folder, tmp_path, settings, layers=layers, run="a/b")
    table = pd.read_csv(tmp_path / "ablation.csv")
    assert list(table.columns) == ["run", "image", "layer", "channel", "psnr", "psnr_full"]
    assert len(table) == 2 * 2 * 5
    assert set(table["run"]) == {"a/b"}
    assert table["image"].tolist() == ["a"] * 10 + ["b"] * 10
    for (image, layer), group in table.groupby(["image", "layer"]):
        network = load_network(weights)
        lr = inputs.to_batch(inputs.read_rgb(lr_folder / f"{image}.png"), network)
        hr = inputs.read_rgb(hr_folder / f"{image}.png")
        assert group["channel"].tolist() == list(range(5))
        with torch.no_grad():
            full = eight_bit_psnr(network(lr), hr)
        assert group["psnr_full"].tolist() == pytest.approx([full] * 5, abs=1e-5)
        expected = [
            eight_bit_psnr(forward_without(network, lr, layer, channel), hr) for channel in range(5)
        ]
        np.testing.assert_allclose(group["psnr"], expected, atol=1e-3)


def test_command_takes_two_images_and_names_a_csv(weights, lr_folders, hr_folder, tmp_path):
    out = tmp_path / "mine.csv"
    table = run_ablation(weights, lr_folders["clean"] / "c.png", hr_folder / "c.png", out)
    assert len(pd.read_csv(out)) == len(table) == 5
    assert list(tmp_path.iterdir()) == [out]


def test_an_unknown_layer_is_named_before_any_image_is_read(weights, tmp_path):
    with pytest.raises(
        ReflashError, match="layer 'b3': no such layer; srresnet has first, b1 to b2"
    ):
        run_ablation(weights, tmp_path / "no.png", tmp_path / "no.png", tmp_path, layers=("b3",))
