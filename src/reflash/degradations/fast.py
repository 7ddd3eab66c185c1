"""The second-order degradation on a CPU: the same decisions and noise, carried out faster.

``degrade`` makes the pixels of :func:`reflash.degradations.second_order.degrade` up to float
rounding. It differs in how the work is done:

- images that share what a group shares are worked on together, in portions that fit the
  processor's cache, and in place;
- blur kernels are evaluated for the three blurs at once and cut to the part that holds all but
  1e-7 of their weight; Gaussians of round shape are applied as rows and columns, small kernels and
  large images by OpenCV, the rest as one grouped convolution;
- Poisson numbers are looked up in a guide table, and searched for only where a slot of the table
  holds more than one number;
- unsharp masking of large windows uses OpenCV's separable filter instead of matrix products.

Float rounding can put a JPEG coefficient or a grey level on the other side of a rounding boundary.
A test bounds what that does: on average over batches fewer than 1 in 200 values differ at all.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor

from reflash.core.keys import Key
from reflash.degradations.constants import constant
from reflash.degradations.draws import Draws, draw
from reflash.degradations.jpeg import jpeg
from reflash.degradations.kernels import KERNEL_KINDS, kernels
from reflash.degradations.kernels import blur as blur_plainly
from reflash.degradations.noise import HALF_BIN, LUMA, NoiseKind, _poisson_table, noise_fields
from reflash.degradations.resize import RESIZE_MODES, resize_by, resize_to
from reflash.degradations.second_order import lr_size
from reflash.degradations.settings import SecondOrderSettings
from reflash.degradations.sharpen import SIGMA, SIZE, THRESHOLD, WEIGHT
from reflash.degradations.sharpen import usm_sharpen as usm_sharpen_plainly

NEGLIGIBLE = 1e-7
"""Share of a kernel's absolute weight that may be cut off: less than 1e-4 of a grey level."""

PORTION = 4 * 400 * 400
"""Pixels of HR worked on at a time: more leaves the cache, fewer costs more calls."""

DIRECT = 11
"""Largest kernel that OpenCV applies directly; larger ones it applies by Fourier transforms."""

SMALL, LARGE = 40, 160
"""Image sides below which the grouped convolution wins, and from which OpenCV wins, measured."""

GUIDE_BITS = 10
"""The guide table of the Poisson numbers has 2**10 slots per rate."""


@torch.no_grad()
def second_order(
    hr: Tensor, settings: SecondOrderSettings, key: Key, first_image: int = 0
) -> tuple[Tensor, Tensor]:
    """Sharpen (if ``settings.usm``) and degrade, as `reflash.degradations.second_order` defines.

    Parameters
    ----------
    hr : (B, 3, H, W) float32 in [0, 1], on the CPU
    settings, key, first_image
        As for the definition.

    Returns
    -------
    lr : (B, 3, H / scale, W / scale) float32, the values k / 255
    target : (B, 3, H, W) float32 in [0, 1]

    Examples
    --------
    >>> hr = torch.rand(2, 3, 64, 64)
    >>> lr, target = second_order(hr, SecondOrderSettings(), (0, "pairs", 1))
    >>> lr.shape, target.shape
    (torch.Size([2, 3, 16, 16]), torch.Size([2, 3, 64, 64]))
    """
    target = usm_sharpen(hr) if settings.usm else hr
    draws = draw(settings, len(hr), key, first_image)
    return degrade(target, draws, settings, key), target


@torch.no_grad()
def degrade(hr: Tensor, draws: Draws, settings: SecondOrderSettings, key: Key) -> Tensor:
    """Carry out ``draws`` on HR images, see `reflash.degradations.second_order.degrade`.

    Returns
    -------
    (B, 3, H / scale, W / scale) float32, the values k / 255

    Raises
    ------
    ValueError
        The sizes do not fit each other, or the images are not on the CPU.
    """
    if hr.device.type != "cpu":
        raise ValueError(f"this path is for the CPU, not {hr.device}")
    size = lr_size(hr, draws, settings.scale)
    blurs = _blurs(draws)
    out = hr.new_empty(len(hr), 3, *size)
    for part in _portions(draws, hr.shape[2] * hr.shape[3]):
        drawn = draws.rows(part)
        first, second, final = ([values[part] for values in kernel] for kernel in blurs)
        shared = drawn.row(0)  # factors, modes, noise kinds and step order of every image here
        modes = [RESIZE_MODES[int(shared[f"{name}_mode"])] for name in ("first", "second", "final")]

        x = blur(hr[part], *first)
        x = resize_by(x, shared["first_factor"], modes[0])
        x = _add_noise(x, "first", drawn, key)
        x = jpeg(x, drawn["first_quality"])

        x = blur(x, *second)
        height, width = (max(int(side * shared["second_factor"]), 1) for side in size)
        x = resize_to(x, (height, width), modes[1])
        x = _add_noise(x, "second", drawn, key)

        if shared["jpeg_last"]:
            x = blur(resize_to(x, size, modes[2]), *final).clamp_(0, 1)
            x = jpeg(x, drawn["second_quality"])
        else:
            x = jpeg(x, drawn["second_quality"])
            x = blur(resize_to(x, size, modes[2]), *final)
        out[part] = x
    return out.mul_(255).round_().clamp_(0, 255).div_(255)


