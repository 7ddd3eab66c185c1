"""Unsharp masking of training targets, as in BasicSR's USMSharp."""

from __future__ import annotations

import torch

from reflash.degradations.constants import constant
from reflash.degradations.kernels import reflected

SIZE = 51
SIGMA = 8.0
"""What OpenCV derives from a size of 51: 0.3 ((51 - 1) / 2 - 1) + 0.8."""
WEIGHT = 0.5
THRESHOLD = 10.0


def usm_sharpen(x: torch.Tensor) -> torch.Tensor:
    """Sharpen where an image differs from its blur by more than 10 grey levels.

    The blur is a Gaussian (51 x 51, sigma 8); the mask of large differences is blurred likewise and
    blends the sharpened image, image + 0.5 (image - blur) clipped to [0, 1], with the image.

    Parameters
    ----------
    x : (B, C, H, W) float in [0, 1]

    Returns
    -------
    torch.Tensor
        (B, C, H, W) float in [0, 1].

    Examples
    --------
    >>> x = torch.full((1, 1, 64, 64), 0.4)
    >>> x[..., 32:] = 0.6
    >>> usm_sharpen(x)[0, 0, 0, [0, 30, 31, 32, 33, 63]]  # steeper at the edge
    tensor([0.4000, 0.3740, 0.3706, 0.6294, 0.6260, 0.6000])
    """
    residual = x - _gaussian(x)
    soft = _gaussian(((residual * 255).abs() > THRESHOLD).to(x.dtype))
    sharp = (x + WEIGHT * residual).clamp(0, 1)
    return soft * sharp + (1 - soft) * x


def _gaussian(x: torch.Tensor) -> torch.Tensor:
    """Blur rows and columns by one matrix product each, with reflected borders."""
    rows = _blur_matrix(x.shape[2], x.device, x.dtype)
    columns = _blur_matrix(x.shape[3], x.device, x.dtype)
    return rows @ x @ columns.T


@constant
def _blur_matrix(length: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return M, (length, length): M @ column is the column blurred with reflected borders."""
    offset = torch.arange(SIZE, dtype=torch.float64) - SIZE // 2
    taps = torch.exp(-0.5 * (offset / SIGMA).square())
    source = reflected(length, SIZE // 2, torch.device("cpu")).unfold(0, SIZE, 1)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    matrix.scatter_add_(1, source, (taps / taps.sum()).expand(length, SIZE))
    return matrix.to(device, dtype)
