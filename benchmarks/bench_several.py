"""Several runs: from a pool of pairs, from one online stream, and each with pairs of its own.

    python benchmarks/bench_several.py [--device cpu] [--threads 1]

Eight runs of SRResNet at the scale `demo`, with its iterations, batch and pool. What takes the time
(making a pair of the pool, an iteration with each source of pairs) is measured in turns, and the
eight runs are added up from that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from inputs import CONFIG, image_cache, run_settings

from reflash.datasets.cache import ImageCache
from reflash.report.benchmarks import Result, Spread, Table, in_turns, options, timed
from reflash.study.config import load
from reflash.training.pairs import OnlinePairs, Pairs, PoolPairs
from reflash.training.pool import build_pool
from reflash.training.run import Run, step_all
from reflash.training.settings import PoolSettings

DEMO = load({"scale": "demo"}, CONFIG).scale
RUNS, ITERATIONS, COUNT = 8, DEMO.training.iterations, DEMO.pairs.count


class Stepping(Protocol):
    """What takes a step on a batch."""

    def step(self, iteration: int, lr: torch.Tensor, hr: torch.Tensor) -> object:
        """Take the step."""
        ...


def iterating(run: Stepping, pairs: Pairs, times: int) -> Callable[[], object]:
    count = 0

    def steps() -> None:
        nonlocal count
        for _ in range(times):
            run.step(count, *pairs.batch(count))
            count += 1

    return steps


def pool_settings(count: int) -> PoolSettings:
    settings = run_settings("demo", synthesis="pool", count=count)
    return PoolSettings(setting="multi", pairs=settings.pairs, degradation=settings.degradation)


def measure(
    cache: ImageCache, pool: Path, quick: bool, device: torch.device
) -> tuple[dict[str, Spread], Spread]:
    """Return seconds per iteration for each source of pairs, and seconds per pair of the pool."""
    times, rounds = (1, 1) if quick else (4, 7)
    sources: dict[str, Pairs] = {
        "from a pool": PoolPairs(pool, DEMO.training.batch, 0, device),
        "online as the pool was made (window 96, 2 crops)": OnlinePairs(
            run_settings("demo"), cache, device
        ),
        "online, one crop of each window": OnlinePairs(
            run_settings("demo", crops=1), cache, device
        ),
        "online as released (window 400)": OnlinePairs(
            run_settings("demo", window=400, crops=1), cache, device
        ),
    }
    settings = run_settings("demo")
    sides = {
        name: iterating(Run(settings, device), pairs, times) for name, pairs in sources.items()
    }
    together = "online, eight runs on one stream"
    eight = Together([Run(settings, device) for _ in range(RUNS)])
    sides[together] = iterating(eight, OnlinePairs(settings, cache, device), 1)
    found = in_turns(sides, rounds, device)
    seconds = {name: spread.times(1 / times) for name, spread in found.items()}
    seconds[together] = found[together].times(1 / RUNS)
    making = []
    number = 64 if quick else 320
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            work = partial(build_pool, pool_settings(number), cache, Path(folder))
            making.append(timed(work, torch.device("cpu")) / number)
    return seconds, Spread(tuple(making))


class Together:
    """Runs that take each step on the same batch."""

    def __init__(self, runs: list[Run]) -> None:
        self.runs = runs

    def step(self, iteration: int, lr: torch.Tensor, hr: torch.Tensor) -> None:
        """Take the step with every run."""
        step_all(self.runs, iteration, lr, hr)


def main() -> None:
    given = options(__doc__)
    device = given.device
    settings = {"threads": given.threads, "runs": RUNS, "iterations": ITERATIONS, "pairs": COUNT}
    result = Result("several", device.type, settings)
    with image_cache(2 if given.quick else 6) as cache, tempfile.TemporaryDirectory() as folder:
        build_pool(pool_settings(64), cache, Path(folder))
        seconds, making = measure(cache, Path(folder), given.quick, device)
    made = making.times(COUNT)
    result.keep("seconds of making the pool", made)
    total = {name: spread.times(RUNS * ITERATIONS) for name, spread in seconds.items()}
    total["from a pool"] = Spread(
        tuple(a + b for a, b in zip(total["from a pool"].values, made.values, strict=True))
    )
    table = Table(
        f"{RUNS} runs of `demo`, {ITERATIONS} iterations each",
        ["pairs", "ms per iteration", f"minutes for {RUNS} runs", "the pool's time over this"],
    )
    for name, spread in seconds.items():
        result.keep(name, spread)
        ratio = total["from a pool"].over(total[name])
        row = [name, str(spread.times(1000)), str(total[name].times(1 / 60)), str(ratio)]
        table.rows.append(row)
    result.tables.append(table)
    result.notes.append(f"The pool's minutes include making it: {made} s, once for all runs.")
    result.save(given.out)


if __name__ == "__main__":
    main()
