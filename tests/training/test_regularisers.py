"""Regularisers against their definitions, in a step, and a user's own."""

from __future__ import annotations

import ast
import copy
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from toy_run import STRENGTHS, regularised, run_settings

from reflash.cli.app import main
from reflash.core.errors import ReflashError
from reflash.core.fingerprint import PACKAGE, STAGES, modules_of
from reflash.core.keys import key_seed
from reflash.datasets.cache import ImageCache
from reflash.models.build import build_network
from reflash.models.factory import factory_code
from reflash.models.settings import (
    FactorySettings,
    RRDBSettings,
    SRResNetSettings,
    parse_dropout,
)
from reflash.training.optim import learning_rate
from reflash.training.pairs import OnlinePairs
from reflash.training.regulariser import (
    Regulariser,
    act_after,
    act_before,
    open_regulariser,
    open_regularisers,
)
from reflash.training.regularisers import feature_alignment
from reflash.training.regularisers.adaptive_dropout import AdaptiveDropout, annealed
from reflash.training.regularisers.additive_noise import ScaledNoise
from reflash.training.regularisers.cutblur import CutBlur
from reflash.training.regularisers.dropblock import DropBlock
from reflash.training.regularisers.feature_alignment import (
    FeatureAlignment,
    alignment,
    second_view,
)
from reflash.training.regularisers.mixup import Mixup
from reflash.training.regularisers.multiplicative_noise import GaussianFactor
from reflash.training.regularisers.second_view import SecondView
from reflash.training.regularisers.stochastic_depth import SkipBlock, StochasticDepth
from reflash.training.regularisers.weight_decay import WeightDecay
from reflash.training.run import Run
from reflash.training.settings import RegulariserSettings, RunSettings, regulariser_names
from reflash.training.trainer import Interrupted, Options, Trainer, train
from reflash.training.validation import Validation

CPU = torch.device("cpu")

OWN = '''"""Noise on LR: the strength is its standard deviation."""

import torch

from reflash.training.regulariser import Regulariser


class LrNoise(Regulariser):
    acts_on = "pairs"

    def __init__(self, sigma, clip=True):
        self.sigma, self.clip = sigma, clip

    def pairs(self, lr, hr):
        noisy = lr + self.sigma * torch.randn_like(lr)
        return noisy.clamp(0, 1) if self.clip else noisy, hr
'''


