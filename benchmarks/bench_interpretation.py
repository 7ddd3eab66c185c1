"""Ablation: all channels of the last layer against one full forward pass for each of them.

    python benchmarks/bench_interpretation.py [--device cpu] [--threads 1]

SRResNet at paper size, an image of 512x512 HR pixels. The plain side is timed on one forward pass
with a channel zeroed by a hook, times the number of channels; ours restarts from the layer
(`reflash.interpretation.ablation.ablate_channels`), with and without using that the last
convolution is linear. Both give the same PSNR (a test compares them).
"""

from __future__ import annotations

import numpy as np
import torch
from inputs import photograph, run_settings

from reflash.interpretation.ablation import ablate_channels
from reflash.models.build import build_network
from reflash.report.benchmarks import Result, Spread, Table, options, timed


def main() -> None:
    given = options(__doc__)
    rounds, side = (1, 16) if given.quick else (3, 128)
    torch.manual_seed(0)
    network = build_network(run_settings("demo" if given.quick else "paper").network)
    network = network.to(given.device).eval()
    channels = network.settings.features
    hr = photograph(4 * side, 4 * side, 0)
    lr = torch.from_numpy(np.ascontiguousarray(hr[::4, ::4])).permute(2, 0, 1)[None].float() / 255
    lr = lr.to(given.device)
    seconds: dict[str, list[float]] = {"plain": [], "restart": [], "linear": []}
    with torch.inference_mode():
        for _ in range(rounds):
            seconds["plain"].append(channels * timed(lambda: network(lr), given.device))
            for name, linear in (("restart", False), ("linear", True)):

                def work(linear: bool = linear) -> None:
                    ablate_channels(network, lr, hr, "last", linear=linear)

                seconds[name].append(timed(work, given.device))
    settings = {"threads": given.threads, "rounds": rounds, "hr_side": 4 * side}
    result = Result("interpretation", given.device.type, settings)
    plain, *ours = (Spread(tuple(values)) for values in seconds.values())
    table = Table(
        f"Removing each of {channels} channels before the last convolution, one image",
        ["side", "seconds", "times faster"],
        [[f"{channels} full forward passes", str(plain), "1"]],
    )
    result.keep("plain", plain)
    for name, label, spread in zip(
        ("restart", "linear"),
        ("restarted from the layer", "ours: restarted, last convolution used as linear"),
        ours,
        strict=True,
    ):
        result.keep(name, spread)
        table.rows.append([label, str(spread), str(plain.over(spread))])
    result.tables.append(table)
    result.save(given.out)


if __name__ == "__main__":
    main()
