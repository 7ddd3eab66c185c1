"""Dead leaves have the statistics of photographs, and are functions of their key."""

from __future__ import annotations

import itertools
import time

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from reflash.datasets.dead_leaves import COVERAGE, dead_leaves, draw_leaves
from reflash.datasets.settings import DeadLeavesSettings

SETTINGS = DeadLeavesSettings()


@pytest.fixture(scope="module")
def leaves() -> list[np.ndarray]:
    return [dead_leaves(256, 256, SETTINGS, 7, i) for i in range(8)]


@pytest.fixture(scope="module")
def white_noise() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (256, 256, 3), dtype=np.uint8) for _ in range(4)]


def blurred(images: list[np.ndarray]) -> list[np.ndarray]:
    return [cv2.GaussianBlur(image, (0, 0), 1.0) for image in images]


def spectral_slope(images: list[np.ndarray]) -> float:
    """Slope of the radially averaged power spectrum against frequency, both logarithmic.

    Grey, Hann window, rings of equal width in log f from 4 cycles per image to 0.4 per pixel.
    """
    side = images[0].shape[0]
    window = np.hanning(side)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    edges = np.geomspace(4 / side, 0.4, 14)
    rings = []
    for image in images:
        grey = image.astype(float).mean(axis=2)
        power = np.abs(np.fft.fft2((grey - grey.mean()) * window[:, None] * window)) ** 2
        means = [power[(f >= a) & (f < b)].mean() for a, b in itertools.pairwise(edges)]
        rings.append(np.log(means))
    return float(np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.mean(rings, axis=0), 1)[0])


def halved(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return image.reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3))


def contrasts(images: list[np.ndarray]) -> np.ndarray:
    """Differences of the logarithm of brightness between horizontal neighbours."""
    logs = [np.log(image.astype(float).mean(axis=2) + 16) for image in images]
    return np.concatenate([np.diff(log, axis=1).ravel() for log in logs])


def scale_ratios(images: list[np.ndarray]) -> np.ndarray:
    """How the contrasts grow by averaging 2x2 pixels: deviation, and 90 and 99 % quantiles."""
    fine, coarse = contrasts(images), contrasts([halved(image) for image in images])
    ratios = [coarse.std() / fine.std()]
    ratios += [np.quantile(abs(coarse), q) / np.quantile(abs(fine), q) for q in (0.9, 0.99)]
    return np.array(ratios)


def test_power_falls_like_that_of_photographs(leaves: list[np.ndarray]) -> None:
    assert -2.4 < spectral_slope(leaves) < -1.6


def test_the_spectrum_test_tells_other_images_apart(
    leaves: list[np.ndarray], white_noise: list[np.ndarray]
) -> None:
    assert spectral_slope(white_noise) > -0.2
    assert spectral_slope(blurred(leaves)) < -3


def test_contrasts_are_the_same_at_half_the_size(leaves: list[np.ndarray]) -> None:
    ratios = scale_ratios(leaves)
    assert (ratios > 0.85).all()
    assert (ratios < 1.2).all()


def test_the_scale_test_tells_other_images_apart(
    leaves: list[np.ndarray], white_noise: list[np.ndarray]
) -> None:
    assert (scale_ratios(white_noise) < 0.6).all()
    assert (scale_ratios(blurred(leaves)) > 1.4).all()


def test_radii_in_the_plane_follow_the_power_law() -> None:
    """Leaves centred in the window are an unbiased sample: their r^-2 is uniform."""
    r_min, r_max = 1.0, 128.0
    drawn = draw_leaves(np.random.default_rng(1), 512, 512, r_min, r_max)
    inside = (drawn.x >= 0) & (drawn.x < 512) & (drawn.y >= 0) & (drawn.y < 512)
    radius = np.sort(drawn.radius[inside])
    assert len(radius) > 10_000
    assert radius[0] >= r_min
    assert radius[-1] <= r_max
    law = (r_min**-2 - radius**-2) / (r_min**-2 - r_max**-2)
    empirical = np.arange(1, len(radius) + 1) / len(radius)
    assert abs(law - empirical).max() < 1.95 / np.sqrt(len(radius))  # Kolmogorov-Smirnov, 0.1 %


