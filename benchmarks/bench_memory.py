"""Peak memory of training, evaluation, degradation and of making a pool.

    python benchmarks/bench_memory.py [--device cpu] [--threads 1]

Each case runs in a process of its own. On a CPU the peak is the process's largest resident size,
the libraries included (their share is the first row); on a GPU it is what PyTorch allocated there.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import released
import torch
from inputs import image_cache, photograph, run_settings

from reflash.core.allocation import keep_freed_memory
from reflash.report.benchmarks import Result, Table, digits, in_processes, options, peak_mib

LIMITS = {"train srresnet, paper size": 4096, "evaluate 2040x1356, srresnet": 3072}
"""MiB that the project promises to stay below on a CPU."""


def training(
    size: str, network: str, device: torch.device, iterations: int, **changes: int
) -> None:
    """Train with pairs online: batch, window and network of the size."""
    from reflash.training.pairs import OnlinePairs
    from reflash.training.run import Run

    settings = run_settings(size, network, **changes)
    with image_cache() as cache:
        run, pairs = Run(settings, device), OnlinePairs(settings, cache, device)
        for iteration in range(iterations):
            run.step(iteration, *pairs.batch(iteration))


def enlarging(network: str, device: torch.device, height: int = 339, width: int = 510) -> None:
    """Enlarge an image to 2040 x 1356 pixels."""
    from reflash.evaluation.inference import upscale_image
    from reflash.models.build import build_network

    built = build_network(run_settings("paper", network).network).to(device).eval()
    built = built.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    upscale_image(built, photograph(height, width, 0), device=device)


def degrading(window: int, device: torch.device) -> None:
    """Make three batches of 16 pairs from windows of ``window`` pixels."""
    from reflash.training.pairs import OnlinePairs

    with image_cache() as cache:
        pairs = OnlinePairs(run_settings("paper", window=window), cache, device)
        for iteration in range(3):
            pairs.batch(iteration)


def released_pipeline() -> None:
    """Make three batches of 8 pairs as released."""
    with image_cache() as cache:
        images = [np.array(cache.image(i)) for i in range(len(cache))]
        pipeline = released.Released(images, 8, torch.device("cpu"))
        for _ in range(3):
            pipeline.batch()


def pool() -> None:
    """Make a pool of 640 pairs as the scale `demo` does."""
    from bench_several import pool_settings

    from reflash.training.pool import build_pool

    with image_cache() as cache, tempfile.TemporaryDirectory() as folder:
        build_pool(pool_settings(640), cache, Path(folder))


def cases(device: torch.device, quick: bool) -> dict[str, Callable[[], None]]:
    """Return what is measured."""
    found: dict[str, Callable[[], None]] = {
        "torch imported": lambda: None,
        "train srresnet, demo size": lambda: training("demo", "srresnet", device, 3),
    }
    if not quick:
        found["train rrdb, demo size"] = lambda: training("demo", "rrdb", device, 3)
        found["make a pool, demo size"] = pool
        found["degrade 16 windows of 400"] = lambda: degrading(400, device)
        found["degrade 16 windows of 192"] = lambda: degrading(192, device)
        found["train srresnet, paper size"] = lambda: training("paper", "srresnet", device, 3)
        found["evaluate 2040x1356, srresnet"] = lambda: enlarging("srresnet", device)
        if released.available():
            found["released: BasicSR 1.4.2, 8 windows of 400"] = released_pipeline
    if device.type == "cpu" and not quick:
        found["train rrdb, paper size, batch 2"] = lambda: training(
            "paper", "rrdb", device, 2, batch=2
        )
    if device.type == "cuda":
        found["train rrdb, paper size"] = lambda: training("paper", "rrdb", device, 3)
        found["evaluate 2040x1356, rrdb"] = lambda: enlarging("rrdb", device)
    return found


def main() -> None:
    given = options(__doc__)
    device = given.device
    gpu = device.type == "cuda"
    chosen = cases(device, given.quick)
    if given.side:
        keep_freed_memory()
        chosen[given.side]()
        used = torch.cuda.max_memory_allocated(device) / 2**20 if gpu else peak_mib()
        print(json.dumps(used))
        return
    result = Result("memory", device.type, {"threads": given.threads})
    title = "Peak memory on the GPU" if gpu else "Peak memory of the process"
    table = Table(title, ["work", "MiB", "promised"])
    for name, (used,) in in_processes(__file__, list(chosen), 1, given).items():
        result.values[name] = round(used, 1)
        limit = LIMITS.get(name)
        table.rows.append([name, digits(used), f"below {limit}" if limit and not gpu else ""])
    result.tables.append(table)
    result.save(given.out)


if __name__ == "__main__":
    main()