def batch(iteration: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(100 + iteration)
    hr = torch.rand(4, 3, 32, 32, generator=draws)
    return F.interpolate(hr, scale_factor=0.25, mode="area") ** 2, hr


def trained(settings: RunSettings, first: int, last: int, state: object = None) -> Run:
    run = Run(settings, CPU)
    if state is not None:
        run.load_state_dict(state)  # type: ignore[arg-type]
    for iteration in range(first, last):
        torch.manual_seed(iteration)  # what was drawn elsewhere does not matter
        torch.rand(iteration)
        run.step(iteration, *batch(iteration))
    return run


def test_every_regulariser_is_tested() -> None:
    assert sorted(STRENGTHS) == regulariser_names()


@pytest.mark.parametrize("name", STRENGTHS)
def test_resuming_changes_no_bit_and_pairs_stay(name: str) -> None:
    settings = regularised(name)
    whole = trained(settings, 0, 4)
    half = trained(settings, 0, 2)
    state = copy.deepcopy(half.state_dict())
    resumed = trained(settings, 2, 4, state)
    plain = trained(run_settings(dropout="none"), 0, 4)
    assert torch.equal(whole.loss, resumed.loss)
    for own, other in zip(whole._weights, resumed._weights, strict=True):
        assert torch.equal(own, other)
    assert any(not torch.equal(a, b) for a, b in zip(whole._weights, plain._weights, strict=True))
    assert whole.is_finite()
    lr, hr = batch(0)
    kept = lr.clone(), hr.clone()
    whole.step(0, lr, hr)
    assert torch.equal(lr, kept[0])
    assert torch.equal(hr, kept[1])


@pytest.mark.parametrize("name", STRENGTHS)
@pytest.mark.parametrize(
    "network",
    [SRResNetSettings(features=8, blocks=3), RRDBSettings(features=8, blocks=2, growth=4)],
)
def test_weights_and_output_are_those_of_a_network_without(
    name: str, network: SRResNetSettings | RRDBSettings
) -> None:
    run = trained(regularised(name, network=network.model_dump()), 0, 1)
    plain = build_network(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    plain.load_state_dict(run.network.state_dict())
    lr = torch.rand(1, 3, 9, 10)
    with torch.no_grad():
        assert torch.equal(run.network.eval()(lr), plain.eval()(lr))
        copied = copy.deepcopy(run.average.module)
        plain.load_state_dict(copied.state_dict())
        assert torch.equal(copied.eval()(lr), plain(lr))


def test_a_run_without_is_described_as_before() -> None:
    """The text that rules, records and resume states hold; another text would train again."""
    values = json.loads(run_settings().model_dump_json())
    assert list(values) == [
        *("id", "network", "dropout", "setting", "seed", "pairs", "degradation", "training"),
        *("sub_image", "step"),
    ]
    assert "regularisers" in json.loads(regularised("mixup").model_dump_json())


def test_the_training_of_others_does_not_depend_on_a_regulariser() -> None:
    modules = modules_of(*STAGES["training"])
    assert "training.regulariser" in modules
    assert not [name for name in modules if name.startswith("training.regularisers.")]


def test_dropout_draws_as_before() -> None:
    """A step with dropout and without regularisers against PyTorch alone."""
    settings = run_settings(dropout="last_conv-channel-p0.5")
    run = trained(settings, 0, 3)
    torch.manual_seed(key_seed(0, "initial weights"))
    network = build_network(settings.network, parse_dropout("last_conv-channel-p0.5"))
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    adam = torch.optim.Adam(network.parameters(), betas=(0.9, 0.99), fused=True)
    for iteration in range(3):
        lr, hr = batch(iteration)
        adam.param_groups[0]["lr"] = learning_rate(iteration, settings.training)
        torch.manual_seed(key_seed(0, "dropout", iteration))
        adam.zero_grad()
        F.l1_loss(network(lr.contiguous(memory_format=torch.channels_last)), hr).backward()
        adam.step()
    for own, other in zip(run._weights, network.parameters(), strict=True):
        assert torch.equal(own, other)


def test_weight_decay_is_that_of_adamw() -> None:
    settings = regularised("weight_decay", 0.1)
    run = trained(settings, 0, 3)
    torch.manual_seed(key_seed(0, "initial weights"))
    network = build_network(settings.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    adam = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.99), weight_decay=0.1)
    for iteration in range(3):
        lr, hr = batch(iteration)
        adam.param_groups[0]["lr"] = learning_rate(iteration, settings.training)
        adam.zero_grad()
        F.l1_loss(network(lr.contiguous(memory_format=torch.channels_last)), hr).backward()
        adam.step()
    for own, other in zip(run._weights, network.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-7)


def test_dropblock_drops_squares_within_the_map_and_keeps_the_mean_scale() -> None:
    x = torch.rand(2, 3, 12, 15) + 1
    torch.manual_seed(3)
    out = DropBlock(0.2, 5).train()(x)
    torch.manual_seed(3)
    drawn = torch.rand(2, 3, 8, 11).numpy()
    kept = np.ones(x.shape)
    for place in np.argwhere(drawn < 0.2 / 25 * 12 * 15 / (8 * 11)):
        image, channel, top, left = place
        kept[image, channel, top : top + 5, left : left + 5] = 0
    assert 0 < kept.mean() < 1
    np.testing.assert_allclose(out.numpy(), x.numpy() * kept / kept.mean(), rtol=1e-5)


def test_dropblock_of_one_pixel_drops_the_share_asked_for() -> None:
    out = DropBlock(0.3, 1).train()(torch.ones(4, 8, 40, 40))
    assert float((out == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(out.mean()) == pytest.approx(1, abs=1e-5)


def test_stochastic_depth_skips_later_blocks_more_often() -> None:
    network = build_network(SRResNetSettings(features=4, blocks=4))
    StochasticDepth(0.8).attach(network)
    skips = [m.p for m in network.modules() if isinstance(m, SkipBlock)]
    assert skips == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_a_skipped_block_returns_its_input_and_a_kept_one_a_larger_residual() -> None:
    skip = SkipBlock(0.5).train()
    before, residual = torch.rand(64, 2, 3, 3), torch.rand(64, 2, 3, 3)
    torch.manual_seed(0)
    out = skip(before + residual, before)
    torch.manual_seed(0)
    for image, drawn in enumerate(torch.rand(64).tolist()):
        expected = before[image] + 2 * residual[image] if drawn >= 0.5 else before[image]
        torch.testing.assert_close(out[image], expected)


def test_noise_has_the_deviation_asked_for() -> None:
    x = torch.full((2, 4, 100, 100), 3.0)
    factor = GaussianFactor(0.5).train()(x) / 3
    assert float(factor.mean()) == pytest.approx(1, abs=0.01)
    assert float(factor.std()) == pytest.approx(0.5, abs=0.01)
    x = torch.randn(2, 4, 100, 100) * torch.tensor([2.0, 7.0]).view(2, 1, 1, 1) + 5
    added = ScaledNoise(0.5).train()(x) - x
    assert added.std((1, 2, 3)).tolist() == pytest.approx([1.0, 3.5], rel=0.02)


def test_cutblur_pastes_one_rectangle() -> None:
    hr = torch.rand(2, 3, 40, 80)
    lr = torch.full((2, 3, 10, 20), 2.0)
    clean = hr.view(2, 3, 10, 4, 20, 4).mean((3, 5))
    ways = set()
    for seed in range(12):
        torch.manual_seed(seed)
        cut, target = CutBlur(1.0, side=0.7, spread=0.0).pairs(lr, hr)
        assert target is hr
        pasted = (cut != 2).all(1)[0]
        torch.testing.assert_close(cut[:, :, pasted], clean[:, :, pasted])
        inside = bool(pasted.sum() == 7 * 14)
        rectangle = pasted if inside else ~pasted
        rows, columns = rectangle.any(1).nonzero(), rectangle.any(0).nonzero()
        assert (len(rows), len(columns), int(rectangle.sum())) == (7, 14, 7 * 14)
        assert int(rows[-1] - rows[0]) == 6
        ways.add(inside)
    assert ways == {True, False}
    torch.manual_seed(0)
    never = sum(torch.equal(CutBlur(0.5).pairs(lr, hr)[0], lr) for _ in range(100))
    assert 35 < never < 65


def test_cutblur_without_upsampling_is_that_of_its_authors() -> None:
    clean, noisy = torch.rand(2, 1, 3, 20, 20)
    cut, _ = CutBlur(1.0).pairs(noisy, clean)
    assert bool(((cut == clean) | (cut == noisy)).all())
    assert not torch.equal(cut, clean)


def test_mixup_blends_lr_and_hr_alike() -> None:
    lr, hr = batch(0)
    torch.manual_seed(1)
    mixed, target = Mixup(0.4).pairs(lr, hr)
    torch.manual_seed(1)
    share = float(torch.distributions.Beta(torch.tensor(0.4), torch.tensor(0.4)).sample())
    order = torch.rand(4).argsort()
    torch.testing.assert_close(mixed, share * lr + (1 - share) * lr[order])
    torch.testing.assert_close(target, share * hr + (1 - share) * hr[order])
    assert sorted(order.tolist()) == [0, 1, 2, 3]


def test_adaptive_dropout_ends_layer_by_layer() -> None:
    """Theirs: every 20,000th iteration, counted from 1, in 17 layers."""
    theirs, expected = [0.3] * 17, []
    for current in range(1, 500_001):
        if current % 20_000 == 0 and current <= 20_000 * 17:
            theirs[current // 20_000 - 1] = 1.0
        expected.append(theirs.count(1.0))
    assert [annealed(iteration, 500_000, 17) for iteration in range(500_000)] == expected
    for iterations, layers in [(6000, 17), (300, 5), (450, 4)]:
        over = [annealed(iteration, iterations, layers) for iteration in range(iterations)]
        assert (over[0], over[-1]) == (0, layers)
        assert over.index(layers) + 1 == -(-iterations * 17 // 25)
    network = build_network(SRResNetSettings(features=4, blocks=2))
    adaptive = AdaptiveDropout(0.3, period=10)
    adaptive.attach(network)
    for iteration, expected_a in [(19, [1, 1, 0.3]), (15, [1, 0.3, 0.3]), (8, [0.3] * 3)]:
        adaptive.begin(iteration, 100)
        torch.testing.assert_close(adaptive.a, torch.tensor(expected_a))
    read: dict[str, Tensor] = {}
    network.conv_last.register_forward_hook(lambda _, inputs, __: read.update(last=inputs[0]))
    lr = torch.rand(8, 3, 6, 6)
    network.train()
    torch.manual_seed(5)
    whole = adaptive_free(network, lr)
    torch.manual_seed(5)
    network(lr)
    # A channel that is dropped keeps 0.3 of itself, the others are 0.3 + 0.7 x 2 of it.
    ratio = (read["last"] / whole)[whole.abs() > 1e-6]
    assert sorted({round(float(r), 3) for r in ratio.detach().flatten()}) == [0.3, 1.7]


def adaptive_free(network: nn.Module, lr: Tensor) -> Tensor:
    """What the last convolution would read if nothing were blended in before it."""
    last = network.conv_last
    hooks, last._forward_pre_hooks = last._forward_pre_hooks, type(last._forward_pre_hooks)()  # type: ignore[union-attr]
    read: list[Tensor] = []
    handle = last.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))  # type: ignore[union-attr]
    network(lr)
    handle.remove()
    last._forward_pre_hooks = hooks  # type: ignore[union-attr]
    return read[0].detach()


def alignment_by_loops(first: Tensor, second: Tensor) -> float:
    """The term as published code has it: image by image, linear and of random Fourier features."""
    frequencies, phases = torch.randn(len(first), 1), torch.rand(first.shape[:2])
    views = [f.double().mean((2, 3)).numpy() for f in (first, second)]
    centred = [view - view.mean(0) for view in views]
    total = 0.0
    for image in range(len(first)):
        vectors = [view[image] for view in centred]
        fourier = []
        for vector in vectors:
            m = vector * float(frequencies[image]) + 2 * np.pi * phases[image].numpy()
            m = (m - m.min()) / (m.max() - m.min()) * np.pi / 2
            fourier.append(np.sqrt(2) * (np.cos(m) + np.sin(m)))
        for x, y in (vectors, fourier):
            total += ((x - y) ** 2).mean() + ((np.outer(x, x) - np.outer(y, y)) ** 2).mean()
    return 8 * total / len(first)  # their batch


def test_alignment_compares_statistics_image_by_image() -> None:
    first, second = 3 * torch.rand(2, 4, 3, 5, 6)
    torch.manual_seed(7)
    expected = alignment_by_loops(first, second)
    torch.manual_seed(7)
    assert float(alignment(first, second)) == pytest.approx(expected, rel=1e-5)
    assert float(alignment(first, first)) == 0
    assert float(alignment(first[:1], second[:1])) == 0


def test_alignment_adds_the_loss_of_a_second_view_and_the_distance_of_both() -> None:
    network = build_network(SRResNetSettings(features=4, blocks=1)).train()
    term = FeatureAlignment(2.0)
    term.attach(network)
    lr, hr = batch(0)
    network(lr)
    torch.manual_seed(2)
    penalty = term.penalty(network, lr, hr)
    torch.manual_seed(2)
    view = second_view(lr, hr)
    features = [network.eval().forward_features(x, ("last",))[1]["last"] for x in (lr, view)]
    assert view.shape == lr.shape
    aligned = alignment(*features)
    assert float(aligned.detach()) > 0
    torch.testing.assert_close(penalty, F.l1_loss(network(view), hr) + 2 * 2 * aligned)
    penalty.backward()
    assert network.conv_first.weight.grad is not None
    assert float(network.conv_first.weight.grad.abs().sum()) > 0


def test_a_second_view_alone_is_feature_alignment_without_its_term() -> None:
    lr, hr = batch(0)
    network = build_network(SRResNetSettings(features=4, blocks=1)).train()
    penalties = []
    for regulariser in (FeatureAlignment(1e-30), SecondView(1.0), SecondView(0.5)):
        regulariser.attach(network)
        network(lr)
        torch.manual_seed(3)
        penalties.append(regulariser.penalty(network, lr, hr).item())
    assert penalties[0] == penalties[1] == 2 * penalties[2] > 0


def test_a_second_view_is_a_noisy_version_of_the_target() -> None:
    torch.manual_seed(0)
    flat = torch.full((64, 3, 48, 48), 0.5)
    view = second_view(torch.empty(64, 3, 12, 12), flat)
    assert float(view.mean()) == pytest.approx(0.5, abs=0.005)
    sigmas = 255 * view.std((1, 2, 3))
    assert 0.5 < float(sigmas.min()) < 6
    assert 24 < float(sigmas.max()) < 32


def test_a_second_view_is_blurred_by_a_gaussian(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against scipy's, every image by its own."""
    monkeypatch.setattr(feature_alignment, "NOISE", (0.0, 0.0))
    hr = torch.rand(3, 3, 48, 40)
    torch.manual_seed(0)
    sigmas = 0.2 + torch.rand(2, 3)[0] * 2.8
    torch.manual_seed(0)
    view = second_view(torch.empty(3, 3, 12, 10), hr)
    for image, sigma in enumerate(sigmas.tolist()):
        blurred = gaussian_filter(hr[image].numpy(), (0, sigma, sigma), mode="mirror", radius=10)
        small = blurred.reshape(3, 12, 4, 10, 4).mean((2, 4))
        np.testing.assert_allclose(view[image].numpy(), small, atol=1e-5)


def test_a_users_own_takes_part(tmp_path: Path) -> None:
    """A file of some lines, by the door that ours take; its content is in the run's settings."""
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    assert len(OWN.splitlines()) <= 20
    one = {"name": "lr_noise", "strength": 0.2, "factory": f"{file}:LrNoise"}
    settings = run_settings(dropout="none", regularisers=[{**one, "arguments": {"clip": False}}])
    run = trained(settings, 0, 2)
    again = trained(settings, 1, 2, copy.deepcopy(trained(settings, 0, 1).state_dict()))
    assert torch.equal(run._weights[0], again._weights[0])
    clipped = trained(run_settings(dropout="none", regularisers=[one]), 0, 2)
    assert not torch.equal(run._weights[0], clipped._weights[0])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def build(strength):\n    return 3\n", "returns int, not a"),
        ("def build(strength):\n    raise KeyError('x')\n", "fails with KeyError"),
        ("build = lambda: 3\n", "fails with TypeError"),
        ("", "has no function 'build'"),
    ],
)
def test_a_factory_that_does_not_work_is_named(tmp_path: Path, code: str, says: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(code)
    one = RegulariserSettings(name="mine", strength=1.0, factory=f"{file}:build")
    with pytest.raises(ReflashError, match=says):
        open_regulariser(one)


def test_what_it_acts_on_must_be_said_and_done(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    head = "from reflash.training.regulariser import Regulariser\n\n\nclass Mine(Regulariser):\n"
    one = RegulariserSettings(name="mine", strength=1.0, factory=f"{file}:Mine")
    for body, says in [
        ("    def __init__(self, s): pass\n", "acts_on is 'nothing'; say one of features, pairs"),
        ("    acts_on = 'pairs'\n    def __init__(self, s): pass\n", "has no method pairs"),
    ]:
        file.write_text(head + body)
        with pytest.raises(ReflashError, match=says):
            open_regulariser(one)


@pytest.mark.parametrize("name", ["dropblock", "stochastic_depth", "adaptive_dropout"])
def test_a_strength_out_of_range_is_refused(name: str) -> None:
    one = regularised(name, 1.0).regularisers[0]
    with pytest.raises(ReflashError, match=rf"regulariser {name}-1: .* above 0 and below 1"):
        open_regulariser(one)


@pytest.mark.parametrize("name", ["feature_alignment", "second_view"])
@pytest.mark.parametrize("setting", ["single", "denoise"])
def test_what_is_for_one_setting_is_refused_in_others(name: str, setting: str) -> None:
    """Their second view has blur and noise, whatever the pairs have."""
    kinds = {"single": ["clean"], "denoise": ["gaussian15"]}[setting]
    training = run_settings().training.model_dump() | {"validation": {"kinds": kinds}}
    network = {**run_settings().network.model_dump(), "scale": 1 if setting == "denoise" else 4}
    settings = regularised(name, setting=setting, training=training, network=network)
    with pytest.raises(ReflashError, match=f"{name}-.*: is for setting multi, not {setting}"):
        open_regularisers(settings)


@pytest.mark.parametrize("name", ["feature_alignment", "mixup"])
def test_what_compares_images_needs_two(name: str) -> None:
    training = run_settings().training.model_dump()
    open_regularisers(regularised(name, training=training | {"batch": 2}))
    with pytest.raises(
        ReflashError, match=rf"{name}-.*: needs training\.batch of 2 or more, not 1"
    ):
        open_regularisers(regularised(name, training=training | {"batch": 1}))


def test_the_last_convolution_is_what_the_networks_settings_say(tmp_path: Path) -> None:
    """Of dropout and of other regularisers."""
    file = tmp_path / "net.py"
    file.write_text(
        "from torch import nn\n\n\ndef build():\n"
        "    net = nn.Sequential()\n"
        "    net.add_module('head', nn.Conv2d(3, 3, 3))\n"
        "    net.add_module('aux', nn.Conv2d(3, 3, 3))\n"
        "    return net\n"
    )
    for last in ("head", None):
        settings = FactorySettings(factory=f"{file}:build", last_conv=last)
        network = build_network(settings, parse_dropout("last_conv-channel-p0.5"))
        open_regulariser(regularised("dropblock").regularisers[0]).attach(network)
        held = {name for name, module in network.named_children() if len(list(module.children()))}
        assert held == {last or "aux"}
        assert len(list(network.get_submodule(last or "aux").children())) == 2


def test_a_control_is_trained_again_when_its_view_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The view is made in the file of what it controls."""
    package = tmp_path / "src/reflash"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))

    def codes() -> list[str]:
        names = ("feature_alignment", "second_view", "mixup")
        code = (
            "from reflash.models.factory import factory_code\n"
            f"for name in {names}:\n"
            "    print(factory_code(f'reflash.training.regularisers.{name}:build'))"
        )
        command = [sys.executable, "-c", code]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    before = codes()
    file = package / "training/regularisers/feature_alignment.py"
    file.write_text(
        file.read_text().replace("BLUR, NOISE = (0.2, 3.0)", "BLUR, NOISE = (0.2, 2.0)")
    )
    assert [a == b for a, b in zip(before, codes(), strict=True)] == [False, False, True]


def test_the_cost_of_every_regulariser_is_measured() -> None:
    path = Path(__file__).parents[2] / "benchmarks/bench_cost.py"
    (listed,) = re.findall(r"^REGULARISERS = (\(.*?^\))", path.read_text(), re.M | re.S)
    names = [one.rpartition("-")[0] for one in ast.literal_eval(listed)]
    assert names == regulariser_names()


class Times(nn.Module):
    """A layer behind another: its output times its input times a factor."""

    factor = 1.0

    def forward(self, output: Tensor, given: Tensor) -> Tensor:
        return self.factor * output * given


def test_layers_act_in_order_and_follow_a_copy() -> None:
    module = nn.Identity()
    act_before(module, nn.Hardtanh(-1, 1))
    act_before(module, nn.Threshold(0.5, 0.0))
    act_after(module, Times())
    copied = copy.deepcopy(module)
    copied.regulariser2.factor = 10.0  # type: ignore[union-attr,assignment]
    x = torch.tensor([[2.0], [0.3]])
    assert copied(x).flatten().tolist() == [10.0, 0.0]
    assert module(x).flatten().tolist() == [1.0, 0.0]


MISTAKES = {
    "pairs-lr": ("pairs", "return lr", "returns (4, 3, 8, 8) torch.float32"),
    "pairs-none": ("pairs", "pass", "returns NoneType"),
    "pairs-three": ("pairs", "return lr, hr, hr", "and (4, 3, 32, 32) torch.float32 and"),
    "pairs-array": ("pairs", "return lr.numpy(), hr.numpy()", "returns ndarray and ndarray"),
    "pairs-double": ("pairs", "return lr.double(), hr.double()", "torch.float64"),
    "pairs-pixel": ("pairs", "return lr, hr[..., :1, :1]", "and (4, 3, 1, 1) torch.float32"),
    "pairs-flat": ("pairs", "return lr[..., 0], hr[..., 0]", "returns (4, 3, 8) torch.float32"),
    "pairs-fewer": ("pairs", "return lr[:2], hr[:1]", "returns (2, 3, 8, 8) torch.float32 and (1"),
    "pairs-raises": ("pairs", "raise KeyError('boo')", "('boo') in {file}, line 16; correct it"),
    "penalty-vector": ("penalty", "return network(lr).mean((1, 2, 3))", "not (4,) torch"),
    "penalty-none": ("penalty", "pass", "not NoneType"),
    "penalty-number": ("penalty", "return 0.5", "not float"),
    "decay-graph": ("decay", "weights[0].mul_(2)", "decay fails with RuntimeError"),
    "attach-none": ("attach", "before_last_conv(network, None)", "None is no torch.nn.Module"),
    "attach-conv": (
        "attach",
        "before_last_conv(network, nn.Conv2d(8, 8, 1))",
        "Conv2d has weights",
    ),
    "attach-size": (
        "attach",
        "before_last_conv(network, nn.AvgPool2d(2))",
        "AvgPool2d must return",
    ),
    "attach-typo": ("attach", "network.convlast", "attach fails with AttributeError"),
    "begin-raises": ("begin", "1 / 0", "begin fails with ZeroDivisionError (division by zero) in"),
}
"""What a method does instead of its work, and what is said of it."""

ARGUMENTS = {
    "pairs": "lr, hr",
    "penalty": "network, lr, hr",
    "decay": "weights, rate",
    "attach": "network",
    "begin": "iteration, iterations",
}


def mistaken(file: Path, method: str, body: str) -> RunSettings:
    acts_on = {"attach": "features", "penalty": "loss", "decay": "optimiser"}.get(method, "pairs")
    more = "" if method != "begin" else "\n    def pairs(self, lr, hr):\n        return lr, hr\n"
    file.write_text(
        "import math\n\nimport torch\nfrom torch import nn\n\n"
        "from reflash.training.regulariser import Regulariser, before_last_conv\n\n\n"
        f"class Mine(Regulariser):\n    acts_on = {acts_on!r}\n\n"
        f"    def __init__(self, strength):\n        pass\n{more}\n"
        f"    def {method}(self, {ARGUMENTS[method]}):\n        {body}\n"
    )
    one = {"name": "mine", "strength": 0.5, "factory": f"{file}:Mine"}
    return run_settings(id="srresnet/multi/mine-0.5/seed0", dropout="none", regularisers=[one])


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_does_not_do_its_work_is_named(mistake: str, tmp_path: Path) -> None:
    method, body, says = MISTAKES[mistake]
    file = tmp_path / "mine.py"
    settings = mistaken(file, method, body)
    with pytest.raises(ReflashError) as raised:
        Run(settings, CPU).step(0, *batch(0))
    assert str(raised.value).startswith("regulariser mine-0.5: ")
    assert says.format(file=file) in str(raised.value)


def test_pairs_changed_in_place_are_a_runs_own(tmp_path: Path) -> None:
    settings = mistaken(tmp_path / "mine.py", "pairs", "lr += 1\n        return lr, hr")
    lr, hr = batch(0)
    kept = lr.clone()
    Run(settings, CPU).step(0, lr, hr)
    assert torch.equal(lr, kept)


def test_two_terms_of_a_loss_are_refused() -> None:
    one = {"strength": 1.0, "factory": "reflash.training.regularisers.feature_alignment:build"}
    names = ("first", "second")
    settings = run_settings(dropout="none", regularisers=[{**one, "name": n} for n in names])
    with pytest.raises(ReflashError, match="two regularisers act on the loss; join them in one"):
        Run(settings, CPU)


def test_a_term_that_is_no_number_is_seen(tmp_path: Path) -> None:
    """Also where no gradient of it reaches a weight."""
    settings = mistaken(tmp_path / "mine.py", "penalty", "return torch.tensor(math.nan)")
    run = Run(settings, CPU)
    run.step(0, *batch(0))
    assert not run.is_finite()
    settings = mistaken(tmp_path / "mine.py", "penalty", "return torch.zeros(())")
    run = Run(settings, CPU)
    run.step(0, *batch(0))  # such as while another term warms up
    assert run.is_finite()


FAILURES = {
    "attach": ("attach", "1 / 0"),
    "first step": ("pairs", "1 / 0"),
    "later": ("begin", "1 / (5 - iteration)"),
    "backward": ("attach", "before_last_conv(network, InPlace())"),
    "validation": ("attach", "before_last_conv(network, InTraining())"),
}
LAYERS = """

class InPlace(nn.Module):
    def forward(self, x):
        y = x.exp()
        z = y.log()
        y *= 2
        return z


class InTraining(nn.Module):
    def forward(self, x):
        return x if self.training else x[:, :1]
"""


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("first", [True, False])
def test_a_run_that_fails_does_not_stop_those_beside_it(
    tmp_path: Path,
    cache: ImageCache,
    image_folder: Path,
    capsys: pytest.CaptureFixture[str],
    failure: str,
    first: bool,
) -> None:
    """They are stopped, go on and end as if they had been alone; the failure is told each time."""

    def trainer(settings: RunSettings, name: str) -> Trainer:
        return Trainer(
            settings, Validation(settings.training.validation, image_folder), tmp_path / name
        )

    good = run_settings(id="good")
    train([trainer(good, "alone")], OnlinePairs(good, cache, CPU), CPU)
    alone = (tmp_path / "alone/params.safetensors").read_bytes()
    file = tmp_path / "mine.py"
    bad = mistaken(file, *FAILURES[failure])
    file.write_text(file.read_text() + LAYERS)
    words = "srresnet/multi/mine-0.5/seed0: .*regulariser mine-0.5"

    def both() -> list[Trainer]:
        pair = [trainer(bad, "bad"), trainer(good, "good")]
        return pair if first else pair[::-1]

    capsys.readouterr()
    seconds = iter(range(100))
    options = Options(time_budget=6.5, clock=lambda: float(next(seconds)))
    with pytest.raises(Interrupted, match=f"(?s)good: stopped.*failed: {words}"):
        train(both(), OnlinePairs(good, cache, CPU), CPU, options)
    assert re.search(f"warning: {words}", " ".join(capsys.readouterr().err.split()))
    with pytest.raises(ReflashError, match=words):
        train(both(), OnlinePairs(good, cache, CPU), CPU)
    assert (tmp_path / "good/params.safetensors").read_bytes() == alone
    assert not (tmp_path / "bad/params.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "strength", "arguments", "says"),
    [
        ("mixup", 0.001, {}, "a of Beta.* must not lie below 0.01"),
        ("dropblock", 0.1, {"size": 0}, "size must be a whole number above 0, not 0"),
        ("dropblock", 0.1, {"size": 2.5}, "size must be a whole number above 0, not 2.5"),
        ("adaptive_dropout", 0.3, {"period": -5}, "period must be a whole number above 0"),
        ("cutblur", 0.5, {"side": -1}, "side must lie above 0 and below 1"),
        ("cutblur", 0.5, {"side": math.nan}, "side must lie above 0 and below 1"),
        ("cutblur", 0.5, {"spread": "x"}, "spread must be 0 or more"),
        ("cutblur", 0.5, {"spread": -0.1}, "spread must be 0 or more"),
    ],
)
def test_arguments_of_ours_are_checked(
    name: str, strength: float, arguments: dict[str, Any], says: str
) -> None:
    one = regularised(name, strength).regularisers[0].model_copy(update={"arguments": arguments})
    with pytest.raises(ReflashError, match=f"regulariser {name}-{strength:g}: {says}"):
        open_regulariser(one)


def test_a_file_that_ends_the_program_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import sys\n\nsys.exit(0)\n")
    one = RegulariserSettings(name="mine", strength=1.0, factory=f"{file}:build")
    with pytest.raises(ReflashError, match="fails with SystemExit"):
        open_regulariser(one)


def test_the_base_changes_nothing() -> None:
    lr, hr = batch(0)
    base = Regulariser()
    assert base.pairs(lr, hr) == (lr, hr)
    assert float(base.penalty(nn.Identity(), lr, hr)) == 0
    weight = torch.ones(2)
    base.decay([weight], 0.1)
    assert weight.tolist() == [1, 1]


def test_weight_decay_shrinks_by_the_rate_of_the_step() -> None:
    weight, unused = torch.full((2,), 2.0), torch.ones(3)
    weight.grad = torch.ones(2)
    WeightDecay(0.5).decay([weight, unused], torch.tensor(0.1))
    assert torch.equal(unused, torch.ones(3))
    torch.testing.assert_close(weight, torch.full((2,), 1.9))


def test_a_batch_may_always_be_cut_but_not_more_than_always() -> None:
    assert CutBlur(1).p == 1
    with pytest.raises(ReflashError, match="the probability must lie above 0 and not above 1"):
        CutBlur(1.1)


def test_statistics_are_aligned_in_float32_whatever_the_network_runs_in() -> None:
    lr, hr = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 32, 32)
    features = [10 + torch.rand(2, 4, 8, 8) for _ in range(2)]
    term, seen, terms = FeatureAlignment(0.1), [], []

    def network(view: Tensor) -> Tensor:
        seen.append(view)
        term.tap.features = features[1]
        return hr

    for enabled in (False, True):
        term.tap.features = features[0]
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            penalty = term.penalty(network, lr, hr)  # type: ignore[arg-type]
        terms.append(penalty)
    assert torch.equal(*seen)
    assert torch.equal(*terms)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):  # what would differ, were it left on
        assert not torch.equal(second_view(lr, hr).float(), seen[0])


def test_a_file_that_changed_since_the_run_was_described_is_refused(
    tmp_path: Path, cache: ImageCache, image_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between a stop and going on, and after the end; comments do not count."""
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    one = {"name": "lr_noise", "strength": 0.2, "factory": f"{file}:LrNoise"}
    one["code"] = factory_code(str(one["factory"]))
    settings = run_settings(
        dropout="none",
        regularisers=[one],
        pairs=run_settings().pairs.model_dump() | {"synthesis": "online"},
    )
    config = settings.model_dump_json()

    def train(*options: str) -> int:
        words = ["train", "--config", config, "--images", str(cache.folder), "--out"]
        words += [str(tmp_path / "run"), "--validation", str(image_folder), "--device", "cpu"]
        with pytest.raises(SystemExit) as ended:
            main([*words, *options])
        return int(ended.value.code or 0)

    assert train("--time-budget", "0") == 75
    file.write_text(OWN.replace("self.sigma *", "2 * self.sigma *"))
    assert train() == 1
    words = (
        f"{file} has changed since srresnet/multi/last_conv-channel-p0.5/seed0 was described; make"
    )
    assert words in " ".join(capsys.readouterr().err.split())
    file.write_text(OWN + "# a remark\n")
    assert train() == 0
