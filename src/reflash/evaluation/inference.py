"""Running a super-resolution network on images of any size within bounded memory.

A large image is cut into tiles. Each is upscaled together with a margin of context (the overlap),
of which nothing is kept, so that with a margin as wide as the network's receptive field no pixel
knows that it was computed in a tile. For SRResNet the receptive field reaches 35 LR pixels to
each side and the default overlap covers it: tiled and whole results agree to float rounding.
RRDB's nominally reaches 348, which no tile can afford; see ``MAX_OVERLAP`` for what is lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reflash.core.errors import ReflashError, StopError
from reflash.core.progress import track
from reflash.models.staged import StagedNetwork

WINDOW = 320
"""Side in LR pixels of the largest piece given to a network by itself: memory's bound."""

MAX_OVERLAP = 48
"""Widest automatic overlap in LR pixels.

RRDB sees further, and what it sees fades slowly in trained weights: with RealESRGAN_x4plus on a
clean image of 96 x 120 pixels in tiles of 60, an overlap of 48 changes 1.6 % of the values by a
grey level or more, at most by 23, and one of 16 changes 34 %; with the six blocks of
RealESRGAN_x4plus_anime_6B 48 changes at most 1.2. Give a wider overlap, or no tiles, where that
matters.
"""


class NotFiniteError(StopError):
    """A network's output holds NaN or infinity: its weights are broken, whatever the image."""

    def __init__(self, message: str = "") -> None:
        super().__init__(
            message or "the output is not finite (NaN or infinity); use weights of a sound training"
        )


class _Span(NamedTuple):
    """A tile along one axis in LR pixels: what is kept, and the window it is computed in."""

    start: int
    stop: int
    window_start: int
    window_stop: int

    @property
    def window(self) -> slice:
        """The window in the LR image."""
        return slice(self.window_start, self.window_stop)

    def in_window(self, scale: int) -> slice:
        """Return what is kept of the upscaled window."""
        return slice(
            (self.start - self.window_start) * scale, (self.stop - self.window_start) * scale
        )

    def in_sr(self, scale: int) -> slice:
        """Return where it belongs in the SR image."""
        return slice(self.start * scale, self.stop * scale)


