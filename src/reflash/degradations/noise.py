"""Gaussian and Poisson noise on top of given random fields.

The random numbers come in as a field with a fixed count per pixel, so the same field gives the same
noise on every path: alone or in a batch, plain or compiled. The noise itself is that of BasicSR's
``add_gaussian_noise_pt`` and ``add_poisson_noise_pt``, with one difference: there all grey-noise
images of a batch share one Gaussian field, here each image has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from reflash.core.keys import Key, torch_generator
from reflash.degradations.constants import constant

NoiseKind = Literal["gaussian", "poisson"]
LUMA = (0.2989, 0.587, 0.114)
HALF_BIN = 2.0**-25
"""Half the spacing of torch's float32 uniform numbers: keeps the Poisson quantile off 0 and 1."""


def noise_fields(
    kind: NoiseKind,
    key: Key,
    images: Sequence[int],
    size: Sequence[int],
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Draw a field for each image: standard normal (gaussian) or uniform in [0, 1) (poisson).

    Parameters
    ----------
    kind : "gaussian" or "poisson"
    key : tuple of int and str
    images : sequence of int, length B
        Indices of the images; with ``key`` they decide the fields.
    size : (height, width)
    device : torch.device or str
        Another type of device gives other fields.

    Returns
    -------
    torch.Tensor
        (B, 3, height, width) float32 on ``device``. Grey noise uses channel 0.

    Examples
    --------
    >>> field = noise_fields("poisson", (0, "first"), [3, 4], (8, 9))
    >>> bool((field[1:] == noise_fields("poisson", (0, "first"), [4], (8, 9))).all())
    True
    """
    fields = torch.empty(len(images), 3, *size, device=device)
    for image, field in zip(images, fields, strict=True):
        generator = torch_generator(*key, "noise", image, device=device)
        if kind == "gaussian":
            field.normal_(generator=generator)
        else:
            field.uniform_(generator=generator)
    return fields


def gaussian_noise(
    x: torch.Tensor, field: torch.Tensor, sigma: torch.Tensor, grey: torch.Tensor
) -> torch.Tensor:
    """Add Gaussian noise and clip to [0, 1], without rounding to 8 bits.

    Parameters
    ----------
    x : (B, 3, H, W) float in [0, 1]
    field : (B, 3, H, W) standard normal numbers
    sigma : (B,) standard deviations in grey levels of 255
    grey : (B,) bool, whether an image's noise is the same in its three channels

    Examples
    --------
    >>> x, one = torch.full((1, 3, 1, 1), 0.5), torch.ones(1)
    >>> gaussian_noise(x, torch.ones(1, 3, 1, 1), 25.5 * one, one > 0).flatten()
    tensor([0.6000, 0.6000, 0.6000])
    """
    field = torch.where(grey[:, None, None, None], field[:, :1], field)
    return (x + field * (sigma / 255).to(x.dtype)[:, None, None, None]).clamp(0, 1)


def poisson_noise(
    x: torch.Tensor, field: torch.Tensor, scale: torch.Tensor, grey: torch.Tensor
) -> torch.Tensor:
    """Add Poisson noise and clip to [0, 1], without rounding to 8 bits.

    The image is rounded to 8 bits; with v the number of its distinct levels, raised to a power of
    two, the noise is Poisson(v image) / v - image, times ``scale``. Grey noise is computed on the
    grey image. The Poisson numbers are exact quantiles of ``field``.

    Parameters
    ----------
    x : (B, 3, H, W) float in [0, 1]
    field : (B, 3, H, W) uniform numbers in [0, 1)
    scale : (B,) factors on the noise
    grey : (B,) bool, whether an image's noise is the same in its three channels
    """
    grey = grey[:, None, None, None]
    luma = (x * x.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    source = torch.where(grey, luma, x)
    levels = (source * 255).round().clamp(0, 255).long()
    exponent = _distinct_exponent(levels)[:, None, None, None]
    counts = poisson_quantile(levels, exponent, torch.where(grey, field[:, :1], field))
    noise = counts / torch.exp2(exponent) - levels / 255
    return (x + (noise * scale[:, None, None, None]).to(x.dtype)).clamp(0, 1)


def _distinct_exponent(levels: torch.Tensor) -> torch.Tensor:
    """Ceil of log2 of the number of distinct levels of each image: (B, ...) int64 -> (B,) int64."""
    seen = levels.new_zeros(levels.shape[0], 256, dtype=torch.bool)
    seen.scatter_(1, levels.flatten(1), True)
    powers = torch.tensor([2**i for i in range(8)], device=levels.device)
    return torch.bucketize(seen.sum(dim=1), powers)


def poisson_quantile(
    level: torch.Tensor, exponent: torch.Tensor, uniform: torch.Tensor
) -> torch.Tensor:
    """Poisson quantiles for the rates level / 255 * 2**exponent, by search in a table.

    Parameters
    ----------
    level : (...) int64 in 0..255
    exponent : (...) int64 in 0..8, broadcast against ``level``
    uniform : (...) float32 in [0, 1); read half a bin higher, so that 0 is no extreme

    Returns
    -------
    torch.Tensor
        (...) int64: the smallest k with P(Poisson <= k) >= uniform + 2**-25.
    """
    table, starts = _poisson_table(level.device)
    row = exponent * 256 + level
    values = row + (uniform.double() + HALF_BIN)
    return torch.searchsorted(table, values.contiguous()) - starts[row]


@constant
def _poisson_table(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Tabulate the cumulative distributions of all 9 x 256 rates; row r lies in [r, r + 1]."""
    exponent = torch.arange(9, dtype=torch.float64)[:, None]
    rate = (torch.exp2(exponent) * torch.arange(256) / 255).flatten()[:, None]
    k = torch.arange(400, dtype=torch.float64)
    cdf = torch.exp(torch.xlogy(k, rate) - rate - torch.lgamma(k + 1)).cumsum(dim=1)
    needed = (cdf < 1 - HALF_BIN / 2).sum(dim=1, keepdim=True)
    cdf = torch.where(k == needed, 1, cdf) + torch.arange(len(rate))[:, None]
    starts = torch.cumsum(needed.flatten() + 1, dim=0) - needed.flatten() - 1
    return cdf[k <= needed].to(device), starts.to(device)
