"""Antialiased bicubic down-sampling, as MATLAB's imresize or as Pillow does it.

The single-degradation setting of the field means this operator: a cubic kernel (a = -0.5)
stretched by the scale, applied to rows and then columns. MATLAB mirrors borders; Pillow cuts the
kernel there and normalises what is left. Computed in floating point and not rounded between the two
passes (Pillow itself rounds to 8 bits there).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from reflash.degradations.settings import Bicubic


def cubic(x: Tensor) -> Tensor:
    """Return Keys' cubic convolution kernel with a = -0.5 at distance ``x``."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def bicubic_downsample(image: Tensor, scale: int, variant: Bicubic = "matlab") -> Tensor:
    """Reduce an image by a whole factor as MATLAB's ``imresize(image, 1/scale)``, or as Pillow.

    Parameters
    ----------
    image
        (B, C, H, W) float; H and W are multiples of ``scale``.
    scale
        Whole factor >= 2.
    variant
        What happens at the borders.

    Returns
    -------
    Tensor
        (B, C, H / scale, W / scale), unclamped (bicubic overshoots by a few per cent).

    Examples
    --------
    >>> ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    >>> bicubic_downsample(ramp, 4)[0, 0, 0]
    tensor([ 1.3599,  5.4839,  9.5161, 13.6401])
    """
    height, width = image.shape[-2:]
    if height % scale or width % scale:
        raise ValueError(f"image of {height} x {width} is not a multiple of {scale}")
    half = 2 * scale  # the stretched kernel is zero from here on
    # Output sample i sits at input coordinate scale * (i + 0.5) - 0.5; the same 4 * scale taps
    # around it serve every sample.
    taps = torch.arange(-half, half, dtype=torch.float64) + (0.5 if scale % 2 == 0 else 0.0)
    weights = cubic(taps / scale)
    weights = (weights / weights.sum()).to(image)
    left = half - scale // 2 if scale % 2 == 0 else half - (scale - 1) // 2
    right = half - scale + scale // 2 if scale % 2 == 0 else half - 1 - (scale - 1) // 2
    for dim in (2, 3):
        shape = [1, 1, 1, 1]
        shape[dim] = -1
        stride = (scale, 1) if dim == 2 else (1, scale)
        kernel = weights.view(shape).repeat(image.shape[1], 1, 1, 1)
        if variant == "matlab":
            padded = _mirror(image, dim, left, right)
        else:
            padded = _surround(image, dim, left, right)
        image = functional.conv2d(padded, kernel, stride=stride, groups=image.shape[1])
        if variant == "pil":
            length = padded.shape[dim] - left - right
            inside = _surround(torch.ones(length).view(shape).to(image), dim, left, right)
            image = image / functional.conv2d(inside, weights.view(shape), stride=stride)
    return image


def _surround(image: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Pad by zeros."""
    return functional.pad(image, (0, 0, before, after) if dim == 2 else (before, after, 0, 0))


def _mirror(image: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Pad by symmetric mirroring (the border pixel repeats), as imresize indexes its input."""
    length = image.shape[dim]
    index = torch.arange(-before, length + after, device=image.device) % (2 * length)
    return image.index_select(dim, torch.minimum(index, 2 * length - 1 - index))
