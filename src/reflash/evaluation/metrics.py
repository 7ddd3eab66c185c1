"""PSNR and SSIM of 8-bit images, in the conventions of the super-resolution literature."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Channel = Literal["rgb", "y"]

PERFECT_PSNR = 100.0
"""PSNR in dB of two images without a difference, and the most that is ever reported.

The formula gives infinity, which no mean survives. One rule for every table, log and analysis:
whatever is better than 100 dB (off by one grey level in one of 154,000 values) counts as perfect.
"""

BANDS: dict[str, tuple[float, float]] = {
    "low": (0.0, 1 / 16),
    "middle": (1 / 16, 1 / 8),
    "high": (1 / 8, 1.0),
}
"""Radial bands of spatial frequency in cycles per HR pixel, each from its lower bound to below its
upper one. 1/8 is what an LR image of a quarter of the size can hold at most along an axis; together
the bands hold every frequency (the corner of the spectrum lies at 0.71)."""

_WINDOW = 11
_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_STRIP = 64  # rows of windows at a time: the intermediate images stay in the processor's cache
_LUMA = np.array([[65.481, 128.553, 24.966, 0.0]]) / 255
_LUMA[0, 3] = 16.0


def smallest_side(crop: int, ssim: bool = True) -> int:
    """Return the smallest image side that PSNR (or SSIM) can be computed on.

    Parameters
    ----------
    crop : int
        Border left out on each side, in pixels.
    ssim : bool
        Whether the 11 pixels of SSIM's window must fit as well.
    """
    return 2 * crop + (_WINDOW if ssim else 1)


def psnr(
    a: NDArray[np.uint8], b: NDArray[np.uint8], crop: int = 4, channel: Channel = "rgb"
) -> float:
    """Return the peak signal-to-noise ratio of two images in dB.

    Parameters
    ----------
    a, b : (H, W, 3) uint8
        RGB images of the same size.
    crop : int
        Border left out on each side, in pixels.
    channel : {"rgb", "y"}
        ``rgb``: one mean squared error over all pixels and channels. ``y``: the error of the
        unrounded BT.601 studio-swing luma, as BasicSR's ``test_y_channel`` (MATLAB's
        ``rgb2ycbcr`` rounds that of 8-bit images).

    Returns
    -------
    float
        ``20 log10(255 / sqrt(MSE))``, at most ``PERFECT_PSNR``, which images without a
        difference get.

    Raises
    ------
    ValueError
        Not two uint8 RGB images of one size, or nothing is left inside the border.

    Examples
    --------
    >>> black = np.zeros((16, 16, 3), np.uint8)
    >>> round(psnr(black, black + np.uint8(1)), 4)  # 20 log10(255)
    48.1308
    >>> psnr(black, black)
    100.0
    """
    a, b = _pair(a, b, crop, smallest_side(crop, ssim=False))
    if channel == "y":
        error = float(np.mean(np.square(luma(a) - luma(b))))
    else:
        error = float(cv2.norm(a, b, cv2.NORM_L2SQR)) / a.size
    return _decibels(error)


def band_psnr(a: NDArray[np.uint8], b: NDArray[np.uint8], crop: int = 4) -> dict[str, float]:
    """Return the PSNR in dB that two images would have if they differed in one band alone.

    The error's spectrum (2-D DFT of each channel) is divided by radial frequency into ``BANDS``.
    The mean squared errors of the bands add up to that of the images (Parseval), so the values
    ``10 ** (-psnr / 10)`` of the bands add up to that of `psnr`.

    Parameters
    ----------
    a, b, crop
        As in `psnr`.

    Returns
    -------
    dict of str to float
        By the names of ``BANDS``; each at most ``PERFECT_PSNR``.

    Examples
    --------
    A wrong brightness is an error of frequency 0:

    >>> black = np.zeros((16, 16, 3), np.uint8)
    >>> {name: round(value, 2) for name, value in band_psnr(black, black + np.uint8(1)).items()}
    {'low': 48.13, 'middle': 100.0, 'high': 100.0}
    """
    a, b = _pair(a, b, crop, smallest_side(crop, ssim=False))
    height, width = a.shape[:2]
    spectrum = np.fft.rfft2(a.astype(np.float64) - b, axes=(0, 1))
    power = np.square(spectrum.real).sum(2) + np.square(spectrum.imag).sum(2)
    # A real error's spectrum is symmetric: columns between the first and Nyquist's stand for two.
    power[:, 1 : (width + 1) // 2] *= 2
    power /= a.size * float(height * width)
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    return {
        name: _decibels(float(power[(radius >= low) & (radius < high)].sum()))
        for name, (low, high) in BANDS.items()
    }


def _decibels(error: float) -> float:
    """Return the PSNR of a mean squared error of 8-bit levels."""
    return PERFECT_PSNR if error == 0 else min(PERFECT_PSNR, float(10 * np.log10(255.0**2 / error)))


def ssim(
    a: NDArray[np.uint8], b: NDArray[np.uint8], crop: int = 4, channel: Channel = "rgb"
) -> float:
    """Return the mean structural similarity of two images.

    Wang et al., "Image quality assessment: from error visibility to structural similarity"
    (IEEE TIP 2004): 11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, dynamic range 255,
    averaged over the positions where the whole window lies inside the (cropped) image. Computed
    in double precision.

    Parameters
    ----------
    a, b : (H, W, 3) uint8
        RGB images of the same size.
    crop : int
        Border left out on each side before the windows are laid, in pixels.
    channel : {"rgb", "y"}
        ``rgb``: the mean of the three channels' SSIM. ``y``: of the luma, see `psnr`.

    Raises
    ------
    ValueError
        Not two uint8 RGB images of one size, or no window fits inside the border.

    Examples
    --------
    >>> black = np.zeros((20, 20, 3), np.uint8)
    >>> ssim(black, black)
    1.0
    """
    a, b = _pair(a, b, crop, smallest_side(crop))
    last_window = a.shape[0] - _WINDOW + 1
    total = 0.0
    for top in range(0, last_window, _STRIP):
        rows = slice(top, top + _STRIP + _WINDOW - 1)
        total += _similarity(a[rows], b[rows], channel)
    windows = last_window * (a.shape[1] - _WINDOW + 1)
    return float(total / (windows * (1 if channel == "y" else 3)))


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the BT.601 studio-swing luma (H, W) float64 in [16, 235], not rounded.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    """
    return np.asarray(cv2.transform(rgb.astype(np.float64), _LUMA), dtype=np.float64)


