"""Synthetic evaluations with known means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest

from reflash.degradations.settings import KINDS
from reflash.study.context import Context

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"


@pytest.fixture
def make_context() -> Callable[..., Context]:
    def make(**changes: object) -> Context:
        values: dict[str, object] = {
            "study": "paper",
            "title": "A study",
            "scale": "demo",
            "description": "tiny networks",
            "evidence": "none",
            "models": (PLAIN, DROPPED),
            "labels": {PLAIN: "SRResNet", DROPPED: "SRResNet + dropout", "bicubic": "Bicubic"},
            "test_sets": ("photos",),
        }
        return Context.model_validate(values | changes)

    return make


@pytest.fixture
def write_evaluation(tmp_path: Path) -> Callable[..., Path]:
    """Write the evaluation of one run on one set: kind -> the PSNR of each image."""

    def write(
        run: str,
        values: Mapping[str, Sequence[float]] | Sequence[float],
        test_set: str = "photos",
    ) -> Path:
        if not isinstance(values, Mapping):
            # The same images for every kind, each kind 1 dB below the one before.
            values = {kind: [v - i for v in values] for i, kind in enumerate(KINDS)}
        rows = [
            {
                "run": run,
                "set": test_set,
                "kind": kind,
                "image": f"image{index}",
                "psnr": value,
                "ssim": value / 100,
                "psnr_y": value + 1,
                "ssim_y": value / 50,
                # Bands that hold 0.5, 0.3 and 0.2 of the squared error.
                **{
                    f"psnr_{band}": value - 10 * math.log10(share)
                    for band, share in (("low", 0.5), ("middle", 0.3), ("high", 0.2))
                },
                "psnr_usm": value - 2,
            }
            for kind, of_kind in values.items()
            for index, value in enumerate(of_kind)
        ]
        path = tmp_path / "evaluations" / f"{run}_{test_set}.csv".replace("/", "_")
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False)
        return path

    return write


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """Write a CSV from rows and the names of their columns."""

    def write(name: str, columns: str, rows: Sequence[Sequence[object]]) -> Path:
        path = tmp_path / f"{name}.csv"
        pd.DataFrame(list(rows), columns=columns.split(",")).to_csv(path, index=False)
        return path

    return write