def test_every_point_lies_under_as_many_leaves() -> None:
    """Corners, borders and centre are covered alike, so the window does not show in the leaves."""
    points = np.array([[0, 0], [63, 0], [32, 32], [0, 31], [63, 63]])
    cover = np.zeros(len(points))
    for seed in range(200):
        drawn = draw_leaves(np.random.default_rng(seed), 64, 64, 4.0, 128.0)
        distance = np.hypot(*(np.stack([drawn.x, drawn.y])[..., None] - points.T[:, None]))
        cover += (distance < drawn.radius[:, None]).sum(axis=0) / 200
    np.testing.assert_allclose(cover, COVERAGE, rtol=0.15)


def column_steps(images: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each column of pixels to the next, relative to its mean."""
    steps = abs(np.diff(images.astype(float).mean(axis=3), axis=2)).mean(axis=(0, 1))
    return steps / steps.mean()


def test_no_seams() -> None:
    """Images wider than the noise fields repeat have the same contrast at every column."""
    settings = DeadLeavesSettings(r_min=4, texture=2)
    images = np.stack([dead_leaves(96, 288, settings, 3, i) for i in range(40)])
    assert abs(column_steps(images) - 1).max() < 0.3
    images[:, :, 144:] = images[::-1, :, 144:].copy()
    assert column_steps(images)[143] > 1.5


def test_the_grid_of_the_colour_fields_does_not_show() -> None:
    """In a wide image a cell of the colour fields is 13.5 pixels; its borders are no edges."""
    settings = DeadLeavesSettings(r_max=8, texture=0)
    steps = column_steps(np.stack([dead_leaves(96, 1152, settings, 6, i) for i in range(12)]))
    borders = np.round(np.arange(1, 85) * 13.5).astype(int) - 1
    assert abs(steps[borders].mean() - 1) < 0.04


def test_an_image_is_a_function_of_its_key() -> None:
    image = dead_leaves(64, 80, SETTINGS, 5, 2)
    assert image.shape == (64, 80, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, dead_leaves(64, 80, SETTINGS, 5, 2))
    for key in [(5, 3), (6, 2), (2, 5)]:
        other = dead_leaves(64, 80, SETTINGS, *key)
        assert (image != other).mean() > 0.9


def test_count_size_and_seed_do_not_change_an_image() -> None:
    other = DeadLeavesSettings(count=3, size=999, seed=8)
    np.testing.assert_array_equal(dead_leaves(48, 48, SETTINGS, 1), dead_leaves(48, 48, other, 1))


def test_texture_adds_detail_inside_the_leaves() -> None:
    flat = DeadLeavesSettings(texture=0, blur=0)
    rich = DeadLeavesSettings(texture=1, blur=0)

    def share_of_flat(settings: DeadLeavesSettings) -> float:
        image = dead_leaves(128, 128, settings, 0)
        return float((np.diff(image.astype(int), axis=1) == 0).all(axis=2).mean())

    assert share_of_flat(flat) > 0.3
    assert share_of_flat(rich) < 0.5 * share_of_flat(flat)


def test_edges_are_soft() -> None:
    """An edge pixel takes one of the values between its two leaves, not only theirs."""
    image = dead_leaves(128, 128, DeadLeavesSettings(texture=0, blur=0, r_min=8), 4)
    colours, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    assert len(colours) > 3 * (counts > 30).sum()


def test_channels_are_correlated_as_in_photographs(leaves: list[np.ndarray]) -> None:
    pixels = np.concatenate([image.reshape(-1, 3) for image in leaves]).T
    red_green, red_blue, green_blue = np.corrcoef(pixels)[[0, 0, 1], [1, 2, 2]]
    assert 0.8 < red_green < 0.99
    assert 0.5 < red_blue < 0.95
    assert 0.6 < green_blue < 0.98
    assert 60 < pixels.mean() < 180
    assert pixels.std() > 35


def test_forty_eight_images_take_seconds() -> None:
    dead_leaves(256, 256, SETTINGS, 0)
    start = time.process_time()
    for i in range(6):
        dead_leaves(256, 256, SETTINGS, 0, i)
    assert (time.process_time() - start) / 6 * 48 < 10


@pytest.mark.parametrize(
    "wrong", [{"r_min": 4, "r_max": 8}, {"count": 0}, {"texture": -1}, {"radius": 3}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        DeadLeavesSettings.model_validate(wrong)