def _pair(a: Any, b: Any, crop: int, smallest: int) -> tuple[Any, Any]:
    """Check two images and cut their borders off."""
    for image in (a, b):
        if image.dtype != np.uint8:
            raise ValueError(f"expected uint8 images, got {image.dtype}")
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"expected an (H, W, 3) image, got shape {image.shape}")
    if a.shape != b.shape:
        raise ValueError(f"the images differ in size: {a.shape[:2]} and {b.shape[:2]}")
    if crop < 0:
        raise ValueError(f"crop must not be negative, got {crop}")
    if min(a.shape[:2]) < smallest:
        raise ValueError(
            f"an image of {a.shape[1]}x{a.shape[0]} is too small: with a border of {crop} "
            f"cropped, each side needs at least {smallest} pixels"
        )
    inner = slice(crop, -crop or None)
    return a[inner, inner], b[inner, inner]


def _similarity(a: NDArray[np.uint8], b: NDArray[np.uint8], channel: Channel) -> float:
    """Sum of SSIM over all windows (and channels) of two images."""
    x, y = (luma(a), luma(b)) if channel == "y" else (a.astype(np.float64), b.astype(np.float64))
    # SSIM needs the variances only as their sum, so four filters do instead of five.
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    mean_xy = mean_x * mean_y
    mean_squares = mean_x * mean_x + mean_y * mean_y
    covariance = _window_mean(x * y) - mean_xy
    variances = _window_mean(x * x + y * y) - mean_squares
    similarity = ((2 * mean_xy + _C1) * (2 * covariance + _C2)) / (
        (mean_squares + _C1) * (variances + _C2)
    )
    return float(similarity.sum())


def _window_mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian-weighted mean over every window that lies inside ``image``."""
    window = cv2.getGaussianKernel(_WINDOW, _SIGMA, cv2.CV_64F)
    radius = _WINDOW // 2
    filtered = np.asarray(cv2.sepFilter2D(image, cv2.CV_64F, window, window), dtype=np.float64)
    return filtered[radius:-radius, radius:-radius]
