"""What the network sees: batches of (LR, HR) pairs as a function of the iteration.

``OnlinePairs`` synthesises them while training, as released; ``PoolPairs`` reads them from a pool
that ``build_pool`` synthesised once for all runs of a setting. Both are keyed by (seed, iteration):
every run of a comparison sees the same pairs in the same order, and resuming changes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from reflash.core.errors import ReflashError
from reflash.core.keys import numpy_generator, torch_generator
from reflash.datasets.cache import ImageCache
from reflash.degradations.tasks import TASKS
from reflash.training.pool import pool_shapes, read_pool
from reflash.training.settings import RunSettings
from reflash.training.synthesis import StaticSynthesis, make_pairs
from reflash.training.windows import WindowSampler, bytes_on, fits, to_device, to_tensor


class Pairs(Protocol):
    """A source of training batches."""

    key: str
    """Hash of the content that the pairs are made from."""

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Return lr (B, 3, h, w) and hr (B, 3, 4h, 4w), float in [0, 1], of an iteration.

        Of other tasks than super-resolution both are of one size. Iterations are asked for in
        order; ``state_dict`` holds what carries over between them.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what must be saved to continue after the last batch."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken."""
        ...


class PairQueue:
    """A store of pairs that exchanges new ones for old ones at random, as released per GPU.

    Until it holds ``size`` pairs, batches pass through and fill it; then it is shuffled, its first
    pairs leave and the new ones take their place. Pairs stay where they lie on the device; only
    the order, a list of numbers on the host, is shuffled.

    Examples
    --------
    >>> queue, draws = PairQueue(2), torch.Generator().manual_seed(0)
    >>> lr = torch.arange(6.0).view(6, 1)
    >>> [sorted(queue.exchange(new, new, draws)[0].flatten().tolist()) for new in lr.split(2)]
    [[0.0, 1.0], [0.0, 1.0], [2.0, 3.0]]
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.order: list[int] = []
        self.lr = self.hr = torch.empty(0)

    def exchange(self, lr: Tensor, hr: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return as many pairs as are given."""
        count = len(lr)
        if len(self.order) < self.size:
            self.lr = torch.cat([self.lr, lr]) if self.order else lr.clone()
            self.hr = torch.cat([self.hr, hr]) if self.order else hr.clone()
            self.order = list(range(len(self.lr)))
            return lr, hr
        shuffled = torch.randperm(len(self.order), generator=generator).tolist()
        self.order = [self.order[i] for i in shuffled]
        places = to_device(torch.tensor(self.order[:count]), lr.device)
        out = self.lr[places], self.hr[places]
        self.lr[places], self.hr[places] = lr, hr
        return out

    def state(self) -> list[Tensor]:
        """Return the pairs in their order: lr and hr."""
        order = to_device(torch.tensor(self.order), self.lr.device)
        return [self.lr[order], self.hr[order]]

    def restore(self, state: list[Tensor], device: torch.device) -> None:
        """Continue from ``state``."""
        self.lr, self.hr = (tensor.to(device, copy=True) for tensor in state)
        self.order = list(range(len(self.lr)))


