"""Bicubic down-sampling against MATLAB's algorithm written out, and against Pillow itself."""

from __future__ import annotations

import degradation_reference as reference
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from reflash.degradations.benchmark import degrade
from reflash.degradations.bicubic import bicubic_downsample
from reflash.degradations.settings import BenchmarkSettings, Bicubic
from reflash.training.synthesis import _bicubic_matrix


def matlab_weights(length: int, scale: int) -> NDArray[np.float64]:
    """Return imresize's matrix, from its documentation: output i (from 1) lies at u = i * scale +
    (1 - scale) / 2; taps of the kernel stretched by the scale; indices beyond the ends mirrored.
    """

    def kernel(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    mirrored = [*range(length), *reversed(range(length))]
    matrix = np.zeros((length // scale, length))
    for i in range(1, length // scale + 1):
        u = i * scale + (1 - scale) / 2
        first = int(np.floor(u - 4 * scale / 2))
        for index in range(first, first + 4 * scale + 2):
            matrix[i - 1, mirrored[(index - 1) % (2 * length)]] += kernel((u - index) / scale)
    return matrix / matrix.sum(1, keepdims=True)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("sides", [(48, 36), (24, 60)])
def test_as_matlab(scale: int, sides: tuple[int, int]) -> None:
    image = np.random.default_rng(3).random((2, 3, *sides))
    rows, columns = (matlab_weights(side, scale) for side in sides)
    expected = rows @ image @ columns.T
    got = bicubic_downsample(torch.from_numpy(image), scale)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_as_pillow_up_to_its_rounding_between_rows_and_columns(scale: int) -> None:
    image = reference.photo(60, 48)
    size = (48 // scale, 60 // scale)
    expected = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    pixels = torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None]
    got = bicubic_downsample(pixels, scale, "pil")[0].permute(1, 2, 0).round().clamp(0, 255)
    difference = np.abs(got.numpy() - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.2
    mirrored = bicubic_downsample(pixels, scale)[0].permute(1, 2, 0).round().clamp(0, 255)
    inside = np.s_[3:-3, 3:-3]
    assert np.abs(mirrored.numpy() - got.numpy())[inside].max() == 0  # borders alone differ
    assert np.abs(mirrored.numpy() - got.numpy()).max() > 1


@pytest.mark.parametrize("variant", ["matlab", "pil"])
def test_the_matrix_of_the_gpu_path_is_the_same_operator(variant: Bicubic) -> None:
    image = torch.rand(1, 3, 48, 48)
    matrix = _bicubic_matrix(48, variant, torch.device("cpu"))
    expected = bicubic_downsample(image, 4, variant)
    torch.testing.assert_close(matrix @ image @ matrix.T, expected, atol=1e-5, rtol=0)


def test_a_constant_stays_constant() -> None:
    for variant in ("matlab", "pil"):
        flat = bicubic_downsample(torch.full((1, 1, 24, 24), 0.7), 4, variant)
        torch.testing.assert_close(flat, torch.full((1, 1, 6, 6), 0.7))


def test_test_sets_can_be_made_as_matlab_does() -> None:
    hr = reference.photo(48, 60)
    lr = degrade(hr, "clean", BenchmarkSettings(bicubic="matlab"), "a")
    rows, columns = matlab_weights(48, 4), matlab_weights(60, 4)
    exact = np.einsum("ij,jkc,lk->ilc", rows, hr.astype(float), columns)
    np.testing.assert_array_equal(lr, np.rint(exact).clip(0, 255).astype(np.uint8))
    assert (lr != degrade(hr, "clean", BenchmarkSettings(), "a")).any()


def test_noise_alone_may_have_a_level_of_its_own() -> None:
    hr = np.full((400, 400, 3), 128, np.uint8)
    settings = BenchmarkSettings(noise_only_sigma=40)
    assert abs(degrade(hr, "noise", settings, "a").std() - 40) < 1.5
    for kind in ("blur_noise", "noise_jpeg"):
        plain = degrade(hr, kind, BenchmarkSettings(), "a")
        np.testing.assert_array_equal(degrade(hr, kind, settings, "a"), plain)
