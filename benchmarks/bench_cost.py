"""What dropout itself costs: time and memory of a training step, by position, dimension and p.

    python benchmarks/bench_cost.py [--device cpu] [--threads 1]

Every variant's step is measured in turns with the same network without dropout, the paper's own
four times as often. What a variant costs beyond is the geometric mean of the ratios, with its
standard error. Steps are taken one operation after another, not replayed as a CUDA graph: on a GPU
what a small network costs beyond is mostly the launching of operations. Besides the usual JSON the
results are written to cost.csv, of which the table `cost` is made. Networks have the paper's size;
on a CPU batches are smaller (2 patches of 64 pixels): time and activations are
proportional to the pixels, what weights and Adam take is not.

Memory is the most that tensors take during a step: on a GPU as PyTorch reports it, on a CPU the
sum of the allocations that its profiler records, above weights, average and Adam's state.
"""

from __future__ import annotations

import json
import os
import tempfile
from math import log
from pathlib import Path
from statistics import geometric_mean, pstdev, stdev
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # the profiler's own messages, read at import

import torch
from bench_training import random_batch
from inputs import run_settings
from torch.profiler import ProfilerActivity, profile

from reflash.models.names import parse_model
from reflash.report.benchmarks import Result, Spread, Table, digits, in_turns, options, write_rows
from reflash.training.run import Run

PAPER = {"srresnet": "last_conv-channel-p0.7", "rrdb": "last_conv-channel-p0.5"}
PLACES = ("b4", "b8", "b12", "b16", "conv_hr", "last_conv", "quarter", "half", "all")
REGULARISERS = (
    "adaptive_dropout-0.3",
    "additive_noise-0.5",
    "cutblur-1",
    "dropblock-0.3",
    "feature_alignment-1",
    "mixup-1",
    "multiplicative_noise-0.5",
    "second_view-1",
    "stochastic_depth-0.5",
    "weight_decay-0.1",
)
VARIANTS = {
    "srresnet": [
        "none",
        *(f"{place}-{kind}-p0.2" for place in PLACES for kind in ("channel", "element")),
        *(f"last_conv-channel-p{p}" for p in (0.1, 0.5, 0.7, 0.9)),
        *(f"last_conv-element-p{p}" for p in (0.5, 0.7)),
        *REGULARISERS,
    ],
    "rrdb": ["none", "last_conv-channel-p0.5", "last_conv-element-p0.5", *REGULARISERS],
}


def persistent(run: Run) -> int:
    """Return the bytes of weights, average, and Adam's two moments."""
    return 4 * sum(w.numel() * w.element_size() for w in run.network.parameters())


def peak(run: Run, batch: Any, device: torch.device) -> float:
    """Return the MiB that tensors take at most during a step."""
    if device.type == "cuda":
        run.optimiser.zero_grad()
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run._update(*batch)
        top = torch.cuda.max_memory_allocated(device) - before
        return (top + persistent(run)) / 2**20
    run.optimiser.zero_grad()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run.step(0, *batch)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        recorded.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    memory = [e for e in events if e.get("name") == "[memory]"]
    memory.sort(key=lambda e: e["ts"])
    now = top = 0
    for event in memory:
        now += event["args"]["Bytes"]
        top = max(top, now)
    return (top + persistent(run)) / 2**20


def main() -> None:
    given = options(__doc__)
    device = given.device
    gpu = device.type == "cuda"
    rounds = 2 if given.quick else (20 if gpu else 15)
    settings = {"threads": given.threads, "rounds": rounds, "precision": "bf16" if gpu else "fp32"}
    result = Result("cost", device.type, settings)
    table = Table(
        "A training step with dropout",
        ["network", "dropout", "ms", "times no dropout", "MiB", "MiB more"],
    )
    rows = []
    many = 10 if gpu and not given.quick else 1
    for network, variants in VARIANTS.items():
        batch: dict[str, Any] = {"precision": "bf16"}
        if not gpu:
            batch = {"batch": 2, "patch": 64}  # fewer would leave nothing to mix or to align
        size = "demo" if given.quick else "paper"
        runs = {
            name: Run(run_settings(size, network, name, **batch), device, graphs=False)
            for name in ([*variants[:2], *REGULARISERS] if given.quick else variants)
        }
        settled = run_settings(size, network, **batch)
        data = random_batch(settled, device)

        def steps(run: Run, data: Any = data) -> None:
            for iteration in range(many):
                run.step(iteration, *data)

        sides = {name: (lambda run=run: steps(run)) for name, run in runs.items()}
        seconds = in_turns(sides, rounds, device, warm_up=2)
        ratios = {name: each.over(seconds["none"]).values for name, each in seconds.items()}
        both = {name: sides[name] for name in ("none", PAPER[network]) if name in sides}
        more = in_turns(both, 3 * rounds, device)
        ratios |= {name: ratios[name] + more[name].over(more["none"]).values for name in both}
        memory = {name: peak(run, data, device) for name, run in runs.items()}
        for name in runs:
            each = seconds[name].times(1000 / many)
            result.keep(f"{network} {name}", each)
            model = parse_model(f"{network}/multi/{name}")
            layer, other = (next(iter(own), None) for own in (model.dropout, model.regularisers))
            known = name != "none"
            ratio = geometric_mean(ratios[name])
            error = ratio * stdev(map(log, ratios[name])) / len(ratios[name]) ** 0.5
            rows.append(
                {
                    "network": network,
                    "where": layer.where if layer else other.name if other else "none",
                    "dimension": layer.dimension if layer else "",
                    "p": layer.p if layer else other.strength if other else "",
                    "ms_per_iteration": f"{each.median:.3f}",
                    "ms_std": f"{pstdev(each.values):.3f}",
                    "extra": f"{ratio - 1:.5f}" if known else "",
                    "extra_error": f"{error:.5f}" if known else "",
                    "rounds": len(ratios[name]) if known else "",
                    "peak_mib": f"{memory[name]:.2f}",
                    "workload": f"{size} size, batch {settled.training.batch}, patch "
                    f"{settled.pairs.patch}, {settled.training.precision}",
                    "device": device.type,
                }
            )
            shown = [str(each), str(Spread(ratios[name])), digits(memory[name])]
            table.rows.append([network, name, *shown, digits(memory[name] - memory["none"])])
    result.tables.append(table)
    if not gpu:
        result.notes.append("Batches of 2 patches of 64 pixels.")
    result.save(given.out)
    write_rows(given.out / "cost.csv", rows, device.type)


if __name__ == "__main__":
    main()
