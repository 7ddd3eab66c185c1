"""Blur kernels against their definitions, and the blur against OpenCV."""

import cv2
import degradation_reference as reference
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reflash.degradations.kernels import KERNEL_KINDS, KernelDraws, blur, kernels, reflected

GAUSSIANS = ("iso", "aniso")


def one(kind, size=21, sigma_x=2.0, sigma_y=2.0, rotation=0.0, beta=1.0, cutoff=2.0):
    values = (sigma_x, sigma_y, rotation, beta, cutoff)
    return KernelDraws(
        torch.tensor([KERNEL_KINDS.index(kind)]),
        torch.tensor([size]),
        *(torch.tensor([value], dtype=torch.float64) for value in values),
    )


def batch(draws):
    return KernelDraws(
        *(torch.cat([getattr(d, f) for d in draws]) for f in KernelDraws.__dataclass_fields__)
    )


parameters = st.tuples(
    st.sampled_from(KERNEL_KINDS),
    st.sampled_from(range(7, 22, 2)),
    st.floats(0.2, 3),
    st.floats(0.2, 3),
    st.floats(-np.pi, np.pi),
    st.floats(0.5, 4),
    st.floats(np.pi / 5, np.pi),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(parameters, min_size=1, max_size=6))
def test_a_batch_equals_the_definition_kernel_by_kernel(rows):
    # Gaussians are drawn with beta 1.
    rows = [(*row[:5], 1.0 if row[0] in GAUSSIANS else row[5], row[6]) for row in rows]
    got = kernels(batch([one(*row) for row in rows]))
    assert got.shape == (len(rows), 21, 21)
    assert got.dtype == torch.float32
    for kernel, row in zip(got.double().numpy(), rows, strict=True):
        np.testing.assert_allclose(kernel, reference.kernel(*row, canvas=21), rtol=0, atol=1e-6)
        np.testing.assert_allclose(kernel.sum(), 1, atol=1e-5)
        np.testing.assert_array_equal(kernel, kernel[::-1, ::-1])
        margin = (21 - row[1]) // 2
        outside = kernel.copy()
        outside[margin : 21 - margin, margin : 21 - margin] = 0
        assert not outside.any()


@pytest.mark.parametrize(
    ("sigma_x", "sigma_y", "rotation"), [(1.5, 1.5, 0.0), (3.0, 1.0, 0.5), (1.0, 2.5, -2.0)]
)
def test_the_second_moments_are_the_drawn_covariance(sigma_x, sigma_y, rotation):
    kernel = kernels(one("aniso", 41, sigma_x, sigma_y, rotation), canvas=41)[0].double().numpy()
    y, x = np.mgrid[-20:21, -20:21]
    measured = [
        [(kernel * x * x).sum(), (kernel * x * y).sum()],
        [(kernel * x * y).sum(), (kernel * y * y).sum()],
    ]
    c, s = np.cos(rotation), np.sin(rotation)
    expected = [
        [c * c * sigma_x**2 + s * s * sigma_y**2, c * s * (sigma_x**2 - sigma_y**2)],
        [c * s * (sigma_x**2 - sigma_y**2), s * s * sigma_x**2 + c * c * sigma_y**2],
    ]
    np.testing.assert_allclose(measured, expected, atol=2e-3)


def test_a_sinc_filter_passes_low_frequencies_and_stops_high_ones():
    kernel = kernels(one("sinc", 21, cutoff=np.pi / 2))[0].double().numpy()
    response = np.abs(np.fft.fft2(kernel, (128, 128)))
    frequency = 2 * np.pi * np.abs(np.fft.fftfreq(128))
    radius = np.hypot(frequency[:, None], frequency[None, :])
    assert response[radius < 0.6 * np.pi / 2].min() > 0.8
    assert response[(radius > 1.4 * np.pi / 2) & (radius < np.pi)].max() < 0.2


def test_the_pulse_changes_nothing():
    x = torch.rand(2, 3, 17, 23)
    kernel = kernels(batch([one("pulse"), one("pulse", 7)]))
    assert torch.equal(blur(x, kernel), x)


@given(st.integers(1, 40), st.integers(0, 30))
def test_reflection_is_that_of_numpy(length, margin):
    row = np.arange(length)
    expected = np.pad(row, margin, mode="reflect")
    np.testing.assert_array_equal(reflected(length, margin, torch.device("cpu")), expected)


@pytest.mark.parametrize("shape", [(40, 33), (21, 11), (6, 9), (1, 30)])
def test_each_image_is_correlated_with_its_own_kernel(shape):
    rng = np.random.default_rng(0)
    images = rng.random((4, *shape, 3), np.float32)
    weights = rng.random((4, 21, 21), np.float32)
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    got = blur(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(weights))
    for i in range(4):
        expected = reference.blur(images[i].astype(float), weights[i].astype(float))
        np.testing.assert_allclose(got[i].permute(1, 2, 0), expected, atol=1e-5)


def test_borders_are_those_of_opencv():
    rng = np.random.default_rng(1)
    image, weights = rng.random((25, 31, 3), np.float32), rng.random((7, 7), np.float32)
    got = blur(torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(weights)[None])
    expected = cv2.filter2D(image, -1, weights, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(got[0].permute(1, 2, 0), expected, rtol=1e-5)
