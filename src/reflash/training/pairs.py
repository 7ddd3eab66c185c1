"""What the network sees: batches of (LR, HR) pairs as a function of the iteration.

``OnlinePairs`` synthesises them while training, as released; ``PoolPairs`` reads them from a pool
that ``build_pool`` synthesised once for all runs of a setting. Both are keyed by (seed, iteration):
every run of a comparison sees the same pairs in the same order, and resuming changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from reflash.datasets.cache import ImageCache
from reflash.degradations.bicubic import bicubic_downsample
from reflash.degradations.keyed import generator
from reflash.degradations.second_order import second_order
from reflash.degradations.settings import SecondOrderSettings
from reflash.errors import ReflashError
from reflash.files import atomic, require_file, write_json
from reflash.keys import numpy_generator
from reflash.training.settings import PairSettings, PoolSettings, RunSettings

SCALE = 4


class Pairs(Protocol):
    """A source of training batches."""

    key: str
    """Hash of the content that the pairs are made from."""

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Return lr (B, 3, h, w) and hr (B, 3, 4h, 4w), float in [0, 1], of an iteration.

        Iterations are asked for in order; ``state_dict`` holds what carries over between them.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what must be saved to continue after the last batch."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken."""
        ...


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

    def windows(self, count: int, *key: int | str) -> np.ndarray:
        """Return ``count`` windows (count, W, W, 3) uint8 for ``key``."""
        rng = numpy_generator(*key, "windows")
        side = self.pairs.window
        out = np.empty((count, side, side, 3), np.uint8)
        for window in out:
            region = self.regions[int(rng.integers(len(self.regions)))]
            top = int(rng.integers(max(1, region.h - side + 1)))
            left = int(rng.integers(max(1, region.w - side + 1)))
            window[:] = self.cache.crop(region, top, left, side, side)
            flips = rng.integers(2, size=3)
            if self.pairs.flips != "none" and flips[0]:
                window[:] = window[:, ::-1].copy()
            if self.pairs.flips == "all":
                if flips[1]:
                    window[:] = window[::-1].copy()
                if flips[2]:
                    window[:] = window.transpose(1, 0, 2).copy()
        return out


