"""How the cost grows with batch, window, width, image size and the number of runs.

    python benchmarks/bench_growth.py [--device cpu] [--threads 1]

Each table varies one thing; times are relative to its first row. On a CPU the network has the
paper's depth and, where width does not vary, a quarter of its width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from bench_several import Together, iterating
from bench_training import random_batch, stepping
from inputs import image_cache, photograph, run_settings

from reflash.datasets.cache import ImageCache
from reflash.degradations import fast
from reflash.evaluation.inference import upscale_image
from reflash.models.build import build_network
from reflash.report.benchmarks import Result, Table, in_turns, options
from reflash.training.pairs import OnlinePairs
from reflash.training.run import Run
from reflash.training.settings import RunSettings
from reflash.training.windows import to_tensor

Sides = Mapping[float, Callable[[], object]]


def add(
    result: Result, title: str, what: str, sides: Sides, rounds: int, device: torch.device
) -> None:
    """Measure the sides, named by what varies, and add their table."""
    found = in_turns({str(value): work for value, work in sides.items()}, rounds, device)
    table = Table(title, [what, "ms", "times the first", f"{what} times the first"])
    first = next(iter(sides))
    for value in sides:
        spread = found[str(value)]
        result.keep(f"{title}: {value}", spread)
        ratio = spread.over(found[str(first)])
        row = [str(value), str(spread.times(1000)), str(ratio), f"{value / first:.3g}"]
        table.rows.append(row)
    result.tables.append(table)


def training(settings: RunSettings, device: torch.device, times: int) -> Callable[[], object]:
    return stepping(Run(settings, device), random_batch(settings, device), times)


def degrading(window: int, batch: int) -> Callable[[], object]:
    """Return a function that degrades a batch of windows on the CPU."""
    photos = np.stack([photograph(window, window, i) for i in range(batch)])
    windows, settings, count = to_tensor(photos), run_settings("paper").degradation, 0

    def work() -> object:
        nonlocal count
        count += 1
        return fast.second_order(windows, settings, ("growth", count))

    return work


def online(cache: ImageCache, device: torch.device, **changes: Any) -> Callable[[], object]:
    pairs, count = OnlinePairs(run_settings("paper", **changes), cache, device), 0

    def work() -> object:
        nonlocal count
        count += 1
        return pairs.batch(count - 1)

    return work


def enlarging(side: int, width: int, device: torch.device) -> Callable[[], object]:
    network = build_network(run_settings("paper", features=width).network).to(device).eval()
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = photograph(side, side, 0)
    return lambda: upscale_image(network, image, device=device)


def main() -> None:
    given = options(__doc__)
    device = given.device
    gpu = device.type == "cuda"
    rounds = 1 if given.quick else (8 if gpu else 3)
    many = 10 if gpu and not given.quick else 1
    width = 64 if gpu else 16
    result = Result("growth", device.type, {"threads": given.threads, "rounds": rounds})

    def row(**changes: Any) -> Callable[[], object]:
        values = {"features": width, "patch": 64, "window": 192, **changes}
        return training(run_settings("paper", **values), device, many)

    batches = (4, 8) if given.quick else (4, 8, 16, 32)
    sides: Sides = {batch: row(batch=batch) for batch in batches}
    add(
        result,
        f"A step of SRResNet, {width} features, patch 64: batch",
        "batch",
        sides,
        rounds,
        device,
    )
    if not given.quick:
        sides = {patch: row(patch=patch, batch=8) for patch in (48, 64, 96, 128)}
        title = f"A step of SRResNet, {width} features, batch 8: patch"
        add(result, title, "patch", sides, rounds, device)
        sides = {features: row(features=features, batch=8) for features in (16, 32, 64)}
        add(result, "A step of SRResNet, patch 64, batch 8: width", "width", sides, rounds, device)
        with image_cache() as cache:
            if gpu:
                sides = {w: online(cache, device, window=w) for w in (128, 192, 256, 400)}
            else:
                sides = {w: degrading(w, 16) for w in (96, 128, 192, 256, 400)}
            add(result, "Degrading 16 windows: side of the window", "window", sides, rounds, device)
        if not gpu:
            sides = {batch: degrading(128, batch) for batch in (4, 8, 16, 32)}
            add(result, "Degrading windows of 128: batch", "batch", sides, rounds, device)
        sides = {side: enlarging(side, width, device) for side in (32, 64, 128, 256)}
        title = f"Enlarging an image, SRResNet of {width} features: LR side"
        add(result, title, "side", sides, rounds, device)
    size = "paper" if gpu else "demo"
    with image_cache(2 if given.quick else 6) as cache:
        sides = {}
        for runs in (1, 2) if given.quick else (1, 2, 4, 8):
            settings = run_settings(size, precision="bf16" if gpu else "fp32")
            trained = Together([Run(settings, device) for _ in range(runs)])
            pairs = OnlinePairs(settings, cache, device)
            sides[runs] = iterating(trained, pairs, many)
        title = f"An iteration of runs on one online stream, {size} size: number of runs"
        add(result, title, "runs", sides, rounds, device)
    result.save(given.out)


if __name__ == "__main__":
    main()
