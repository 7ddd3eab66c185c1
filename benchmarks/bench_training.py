"""Training: iterations per second of both networks at both sizes, and the share of the data.

    python benchmarks/bench_training.py [--device cpu] [--threads 1]

The plain loop is a short script's: fp32, contiguous tensors, Adam and average parameter by
parameter, the loss read every time. Ours is a step of `reflash train`: channels last, fused Adam,
the average in one operation; on a GPU replayed as a CUDA graph. Then a batch of pairs is timed
against the step it feeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from inputs import FLOOR_MS, image_cache, run_settings
from plain import PlainLoop

from reflash.datasets.cache import ImageCache
from reflash.report.benchmarks import Result, Table, digits, in_turns, options
from reflash.training.pairs import OnlinePairs
from reflash.training.prefetcher import Prefetcher
from reflash.training.run import Run, step_all
from reflash.training.settings import RunSettings

Batch = tuple[torch.Tensor, torch.Tensor]


def random_batch(settings: RunSettings, device: torch.device) -> Batch:
    batch, patch = settings.training.batch, settings.pairs.patch
    generator = torch.Generator().manual_seed(0)
    hr = torch.rand(batch, 3, patch, patch, generator=generator)
    return hr[..., ::4, ::4].contiguous().to(device), hr.to(device)


def stepping(run: Run, batch: Batch, times: int) -> Callable[[], object]:
    def steps() -> None:
        for iteration in range(times):
            run.step(iteration, *batch)

    return steps


def looping(loop: PlainLoop, batch: Batch, times: int) -> Callable[[], object]:
    def steps() -> None:
        for _ in range(times):
            loop.step(*batch)

    return steps


def fed(
    settings: RunSettings,
    cache: ImageCache,
    runs: int,
    times: int,
    device: torch.device,
    graphs: bool = True,
) -> Any:
    """Return a function that trains several runs with pairs online, all included."""
    trained = [Run(settings, device, graphs=graphs) for _ in range(runs)]
    pairs = OnlinePairs(settings, cache, device, graphs=graphs)
    source = Prefetcher(pairs, device, enabled=device.type == "cuda", total=10**9)
    count = 0

    def steps() -> None:
        nonlocal count
        for _ in range(times):
            lr, hr = source.batch(count)
            step_all(trained, count, lr, hr)
            count += 1

    return steps


def compare(
    result: Result, size: str, network: str, batch: int | None, rounds: int, times: int, device: Any
) -> None:
    """Add the rows of one network to the result."""
    changes: dict[str, Any] = {} if batch is None else {"batch": batch}
    settings = run_settings(size, network, **changes)
    half = run_settings(size, network, precision="bf16", **changes)
    data = random_batch(settings, device)
    sides = {
        "plain loop": looping(PlainLoop(settings, device), data, times),
        "ours": stepping(Run(settings, device), data, times),
        "ours, bf16": stepping(Run(half, device), data, times),
    }
    if device.type == "cuda":
        sides["ours, bf16, no CUDA graph"] = stepping(Run(half, device, graphs=False), data, times)
        sides["ours, bf16, compiled"] = stepping(Run(half, device, compiled=True), data, times)
    seconds = in_turns(sides, rounds, device)
    size_text = f"{network}, {size} size, batch {settings.training.batch}"
    for name, spread in seconds.items():
        result.keep(f"{size_text}: {name}", spread)
        each = spread.times(1000 / times)
        row = [size_text, name, str(each), digits(1000 / each.median)]
        row.append(str(seconds["plain loop"].over(spread)))
        if device.type == "cuda":
            floor = FLOOR_MS[network] if size == "paper" else None
            row.append(digits(each.median / floor) if floor else "")
        result.tables[0].rows.append(row)


def shares(result: Result, quick: bool, rounds: int, device: torch.device) -> None:
    """Add the table of what a batch of pairs costs beside the step it feeds."""
    table = Table(
        "The share of the data: a batch of pairs beside a step of SRResNet (fp32; bf16)",
        ["size", "pairs", "ms per batch", "share of an fp32 iteration", "share with bf16"],
    )
    with image_cache(2 if quick else 6) as cache:
        for size in ("demo",) if quick else ("paper", "demo"):
            windows = {"paper": (400, 192), "demo": (400, 96)}[size]
            steps = {}
            for precision in ("fp32", "bf16"):
                settings = run_settings(size, precision=precision)
                run = Run(settings, device)
                data = random_batch(settings, device)
                steps[precision] = stepping(run, data, 1)
            batches = {}
            for window in windows:
                for crops in (1, 2) if window < 400 else (1,):
                    settings = run_settings(size, window=window, crops=crops)
                    name = f"online, window {window}" + (", 2 crops" if crops == 2 else "")
                    batches[name] = counted(OnlinePairs(settings, cache, device))
            found = in_turns({**steps, **batches}, rounds, device)
            for name in batches:
                cells = [size, name, str(found[name].times(1000))]
                for precision in steps:
                    data_s, step_s = found[name].median, found[precision].median
                    cells.append(f"{100 * data_s / (data_s + step_s):.1f} %")
                result.keep(f"{size}: {name}", found[name])
                table.rows.append(cells)
            for precision in steps:
                result.keep(f"{size}: step {precision}", found[precision])
    result.tables.append(table)


def counted(pairs: OnlinePairs) -> Callable[[], object]:
    count = 0

    def batch() -> object:
        nonlocal count
        count += 1
        return pairs.batch(count - 1)

    return batch


def all_included(result: Result, quick: bool, device: torch.device) -> None:
    """Add the table of GPU training with everything: pairs, steps, and several runs."""
    table = Table(
        "Training with pairs online, all included (bf16, CUDA graphs, one batch ahead)",
        ["network", "window", "runs", "ms per iteration", "times one run"],
    )
    times, rounds = (2, 1) if quick else (50, 6)
    with image_cache() as cache:
        for network in ("srresnet", "rrdb"):
            for window in (400, 192):
                settings = run_settings("paper", network, precision="bf16", window=window)
                counts = (1, 4) if network == "srresnet" else (1,)
                sides = {str(n): fed(settings, cache, n, times, device) for n in counts}
                found = in_turns(sides, rounds, device)
                for n, spread in found.items():
                    result.keep(f"{network}, window {window}, {n} runs", spread)
                    each = spread.times(1000 / times)
                    ratio = str(spread.over(found["1"]))
                    table.rows.append([network, str(window), n, str(each), ratio])
    result.tables.append(table)


def main() -> None:
    given = options(__doc__)
    device = given.device
    gpu = device.type == "cuda"
    rounds = 1 if given.quick else (10 if gpu else 3)
    result = Result("training", device.type, {"threads": given.threads, "rounds": rounds})
    columns = ["network", "side", "ms per iteration", "iterations/s", "times plain"]
    result.tables.append(Table("One training step", columns + ["times the bf16 floor"] * gpu))
    many = 20 if gpu else 1
    for network in ("srresnet", "rrdb"):
        compare(result, "demo", network, None, 1 if given.quick else 7, many, device)
    if not given.quick:
        compare(result, "paper", "srresnet", None, rounds, many, device)
        compare(result, "paper", "rrdb", None if gpu else 2, rounds, many, device)
    shares(result, given.quick, rounds, device)
    if gpu:
        all_included(result, given.quick, device)
    else:
        result.notes.append("Paper-size RRDB is measured with batch 2, an eighth of the paper's.")
    result.save(given.out)


if __name__ == "__main__":
    main()
