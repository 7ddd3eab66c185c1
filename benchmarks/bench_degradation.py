"""Degradation: training pairs per second, ours and as released.

    python benchmarks/bench_degradation.py [--device cpu] [--threads 1]

One side is the released pipeline (BasicSR 1.4.2 as Real-ESRGAN drives it: 400x400 windows, kernels
image by image, eager operations); it is left out where REFLASH_BASICSR does not name its source.
The others are this project's: its plain definition at 400x400, the path that trains at 400x400, at
a window of 192 for patches of 128, with two crops of a window, and as the scale `demo` makes pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import released
import torch
from inputs import image_cache, photograph, run_settings

from reflash.datasets.cache import ImageCache
from reflash.degradations import fast
from reflash.degradations.second_order import second_order
from reflash.degradations.settings import SecondOrderSettings
from reflash.report.benchmarks import Result, Spread, Table, digits, in_turns, options, timed
from reflash.training.pairs import OnlinePairs
from reflash.training.windows import WindowSampler, to_tensor

RELEASED = "released: BasicSR 1.4.2, window 400"
STAGES = {
    "draws": ["draw"],
    "kernels": ["_blurs"],
    "unsharp mask": ["usm_sharpen"],
    "blur": ["blur", "blur_plainly"],
    "resize": ["resize_by", "resize_to"],
    "noise": [
        "_add_noise",
        "noise_fields",
        "poisson_noise",
        "poisson_quantile",
        "_distinct_exponent",
    ],
    "JPEG": ["jpeg"],
}


def online(cache: ImageCache, device: torch.device, **changes: Any) -> Callable[[], object]:
    """Return a function that makes the next batch of pairs."""
    how = {key: changes.pop(key) for key in ("static", "graphs", "compiled") if key in changes}
    size = changes.pop("size", "paper")
    pairs = OnlinePairs(run_settings(size, **changes), cache, device, **how)
    count = 0

    def batch() -> object:
        nonlocal count
        count += 1
        return pairs.batch(count - 1)

    return batch


def plain(cache: ImageCache, device: torch.device) -> Callable[[], object]:
    """Return a function that degrades a batch as the definition says."""
    settings = run_settings("paper")
    sampler = WindowSampler(cache, settings.pairs, None, 240)
    count = 0

    def batch() -> object:
        nonlocal count
        count += 1
        windows = to_tensor(sampler.windows(16, "plain", count), device)
        return second_order(windows, settings.degradation, ("plain", count))

    return batch


def sides(cache: ImageCache, device: torch.device) -> dict[str, tuple[int, Callable[[], object]]]:
    """Return the pairs per call and the call of every side."""
    found: dict[str, tuple[int, Callable[[], object]]] = {}
    if released.available():
        images = [np.array(cache.image(i)) for i in range(len(cache))]
        found[RELEASED] = 8, released.Released(images, 8, device).batch
    found["plain definition, window 400"] = 16, plain(cache, device)
    found["ours, window 400"] = 16, online(cache, device)
    found["ours, window 192"] = 16, online(cache, device, window=192)
    found["ours, window 192, 2 crops"] = 16, online(cache, device, window=192, crops=2)
    demo = run_settings("demo")
    name = f"ours as `demo`: window {demo.pairs.window}, {demo.pairs.crops} crops of"
    found[f"{name} {demo.pairs.patch}"] = (
        demo.training.batch,
        online(cache, device, size="demo"),
    )
    if device.type == "cuda":
        for window in (400, 192):
            name = f"ours, window {window}"
            found[f"{name}, no CUDA graph"] = 16, online(cache, device, window=window, graphs=False)
            made = online(cache, device, window=window, compiled=True)
            found[f"{name}, compiled"] = 16, made
    return found


def repeated(work: Callable[[], object], times: int) -> Callable[[], object]:
    """Return a function that calls ``work`` several times."""

    def many() -> None:
        for _ in range(times):
            work()

    return many


def profile(window: int, batches: int) -> dict[str, float]:
    """Return the milliseconds per batch of 16 that each stage of the CPU's path takes."""
    seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
    inner: list[float] = []
    originals: dict[str, Any] = {}

    def watch(stage: str, name: str) -> None:
        work = originals[name] = getattr(fast, name)

        @wraps(work)
        def watched(*arguments: Any, **named: Any) -> Any:
            result: list[Any] = []
            inner.append(0.0)
            took = timed(lambda: result.append(work(*arguments, **named)), torch.device("cpu"))
            seconds[stage] += took - inner.pop()
            if inner:
                inner[-1] += took
            return result[0]

        setattr(fast, name, watched)

    photo = torch.from_numpy(photograph(window, window * 16, 99)).permute(2, 0, 1).float() / 255
    windows = photo.view(3, window, 16, window).permute(2, 0, 1, 3).contiguous()
    fast.second_order(windows, SecondOrderSettings(), ("warm up",))
    for stage, names in STAGES.items():
        for name in names:
            watch(stage, name)
    try:
        whole = timed(
            lambda: [
                fast.second_order(windows, SecondOrderSettings(), (i,)) for i in range(batches)
            ],
            torch.device("cpu"),
        )
    finally:
        for name, work in originals.items():
            setattr(fast, name, work)
    seconds["rest"] = whole - sum(seconds.values())
    return {stage: 1000 * value / batches for stage, value in seconds.items()}


def main() -> None:
    given = options(__doc__)
    device = given.device
    rounds = 1 if given.quick else (3 if device.type == "cpu" else 10)
    times = 1 if given.quick else (3 if device.type == "cpu" else 20)
    result = Result(
        "degradation", device.type, {"threads": given.threads, "rounds": rounds, "calls": times}
    )
    with image_cache(2 if given.quick else 6) as cache:
        found = sides(cache, device)
        slow = {RELEASED: 1}
        work = {name: repeated(call, slow.get(name, times)) for name, (_, call) in found.items()}
        seconds = in_turns(work, rounds, device)
    speed = {
        name: seconds[name].per_second(pairs * slow.get(name, times))
        for name, (pairs, _) in found.items()
    }
    base = RELEASED if RELEASED in speed else "plain definition, window 400"
    columns = ["", "pairs per second", "ms per 16 pairs", f"times {base.split(',')[0]}"]
    table = Table("Training pairs per second", columns)
    for name, spread in speed.items():
        result.keep(name, spread)
        batch = Spread(tuple(16000 / value for value in spread.values))
        table.rows.append([name, str(spread), digits(batch.median), str(spread.over(speed[base]))])
    result.tables.append(table)
    if base != RELEASED:
        result.notes.append(
            "The released pipeline was not measured: set REFLASH_BASICSR to a folder that holds "
            "the source of BasicSR 1.4.2."
        )
    if device.type == "cpu":
        windows = (96,) if given.quick else (96, 192, 400)
        shares = {window: profile(window, 1 if given.quick else 6) for window in windows}
        table = Table(
            "Where the time goes: ms per 16 windows (share)",
            ["stage", *(f"window {window}" for window in windows)],
        )
        for stage in shares[windows[0]]:
            row = [stage]
            for window in windows:
                value = shares[window][stage]
                row.append(f"{digits(value)} ({100 * value / sum(shares[window].values()):.0f} %)")
            table.rows.append(row)
        result.tables.append(table)
        result.values["profile"] = {str(window): values for window, values in shares.items()}
    result.save(given.out)


if __name__ == "__main__":
    main()
