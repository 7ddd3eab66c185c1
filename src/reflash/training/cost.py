"""How long training would take here: a few steps and batches of pairs, measured."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch

from reflash.datasets.cache import ImageCache, build_cache
from reflash.datasets.dead_leaves import dead_leaves
from reflash.datasets.images import write_png
from reflash.datasets.manifest import write_manifest
from reflash.datasets.settings import DeadLeavesSettings
from reflash.degradations.tasks import factor_of
from reflash.training.pairs import OnlinePairs
from reflash.training.run import Run
from reflash.training.settings import RunSettings

WARM_UP = 2
"""Steps that are not counted: memory is reserved, kernels are chosen, graphs captured."""


class Cost(NamedTuple):
    """What a run costs on a device, in seconds."""

    step: float
    """One iteration of the network on a batch that is there."""
    pair: float
    """One pair of patches made from an HR image."""


def measure_cost(settings: RunSettings, device: torch.device, iterations: int = 5) -> Cost:
    """Measure a run's iteration and its pairs, without data of any set.

    The pairs are made online from synthetic images by the code that a run uses; a pool's are made
    by the same code on a CPU.

    Parameters
    ----------
    settings : RunSettings
    device : torch.device
        Where the network is trained.
    iterations : int
        How many of each are measured, after ``WARM_UP``.
    """
    batch, side = settings.training.batch, settings.pairs.patch
    small = side // factor_of(settings.setting)
    lr = torch.rand(batch, 3, small, small, device=device)
    hr = torch.rand(batch, 3, side, side, device=device)
    run = Run(settings, device)
    step = _seconds(lambda i: run.step(i, lr, hr), iterations, device)
    made_on = device if settings.pairs.synthesis == "online" else torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        # With seed 0 the warm-up sees every canvas that is captured as a graph.
        settings = settings.model_copy(update={"seed": 0})
        pairs = OnlinePairs(settings, _some_images(Path(folder), settings.pairs.window), made_on)
        batches = _seconds(pairs.batch, iterations, made_on)
    return Cost(step, batches / batch)


def _some_images(folder: Path, window: int) -> ImageCache:
    for number in range(4):
        image = dead_leaves(window + 16, window + 16, DeadLeavesSettings(), number)
        write_png(folder / f"{number}.png", image)
    write_manifest(folder)
    return ImageCache(build_cache(folder, folder / "cache"))


def _seconds(work: Callable[[int], object], times: int, device: torch.device) -> float:
    """Return the mean time of ``work``."""
    for number in range(WARM_UP + times):
        if number == WARM_UP:
            _wait_for(device)
            began = perf_counter()
        work(number)
    _wait_for(device)
    return (perf_counter() - began) / times


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
