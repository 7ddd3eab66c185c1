"""Resizing by plain interpolation, without the low-pass that a careful resize would apply."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional as F

ResizeMode = Literal["area", "bilinear", "bicubic"]
RESIZE_MODES: tuple[ResizeMode, ...] = ("area", "bilinear", "bicubic")


def resize_by(x: torch.Tensor, factor: float, mode: ResizeMode) -> torch.Tensor:
    """Resize ``x`` (B, C, H, W) by ``factor`` to (B, C, floor(H factor), floor(W factor)).

    Bilinear and bicubic sample at steps of exactly 1 / factor, pixel centres at half integers, as
    BasicSR's RealESRGANModel does in its first round (bilinear copies where the size stays); area
    averages over H / floor(H factor) rows. Sizes below one pixel become one. Bicubic (a = -0.75)
    overshoots and is not clamped.

    >>> resize_by(torch.rand(1, 3, 40, 50), 0.37, "bicubic").shape
    torch.Size([1, 3, 14, 18])
    """
    height, width = x.shape[2:]
    if min(height, width) * factor < 1:
        return resize_to(x, (max(int(height * factor), 1), max(int(width * factor), 1)), mode)
    return F.interpolate(x, scale_factor=factor, mode=mode)


def resize_to(x: torch.Tensor, size: tuple[int, int], mode: ResizeMode) -> torch.Tensor:
    """Resize ``x`` (B, C, H, W) to (B, C, *size); the step is the ratio of the sizes.

    Bicubic (a = -0.75) overshoots and is not clamped.

    >>> resize_to(torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]), (1, 1), "area")
    tensor([[[[1.5000]]]])
    """
    return F.interpolate(x, size=size, mode=mode)
