"""What bf16 does to the results: PSNR of runs in bf16 beside the same runs in fp32.

    python benchmarks/bench_precision.py [--device cpu] [--threads 1]

SRResNet at the size of the scale `demo`, without and with dropout, three seeds; all runs of a seed
see the same pairs. The photographs that ship with scikit-image and scikit-learn are the test.

A CPU without bf16 would take hours. There convolutions get operands rounded to bf16, sum up in
fp32 and round the result, which is what tensor cores do; everything else is PyTorch's own bf16.
"""

from __future__ import annotations

import csv
import tempfile
from contextlib import nullcontext
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from inputs import CONFIG, image_cache, run_settings
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from reflash.core.devices import has_bf16
from reflash.datasets.images import centre_crop, read_rgb, write_png
from reflash.datasets.photos import sample_photos
from reflash.report.benchmarks import Result, Spread, Table, options
from reflash.study.config import load
from reflash.training.pairs import PoolPairs
from reflash.training.pool import build_pool
from reflash.training.settings import PoolSettings, RunSettings
from reflash.training.trainer import Options, Trainer, train
from reflash.training.validation import Validation

aten = torch.ops.aten
DEMO = load({"scale": "demo"}, CONFIG).scale
MODELS = ("none", "last_conv-channel-p0.5")
PRECISIONS = ("fp32", "bf16")
KINDS = ("clean", "blur", "noise", "jpeg", "blur_noise_jpeg")


def settings_of(seed: int, model: str, precision: str, iterations: int) -> RunSettings:
    count = min(DEMO.pairs.count, iterations * DEMO.training.batch)
    run = run_settings("demo", "srresnet", model, synthesis="pool", seed=seed, count=count)
    training = DEMO.training.model_dump(mode="json")
    training |= {"iterations": iterations, "precision": precision}
    training["validation"] |= {"every": iterations, "kinds": list(KINDS), "images": 8, "crop": 144}
    changes = {"id": f"{model} in {precision}", "training": training}
    return RunSettings.model_validate(run.model_dump(mode="json") | changes)


class RoundedConvolutions(TorchDispatchMode):
    """Convolutions of bf16 tensors by fp32 sums of their products, rounded once at the end."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        convolution = func in (aten.convolution.default, aten.convolution_backward.default)
        if not (convolution and args[0].dtype == torch.bfloat16):
            return func(*args, **(kwargs or {}))
        out = func(*tree_map_only(Tensor, Tensor.float, args), **(kwargs or {}))
        return tree_map_only(Tensor, Tensor.bfloat16, out)


def scores(folder: Path) -> dict[str, float]:
    """Return the PSNR by kind that a run ended with."""
    with (folder / "log.csv").open(newline="", encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    return {kind: float(last[f"psnr_{kind}"]) for kind in KINDS}


def measure(
    folder: Path, seeds: int, iterations: int, device: torch.device
) -> dict[tuple[int, str, str], dict[str, float]]:
    """Return the PSNR by kind of each seed, model and precision."""
    for name, path in sample_photos().items():
        write_png(folder / f"photos/{name}.png", centre_crop(read_rgb(path), 144))
    found = {}
    settings = settings_of(0, *MODELS[:1], "fp32", iterations)
    pool = PoolSettings(setting="multi", pairs=settings.pairs, degradation=settings.degradation)
    with image_cache(count=16, side=256) as cache:
        build_pool(pool, cache, folder / "pool")
    for seed in range(seeds):
        trainers = {}
        for model in MODELS:
            for precision in PRECISIONS:
                run = settings_of(seed, model, precision, iterations)
                validation = Validation(run.training.validation, folder / "photos")
                out = folder / f"{seed}-{model}-{precision}"
                trainers[seed, model, precision] = Trainer(run, validation, out)
        pairs = PoolPairs(folder / "pool", DEMO.training.batch, seed, device)
        train(list(trainers.values()), pairs, device, Options())
        found |= {key: scores(trainer.folder) for key, trainer in trainers.items()}
    return found


def main() -> None:
    given = options(__doc__)
    seeds, iterations = (1, 2) if given.quick else (3, 500)
    about = {"threads": given.threads, "seeds": seeds, "iterations": iterations}
    result = Result("precision", given.device.type, about)
    with tempfile.TemporaryDirectory() as folder:
        rounded = given.device.type == "cpu" and not has_bf16(given.device)
        with RoundedConvolutions() if rounded else nullcontext():
            found = measure(Path(folder), seeds, iterations, given.device)
    table = Table(
        f"SRResNet of demo size, {iterations:,} iterations: PSNR (dB) in bf16 minus fp32, by seed",
        ["test", "none", "dropout", "gain of dropout in fp32", "in bf16"],
    )
    for kind in KINDS:
        psnr = {key: values[kind] for key, values in found.items()}
        row, gains = [kind], []
        for model in MODELS:
            change = [psnr[s, model, "bf16"] - psnr[s, model, "fp32"] for s in range(seeds)]
            result.keep(f"{kind}, {model}: dB in bf16 minus fp32", Spread(tuple(change)))
            row.append(", ".join(f"{value:+.3f}" for value in change))
        for precision in PRECISIONS:
            both = [[psnr[s, model, precision] for s in range(seeds)] for model in MODELS]
            gains.append(f"{mean(both[1]) - mean(both[0]):+.3f}")
        table.rows.append([*row, *gains])
    result.tables.append(table)
    result.save(given.out)


if __name__ == "__main__":
    main()
