"""A pool of training pairs on disk, synthesised once for all runs of a setting.

``lr.u8`` and ``hr.u8`` hold (N, side, side, 3) uint8, ``pool.json`` describes them and is written
last: a pool without it is not one. A build that is killed continues where it was: finished
portions lie in ``lr.u8.part`` and ``hr.u8.part`` beside ``progress.json``, which says how many
there are and which build they belong to.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from reflash.core.errors import ReflashError
from reflash.core.files import explained, require_file, write_json
from reflash.core.fingerprint import stage_fingerprint
from reflash.datasets.cache import ImageCache
from reflash.datasets.space import require_space
from reflash.degradations.tasks import factor_of
from reflash.training.settings import PoolSettings
from reflash.training.synthesis import make_pairs
from reflash.training.windows import WindowSampler, to_tensor

SAVE_SECONDS = 5.0
"""Seconds of work that a killed build loses at most."""

FILES = ("lr.u8", "hr.u8")

Made = TypeVar("Made")


def read_pool(folder: Path) -> dict[str, Any]:
    """Return the description of a finished pool, checked against its files.

    Raises
    ------
    ReflashError
        There is no finished pool, or its files are not of the size they were written with.
    """
    remedy = "make it with `reflash pairs`, or delete the folder and run again"
    path = require_file(folder / "pool.json", remedy)
    try:
        info: dict[str, Any] = json.loads(path.read_text())
        setting = str(info["settings"]["setting"])
        shapes = pool_shapes(int(info["count"]), int(info["patch"]), setting)
    except (ValueError, KeyError, TypeError) as error:
        raise ReflashError(f"{path}: damaged; {remedy}") from error
    for name, shape in shapes.items():
        size = require_file(folder / name, remedy).stat().st_size
        expected = int(np.prod(shape))
        if size != expected:
            raise ReflashError(f"{folder / name}: {size} bytes, not {expected}; {remedy}")
    return info


def pool_shapes(
    count: int, patch: int, setting: str = "multi"
) -> dict[str, tuple[int, int, int, int]]:
    """Return the shapes of a pool's files."""
    return {
        name: (count, side, side, 3)
        for name, side in zip(FILES, (patch // factor_of(setting), patch), strict=True)
    }


def build_pool(
    settings: PoolSettings, cache: ImageCache, folder: Path, batch: int = 16, threads: int = 1
) -> None:
    """Synthesise the pool of ``settings`` into ``folder``: lr.u8, hr.u8 (N, side, side, 3) uint8.

    HR targets are stored rounded to 8 bits (released: float until the loss; the rounding is below
    half a grey level). The pool's ``key`` is the hash of its pairs, so a run knows which pairs it
    was trained on. Pairs depend on settings and images alone: not on ``threads``, nor on where a
    build was killed and continued.

    Parameters
    ----------
    batch : int
        Windows that are drawn together.
    threads : int
        Batches that are made at the same time; 0: as many as PyTorch would use threads.

    Raises
    ------
    ReflashError
        The disk is full or the folder cannot be written.
    """
    pairs, threads = settings.pairs, threads or torch.get_num_threads()
    sampler = WindowSampler(cache, pairs, settings.sub_image, settings.step)
    per_batch = batch * pairs.crops
    total = -(-pairs.count // per_batch)

    def portion(number: int) -> tuple[bytes, bytes]:
        key = (settings.seed, "pool", number)
        windows = to_tensor(sampler.windows(batch, *key))
        made = make_pairs(windows, settings.setting, pairs, settings.degradation, *key)
        # Crops of one window are dealt out over the pool by the readers' random order.
        keep = min(per_batch, pairs.count - number * per_batch)
        return _to_bytes(made[0][:keep]), _to_bytes(made[1][:keep])

    sizes = [
        per_batch * 3 * side**2
        for side in (pairs.patch // factor_of(settings.setting), pairs.patch)
    ]
    if not (folder / "progress.json").is_file():
        require_space(folder, sum(sizes) * total, f"pool of {pairs.count} pairs")
    progress = _Progress(folder, _build_key(settings, cache, batch))
    with closing(progress):
        for data in _in_order(portion, range(progress.done, total), threads):
            progress.add(data, last=progress.done + 1 == total)
        digest = progress.finish(sizes)
    write_json(
        folder / "pool.json",
        {
            "key": digest,
            "count": pairs.count,
            "patch": pairs.patch,
            "settings": settings.model_dump(mode="json"),
            "images": cache.key,
        },
    )
    (folder / "progress.json").unlink(missing_ok=True)


def _to_bytes(images: Tensor) -> bytes:
    """Return (N, 3, H, W) float in [0, 1] as (N, H, W, 3) uint8."""
    levels = images.mul(255).round_().clamp_(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().numpy().tobytes()


def _build_key(settings: PoolSettings, cache: ImageCache, batch: int) -> str:
    """Return the hash of all that decides a pool's bytes, the code that makes it included."""
    code = stage_fingerprint("pairs")
    text = json.dumps([settings.model_dump(mode="json"), cache.key, batch, code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _in_order(make: Callable[[int], Made], numbers: Iterable[int], threads: int) -> Iterator[Made]:
    """Yield ``make(number)`` in order, made by several threads, each on one core."""
    with _one_core_per_thread():
        if threads <= 1:
            yield from map(make, numbers)
            return
        rest = iter(numbers)
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            waiting = deque(pool.submit(make, number) for number in islice(rest, 2 * threads))
            try:
                while waiting:
                    made = waiting.popleft().result()
                    waiting.extend(pool.submit(make, number) for number in islice(rest, 1))
                    yield made
            finally:
                for future in waiting:
                    future.cancel()


@contextmanager
def _one_core_per_thread() -> Iterator[None]:
    """Let no library divide an operation among cores: results must not depend on their number."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


class _Progress:
    """The unfinished files of a pool, and how much of them is known to be on disk."""

    def __init__(self, folder: Path, key: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.key = folder, key
        self.record = folder / "progress.json"
        self.parts = [folder / f"{name}.part" for name in FILES]
        (folder / "pool.json").unlink(missing_ok=True)
        self.done, sizes = self._found()
        if self.done == 0:
            self.record.unlink(missing_ok=True)
        self.files: list[IO[bytes]] = []
        for part, size in zip(self.parts, sizes, strict=True):
            file = part.open("r+b" if self.done else "wb")
            file.truncate(size)
            file.seek(size)
            self.files.append(file)
        self.saved = time.monotonic()

    def _found(self) -> tuple[int, list[int]]:
        """Return how many portions of this very build are on disk, and their bytes per file."""
        nothing = 0, [0] * len(FILES)
        try:
            stored = json.loads(self.record.read_text())
            key, done, sizes = stored["key"], int(stored["portions"]), list(stored["bytes"])
        except (OSError, ValueError, KeyError, TypeError):
            return nothing
        for part, name, size in zip(self.parts, FILES, sizes, strict=True):
            finished = self.folder / name
            if not part.is_file() and finished.is_file():
                finished.rename(part)
            if key != self.key or not part.is_file() or part.stat().st_size < size:
                return nothing
        return done, sizes

    def add(self, portion: tuple[bytes, bytes], *, last: bool) -> None:
        """Append a portion, and now and then make sure that it is on disk."""
        try:
            self._add(portion, last=last)
        except OSError as error:
            raise explained(error, self.folder) from error

    def _add(self, portion: tuple[bytes, bytes], *, last: bool) -> None:
        for file, data in zip(self.files, portion, strict=True):
            file.write(data)
        self.done += 1
        if last or time.monotonic() - self.saved > SAVE_SECONDS:
            for file in self.files:
                file.flush()
                os.fsync(file.fileno())
            sizes = [file.tell() for file in self.files]
            write_json(self.record, {"key": self.key, "portions": self.done, "bytes": sizes})
            self.saved = time.monotonic()

    def finish(self, portion_bytes: list[int]) -> str:
        """Give the files their names; return the hash of their portions, LR and HR in turn."""
        self.close()
        digest = hashlib.sha256()
        with self.parts[0].open("rb") as lr, self.parts[1].open("rb") as hr:
            while data := lr.read(portion_bytes[0]):
                digest.update(data)
                digest.update(hr.read(portion_bytes[1]))
        for part, name in zip(self.parts, FILES, strict=True):
            part.replace(self.folder / name)
        return digest.hexdigest()

    def close(self) -> None:
        """Close the files; closing them again does nothing."""
        for file in self.files:
            file.close()
