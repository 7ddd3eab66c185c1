"""Noise against its definition and by its moments."""

import degradation_reference as reference
import numpy as np
import pytest
import torch
from scipy import stats

from reflash.core.keys import torch_generator
from reflash.degradations.noise import (
    gaussian_noise,
    noise_fields,
    poisson_noise,
    poisson_quantile,
)

COLOUR, GREY = torch.tensor([False]), torch.tensor([True])


def test_fields_are_normal_or_uniform_and_one_per_image():
    normal = noise_fields("gaussian", ("field",), [0, 1], (200, 150))
    assert normal.shape == (2, 3, 200, 150)
    assert stats.kstest(normal.flatten().numpy(), "norm").pvalue > 1e-3
    uniform = noise_fields("poisson", ("field",), [0, 1], (200, 150))
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 1e-3
    alone = noise_fields("poisson", ("field",), [1], (200, 150))
    assert torch.equal(alone[0], uniform[1])


def test_gaussian_noise_is_the_field_times_sigma():
    x = torch.full((3, 3, 8, 9), 0.5)
    field = noise_fields("gaussian", (), [0, 1, 2], (8, 9))
    sigma = torch.tensor([1.0, 10.0, 30.0])
    grey = torch.tensor([False, True, False])
    got = gaussian_noise(x, field, sigma, grey)
    for i in range(3):
        expected = reference.gaussian(
            x[i].permute(1, 2, 0).numpy(),
            field[i].permute(1, 2, 0).numpy(),
            float(sigma[i]),
            bool(grey[i]),
        )
        np.testing.assert_allclose(got[i].permute(1, 2, 0), expected, atol=1e-6)


def test_gaussian_noise_by_its_moments():
    x = torch.full((2, 3, 256, 256), 0.5)
    sigma = torch.tensor([5.0, 20.0])
    field = noise_fields("gaussian", ("moments",), [0, 1], (256, 256))
    noise = (gaussian_noise(x, field, sigma, torch.tensor([False, True])) - x) * 255
    np.testing.assert_allclose(noise.std(dim=(1, 2, 3)), sigma, rtol=0.01)
    np.testing.assert_allclose(noise.mean(dim=(1, 2, 3)), 0, atol=0.2)
    correlation = np.corrcoef(noise[0].flatten(1))
    np.testing.assert_allclose(correlation, np.eye(3), atol=0.02)
    assert torch.equal(noise[1, 0], noise[1, 1])
    assert torch.equal(noise[1, 0], noise[1, 2])


def test_noise_is_clipped_and_not_rounded():
    x = (1.4 * torch.rand(1, 3, 100, 100, generator=torch_generator("x")) - 0.2).clamp(0, 1)
    normal, uniform = (
        noise_fields(kind, ("clip",), [0], (100, 100)) for kind in ("gaussian", "poisson")
    )
    for noisy in (
        gaussian_noise(x, normal, torch.tensor([30.0]), COLOUR),
        poisson_noise(x, uniform, torch.tensor([2.5]), COLOUR),
    ):
        assert noisy.min() == 0
        assert noisy.max() == 1
        levels = noisy[(noisy > 0) & (noisy < 1)] * 255
        assert (levels - levels.round()).abs().max() > 0.1


@pytest.mark.parametrize("exponent", range(9))
def test_poisson_quantiles_are_those_of_scipy(exponent):
    rng = np.random.default_rng(exponent)
    uniform = (rng.integers(0, 2**24, (256, 60)) / 2**24).astype(np.float32)
    uniform[:, 0], uniform[:, 1] = 0, 1 - 2.0**-24
    levels = np.repeat(np.arange(256)[:, None], 60, axis=1)
    got = poisson_quantile(
        torch.from_numpy(levels), torch.tensor(exponent), torch.from_numpy(uniform)
    )
    rate = levels / 255 * 2**exponent
    expected = stats.poisson.ppf(uniform.astype(float) + 2.0**-25, rate)
    np.testing.assert_array_equal(got.numpy(), expected)


def with_levels(count):
    """A colour image (64, 64, 3) of exactly ``count`` distinct 8-bit levels."""
    levels = np.resize(np.linspace(0, 255, count).round() if count > 1 else [128], 64 * 64 * 3)
    return (np.random.default_rng(count).permutation(levels) / 255).reshape(64, 64, 3)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 127, 128, 129, 256])
def test_poisson_noise_equals_its_definition(count, grey):
    image = with_levels(count).astype(np.float32)
    field = noise_fields("poisson", ("poisson", count), [0], (64, 64))
    got = poisson_noise(
        torch.from_numpy(image).permute(2, 0, 1)[None],
        field,
        torch.tensor([0.4]),
        torch.tensor([grey]),
    )
    expected = reference.poisson(image, field[0].permute(1, 2, 0).numpy(), 0.4, grey)
    np.testing.assert_allclose(got[0].permute(1, 2, 0), expected, atol=1e-6)


def test_poisson_noise_by_its_moments():
    # 100 levels: the rate is 128 times the image, so the variance is image / 128 x scale^2.
    row = torch.linspace(78, 177, 100).round() / 255
    x = row.expand(1, 3, 2000, 100)
    field = noise_fields("poisson", ("moments",), [0], (2000, 100))
    noise = poisson_noise(x, field, torch.tensor([0.5]), COLOUR) - x
    variance = noise.var(dim=(0, 1, 2))
    np.testing.assert_allclose(variance, row / 128 * 0.25, rtol=0.12)
    np.testing.assert_allclose(variance.mean(), (row / 128 * 0.25).mean(), rtol=0.01)
    np.testing.assert_allclose(noise.mean(), 0, atol=2e-4)
    np.testing.assert_allclose(np.corrcoef(noise[0].flatten(1)), np.eye(3), atol=0.01)


def test_grey_poisson_noise_is_the_same_in_all_channels_of_that_image_only():
    x = torch.rand(2, 3, 64, 64, generator=torch_generator("x")) * 0.5 + 0.25
    field = noise_fields("poisson", ("p",), [0, 1], (64, 64))
    scale = torch.tensor([0.1, 0.1])
    noise = poisson_noise(x, field, scale, torch.cat([GREY, COLOUR])) - x
    torch.testing.assert_close(noise[0, 0], noise[0, 1], atol=1e-6, rtol=0)
    torch.testing.assert_close(noise[0, 0], noise[0, 2], atol=1e-6, rtol=0)
    assert abs(np.corrcoef(noise[1, 0].flatten(), noise[1, 1].flatten())[0, 1]) < 0.1
