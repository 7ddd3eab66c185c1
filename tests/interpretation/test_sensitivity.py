"""Dropping features at test time: which features, what it costs, the classifier."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from reflash.core.errors import ReflashError
from reflash.interpretation.digits import NAME, load_digits, train_classifier
from reflash.interpretation.inputs import read_rgb, to_batch
from reflash.interpretation.sensitivity import (
    accuracy_when_dropping,
    drop_features,
    psnr_when_dropping,
    run_sensitivity,
)
from reflash.interpretation.settings import AnalysisSettings
from reflash.models.weights import load_network

RATIOS = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module")
def digits():
    return load_digits(0)


@pytest.fixture(scope="module")
def classifier(digits):
    return train_classifier(digits[0], 0)


def test_whole_channels_are_dropped_in_an_exact_share():
    features = torch.rand(3, 20, 4, 5) + 1
    previous = torch.zeros(3, 20, dtype=torch.bool)
    for ratio in (0, 0.05, 0.3, 0.7, 1):
        left = drop_features(features, ratio, "channel", (0, "x"), rescale=False)
        gone = (left == 0).all((2, 3))
        assert gone.sum(1).tolist() == [round(20 * ratio)] * 3
        assert torch.equal(left, features * ~gone[:, :, None, None])
        assert (gone | ~previous).all()  # what was dropped at a smaller ratio still is
        previous = gone
    half = drop_features(features, 0.5, "channel", (0, "x"), rescale=False)
    choices = {tuple(row) for row in (half == 0).all((2, 3)).tolist()}
    assert len(choices) == 3  # each image its own


def test_elements_are_dropped_independently():
    features = torch.ones(2, 10, 50, 60)
    left = drop_features(features, 0.3, "element", (0, "x"), rescale=False)
    assert set(left.unique().tolist()) == {0, 1}
    # 60,000 draws: a standard deviation of 0.0019.
    assert (left == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)
    per_channel = (left == 0).double().mean((2, 3))
    assert per_channel.min() > 0.25
    assert per_channel.max() < 0.35
    assert torch.equal(drop_features(features, 0, "element", (1,), rescale=True), features)
    assert not drop_features(features, 1, "element", (1,), rescale=True).any()


@pytest.mark.parametrize("dimension", ["channel", "element"])
def test_rescaling_keeps_the_mean(dimension):
    features = torch.ones(1, 200, 20, 20)
    left = drop_features(features, 0.6, dimension, (0,), rescale=True)
    assert left.max().item() == pytest.approx(2.5)
    assert left.mean().item() == pytest.approx(1, abs=0.03)


def test_the_choice_depends_on_the_key_alone():
    features = torch.rand(1, 64, 3, 3)
    first = drop_features(features, 0.5, "channel", (0, "drop", "baby", 1), rescale=False)
    torch.rand(10)
    again = drop_features(features, 0.5, "channel", (0, "drop", "baby", 1), rescale=False)
    other = drop_features(features, 0.5, "channel", (0, "drop", "baby", 2), rescale=False)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_psnr_falls_steadily_on_a_network_of_equal_channels(srresnet):
    """Every channel adds the same brightness, so each one dropped costs as much as the last."""
    with torch.no_grad():
        srresnet.conv_hr.weight.zero_()
        srresnet.conv_hr.bias.fill_(1.0)
        srresnet.conv_last.weight.zero_()
        srresnet.conv_last.weight[:, :, 1, 1] = 25 / 255
        srresnet.conv_last.bias.zero_()
    lr = torch.zeros(1, 3, 6, 5)
    hr = np.full((24, 20, 3), 125, np.uint8)
    settings = AnalysisSettings(ratios=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0), sensitivity_draws=2)
    rows = psnr_when_dropping(srresnet, [("x", lr, hr)], settings)
    lost = [0, 25, 50, 75, 100, 125]
    expected = [100 if e == 0 else 20 * np.log10(255 / e) for e in lost for _ in range(2)]
    assert [(ratio, draw) for ratio, draw, _ in rows] == [
        (ratio, draw) for ratio in settings.ratios for draw in range(2)
    ]
    assert [value for *_, value in rows] == pytest.approx(expected)
    rescaled = psnr_when_dropping(
        srresnet, [("x", lr, hr)], settings.model_copy(update={"sensitivity_rescale": True})
    )
    assert all(value == 100 for ratio, _, value in rescaled if ratio < 1)


@pytest.mark.parametrize("layer", ["b1", "last"])
@pytest.mark.parametrize("dimension", ["channel", "element"])
@pytest.mark.parametrize("rescale", [False, True])
def test_psnr_is_that_of_the_dropped_features(
    srresnet, lr, hr, layer, dimension, rescale, eight_bit_psnr
):
    network = srresnet.double()
    settings = AnalysisSettings(
        ratios=(0.5, 0.0, 0.8, 1.0),
        seed=3,
        sensitivity_draws=2,
        sensitivity_layer=layer,
        sensitivity_dimension=dimension,
        sensitivity_rescale=rescale,
    )
    rows = psnr_when_dropping(network, [("x", lr, hr)], settings)
    features = network.forward_features(lr, (layer,))[1][layer]
    for ratio, draw, value in rows:
        left = drop_features(features, ratio, dimension, (3, "drop", "x", draw), rescale)
        plain = eight_bit_psnr(network.forward_from(layer, left, lr), hr)
        assert value == pytest.approx(plain, abs=1e-9)
    assert len({value for *_, value in rows}) > 4


def test_digits_are_divided_by_the_seed(digits):
    train, test = digits
    assert train.images.shape == (1198, 1, 8, 8)
    assert test.images.shape == (599, 1, 8, 8)
    assert train.images.min() == 0
    assert train.images.max() == 1
    assert set(test.labels.tolist()) == set(range(10))
    images = torch.cat([train.images, test.images]).flatten(1).sum(1).sort().values
    other = torch.cat([part.images for part in load_digits(1)]).flatten(1).sum(1).sort().values
    assert torch.equal(images, other)
    assert not torch.equal(test.labels, load_digits(1)[1].labels)


def test_the_classifier_is_good_seeded_and_leaves_the_random_state_alone(classifier, digits):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    again = train_classifier(digits[0], 0)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    assert torch.equal(state, torch.get_rng_state())
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    with torch.no_grad():
        right = (classifier(digits[1].images).argmax(1) == digits[1].labels).double().mean()
    assert right > 0.95


def test_accuracy_falls_from_undropped_to_chance(classifier, digits):
    settings = AnalysisSettings(ratios=RATIOS, sensitivity_draws=3)
    rows = accuracy_when_dropping(classifier, digits[1], settings)
    table = pd.DataFrame(rows, columns=["ratio", "draw", "value"])
    means = table.groupby("ratio")["value"].mean()
    assert means[0.0] > 0.95
    assert means.is_monotonic_decreasing
    assert means[1.0] < 0.2
    assert table.query("ratio == 0.75")["value"].nunique() > 1


@pytest.mark.parametrize("dimension", ["channel", "element"])
def test_command_writes_both_tasks(weights, lr_folders, hr_folder, tmp_path, dimension):
    settings = AnalysisSettings(
        images=2, crop=8, ratios=(0.0, 0.5), sensitivity_draws=2, sensitivity_dimension=dimension
    )
    run_sensitivity(weights, lr_folders["blur"], hr_folder, tmp_path, settings, run="x/y")
    table = pd.read_csv(tmp_path / "sensitivity.csv")
    assert list(table.columns) == ["task", "model", "ratio", "draw", "metric", "value"]
    assert table[["task", "model", "metric"]].drop_duplicates().to_numpy().tolist() == [
        ["sr", "x/y", "psnr"],
        ["classification", NAME, "accuracy"],
    ]
    assert len(table) == 2 * 2 * 2
    network, undropped = load_network(weights), []
    for name, rows, columns in (("a", (4, 12), (6, 14)), ("b", (4, 12), (6, 14))):
        image = read_rgb(lr_folders["blur"] / f"{name}.png")[slice(*rows), slice(*columns)]
        with torch.no_grad():
            sr = network(to_batch(image, network))[0].clamp(0, 1).mul(255).round()
        hr = read_rgb(hr_folder / f"{name}.png")[
            4 * rows[0] : 4 * rows[1], 4 * columns[0] : 4 * columns[1]
        ]
        error = np.mean((sr.permute(1, 2, 0).numpy().astype(float) - hr) ** 2)
        undropped.append(10 * np.log10(255**2 / error))
    zero = table.query("task == 'sr' and ratio == 0")["value"]
    assert zero.tolist() == pytest.approx([np.mean(undropped)] * 2, abs=1e-5)
    assert table.query("task == 'classification' and ratio == 0")["value"].min() > 0.95


def test_a_layer_that_the_network_lacks_is_named(weights, lr_folders, hr_folder, tmp_path):
    settings = AnalysisSettings(sensitivity_layer="b16")
    with pytest.raises(ReflashError, match="layer 'b16'"):
        run_sensitivity(weights, lr_folders["blur"], hr_folder, tmp_path, settings)
    assert list(tmp_path.iterdir()) == []
