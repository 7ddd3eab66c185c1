"""What a short GPU allocation needs to know, in 150 seconds: one side after another, each saved.

    python benchmarks/bench_short.py [--device cuda] [--seconds 150] [--no-graphs]

Ceilings of the machine, iterations of both networks (pairs, steps, both together, several runs on
one stream), and the compiled step in a process of its own. What fails becomes a note, what the
time does not allow is left out. A profile of the step lies beside the result.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial

import torch
from bench_training import fed, random_batch, stepping
from inputs import FLOOR_MS, image_cache, run_settings

from reflash.core.errors import ReflashError
from reflash.datasets.cache import ImageCache
from reflash.report.benchmarks import Result, Spread, Table, digits, load, options, timed
from reflash.training.pairs import OnlinePairs
from reflash.training.run import Run

COMPILE_SECONDS = 60
PRECISION = {"cuda": "bf16", "cpu": "fp32"}
Side = tuple[str, int, Callable[[], Callable[[], object]]]
"""Name, iterations of a call, and what makes the call."""


def ceilings(device: torch.device, quick: bool) -> Iterator[Side]:
    """Yield a large bf16 matrix product and a large copy."""
    side = 8192 if device.type == "cuda" else 256 if quick else 1024
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32

    def product() -> Callable[[], object]:
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        return lambda: a @ b

    def copy() -> Callable[[], object]:
        source = torch.randn(side, side, device=device)
        target = torch.empty_like(source)
        return lambda: target.copy_(source)

    yield f"matrix product of {side} x {side}, {dtype}", 1, product
    yield f"copy of {4 * side**2 >> 20} MiB", 1, copy


def iterations(cache: ImageCache, given: argparse.Namespace, size: str) -> Iterator[Side]:
    """Yield the parts of an iteration, what decides the length of a training first."""
    device, times = given.device, 20 if given.device.type == "cuda" else 2
    windows = (192, 400) if size == "paper" else (96,)

    def settings(network: str = "srresnet", **changes: object) -> object:
        return run_settings(size, network, precision=PRECISION[device.type], **changes)

    def together(network: str, window: int, runs: int) -> Callable[[], object]:
        made = settings(network, window=window)
        return fed(made, cache, runs, times, device, graphs=given.graphs)

    def step(network: str, graphs: bool, free: bool = False) -> Callable[[], object]:
        made = settings(network)
        run = Run(made, device, graphs=graphs)
        torch.backends.cudnn.deterministic = not free
        return stepping(run, random_batch(made, device), times)

    def batches(window: int) -> Callable[[], object]:
        pairs = OnlinePairs(settings(window=window), cache, device, graphs=given.graphs)
        return partial(_batches, pairs, times, [0])

    window = windows[0]
    for runs in (2, 1, 4):
        name = f"srresnet, pairs of windows of {window}, runs: {runs}"
        yield name, times, partial(together, "srresnet", window, runs)
    for network in ("srresnet", "rrdb"):
        yield f"{network}, step", times, partial(step, network, given.graphs)
    for side in windows:
        yield f"pairs of windows of {side}", times, partial(batches, side)
    name = f"rrdb, pairs of windows of {window}, runs: 1"
    yield name, times, partial(together, "rrdb", window, 1)
    if device.type == "cuda":
        for network in ("srresnet", "rrdb"):
            name = f"{network}, step, cuDNN free to choose"
            yield name, times, partial(step, network, given.graphs, True)
            yield f"{network}, step, no CUDA graph", times, partial(step, network, False)


def _batches(pairs: OnlinePairs, times: int, count: list[int]) -> None:
    for _ in range(times):
        pairs.batch(count[0])
        count[0] += 1


def measure(result: Result, sides: Iterator[Side], given: argparse.Namespace, end: float) -> None:
    """Measure sides one by one while there is time, and save after each."""
    for name, times, build in sides:
        if time.monotonic() > end:
            result.notes.append(f"{name}: not measured, the time was over.")
        else:
            try:
                work = build()
                work()
                seconds: list[float] = []
                stop = min(end, time.monotonic() + 3)
                while not seconds or (len(seconds) < 5 and time.monotonic() < stop):
                    seconds.append(timed(work, given.device) / times)
                spread = Spread(tuple(seconds))
                result.keep(name, spread)
                floor = FLOOR_MS.get(name.split(",")[0]) if given.device.type == "cuda" else None
                runs = int(name.partition("runs: ")[2] or 1)
                ratio = digits(1000 * spread.median / (runs * floor)) if floor else ""
                result.tables[0].rows.append([name, str(spread.times(1000)), ratio])
            except Exception as error:
                traceback.print_exc()
                first = (str(error).splitlines() or [""])[0]
                result.notes.append(f"{name}: failed ({type(error).__name__}: {first}).")
        result.write(given.out)


def take(result: Result, other: Result) -> None:
    """Add what another process measured."""
    result.tables[0].rows += other.tables[0].rows
    result.values |= other.values
    result.notes += other.notes


def profile(given: argparse.Namespace, size: str) -> None:
    """Write the operations that take the most time of a step, launched one by one."""
    settings = run_settings(size, precision=PRECISION[given.device.type])
    work = stepping(
        Run(settings, given.device, graphs=False), random_batch(settings, given.device), 3
    )
    work()
    with torch.profiler.profile() as watched:
        work()
    order = "self_cuda_time_total" if given.device.type == "cuda" else "self_cpu_time_total"
    text = watched.key_averages().table(sort_by=order, row_limit=40)
    (given.out / "profile.txt").write_text(text)


def compiled(given: argparse.Namespace, size: str) -> Iterator[Side]:
    """Yield the compiled step."""

    def step() -> Callable[[], object]:
        settings = run_settings(size, precision=PRECISION[given.device.type])
        run = Run(settings, given.device, graphs=given.graphs, compiled=True)
        return stepping(run, random_batch(settings, given.device), 20)

    yield "srresnet, step, compiled", 20, step


def main() -> None:
    given = options(__doc__, short)
    began = time.monotonic()
    gpu = given.device.type == "cuda"
    size = "paper" if gpu else "tiny" if given.quick else "demo"
    settings = {"threads": given.threads, "graphs": given.graphs, "size": size}
    result = Result(given.side or "short", given.device.type, settings)
    columns = ["what", "ms", "times the bf16 floor"]
    result.tables.append(
        Table(f"Iterations of the {size} size, batch 16, {PRECISION[given.device.type]}", columns)
    )
    end = began + given.seconds
    if given.side == "compiled":
        measure(result, compiled(given, size), given, end)
        return
    measure(result, ceilings(given.device, given.quick), given, end)
    if given.side != "ceilings":
        with image_cache(*((2, 128) if given.quick else ())) as cache:
            measure(result, iterations(cache, given, size), given, end)
        if gpu or given.quick:
            try:
                profile(given, size)
            except RuntimeError:
                traceback.print_exc()
        left = min(COMPILE_SECONDS, end - time.monotonic())
        if gpu and left > 5:
            # Compiling may take longer than there is time: it has a process that can be ended.
            command = [sys.executable, __file__, "--side", "compiled", "--out", str(given.out)]
            command += ["--device", str(given.device)] + ["--no-graphs"] * (not given.graphs)
            try:
                subprocess.run(command, check=False, timeout=left)
            except subprocess.TimeoutExpired:
                result.notes.append(f"The compiled step was not ready after {left:.0f} s.")
            alone = given.out / f"compiled-{given.device.type}.json"
            if alone.is_file():
                take(result, load(alone))
                alone.unlink()
    result.save(given.out)
    if not result.values:
        raise ReflashError("nothing was measured; see above")


def short(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=150, help="when to stop")
    parser.add_argument("--no-graphs", dest="graphs", action="store_false", help="no CUDA graphs")


if __name__ == "__main__":
    main()
