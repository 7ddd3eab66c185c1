"""Resizing against OpenCV where it means the same, and against matrices written out."""

import cv2
import degradation_reference as reference
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reflash.degradations.resize import RESIZE_MODES, resize_by, resize_to

OPENCV = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


def tensor(image):
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def array(x):
    return x[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("mode", OPENCV)
@pytest.mark.parametrize("size", [(10, 13), (24, 24), (50, 41), (37, 8)])
def test_linear_and_cubic_are_those_of_opencv(mode, size):
    image = np.random.default_rng(0).random((24, 37, 3), np.float32)
    expected = cv2.resize(image, size[::-1], interpolation=OPENCV[mode])
    np.testing.assert_allclose(array(resize_to(tensor(image), size, mode)), expected, atol=2e-5)


def test_area_by_a_whole_factor_is_the_mean_of_blocks():
    image = np.random.default_rng(0).random((24, 36, 3), np.float32)
    expected = image.reshape(6, 4, 12, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(
        array(resize_to(tensor(image), (6, 12), "area")), expected, rtol=1e-5
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 40),
    st.integers(2, 40),
    st.integers(1, 50),
    st.integers(1, 50),
    st.sampled_from(RESIZE_MODES),
)
def test_resizing_to_a_size_equals_the_matrices(height, width, to_height, to_width, mode):
    image = np.random.default_rng(height * width).random((height, width, 3), np.float32)
    got = array(resize_to(tensor(image), (to_height, to_width), mode))
    expected = reference.resize(image.astype(float), (to_height, to_width), mode)
    np.testing.assert_allclose(got, expected, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.integers(7, 60), st.integers(7, 60), st.floats(0.15, 1.5), st.sampled_from(RESIZE_MODES))
def test_resizing_by_a_factor_steps_by_its_inverse(height, width, factor, mode):
    image = np.random.default_rng(height * width).random((height, width, 3), np.float32)
    got = array(resize_by(tensor(image), factor, mode))
    size = (int(np.floor(height * factor)), int(np.floor(width * factor)))
    expected = reference.resize(image.astype(float), size, mode, step=1 / factor)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_factor_and_size_sample_at_different_places():
    ramp = torch.arange(10.0).expand(1, 1, 10, 10)
    by_factor = resize_by(ramp, 0.57, "bilinear")[0, 0, 0]
    to_size = resize_to(ramp, (5, 5), "bilinear")[0, 0, 0]
    np.testing.assert_allclose(by_factor, (np.arange(5) + 0.5) / 0.57 - 0.5, rtol=1e-5)
    np.testing.assert_allclose(to_size, [0.5, 2.5, 4.5, 6.5, 8.5], rtol=1e-5)


def test_no_low_pass_precedes_sampling_and_cubic_overshoots():
    stripes = torch.arange(64).remainder(2).float().expand(1, 1, 64, 64)
    small = resize_to(stripes, (64, 16), "bilinear")
    np.testing.assert_allclose(small, 0.5)
    edge = (torch.arange(16) >= 8).float().expand(1, 1, 16, 16)
    large = resize_to(edge, (16, 40), "bicubic")
    assert large.min() < -0.05
    assert large.max() > 1.05


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_nothing_shrinks_below_a_pixel_and_factor_one_keeps(mode):
    x = torch.rand(1, 3, 4, 40)
    assert resize_by(x, 0.15, mode).shape == (1, 3, 1, 6)
    torch.testing.assert_close(resize_by(x, 1.0, mode), x)