def to_tensor(images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Convert (B, H, W, 3) uint8 to (B, 3, H, W) float32 in [0, 1]."""
    tensor = torch.from_numpy(np.array(images)).to(device)
    return tensor.permute(0, 3, 1, 2).to(torch.float32).div(255)


def make_pairs(
    windows: Tensor,
    setting: str,
    pairs: PairSettings,
    degradation: SecondOrderSettings,
    *key: int | str,
) -> tuple[Tensor, Tensor]:
    """Degrade HR windows and cut random patches from them.

    Parameters
    ----------
    windows
        (N, 3, W, W) float in [0, 1].
    setting
        ``multi``: second-order degradation, target sharpened as its settings say; ``single``:
        antialiased bicubic down-sampling rounded to 8 bits, target as it is.
    key
        Key of all randomness.

    Returns
    -------
    lr, hr
        (N * crops, 3, patch/4, patch/4) and (N * crops, 3, patch, patch), float in [0, 1].
    """
    if setting == "multi":
        lr, hr = second_order(windows, degradation, key)
    else:
        lr, hr = bicubic_downsample(windows, SCALE), windows
        lr = lr.mul(255).round_().clamp_(0, 255).div_(255)
    patch = pairs.patch // SCALE
    rng = generator(*key, "patches")
    places = torch.randint(lr.shape[-1] - patch + 1, (len(lr), pairs.crops, 2), generator=rng)
    lr_patches, hr_patches = [], []
    for i, crops in enumerate(places.tolist()):
        for top, left in crops:
            lr_patches.append(lr[i, :, top : top + patch, left : left + patch])
            top, left, side = top * SCALE, left * SCALE, patch * SCALE
            hr_patches.append(hr[i, :, top : top + side, left : left + side])
    return torch.stack(lr_patches), torch.stack(hr_patches)


class OnlinePairs:
    """Pairs synthesised for every iteration, shuffled through a small pool as released.

    The released model keeps, per GPU, a queue of pairs (16, two batches of 8). Until it is full,
    batches pass through and fill it; then each new batch is swapped for a random batch of the
    queue. One queue per group of ``degradation.group`` images reproduces that.
    """

    def __init__(self, settings: RunSettings, cache: ImageCache, device: torch.device) -> None:
        self.settings, self.device = settings, device
        self.sampler = WindowSampler(cache, settings.pairs, settings.sub_image, settings.step)
        self.key = cache.key
        self.queues: list[list[tuple[Tensor, Tensor]]] = []
        batch, crops = settings.training.batch, settings.pairs.crops
        if batch % crops:
            raise ReflashError(
                f"pairs.crops: {crops} does not divide training.batch {batch}; change one of them"
            )

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Return the batch of ``iteration``; see :class:`Pairs`."""
        run = self.settings
        key = (run.seed, "pairs", iteration)
        windows = self.sampler.windows(run.training.batch // run.pairs.crops, *key)
        lr, hr = make_pairs(
            to_tensor(windows, self.device), run.setting, run.pairs, run.degradation, *key
        )
        return self._shuffle(lr, hr, key) if run.pairs.shuffle_pool else (lr, hr)

    def _shuffle(self, lr: Tensor, hr: Tensor, key: tuple[int | str, ...]) -> tuple[Tensor, Tensor]:
        group = self.settings.degradation.group
        groups = list(zip(lr.split(group), hr.split(group), strict=True))
        if not self.queues:
            self.queues = [[] for _ in groups]
        out: list[tuple[Tensor, Tensor]] = []
        for g, (queue, (new_lr, new_hr)) in enumerate(zip(self.queues, groups, strict=True)):
            new = list(zip(new_lr, new_hr, strict=True))
            if len(queue) < self.settings.pairs.shuffle_pool:
                queue += new
                out += new
            else:
                order = torch.randperm(len(queue), generator=generator(*key, "queue", g)).tolist()
                queue[:] = [queue[i] for i in order]
                out += queue[: len(new)]
                queue[: len(new)] = new
        return torch.stack([a for a, _ in out]), torch.stack([b for _, b in out])

    def state_dict(self) -> dict[str, Any]:
        """Return the queues as tensors."""
        return {
            "queues": [
                [torch.stack([a for a, _ in q]), torch.stack([b for _, b in q])]
                for q in self.queues
                if q
            ]
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the queues."""
        self.queues = [
            list(zip(lr.to(self.device), hr.to(self.device), strict=True))
            for lr, hr in state["queues"]
        ]


class PoolPairs:
    """Pairs read from a pool; every epoch goes through the pool once, in a keyed random order."""

    def __init__(self, folder: Path | str, batch: int, seed: int, device: torch.device) -> None:
        self.folder = Path(folder)
        info = read_pool(self.folder)
        self.key: str = info["key"]
        self.count, self.size, self.seed, self.device = info["count"], batch, seed, device
        side, patch = info["patch"] // SCALE, info["patch"]
        self.lr = np.memmap(self.folder / "lr.u8", np.uint8, "r", 0, (self.count, side, side, 3))
        self.hr = np.memmap(self.folder / "hr.u8", np.uint8, "r", 0, (self.count, patch, patch, 3))
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def _index(self, position: int) -> int:
        epoch, offset = divmod(position, self.count)
        if epoch != self._epoch:
            self._order = numpy_generator(self.seed, "pool order", epoch).permutation(self.count)
            self._epoch = epoch
        return int(self._order[offset])

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Return the batch of ``iteration``; see :class:`Pairs`."""
        first = iteration * self.size
        index = np.array([self._index(p) for p in range(first, first + self.size)])
        return to_tensor(self.lr[index], self.device), to_tensor(self.hr[index], self.device)

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: a batch follows from the iteration alone."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue: nothing carries over."""


def read_pool(folder: Path) -> dict[str, Any]:
    """Return the description of a finished pool, checked against its files.

    Raises
    ------
    ReflashError
        There is no finished pool, or its files are not of the size they were written with.
    """
    remedy = "make it with `reflash pairs`, or delete the folder and run again"
    info: dict[str, Any] = json.loads(require_file(folder / "pool.json", remedy).read_text())
    patch = info["patch"]
    for name, side in (("lr.u8", patch // SCALE), ("hr.u8", patch)):
        size = require_file(folder / name, remedy).stat().st_size
        expected = info["count"] * side**2 * 3
        if size != expected:
            raise ReflashError(f"{folder / name}: {size} bytes, not {expected}; {remedy}")
    return info


def build_pool(settings: PoolSettings, cache: ImageCache, folder: Path, batch: int = 16) -> None:
    """Synthesise the pool of ``settings`` into ``folder``: lr.u8, hr.u8 (N, side, side, 3) uint8.

    HR targets are stored rounded to 8 bits (released: float until the loss; the rounding is below
    half a grey level). ``pool.json``, written last, marks the pool complete; its ``key`` is the
    hash of settings and images, so a run knows which pairs it was trained on.
    """
    pairs, patch = settings.pairs, settings.pairs.patch
    sampler = WindowSampler(cache, pairs, settings.sub_image, settings.step)
    (folder / "pool.json").unlink(missing_ok=True)
    with atomic(folder / "lr.u8") as lr_file, atomic(folder / "hr.u8") as hr_file:
        digest = hashlib.sha256()
        with lr_file.open("wb") as lr_out, hr_file.open("wb") as hr_out:
            written = number = 0
            while written < pairs.count:
                key = (settings.seed, "pool", number)
                windows = sampler.windows(batch, *key)
                lr, hr = make_pairs(
                    to_tensor(windows), settings.setting, pairs, settings.degradation, *key
                )
                # Crops of one window are dealt out over the pool by the readers' random order.
                keep = min(len(lr), pairs.count - written)
                for tensor, out in ((lr, lr_out), (hr, hr_out)):
                    array = tensor[:keep].mul(255).round().clamp(0, 255).to(torch.uint8)
                    data = array.permute(0, 2, 3, 1).contiguous().numpy().tobytes()
                    digest.update(data)
                    out.write(data)
                written += keep
                number += 1
    write_json(
        folder / "pool.json",
        {
            "key": digest.hexdigest(),
            "count": pairs.count,
            "patch": patch,
            "settings": settings.model_dump(mode="json"),
            "images": cache.key,
        },
    )
