"""Evaluation: images per second of SRResNet at paper size, against a plain eager loop.

    python benchmarks/bench_evaluation.py [--device cpu] [--threads 1]

The plain loop takes one image after another: contiguous tensors and no_grad, as a short script
does. Ours is `reflash.evaluation.inference.upscale_image` as `reflash evaluate` calls it: channels
last, inference_mode, tiles above 320x320 LR pixels, and freed memory kept for the next operation.
The last belongs to a process, so each side has processes of its own, run in turns.
"""

from __future__ import annotations

import json

import numpy as np
import torch
from inputs import photograph, run_settings
from plain import plain_upscale

from reflash.core.allocation import keep_freed_memory
from reflash.evaluation.inference import upscale_image
from reflash.models.build import build_network
from reflash.report.benchmarks import Result, Spread, Table, in_processes, options, timed

SIZES = {
    "Set5": ((128, 128), (72, 72), (64, 64), (70, 70), (86, 57)),
    "BSD100": ((80, 120), (120, 80)),
    "Urban100": ((170, 256),),
}
"""Height and width of LR images, in pixels: all of Set5, typical ones of the others."""


def measure(side: str, quick: bool, device: torch.device) -> dict[str, object]:
    """Return the seconds per set that a side takes, and the mean of its results."""
    if side == "ours":
        keep_freed_memory()
    torch.manual_seed(0)
    settings = run_settings("demo" if quick else "paper")
    network = build_network(settings.network).to(device).eval()
    if side == "ours":
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    seconds: dict[str, float] = {}
    means: dict[str, float] = {}
    for name, sizes in SIZES.items():
        images = [photograph(*shape, i) for i, shape in enumerate(sizes)]
        results: list[np.ndarray] = []

        def work(images: list[np.ndarray] = images, results: list[np.ndarray] = results) -> None:
            results.clear()
            for image in images:
                if side == "ours":
                    results.append(upscale_image(network, image, device=device))
                else:
                    results.append(plain_upscale(network, torch.from_numpy(image)).numpy())

        if not seconds:
            work()
        seconds[name] = timed(work, device)
        means[name] = float(np.mean([result.mean() for result in results]))
    return {"seconds": seconds, "means": means}


def main() -> None:
    given = options(__doc__)
    if given.side:
        print(json.dumps(measure(given.side, given.quick, given.device)))
        return
    rounds = 1 if given.quick else 3
    settings = {"threads": given.threads, "rounds": rounds, "lr_sizes": SIZES}
    result = Result("evaluation", given.device.type, settings)
    found = in_processes(__file__, ("plain", "ours"), rounds, given)
    table = Table(
        "Enlarging test images with SRResNet, paper size",
        ["images", "plain loop, images per second", "ours", "times plain"],
    )
    whole = {side: [sum(one["seconds"].values()) for one in found[side]] for side in found}
    for name, sizes in SIZES.items():
        plain, ours = (Spread(tuple(one["seconds"][name] for one in found[side])) for side in found)
        means = [one["means"][name] for side in found.values() for one in side]
        if max(means) - min(means) > 0.01:
            raise SystemExit(f"error: the sides' results differ for {name}")
        result.keep(f"{name}: plain loop", plain)
        result.keep(f"{name}: ours", ours)
        speeds = [str(spread.per_second(len(sizes))) for spread in (plain, ours)]
        table.rows.append([f"{name} ({len(sizes)})", *speeds, str(plain.over(ours))])
    plain, ours = (Spread(tuple(seconds)) for seconds in whole.values())
    count = sum(len(sizes) for sizes in SIZES.values())
    speeds = [str(spread.per_second(count)) for spread in (plain, ours)]
    table.rows.append([f"all ({count})", *speeds, str(plain.over(ours))])
    result.tables.append(table)
    result.save(given.out)


if __name__ == "__main__":
    main()