@dataclass(frozen=True)
class NetworkUpscaler:
    """A network as a function from an LR image to an SR image, see `upscale_image`."""

    model: nn.Module
    tile: int | None = None
    overlap: int | None = None
    device: torch.device | str = "cpu"
    name: str = "network"
    """What errors call it: the path of the weights."""

    @property
    def keeps_size(self) -> bool:
        """Whether the network is of a task that keeps the size of images."""
        return isinstance(self.model, StagedNetwork) and self.model.scale == 1

    def __call__(self, lr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return ``lr`` (h, w, 3) uint8 upscaled."""
        try:
            return upscale_image(self.model, lr, self.tile, self.overlap, self.device)
        except NotFiniteError as error:
            raise NotFiniteError(f"{self.name}: {error}") from error


def receptive_radius(model: nn.Module) -> int:
    """Return an upper bound of how many LR pixels away an input can influence an output.

    The reaches of all 2-D convolutions are added as if they followed one another at LR
    resolution (SRResNet: 37, in truth 35 because the last convolutions work on finer grids), and
    at least the 2 of a bicubic global residual are assumed. Not a bound for a network that
    downsamples, pools globally or attends.
    """
    reach = 0
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            reach += max(
                dilation * (size - 1) // 2
                for size, dilation in zip(module.kernel_size, module.dilation, strict=True)
            )
    return max(reach, 2)


def default_overlap(model: nn.Module) -> int:
    """Return the overlap in LR pixels used when none is asked for."""
    return min(receptive_radius(model), MAX_OVERLAP)


def upscale_tensor(
    model: nn.Module, lr: Tensor, tile: int | None = None, overlap: int | None = None
) -> Tensor:
    """Upscale a batch of images; dropout is off whatever mode the network is in.

    Parameters
    ----------
    model : torch.nn.Module
        From ``(B, 3, h, w)`` to ``(B, 3, scale * h, scale * w)``.
    lr : (B, 3, h, w) float in [0, 1], on the network's device
    tile : int, optional
        Side in LR pixels of the tiles; 0 for the whole image at once. By default the whole image
        if it has at most ``WINDOW ** 2`` pixels, else tiles that, with their overlap, are not
        larger than that.
    overlap : int, optional
        LR pixels of context on each side of a tile; by default `default_overlap`.

    Returns
    -------
    (B, 3, scale * h, scale * w) float, not clamped, on the network's device

    Raises
    ------
    NotFiniteError
        The network's output holds NaN or infinity.

    Examples
    --------
    >>> twice = nn.Upsample(scale_factor=2)
    >>> upscale_tensor(twice, torch.tensor([[[[0.0, 1.0]]]]), tile=1, overlap=0)
    tensor([[[[0., 0., 1., 1.],
              [0., 0., 1., 1.]]]])
    """
    batch, channels, height, width = lr.shape
    with torch.inference_mode(), as_tested(model):
        sr = None
        for row, column, window, scale in _windows(model, lr, tile, overlap):
            if sr is None:
                sr = window.new_empty(batch, channels, height * scale, width * scale)
            sr[:, :, row.in_sr(scale), column.in_sr(scale)] = window
    assert sr is not None
    return sr


def upscale_image(
    model: nn.Module,
    lr: NDArray[np.uint8],
    tile: int | None = None,
    overlap: int | None = None,
    device: torch.device | str = "cpu",
) -> NDArray[np.uint8]:
    """Upscale one 8-bit image; the float result exists for one tile at a time only.

    Values are clamped to [0, 1] and rounded to 8 bits, halves to even.

    Parameters
    ----------
    model : torch.nn.Module
        On ``device``; from ``(B, 3, h, w)`` to ``(B, 3, scale * h, scale * w)``.
    lr : (h, w, 3) uint8
    tile, overlap : int, optional
        See `upscale_tensor`.
    device : torch.device or str

    Returns
    -------
    (scale * h, scale * w, 3) uint8

    Raises
    ------
    ReflashError
        The device's memory is too small for a tile, or (as `NotFiniteError`) the network's output
        holds NaN or infinity.
    """
    height, width, channels = lr.shape
    batch = torch.from_numpy(np.array(lr)).to(device).permute(2, 0, 1)[None]
    sr = None
    try:
        with torch.inference_mode(), as_tested(model):
            for row, column, window, scale in _windows(model, batch, tile, overlap):
                levels = window[0].clamp(0, 1).mul(255).round().to(torch.uint8)
                if sr is None:
                    sr = np.empty((height * scale, width * scale, channels), np.uint8)
                sr[row.in_sr(scale), column.in_sr(scale)] = levels.permute(1, 2, 0).cpu().numpy()
    except torch.OutOfMemoryError as error:
        raise ReflashError(
            f"device {device}: its memory is too small for {height}x{width} pixels in tiles of "
            f"{'automatic size' if tile is None else tile or 'the whole image'}; "
            "choose a smaller tile, such as 64, or the device cpu"
        ) from error
    assert sr is not None
    return sr


def _windows(
    model: nn.Module, lr: Tensor, tile: int | None, overlap: int | None
) -> Iterator[tuple[_Span, _Span, Tensor, int]]:
    """Yield row and column of each tile, what is kept of it upscaled, and the scale.

    ``lr`` is float in [0, 1], or uint8, which is converted tile by tile. There is at least one
    tile.
    """
    height, width = lr.shape[-2:]
    if not height or not width:
        raise ValueError(f"expected at least one pixel, got shape {tuple(lr.shape)}")
    overlap = default_overlap(model) if overlap is None else overlap
    if tile is None:
        tile = 0 if height * width <= WINDOW**2 else max(WINDOW - 2 * overlap, 1)
    if tile < 0 or overlap < 0:
        raise ValueError(f"tile and overlap must not be negative, got {tile} and {overlap}")
    tiles = list(product(_spans(height, tile, overlap), _spans(width, tile, overlap)))
    for row, column in track(tiles, "tiles") if len(tiles) > 1 else tiles:
        window = lr[..., row.window, column.window]
        if window.dtype == torch.uint8:
            window = window.float() / 255
        sr = model(window.contiguous(memory_format=torch.channels_last))
        if not bool(sr.isfinite().all()):  # rounded to 8 bits it would look like an image
            raise NotFiniteError
        scale = sr.shape[-1] // window.shape[-1]
        yield row, column, sr[..., row.in_window(scale), column.in_window(scale)], scale


def _spans(size: int, tile: int, overlap: int) -> list[_Span]:
    """Divide ``size`` pixels evenly into the fewest tiles of at most ``tile`` (0: one) pixels."""
    count = 1 if tile == 0 else math.ceil(size / tile)
    edges = [size * index // count for index in range(count + 1)]
    return [
        _Span(start, stop, max(start - overlap, 0), min(stop + overlap, size))
        for start, stop in pairwise(edges)
    ]


@contextmanager
def as_tested(model: nn.Module) -> Iterator[None]:
    """Set evaluation mode and reproducible full-precision convolutions; undo both afterwards.

    cuDNN would otherwise use TF32, which keeps 10 of the 23 bits of a float's fraction, and may
    choose algorithms that differ from run to run.
    """
    cudnn = torch.backends.cudnn
    convolution = getattr(cudnn, "conv", None)
    choices: list[tuple[Any, str, Any]] = [
        (cudnn, "benchmark", False),
        (cudnn, "deterministic", True),
    ]
    if hasattr(convolution, "fp32_precision"):
        choices.append((convolution, "fp32_precision", "ieee"))
    else:  # before torch 2.9
        choices.append((cudnn, "allow_tf32", False))
    choices.extend((module, "training", False) for module in model.modules())
    before = [getattr(holder, name) for holder, name, _ in choices]
    try:
        for holder, name, value in choices:
            setattr(holder, name, value)
        yield
    finally:
        for (holder, name, _), value in zip(choices, before, strict=True):
            setattr(holder, name, value)
