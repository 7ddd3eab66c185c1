"""The random decisions of the second-order degradation: their distributions and their keys."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy import stats

from reflash.degradations.kernels import KERNEL_KINDS
from reflash.degradations.resize import RESIZE_MODES
from reflash.degradations.second_order import draw
from reflash.degradations.settings import SecondOrderSettings

COUNT = 4000
SINC, PULSE = KERNEL_KINDS.index("sinc"), KERNEL_KINDS.index("pulse")
ODD = np.arange(7, 22, 2)


@pytest.fixture(scope="module")
def draws():
    """As many draws per group as per image."""
    return draw(SecondOrderSettings(draws="image"), COUNT, (0, "distribution"))


def assert_uniform(values, low, high):
    values = np.asarray(values, float)
    assert low <= values.min()
    assert values.max() <= high
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def assert_share(flags, probability):
    flags = np.asarray(flags)
    assert stats.binomtest(int(flags.sum()), len(flags), probability).pvalue > 1e-3


def assert_shares(values, categories, probabilities):
    observed = [int(sum(value == category for value in values)) for category in categories]
    assert sum(observed) == len(values)
    expected = np.asarray(probabilities) * len(values)
    assert stats.chisquare(observed, expected).pvalue > 1e-3


@pytest.mark.parametrize(("order", "sigma"), [("first", (0.2, 3.0)), ("second", (0.2, 1.5))])
def test_kernels(draws, order, sigma):
    kernel = getattr(draws, order).kernel
    kind, size = kernel.kind.numpy(), kernel.size.numpy()
    assert_shares(kind, range(7), [0.9 * p for p in (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)] + [0.1])
    assert_shares(size, ODD, [1 / 8] * 8)
    gaussian = kind != SINC
    isotropic = gaussian & (kind % 2 == 0)
    anisotropic = gaussian & (kind % 2 == 1)
    assert_uniform(kernel.sigma_x[gaussian], *sigma)
    assert_uniform(kernel.sigma_y[anisotropic], *sigma)
    assert_uniform(kernel.rotation[anisotropic], -np.pi, np.pi)
    assert torch.equal(kernel.sigma_x[isotropic], kernel.sigma_y[isotropic])
    assert not kernel.rotation[isotropic].any()
    assert abs(np.corrcoef(kernel.sigma_x[anisotropic], kernel.sigma_y[anisotropic])[0, 1]) < 0.1

    assert (kernel.beta[kind < 2] == 1).all()
    generalised = kernel.beta[(kind == 2) | (kind == 3)].numpy()
    assert_share(generalised < 1, 0.5)
    assert_uniform(generalised[generalised < 1], 0.5, 1)
    assert_uniform(generalised[generalised >= 1], 1, 4)
    plateau = kernel.beta[(kind == 4) | (kind == 5)].numpy()
    assert_share(plateau == 1, 0.5)
    assert_uniform(plateau[plateau != 1], 1, 2)

    assert_uniform(kernel.cutoff[(kind == SINC) & (size < 13)], np.pi / 3, np.pi)
    assert_uniform(kernel.cutoff[(kind == SINC) & (size >= 13)], np.pi / 5, np.pi)


@pytest.mark.parametrize(
    ("order", "sigma", "scale"), [("first", (1, 30), (0.05, 3)), ("second", (1, 25), (0.05, 2.5))]
)
def test_noise_and_quality_of_an_image(draws, order, sigma, scale):
    image = getattr(draws, order)
    assert_uniform(image.noise_sigma, *sigma)
    assert_uniform(image.poisson_scale, *scale)
    assert_share(image.grey, 0.4)
    assert_uniform(image.quality, 30, 95)


@pytest.mark.parametrize(
    ("order", "blur", "shares", "factors"),
    [
        ("first", 1.0, (0.2, 0.7, 0.1), (0.15, 1.5)),
        ("second", 0.8, (0.3, 0.4, 0.3), (0.3, 1.2)),
    ],
)
def test_what_a_group_shares(draws, order, blur, shares, factors):
    groups = [getattr(group, order) for group in draws.groups]
    assert_share([group.blur for group in groups], blur)
    factor = np.array([group.factor for group in groups])
    assert_shares(np.sign(factor - 1), (1, -1, 0), shares)
    assert_uniform(factor[factor > 1], 1, factors[1])
    assert_uniform(factor[factor < 1], factors[0], 1)
    assert_shares([group.mode for group in groups], RESIZE_MODES, [1 / 3] * 3)
    assert_share([group.noise == "gaussian" for group in groups], 0.5)


def test_the_final_steps(draws):
    kernel = draws.final_kernel
    assert_shares(kernel.kind.numpy(), (SINC, PULSE), (0.8, 0.2))
    assert_shares(kernel.size.numpy(), ODD, [1 / 8] * 8)
    assert_uniform(kernel.cutoff, np.pi / 3, np.pi)
    assert_share([group.jpeg_last for group in draws.groups], 0.5)
    assert_shares([group.final_mode for group in draws.groups], RESIZE_MODES, [1 / 3] * 3)


def test_decisions_are_independent_of_each_other(draws):
    columns = np.stack(
        [
            value.double().numpy()
            for order in (draws.first, draws.second)
            for value in (
                order.kernel.size,
                order.kernel.sigma_x,
                order.noise_sigma,
                order.poisson_scale,
                order.grey,
                order.quality,
            )
        ]
        + [draws.final_kernel.cutoff.numpy()]
        + [[getattr(group, o).factor for group in draws.groups] for o in ("first", "second")]
        + [[group.jpeg_last for group in draws.groups]]
    )
    correlation = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlation).max() < 5 / np.sqrt(COUNT)


def test_a_group_shares_its_draws_and_an_image_may_have_its_own():
    together = draw(SecondOrderSettings(), 20, (0,))
    assert [(g.start, g.stop) for g in together.groups] == [(0, 8), (8, 16), (16, 20)]
    assert len({group.first.factor for group in together.groups}) > 1
    alone = draw(SecondOrderSettings(draws="image"), 20, (0,))
    assert [(g.start, g.stop) for g in alone.groups] == [(i, i + 1) for i in range(20)]
    assert len({group.first.factor for group in alone.groups}) > 10
    assert torch.equal(together.first.quality, alone.first.quality)
    assert together.first.quality.unique().numel() == 20


def same(one, other):
    """Compare two dictionaries of tensors and plain values."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("shared", ["batch", "image"])
