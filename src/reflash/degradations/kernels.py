"""Blur kernels for a whole batch at once, in closed form, and the blur itself.

Families and parameters are those of BasicSR's ``random_mixed_kernels`` and
``circular_lowpass_kernel`` (Real-ESRGAN, arXiv 2107.10833), evaluated on one canvas for all images
instead of kernel by kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from reflash.degradations.constants import constant

KERNEL_KINDS = (
    "iso",
    "aniso",
    "generalised_iso",
    "generalised_aniso",
    "plateau_iso",
    "plateau_aniso",
    "sinc",
    "pulse",
)
CANVAS = 21


@dataclass(frozen=True)
class KernelDraws:
    """Parameters of B kernels, each a tensor (B,) float64; kinds and sizes are whole numbers."""

    kind: torch.Tensor
    """Index into ``KERNEL_KINDS``."""
    size: torch.Tensor
    """Odd size in pixels; the kernel is zero outside."""
    sigma_x: torch.Tensor
    """Standard deviation along the first axis of the kernel, in pixels."""
    sigma_y: torch.Tensor
    """Standard deviation along the second; equal to ``sigma_x`` for isotropic kinds."""
    rotation: torch.Tensor
    """Angle from the image's x axis (right) towards its y axis (down), in radians."""
    beta: torch.Tensor
    """Exponent of the squared distance in generalised and plateau kinds; 1 for Gaussians."""
    cutoff: torch.Tensor
    """Cut-off of sinc filters, in radians per pixel."""


def kernels(draws: KernelDraws, canvas: int = CANVAS) -> torch.Tensor:
    """Evaluate B kernels, centred on a canvas of ``canvas`` x ``canvas`` pixels (odd).

    With d the Mahalanobis distance of a pixel from the centre, Gaussians are exp(-d^2 / 2),
    generalised Gaussians exp(-d^(2 beta) / 2), plateaus 1 / (1 + d^(2 beta)); the sinc filter is
    the circular low-pass c J1(c r) / (2 pi r); the pulse leaves an image as it is.

    Returns
    -------
    torch.Tensor
        (B, canvas, canvas) float32 on the device of ``draws``; each kernel sums to 1.

    Examples
    --------
    >>> one, none = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    >>> iso = KernelDraws(
    ...     kind=none, size=3 * one, sigma_x=one, sigma_y=one, rotation=none, beta=one, cutoff=one
    ... )
    >>> kernels(iso, canvas=3)
    tensor([[[0.0751, 0.1238, 0.0751],
             [0.1238, 0.2042, 0.1238],
             [0.0751, 0.1238, 0.0751]]])
    """
    x, y, radius, centre, ring = _grid(canvas, draws.sigma_x.device, draws.sigma_x.dtype)

    def each(values: torch.Tensor) -> torch.Tensor:
        return values.reshape(-1, 1, 1)

    cos, sin = each(draws.rotation.cos()), each(draws.rotation.sin())
    along, across = x * cos + y * sin, y * cos - x * sin
    distance = (along / each(draws.sigma_x)).square() + (across / each(draws.sigma_y)).square()
    power = distance.pow(each(draws.beta))

    cutoff = each(draws.cutoff)
    wave = torch.special.bessel_j1(cutoff * radius) / (radius + centre)
    sinc = torch.where(centre > 0, cutoff.square() / (4 * math.pi), cutoff * wave / (2 * math.pi))

    # From the commonest kind to the rarest: each line replaces the kernels of other kinds.
    kind = each(draws.kind)
    kernel = torch.exp(-0.5 * power)
    is_plateau = kind >= KERNEL_KINDS.index("plateau_iso")
    kernel = torch.where(is_plateau, 1 / (1 + power), kernel)
    kernel = torch.where(kind == KERNEL_KINDS.index("sinc"), sinc, kernel)
    kernel = torch.where(kind == KERNEL_KINDS.index("pulse"), centre, kernel)

    kernel = kernel * (ring <= each(draws.size // 2))
    return (kernel / kernel.sum(dim=(1, 2), keepdim=True)).float()


@constant
def _grid(canvas: int, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Return x, y, the distance from the centre, the pulse, and the square ring of a pixel."""
    offset = torch.arange(canvas, device=device, dtype=dtype) - canvas // 2
    x, y = offset[None, None, :], offset[None, :, None]
    radius, ring = (x.square() + y.square()).sqrt(), torch.maximum(x.abs(), y.abs())
    return x, y, radius, (radius == 0).to(dtype), ring


def reflected(length: int, margin: int, device: torch.device) -> torch.Tensor:
    """Index a row of ``length`` pixels with ``margin`` more reflected at either end.

    The edge pixel is not repeated (OpenCV's BORDER_REFLECT_101), and rows shorter than the margin
    are reflected as often as it takes. Shape (length + 2 * margin,), int64.

    >>> reflected(4, 2, torch.device("cpu")).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    """
    period = max(2 * (length - 1), 1)
    index = torch.arange(-margin, length + margin, device=device).remainder(period)
    return torch.minimum(index, period - index) if length > 1 else torch.zeros_like(index)


def blur(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Correlate each image with its own kernel, borders reflected.

    Parameters
    ----------
    x : (B, C, H, W) float
    kernel : (B, K, K) float, K odd

    Returns
    -------
    torch.Tensor
        (B, C, H, W); not clamped, a sinc filter overshoots.

    Examples
    --------
    >>> x = torch.arange(9.0).view(1, 1, 3, 3)
    >>> blur(x, torch.full((1, 3, 3), 1 / 9))[0, 0]
    tensor([[2.6667, 3.0000, 3.3333],
            [3.6667, 4.0000, 4.3333],
            [4.6667, 5.0000, 5.3333]])
    """
    batch, channels, height, width = x.shape
    margin = kernel.shape[-1] // 2
    padded = x.index_select(2, reflected(height, margin, x.device))
    padded = padded.index_select(3, reflected(width, margin, x.device))
    weight = (
        kernel[:, None].expand(-1, channels, -1, -1).reshape(batch * channels, 1, *kernel.shape[1:])
    )
    stacked = padded.reshape(1, batch * channels, *padded.shape[2:])
    return F.conv2d(stacked, weight, groups=batch * channels).view(x.shape)
