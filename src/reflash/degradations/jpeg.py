"""JPEG compression and decompression of a batch in tensor operations.

The steps are those of BasicSR's DiffJPEG with hard rounding, which the released training used. It
differs from libjpeg: the luma quantisation table is transposed (vertical and horizontal frequencies
change places), tables are neither rounded to integers nor kept at 1 or above, quality is a real
number, colour values are not rounded before the DCT nor after the inverse, chroma is enlarged by
repetition instead of a triangle filter, and images are padded with black instead of their edge.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from reflash.degradations.constants import constant

# Annex K of the JPEG standard (ITU-T T.81), rows are vertical frequencies.
LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)
RGB_TO_YCC = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)
YCC_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def jpeg(x: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Compress each image with its own quality and decompress it again.

    Parameters
    ----------
    x : (B, 3, H, W) float in [0, 1]
    quality : (B,) float in [1, 100), larger is better

    Returns
    -------
    torch.Tensor
        (B, 3, H, W) float in [0, 1], not rounded to 8 bits.

    Examples
    --------
    >>> x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> error = (jpeg(x, torch.tensor([30.0, 95.0])) - x).abs().mean(dim=(1, 2, 3))
    >>> bool(error[0] > error[1])  # lower quality, larger error
    True
    """
    height, width = x.shape[2:]
    padded = F.pad(x, (0, -width % 16, 0, -height % 16)) * 255
    ycc = torch.einsum("oc,bchw->bohw", x.new_tensor(RGB_TO_YCC), padded)
    factor = quantisation_factor(quality).to(x.dtype)
    luma = _code(ycc[:, :1] - 128, factor, "luma") + 128
    chroma = _code(F.avg_pool2d(ycc[:, 1:], 2), factor, "chroma")
    chroma = chroma.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    decoded = torch.einsum("oc,bchw->bohw", x.new_tensor(YCC_TO_RGB), torch.cat([luma, chroma], 1))
    return decoded[:, :, :height, :width].clamp(0, 255) / 255


def quantisation_factor(quality: torch.Tensor) -> torch.Tensor:
    """Factor on the quantisation tables: 50 / quality below 50, 2 - quality / 50 from there on.

    >>> quantisation_factor(torch.tensor([25.0, 75.0]))
    tensor([2.0000, 0.5000])
    """
    return torch.where(quality < 50, 50 / quality, 2 - quality / 50)


def _code(planes: torch.Tensor, factor: torch.Tensor, table: str) -> torch.Tensor:
    """Quantise planes (B, C, H, W), centred at 0, in the DCT domain of their 8 x 8 blocks."""
    batch, channels, height, width = planes.shape
    transform, tables = _constants(planes.device, planes.dtype)
    step = tables[table] * factor[:, None, None]
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = blocks.reshape(batch, -1, 64) @ transform.T
    decoded = ((coefficients / step).round() * step) @ transform
    blocks = decoded.view(batch, channels, height // 8, width // 8, 8, 8)
    return blocks.transpose(3, 4).reshape(planes.shape)


@constant
def _constants(
    device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Orthonormal DCT of a flattened block, (64, 64), and the two quantisation tables, (64,)."""
    n = torch.arange(8, dtype=torch.float64)
    dct = torch.cos((2 * n + 1) * n[:, None] * math.pi / 16) / 2
    dct[0] /= math.sqrt(2)
    tables = {
        "luma": torch.tensor(LUMA_TABLE).T.flatten().to(device, dtype),
        "chroma": torch.tensor(CHROMA_TABLE).T.flatten().to(device, dtype),
    }
    return torch.kron(dct, dct).to(device, dtype), tables
