"""Progressive masking against its definition written out, orders, areas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from reflash.interpretation.inputs import read_rgb, to_batch
from reflash.interpretation.masking import (
    kept_by_step,
    mask_progressively,
    masking_areas,
    masking_orders,
    run_masking,
)
from reflash.interpretation.saliency import channel_saliency, channel_totals
from reflash.interpretation.settings import AnalysisSettings
from reflash.models.weights import load_network


def masked_outputs(network, lr, layer, order):
    """Step by step, as the definition says."""
    features = network.forward_features(lr, (layer,))[1][layer].clone()
    layer_sum, masked_sum = features.abs().sum(), 0.0
    yield network(lr)
    for step, channel in enumerate(order, start=1):
        masked_sum = masked_sum + features[0, channel].abs().sum()
        features[0, channel] = 0
        left = features / ((layer_sum - masked_sum) / layer_sum)
        yield network.forward_from(layer, features if step == len(order) else left, lr)


@pytest.mark.parametrize("layer", ["b2", "last"])
def test_curves_are_those_of_the_definition(srresnet, lr, hr, layer, eight_bit_psnr):
    network = srresnet.double()
    orders = {("natural", 0): np.arange(5), ("random", 3): np.array([3, 0, 4, 1, 2])}
    for linear in (True, False):
        curves = mask_progressively(network, lr, hr, orders, layer, linear)
        assert list(curves) == list(orders)
        for name, order in orders.items():
            expected = [eight_bit_psnr(sr, hr) for sr in masked_outputs(network, lr, layer, order)]
            np.testing.assert_allclose(curves[name], expected, rtol=0, atol=1e-9)


def test_everything_masked_leaves_the_enlarged_input_and_the_bias(srresnet, lr, hr, eight_bit_psnr):
    lr = lr.float()
    curve = mask_progressively(srresnet, lr, hr, {("natural", 0): np.arange(5)})["natural", 0]
    enlarged = torch.nn.functional.interpolate(lr, scale_factor=4, mode="bilinear")
    rest = enlarged + srresnet.conv_last.bias.view(1, 3, 1, 1)
    # Where no other feature is near, the convolution of zeros is its bias, borders included.
    assert curve[-1] == pytest.approx(eight_bit_psnr(rest, hr), abs=2e-3)


def test_step_m_keeps_all_but_the_first_m_of_the_order():
    kept = kept_by_step(np.array([2, 0, 1]))
    assert kept.tolist() == [
        [True, True, True],
        [True, True, False],
        [False, True, False],
        [False, False, False],
    ]


def test_orders():
    saliency = np.array([0.5, 2.0, 0.5, 3.0])
    orders = masking_orders(saliency, 3, seed=1, image="baby")
    assert list(orders) == [("natural", 0), ("saliency", 0), *(("random", d) for d in range(3))]
    assert orders["natural", 0].tolist() == [0, 1, 2, 3]
    assert orders["saliency", 0].tolist() == [3, 1, 0, 2]
    long = [
        masking_orders(np.ones(64), 2, seed, image)["random", draw].tolist()
        for seed, image, draw in [(1, "baby", 0), (1, "baby", 1), (2, "baby", 0), (1, "bird", 0)]
    ]
    assert all(sorted(order) == list(range(64)) for order in long)
    assert len({tuple(order) for order in long}) == 4
    again = masking_orders(np.arange(64.0), 1, seed=1, image="baby")
    assert again["random", 0].tolist() == long[0]


def test_area_is_the_mean_height_over_the_first():
    table = pd.DataFrame(
        {
            "run": "r",
            "image": "i",
            "layer": "last",
            "order": ["natural"] * 3 + ["random"] * 3,
            "draw": [0] * 3 + [1] * 3,
            "masked": [2, 0, 1, 0, 1, 2],
            "psnr": [10.0, 40.0, 20.0, 30.0, 30.0, 30.0],
        }
    )
    areas = masking_areas(table)
    assert list(areas.columns) == ["run", "image", "order", "draw", "area"]
    # Trapezoids: ((40 + 20) / 2 + (20 + 10) / 2) / 2 = 22.5, of 40.
    assert areas["area"].tolist() == [22.5 / 40, 1]


def test_the_most_salient_channel_goes_first_and_hurts(srresnet, lr):
    """One channel makes all the detail: ranked masking loses it at once, reverse order last."""
    lr = lr.float()
    srresnet.conv_last.weight[:, [0, 1, 3, 4]] *= 1e-3
    with torch.no_grad():
        hr = srresnet(lr)[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    saliency = channel_totals(channel_saliency(srresnet, lr)["last"])
    orders = masking_orders(saliency, 0, 0, "x")
    assert orders["saliency", 0][0] == 2
    orders["reverse", 0] = orders["saliency", 0][::-1]
    curves = mask_progressively(srresnet, lr, hr, orders)
    assert curves["saliency", 0][0] == 100
    assert curves["saliency", 0][1] < 25
    area = {name: curve.mean() for (name, _), curve in curves.items()}
    assert area["saliency"] < area["reverse"]


def test_command_writes_curves_and_areas(weights, lr_folders, hr_folder, tmp_path, eight_bit_psnr):
    settings = AnalysisSettings(images=2, crop=10, masking_draws=2, seed=5)
    run_masking(weights, lr_folders["clean"], hr_folder, tmp_path, settings, run="r")
    table = pd.read_csv(tmp_path / "masking.csv")
    columns = ["run", "image", "layer", "order", "draw", "masked", "psnr"]
    assert list(table.columns) == columns
    assert len(table) == 2 * (1 + 1 + 2) * 6
    assert set(table["layer"]) == {"last"}
    starts = table.query("masked == 0").groupby("image")["psnr"].nunique()
    ends = table.query("masked == 5").groupby("image")["psnr"].nunique()
    assert starts.tolist() == ends.tolist() == [1, 1]

    network = load_network(weights)
    lr = to_batch(read_rgb(lr_folders["clean"] / "a.png")[3:13, 5:15], network)
    hr = read_rgb(hr_folder / "a.png")[12:52, 20:60]
    totals = channel_totals(channel_saliency(network, lr)["last"])
    with torch.no_grad():
        outputs = masked_outputs(network, lr, "last", np.argsort(-totals))
        expected = [eight_bit_psnr(sr, hr) for sr in outputs]
    curve = table.query("image == 'a' and order == 'saliency'")
    assert curve["masked"].tolist() == list(range(6))
    np.testing.assert_allclose(curve["psnr"], expected, atol=1e-3)
    areas = pd.read_csv(tmp_path / "masking_area.csv")
    assert len(areas) == 2 * 4
    np.testing.assert_allclose(areas["area"], masking_areas(table)["area"], atol=1e-6)


def test_areas_lie_beside_a_csv_that_is_named(weights, lr_folders, hr_folder, tmp_path):
    pair = lr_folders["clean"] / "a.png", hr_folder / "a.png"
    table = run_masking(weights, *pair, tmp_path / "m.csv", layer="b1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.csv", "m_area.csv"]
    assert set(table["layer"]) == {"b1"}
