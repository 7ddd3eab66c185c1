"""Random HR windows of the training images, on the host or gathered on the training device.

Where a window lies is a handful of numbers keyed by what it is for; the host's crops and the
device's gather read the same pixels for the same numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reflash.core.keys import numpy_generator
from reflash.datasets.cache import ImageCache
from reflash.training.settings import PairSettings

PLACE = ("base", "stride", "top", "left", "height", "width", "mirror", "upset", "transpose")
"""Numbers of a window: first byte of its region and bytes per row of the image; corner of the
window in the region; size of the region; whether it is flipped left-right, top-bottom, and then
transposed."""

RESIDENT_SHARE = 0.5
"""Share of a GPU's free memory that the images may take to be kept there."""


class WindowSampler:
    """Random HR windows from cached images, keyed by (seed, iteration).

    A window is a uniform crop of a uniform region (a sub-image of the released data set), flipped
    as the settings say. Regions smaller than the window are padded by reflection.
    """

    def __init__(
        self, cache: ImageCache, pairs: PairSettings, sub_image: int | None, step: int
    ) -> None:
        self.cache, self.pairs = cache, pairs
        self.regions = cache.regions(sub_image, step)

    def _draw(self, count: int, key: tuple[int | str, ...]) -> list[tuple[int, ...]]:
        """Return (region, top, left, mirror, upset, transpose) of each window."""
        rng = numpy_generator(*key, "windows")
        side, flips = self.pairs.window, self.pairs.flips
        drawn: list[tuple[int, ...]] = []
        for _ in range(count):
            number = int(rng.integers(len(self.regions)))
            region = self.regions[number]
            top = int(rng.integers(max(1, region.h - side + 1)))
            left = int(rng.integers(max(1, region.w - side + 1)))
            coins = rng.integers(2, size=3).tolist()
            mirror = coins[0] if flips != "none" else 0
            upset, transpose = coins[1:] if flips == "all" else (0, 0)
            drawn.append((number, top, left, mirror, upset, transpose))
        return drawn

    def windows(self, count: int, *key: int | str) -> np.ndarray:
        """Return ``count`` windows (count, W, W, 3) uint8 for ``key``."""
        side = self.pairs.window
        out = np.empty((count, side, side, 3), np.uint8)
        drawn = self._draw(count, key)
        for window, (number, top, left, mirror, upset, transpose) in zip(out, drawn, strict=True):
            crop = self.cache.crop(self.regions[number], top, left, side, side)
            crop = crop[:, ::-1] if mirror else crop
            crop = crop[::-1] if upset else crop
            window[:] = crop.transpose(1, 0, 2) if transpose else crop
        return out

    def places(self, count: int, *key: int | str) -> np.ndarray:
        """Return where the windows of ``windows(count, *key)`` lie: (count, 9) int64, ``PLACE``."""
        rows = []
        for number, top, left, *flips in self._draw(count, key):
            region = self.regions[number]
            stride = 3 * self.cache.sizes[region.image][1]
            base = self.cache.offsets[region.image] + region.y * stride + 3 * region.x
            rows.append((base, stride, top, left, region.h, region.w, *flips))
        return np.array(rows, np.int64)


def gather_windows(pixels: Tensor, places: Tensor, side: int) -> Tensor:
    """Read windows from the bytes of all images by index arithmetic, in one gather.

    Parameters
    ----------
    pixels : (N,) uint8
        Images one after another, (H, W, 3) row by row.
    places : (B, 9) int64 on the same device
        From `WindowSampler.places`.
    side : int

    Returns
    -------
    (B, 3, side, side) float32 in [0, 1]
    """
    base, stride, top, left, height, width, mirror, upset, transpose = places[:, :, None].unbind(1)
    along = torch.arange(side, device=places.device)
    rows = top + torch.where(upset > 0, side - 1 - along, along)
    columns = left + torch.where(mirror > 0, side - 1 - along, along)
    vertical = _reflected(rows, height) * stride
    horizontal = 3 * _reflected(columns, width)
    first = torch.where(transpose > 0, horizontal, vertical)
    second = torch.where(transpose > 0, vertical, horizontal)
    channel = torch.arange(3, device=places.device)[:, None, None]
    index = (base + first)[:, None, :, None] + second[:, None, None, :] + channel
    return pixels[index].float().div_(255)


def _reflected(index: Tensor, length: Tensor) -> Tensor:
    """Map indices beyond ``length`` back by reflection about the first and last element."""
    period = (2 * length - 2).clamp(min=1)
    index = index % period
    return index.minimum(period - index).minimum(length - 1)


def to_tensor(images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Convert (B, H, W, 3) uint8 to (B, 3, H, W) float32 in [0, 1]."""
    tensor = to_device(torch.from_numpy(np.array(images)), device)
    return tensor.permute(0, 3, 1, 2).to(torch.float32).div(255)


def to_device(values: Tensor, device: torch.device | str) -> Tensor:
    """Copy a CPU tensor to a device; to a GPU through pinned memory, which waits for nothing."""
    if torch.device(device).type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def fits(size: int, device: torch.device) -> bool:
    """Whether ``size`` bytes may be kept on a GPU for the whole training."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return size <= RESIDENT_SHARE * free


def bytes_on(array: np.ndarray, device: torch.device) -> Tensor:
    """Copy a memory-mapped array of bytes to a device, a portion at a time."""
    out = torch.empty(array.shape, dtype=torch.uint8, device=device)
    flat, source = out.view(-1), array.reshape(-1)
    for start in range(0, flat.numel(), 1 << 28):
        part = slice(start, start + (1 << 28))
        flat[part] = torch.from_numpy(np.array(source[part])).to(device)
    return out