class OnlinePairs:
    """Pairs synthesised for every iteration, shuffled through a small pool as released.

    The released model keeps, per GPU, a queue of pairs (16, two batches of 8). Until it is full,
    batches pass through and fill it; then each new batch is swapped for a random batch of the
    queue. One queue per group of ``degradation.group`` pairs reproduces that.

    On a GPU everything from the crop to the queue happens there, in tensors of fixed shape; the
    host sends a few hundred numbers per batch. ``static`` asks for the same on a CPU, where it is
    slower. ``graphs`` and ``compiled`` say how a GPU is driven, see `StaticSynthesis`.
    """

    def __init__(
        self,
        settings: RunSettings,
        cache: ImageCache,
        device: torch.device,
        *,
        static: bool | None = None,
        graphs: bool = True,
        compiled: bool = False,
    ) -> None:
        self.settings, self.device = settings, device
        self.sampler = WindowSampler(cache, settings.pairs, settings.sub_image, settings.step)
        self.key = cache.key
        batch, crops = settings.training.batch, settings.pairs.crops
        if batch % crops:
            raise ReflashError(
                f"pairs.crops: {crops} does not divide training.batch {batch}; change one of them"
            )
        group = settings.degradation.group
        self.queues = [PairQueue(settings.pairs.shuffle_pool) for _ in range(0, batch, group)]
        self.synthesis: StaticSynthesis | None = None
        if static is None:  # the pairs of other tasks are made on the host
            static = device.type == "cuda" and settings.setting not in TASKS
        if static:
            self.synthesis = StaticSynthesis(
                settings, self.sampler, device, graphs=graphs, compiled=compiled
            )
        else:
            cv2.setNumThreads(torch.get_num_threads())

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Return the batch of ``iteration``; see :class:`Pairs`."""
        run = self.settings
        key = (run.seed, "pairs", iteration)
        count = run.training.batch // run.pairs.crops
        if self.synthesis:
            lr, hr = self.synthesis.pairs(iteration, count)
        else:
            windows = to_tensor(self.sampler.windows(count, *key), self.device)
            lr, hr = make_pairs(windows, run.setting, run.pairs, run.degradation, *key)
        if not run.pairs.shuffle_pool:
            return lr, hr
        group = run.degradation.group
        groups = zip(self.queues, lr.split(group), hr.split(group), strict=True)
        out = [
            queue.exchange(new_lr, new_hr, torch_generator(*key, "queue", g))
            for g, (queue, new_lr, new_hr) in enumerate(groups)
        ]
        return torch.cat([lr for lr, _ in out]), torch.cat([hr for _, hr in out])

    def state_dict(self) -> dict[str, Any]:
        """Return the queues as tensors."""
        return {"queues": [queue.state() for queue in self.queues if queue.order]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the queues."""
        for queue, stored in zip(self.queues, state["queues"], strict=False):
            queue.restore(stored, self.device)


def _require_same_pairs(folder: Path, made: dict[str, Any], run: RunSettings) -> None:
    """Raise where the pool in ``folder`` was made with other settings than those of ``run``."""
    wanted = run.model_dump(mode="json")
    for key in ("setting", "pairs", "degradation", "sub_image", "step"):
        if made[key] != wanted[key]:
            raise ReflashError(
                f"{folder}: its pairs have another {key} than run {run.id} (see pool.json); give "
                "the pool of this run, or make one with `reflash pairs`"
            )


class PoolPairs:
    """Pairs read from a pool; every epoch goes through the pool once, in a keyed random order.

    On a GPU the pool is copied there if it fits; otherwise its files are memory-mapped.

    Raises
    ------
    ReflashError
        There is no finished pool, or its pairs are made otherwise than ``run`` says.
    """

    def __init__(
        self,
        folder: Path | str,
        batch: int,
        seed: int,
        device: torch.device,
        run: RunSettings | None = None,
    ) -> None:
        self.folder = Path(folder)
        info = read_pool(self.folder)
        if run is not None:
            _require_same_pairs(self.folder, info["settings"], run)
        self.key: str = info["key"]
        self.count, self.size, self.seed, self.device = info["count"], batch, seed, device
        shapes = pool_shapes(info["count"], info["patch"], info["settings"]["setting"])
        self.lr, self.hr = (
            np.memmap(self.folder / name, np.uint8, "r", 0, shape) for name, shape in shapes.items()
        )
        self.resident: tuple[Tensor, Tensor] | None = None
        if fits(self.lr.nbytes + self.hr.nbytes, device):
            self.resident = bytes_on(self.lr, device), bytes_on(self.hr, device)
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
        if self.resident is None:
            return to_tensor(self.lr[index], self.device), to_tensor(self.hr[index], self.device)
        chosen = to_device(torch.from_numpy(index), self.device)
        lr, hr = (pairs[chosen].permute(0, 3, 1, 2).float().div(255) for pairs in self.resident)
        return lr, hr

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: a batch follows from the iteration alone."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue: nothing carries over."""
