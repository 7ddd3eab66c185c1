"""The means of the main comparison."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reflash.evaluation.summary import main_psnr


def test_means_over_images_then_degradations_then_seeds(rng: np.random.Generator) -> None:
    rows = [
        (run, test_set, kind, f"{image}", rng.uniform(20, 30))
        for run in ("net/multi/none/seed0", "net/multi/none/seed1", "bicubic", "other/x/y/seed0")
        for test_set in ("B", "A")
        for kind, images in (("clean", 2), ("noise", 3))
        for image in range(images)
    ]
    table = pd.DataFrame(rows, columns=["run", "set", "kind", "image", "psnr"])
    result = main_psnr(table, {"bicubic": "Bicubic", "net/multi/none": "Net"})
    assert result["name"].tolist() == ["Bicubic on B", "Bicubic on A", "Net on B", "Net on A"]
    values = {key: [r[4] for r in rows if r[:3] == key] for key in {r[:3] for r in rows}}
    for (label, runs), test_set in [
        (entry, name)
        for entry in (
            ("Bicubic", ("bicubic",)),
            ("Net", ("net/multi/none/seed0", "net/multi/none/seed1")),
        )
        for name in "AB"
    ]:
        expected = np.mean(
            [
                np.mean([np.mean(values[run, test_set, kind]) for kind in ("clean", "noise")])
                for run in runs
            ]
        )
        shown = result[(result["label"] == label) & (result["set"] == test_set)]["psnr"]
        assert shown.item() == pytest.approx(expected, abs=1e-12)
