"""The random decisions of the second-order degradation: their distributions and their keys."""

import numpy as np
import pytest
import torch
from scipy import stats

from reflash.degradations.draws import COLUMNS, draw, draw_many
from reflash.degradations.kernels import KERNEL_KINDS
from reflash.degradations.resize import RESIZE_MODES
from reflash.degradations.settings import SecondOrderSettings

COUNT = 4000
SINC, PULSE = KERNEL_KINDS.index("sinc"), KERNEL_KINDS.index("pulse")
MODES = range(len(RESIZE_MODES))
ODD = np.arange(7, 22, 2)


@pytest.fixture(scope="module")
def draws():
    """As many groups as images."""
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
def test_kernels(order, sigma):
    settings = SecondOrderSettings.model_validate({"draws": "image", "second": {"blur": 1}})
    kernel = draw(settings, COUNT, (0, "distribution")).kernel(order)
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
    assert_uniform(draws[f"{order}_noise_sigma"], *sigma)
    assert_uniform(draws[f"{order}_poisson_scale"], *scale)
    assert_share(draws[f"{order}_grey"], 0.4)
    assert_uniform(draws[f"{order}_quality"], 30, 95)


@pytest.mark.parametrize(
    ("order", "blur", "shares", "factors"),
    [
        ("first", 1.0, (0.2, 0.7, 0.1), (0.15, 1.5)),
        ("second", 0.8, (0.3, 0.4, 0.3), (0.3, 1.2)),
    ],
)
def test_what_a_group_shares(draws, order, blur, shares, factors):
    assert_share(draws[f"{order}_kernel_kind"] != PULSE, blur)
    factor = draws[f"{order}_factor"].numpy()
    assert_shares(np.sign(factor - 1), (1, -1, 0), shares)
    assert_uniform(factor[factor > 1], 1, factors[1])
    assert_uniform(factor[factor < 1], factors[0], 1)
    assert_shares(draws[f"{order}_mode"].tolist(), MODES, [1 / 3] * 3)
    assert_share(draws[f"{order}_gaussian"], 0.5)


def test_the_final_steps(draws):
    kernel = draws.kernel("final")
    assert_shares(kernel.kind.numpy(), (SINC, PULSE), (0.8, 0.2))
    assert_shares(kernel.size.numpy(), ODD, [1 / 8] * 8)
    assert_uniform(kernel.cutoff, np.pi / 3, np.pi)
    assert_share(draws["jpeg_last"], 0.5)
    assert_shares(draws["final_mode"].tolist(), MODES, [1 / 3] * 3)


def test_decisions_are_independent_of_each_other(draws):
    of_order = ("kernel_size", "kernel_sigma_x", "noise_sigma", "poisson_scale", "grey", "quality")
    names = [f"{order}_{name}" for order in ("first", "second") for name in (*of_order, "factor")]
    columns = np.stack([draws[name] for name in (*names, "final_kernel_cutoff", "jpeg_last")])
    correlation = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlation).max() < 5 / np.sqrt(COUNT)


def test_a_group_shares_its_draws_and_an_image_may_have_its_own():
    together = draw(SecondOrderSettings(), 20, (0,))
    assert together["group"].tolist() == [0] * 8 + [1] * 8 + [2] * 4
    for name in COLUMNS:
        if name.endswith(("factor", "mode", "gaussian", "jpeg_last")):
            assert all(len(set(part.tolist())) == 1 for part in together[name].split(8))
    assert len(set(together["first_factor"].tolist())) > 1
    alone = draw(SecondOrderSettings(draws="image"), 20, (0,))
    assert alone["group"].tolist() == list(range(20))
    assert len(set(alone["first_factor"].tolist())) > 10
    assert torch.equal(together["first_quality"], alone["first_quality"])
    assert together["first_quality"].unique().numel() == 20


@pytest.mark.parametrize("shared", ["batch", "image"])
def test_a_part_of_a_batch_is_drawn_like_the_whole(shared):
    settings = SecondOrderSettings(draws=shared)
    whole = draw(settings, 20, (3, "key"))
    part = draw(settings, 9, (3, "key"), first_image=5)
    assert part["image"].tolist() == list(range(5, 14))
    assert torch.equal(whole.rows(slice(5, 14)).table, part.table)
    assert torch.equal(whole.table, draw(settings, 20, (3, "key")).table)
    assert not torch.equal(whole.table, draw(settings, 20, (4, "key")).table)


@pytest.mark.parametrize("shared", ["batch", "image"])
def test_many_iterations_are_drawn_like_each_alone(shared):
    settings, keys = SecondOrderSettings(draws=shared, group=3), [(7, "a"), (8, "b"), (8, "c")]
    together = draw_many(settings, 8, keys, first_image=4)
    for key, draws in zip(keys, together, strict=True):
        assert torch.equal(draws.table, draw(settings, 8, key, first_image=4).table)


def test_draws_never_change_between_versions():
    row = draw(SecondOrderSettings(), 64, (0, "pairs", 7)).row(63)
    assert row["first_factor"] == pytest.approx(0.7967743532699295, rel=1e-12)
    assert row["first_kernel_sigma_y"] == pytest.approx(1.999162293462605, rel=1e-12)
    assert row["second_quality"] == pytest.approx(83.14826010538911, rel=1e-12)
    assert row["final_kernel_cutoff"] == pytest.approx(2.6432992132090067, rel=1e-12)


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
    assert set(draws["first_kernel_kind"].tolist()) == {SINC}
    assert set(draws["first_kernel_size"].tolist()) == {9}
    assert set(draws["first_kernel_cutoff"].tolist()) == {2.0}
    assert draws["first_grey"].all()
    assert not draws["second_grey"].any()
    assert set(draws["second_quality"].tolist()) == {50.0}
    assert set(draws["final_kernel_kind"].tolist()) == {PULSE}
    assert set(draws["second_kernel_kind"].tolist()) == {PULSE}  # not blurred
    assert set(draws["first_factor"].tolist()) == {1.0}
    assert not draws["first_gaussian"].any()
    assert draws["second_gaussian"].all()
    assert draws["jpeg_last"].all()
