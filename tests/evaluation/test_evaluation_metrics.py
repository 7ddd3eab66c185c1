"""PSNR and SSIM against slow direct computations, scikit-image and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from reflash.evaluation.metrics import (
    BANDS,
    PERFECT_PSNR,
    band_psnr,
    luma,
    psnr,
    smallest_side,
    ssim,
)


def pair(seed: int, height: int = 40, width: int = 33, noise: float = 20.0):
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, width)[None, :, None] * rng.uniform(0.2, 1, 3)
    a = np.clip(ramp + rng.normal(0, 30, (height, width, 3)), 0, 255).astype(np.uint8)
    b = np.clip(a + rng.normal(0, noise, a.shape), 0, 255).astype(np.uint8)
    return a, b


def direct_psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 20 * math.log10(255 / math.sqrt(np.mean((a.astype(float) - b.astype(float)) ** 2)))


def direct_luma(rgb: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(rgb.astype(float), -1, 0)
    return 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255


def direct_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """One channel; every window summed on its own, the variances as central moments."""
    offset = np.arange(11) - 5
    weight = np.exp(-(offset[:, None] ** 2 + offset[None, :] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p = a[y : y + 11, x : x + 11].astype(float)
            q = b[y : y + 11, x : x + 11].astype(float)
            mean_p, mean_q = (weight * p).sum(), (weight * q).sum()
            var_p = (weight * (p - mean_p) ** 2).sum()
            var_q = (weight * (q - mean_q) ** 2).sum()
            covariance = (weight * (p - mean_p) * (q - mean_q)).sum()
            values.append(
                (2 * mean_p * mean_q + c1)
                * (2 * covariance + c2)
                / ((mean_p**2 + mean_q**2 + c1) * (var_p + var_q + c2))
            )
    return float(np.mean(values))


@pytest.mark.parametrize("crop", [0, 4, 7])
def test_psnr_equals_the_formula(crop):
    a, b = pair(1)
    inner = slice(crop, -crop or None)
    assert psnr(a, b, crop) == pytest.approx(
        direct_psnr(a[inner, inner], b[inner, inner]), abs=1e-10
    )
    expected = direct_psnr(direct_luma(a[inner, inner]), direct_luma(b[inner, inner]))
    assert psnr(a, b, crop, "y") == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("difference", [1, 2, 10, 100, 255])
def test_psnr_of_a_constant_difference(difference):
    a = np.zeros((2000, 1500, 3), np.uint8)
    b = a + np.uint8(difference)
    assert psnr(a, b) == pytest.approx(20 * math.log10(255 / difference), abs=1e-10)
    # A grey difference d moves the luma by 219 / 255 d.
    in_luma = 20 * math.log10(255 / (difference * 219 / 255))
    assert psnr(a, b, channel="y") == pytest.approx(in_luma, abs=1e-9)


def test_identical_images():
    a, _ = pair(2)
    assert psnr(a, a.copy()) == PERFECT_PSNR
    assert psnr(a, a.copy(), channel="y") == PERFECT_PSNR
    assert ssim(a, a.copy()) == pytest.approx(1, abs=1e-14)
    assert ssim(a, a.copy(), channel="y") == pytest.approx(1, abs=1e-14)


def test_luma_is_the_studio_swing_of_bt601():
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]])
    expected = [[16, 235, 81.481, 144.553, 40.966]]
    np.testing.assert_allclose(luma(colours.astype(np.uint8)), expected, atol=1e-12)


@pytest.mark.parametrize("crop", [0, 4])
def test_ssim_equals_a_direct_computation(crop):
    a, b = pair(3, 30, 27)
    inner = slice(crop, -crop or None)
    ca, cb = a[inner, inner], b[inner, inner]
    expected = np.mean([direct_ssim(ca[..., c], cb[..., c]) for c in range(3)])
    assert ssim(a, b, crop) == pytest.approx(expected, abs=1e-11)
    assert ssim(a, b, crop, "y") == pytest.approx(
        direct_ssim(direct_luma(ca), direct_luma(cb)), abs=1e-11
    )


@pytest.mark.parametrize("size", [(19, 19), (74, 40), (83, 40), (150, 64), (200, 31)])
def test_ssim_equals_scikit_image(size):
    a, b = pair(4, *size)
    ca, cb = a[4:-4, 4:-4], b[4:-4, 4:-4]
    options = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "data_range": 255,
        "full": True,
    }
    full = structural_similarity(ca, cb, channel_axis=2, **options)[1]
    assert ssim(a, b) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-12)
    full = structural_similarity(direct_luma(ca), direct_luma(cb), **options)[1]
    assert ssim(a, b, channel="y") == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-12)


@pytest.mark.parametrize(("first", "second"), [(0, 255), (100, 110), (255, 254)])
def test_ssim_of_flat_images(first, second):
    shape = (300, 25, 3)
    a, b = np.full(shape, first, np.uint8), np.full(shape, second, np.uint8)
    c1 = (0.01 * 255) ** 2
    expected = (2 * first * second + c1) / (first**2 + second**2 + c1)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(19, 90),
    width=st.integers(19, 60),
    channel=st.sampled_from(["rgb", "y"]),
)
def test_symmetry_range_and_blindness_to_the_border(seed, height, width, channel):
    a, b = pair(seed, height, width)
    assert psnr(a, b, channel=channel) == psnr(b, a, channel=channel)
    value = ssim(a, b, channel=channel)
    assert value == pytest.approx(ssim(b, a, channel=channel), abs=1e-14)
    assert -1 <= value <= 1
    framed = 255 - b
    framed[4:-4, 4:-4] = b[4:-4, 4:-4]
    assert psnr(a, framed, channel=channel) == psnr(a, b, channel=channel)
    assert ssim(a, framed, channel=channel) == value
    framed[4, 4] = 255 - framed[4, 4]
    assert psnr(a, framed, channel=channel) != psnr(a, b, channel=channel)
    assert ssim(a, framed, channel=channel) != value


def test_the_smallest_images():
    a, b = pair(5, 19, 19)
    assert smallest_side(4) == 19
    assert smallest_side(4, ssim=False) == 9
    assert ssim(a, b) == pytest.approx(
        np.mean([direct_ssim(a[4:-4, 4:-4, c], b[4:-4, 4:-4, c]) for c in range(3)]), abs=1e-12
    )
    assert psnr(a[:9, :9], b[:9, :9]) == pytest.approx(direct_psnr(a[4, 4], b[4, 4]), abs=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: (a, a[:-1]), "differ in size"),
        (lambda a: (a, a.astype(np.float32)), "uint8"),
        (lambda a: (a[..., 0], a[..., 0]), r"\(H, W, 3\)"),
        (lambda a: (a[:18], a[:18]), "at least 19"),
        (lambda a: (a[:, :18], a[:, :18]), "33x40|18x40"),
    ],
)
def test_what_cannot_be_compared(change, message):
    with pytest.raises(ValueError, match=message):
        ssim(*change(pair(6)[0]))


def test_psnr_needs_a_pixel_inside_the_border():
    a, b = pair(7, 8, 30)
    with pytest.raises(ValueError, match="at least 9"):
        psnr(a, b)
    with pytest.raises(ValueError, match="negative"):
        psnr(a, b, crop=-1)


@pytest.mark.parametrize(("height", "width"), [(24, 24), (25, 24), (24, 33), (31, 27)])
def test_bands_are_the_radial_rings_of_the_whole_spectrum(height, width):
    """Against the full complex DFT, summed frequency by frequency, for even and odd sides."""
    rng = np.random.default_rng(height * width)
    a, b = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    inner = (a.astype(float) - b)[4:-4, 4:-4]
    rows, columns = inner.shape[:2]
    power = np.abs(np.fft.fft2(inner, axes=(0, 1))) ** 2
    errors = dict.fromkeys(BANDS, 0.0)
    for u, fy in enumerate(np.fft.fftfreq(rows)):
        for v, fx in enumerate(np.fft.fftfreq(columns)):
            f = math.hypot(fy, fx)
            name = "low" if f < 1 / 16 else "middle" if f < 1 / 8 else "high"
            errors[name] += power[u, v].sum() / (rows * columns) / inner.size
    assert sum(errors.values()) == pytest.approx(np.mean(inner**2))  # Parseval
    for name, value in band_psnr(a, b).items():
        expected = min(100.0, 10 * math.log10(255**2 / errors[name]))
        assert value == pytest.approx(expected, abs=1e-9)


WAVES = [(32, "low"), (16, "middle"), (8, "high"), (4, "high")]


@pytest.mark.parametrize(("period", "band"), WAVES)
@pytest.mark.parametrize("axis", [0, 1])
def test_a_wave_is_an_error_of_its_own_band(period, band, axis):
    """Waves of a whole number of periods; the bounds of 1/16 and 1/8 belong to the band above."""
    phase = 2 * np.pi * np.arange(64) / period
    wave = np.broadcast_to(np.cos(phase)[:, None, None], (64, 64, 3)).swapaxes(0, axis)
    a = np.full((64, 64, 3), 128, np.uint8)
    b = np.rint(128 + 60 * wave).astype(np.uint8)
    values = band_psnr(a, b, crop=0)
    assert values[band] == pytest.approx(psnr(a, b, crop=0), abs=0.01)
    assert all(value > 40 for name, value in values.items() if name != band)