def _portions(draws: Draws, pixels: int) -> Iterator[slice]:
    """Divide images into runs of one group that fit the cache."""
    most = max(PORTION // pixels, 1)
    start, group = 0, draws["group"].tolist()
    for stop in range(1, len(group) + 1):
        if stop == len(group) or group[stop] != group[start] or stop - start == most:
            yield slice(start, stop)
            start = stop


def _blurs(draws: Draws) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return kernels (B, K, K), radii and separability of the first, second and final blur."""
    drawn = draws.kernels()
    kernel = kernels(drawn)
    values = (kernel, effective_radius(kernel), drawn.kind == KERNEL_KINDS.index("iso"))
    return list(zip(*(v.split(len(draws)) for v in values), strict=True))


def effective_radius(kernel: Tensor) -> Tensor:
    """Return the radius of the smallest centred square that holds all of a kernel's weight.

    Parameters
    ----------
    kernel : (B, K, K) float, K odd

    Returns
    -------
    (B,) int64
        0 for a pulse; at most ``NEGLIGIBLE`` of the absolute weight lies outside.
    """
    half = kernel.shape[-1] // 2
    offset = torch.arange(-half, half + 1).abs()
    ring = torch.maximum(offset[:, None], offset).flatten()
    weight = kernel.new_zeros(len(kernel), half + 1, dtype=torch.float64)
    weight.index_add_(1, ring, kernel.abs().flatten(1).double())
    inside = weight.cumsum(1) / weight.sum(1, keepdim=True)
    return (inside < 1 - NEGLIGIBLE).sum(1)


def blur(x: Tensor, kernel: Tensor, radius: Tensor, separable: Tensor) -> Tensor:
    """Correlate each image with its own kernel, borders reflected, by the fastest way.

    Parameters
    ----------
    x : (B, 3, H, W) float32
    kernel : (B, K, K) float32, K odd
    radius : (B,) from `effective_radius`
    separable : (B,) bool, whether a kernel is the product of two equal rows

    Returns
    -------
    (B, 3, H, W) float32, not clamped
    """
    centre, side = kernel.shape[-1] // 2, max(x.shape[2:])
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    source, target, taps = x.contiguous().numpy(), out.numpy(), kernel.numpy()
    together: list[int] = []
    for i, (r, product) in enumerate(zip(radius.tolist(), separable.tolist(), strict=True)):
        cut = slice(centre - r, centre + r + 1)
        if r == 0:
            target[i] = source[i]
        elif product:
            row = taps[i, centre, cut] / np.sqrt(taps[i, centre, centre])
            for plane, result in zip(source[i], target[i], strict=True):
                cv2.sepFilter2D(plane, -1, row, row, result, borderType=cv2.BORDER_REFLECT_101)
        elif side >= LARGE or (side >= SMALL and 2 * r + 1 <= DIRECT):
            square = np.ascontiguousarray(taps[i, cut, cut])
            for plane, result in zip(source[i], target[i], strict=True):
                cv2.filter2D(plane, -1, square, result, borderType=cv2.BORDER_REFLECT_101)
        else:
            together.append(i)
    if together:
        r = int(radius[together].max())
        cut = slice(centre - r, centre + r + 1)
        out[together] = blur_plainly(x[together], kernel[together][:, cut, cut])
    return out


def usm_sharpen(x: Tensor) -> Tensor:
    """Sharpen images as `reflash.degradations.sharpen.usm_sharpen` does.

    Borders are those of the window that is given: sharpening a whole image first and cutting
    windows from it would differ in a border of 50 pixels.
    """
    if max(x.shape[2:]) < LARGE:
        return usm_sharpen_plainly(x)
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    taps = cv2.getGaussianKernel(SIZE, SIGMA, cv2.CV_32F)
    low = np.empty(x.shape[2:], np.float32)
    soft = np.empty_like(low)
    for planes, results in zip(x.contiguous().numpy(), out.numpy(), strict=True):
        for image, result in zip(planes, results, strict=True):
            cv2.sepFilter2D(image, -1, taps, taps, low, borderType=cv2.BORDER_REFLECT_101)
            residual = np.subtract(image, low, low)
            mask = (np.abs(residual * np.float32(255)) > THRESHOLD).astype(np.float32)
            cv2.sepFilter2D(mask, -1, taps, taps, soft, borderType=cv2.BORDER_REFLECT_101)
            sharp = np.clip(image + np.float32(WEIGHT) * residual, 0, 1)
            np.multiply(soft, sharp - image, result)
            result += image
    return out


def _add_noise(x: Tensor, order: str, drawn: Draws, key: Key) -> Tensor:
    """Add the definition's noise to images that share its kind."""
    kind: NoiseKind = "gaussian" if drawn.row(0)[f"{order}_gaussian"] else "poisson"
    images = drawn["image"].long().tolist()
    field = noise_fields(kind, (*key, order), images, x.shape[2:])
    grey = drawn[f"{order}_grey"] > 0
    if kind == "poisson":
        return poisson_noise(x, field, drawn[f"{order}_poisson_scale"], grey)
    sigma = (drawn[f"{order}_noise_sigma"] / 255).float()[:, None, None, None]
    field = torch.where(grey[:, None, None, None], field[:, :1], field)
    return field.mul_(sigma).add_(x).clamp_(0, 1)


def poisson_noise(x: Tensor, field: Tensor, scale: Tensor, grey: Tensor) -> Tensor:
    """Add Poisson noise, see `reflash.degradations.noise.poisson_noise`.

    Images with grey noise are looked at in one channel instead of three equal ones.
    """
    out = torch.empty_like(x)
    for is_grey in (True, False):
        chosen = (grey == is_grey).nonzero()[:, 0]
        if len(chosen) == 0:
            continue
        source, uniform = x[chosen], field[chosen]
        if is_grey:
            uniform = uniform[:, :1]
            luma = source.new_tensor(LUMA)[:, None, None]
            source = (source * luma).sum(dim=1, keepdim=True)
        levels = source.mul(255).round_().clamp_(0, 255)
        exponent = _distinct_exponent(levels.byte())
        noise = poisson_quantile(levels.int(), exponent, uniform)
        noise.div_(torch.exp2(exponent)[:, None, None, None]).sub_(levels.div_(255))
        out[chosen] = noise.mul_(scale[chosen].float()[:, None, None, None]).add(x[chosen])
    return out.clamp_(0, 1)


def _distinct_exponent(levels: Tensor) -> Tensor:
    """Return ceil(log2(number of distinct levels)) of each image of (B, C, H, W) uint8."""
    seen = [np.bincount(image.ravel(), minlength=256) > 0 for image in levels.numpy()]
    return torch.tensor([(int(found.sum()) - 1).bit_length() for found in seen])


def poisson_quantile(level: Tensor, exponent: Tensor, uniform: Tensor) -> Tensor:
    """Poisson quantiles as `reflash.degradations.noise.poisson_quantile`, by a guide table.

    Parameters
    ----------
    level : (B, C, H, W) int32 in 0..255
    exponent : (B,) int64 in 0..8
    uniform : (B, C, H, W) float32 in [0, 1), multiples of 2**-24

    Returns
    -------
    (B, C, H, W) float32
    """
    row = (exponent.int() * 256)[:, None, None, None] + level
    slot = (uniform * 2**GUIDE_BITS).int()
    counts = _guide().take(slot.add_(row << GUIDE_BITS).long()).float()
    table, starts = _poisson_table(uniform.device)
    open_ones = (counts < 0).flatten().nonzero()[:, 0]
    rows = row.flatten()[open_ones]
    values = rows + (uniform.flatten()[open_ones].double() + HALF_BIN)
    found = torch.searchsorted(table, values) - starts[rows]
    counts.view(-1)[open_ones] = found.float()
    return counts


@constant
def _guide() -> Tensor:
    """Tabulate the quantile of every rate and slot of uniform numbers; -1 where it is not unique.

    Shape (9 * 256 * 2**GUIDE_BITS,), int16.
    """
    table, starts = _poisson_table(torch.device("cpu"))
    slots = 2**GUIDE_BITS
    lower = torch.arange(slots, dtype=torch.float64) / slots + HALF_BIN
    upper = lower + 1 / slots - 2 * HALF_BIN
    rows = torch.arange(len(starts), dtype=torch.float64)[:, None]
    first, last = (torch.searchsorted(table, rows + ends) for ends in (lower, upper))
    guide = torch.where(first == last, first - starts[:, None], -1)
    return guide.to(torch.int16).flatten()
