"""Unsharp masking against OpenCV."""

import cv2
import degradation_reference as reference
import numpy as np
import pytest
import torch

from reflash.degradations.sharpen import usm_sharpen


def by_definition(image, gaussian):
    blurred = gaussian(image)
    residual = image - blurred
    mask = (np.abs(residual) * 255 > 10).astype(image.dtype)
    soft = gaussian(mask)
    sharp = (image + 0.5 * residual).clip(0, 1)
    return soft * sharp + (1 - soft) * image


def opencv(image):
    return cv2.GaussianBlur(image, (51, 51), 0, borderType=cv2.BORDER_REFLECT_101)


def padded(image):
    weights = cv2.getGaussianKernel(51, 0)
    return reference.blur(image, weights @ weights.T)


@pytest.mark.parametrize(
    ("shape", "gaussian"), [((96, 80), opencv), ((130, 200), opencv), ((20, 33), padded)]
)
def test_it_equals_the_definition(shape, gaussian):
    images = [reference.photo(*shape, seed) / 255 for seed in (1, 2)]
    got = usm_sharpen(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
    for i, image in enumerate(images):
        expected = by_definition(image, gaussian)
        assert np.abs(expected - image).max() > 0.05
        np.testing.assert_allclose(got[i].permute(1, 2, 0), expected, atol=1e-9)


def test_single_precision_is_close_and_in_range():
    image = reference.photo(96, 96) / 255
    got = usm_sharpen(torch.from_numpy(image).permute(2, 0, 1)[None].float())
    expected = by_definition(image, opencv)
    np.testing.assert_allclose(got[0].permute(1, 2, 0), expected, atol=1e-3)
    assert got.min() >= 0
    assert got.max() <= 1


def test_weak_texture_is_left_alone():
    x = 0.5 + 9 / 255 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(usm_sharpen(x), x)