def test_a_part_of_a_batch_is_drawn_like_the_whole(shared):
    settings = SecondOrderSettings(draws=shared)
    whole = draw(settings, 20, (3, "key"))
    part = draw(settings, 9, (3, "key"), first_image=5)
    assert part.images == tuple(range(5, 14))
    assert same(asdict(whole[5:14]), asdict(part))
    assert same(asdict(whole), asdict(draw(settings, 20, (3, "key"))))
    assert not same(asdict(whole), asdict(draw(settings, 20, (4, "key"))))


def test_probabilities_and_ranges_come_from_the_settings():
    settings = SecondOrderSettings.model_validate(
        {
            "first": {
                "kernel": {"sinc": 1, "size": (9, 9), "sinc_cutoff_small": (2, 2)},
                "resize_up": 0,
                "resize_down": 0,
                "resize_keep": 1,
                "gaussian": 0,
                "grey": 1,
            },
            "second": {"blur": 0, "gaussian": 1, "grey": 0, "jpeg_quality": (50, 50)},
            "final": {"sinc": 0, "jpeg_last": 1},
        }
    )
    draws = draw(settings, 64, (0,))
    assert set(draws.first.kernel.kind.tolist()) == {SINC}
    assert set(draws.first.kernel.size.tolist()) == {9}
    assert set(draws.first.kernel.cutoff.tolist()) == {2.0}
    assert draws.first.grey.all()
    assert not draws.second.grey.any()
    assert set(draws.second.quality.tolist()) == {50.0}
    assert set(draws.final_kernel.kind.tolist()) == {PULSE}
    for group in draws.groups:
        assert group.first.factor == 1
        assert (group.first.noise, group.second.noise) == ("poisson", "gaussian")
        assert not group.second.blur
        assert group.jpeg_last
