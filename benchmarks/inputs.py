"""Synthetic images and settings that several benchmarks use."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reflash.datasets.cache import ImageCache, build_cache
from reflash.datasets.dead_leaves import dead_leaves
from reflash.datasets.images import Pixels, write_png
from reflash.datasets.manifest import write_manifest
from reflash.datasets.settings import DeadLeavesSettings
from reflash.models.names import parse_model
from reflash.study.config import load
from reflash.training.settings import RunSettings

CONFIG = Path(__file__).parents[1] / "config"
FLOOR_MS = {"srresnet": 0.32, "rrdb": 2.2}
"""Milliseconds of one paper-size iteration at 790 TFLOP/s of bf16, from its multiply-adds."""


def photograph(height: int, width: int, number: int) -> Pixels:
    """Return a synthetic image with the statistics of photographs, (height, width, 3) uint8."""
    return dead_leaves(height, width, DeadLeavesSettings(source="dead_leaves"), "bench", number)


@contextmanager
def image_cache(count: int = 6, side: int = 640) -> Iterator[ImageCache]:
    """Yield a cache of synthetic training images in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images")
        for i in range(count):
            write_png(images / f"{i}.png", photograph(side, side, i))
        write_manifest(images)
        yield ImageCache.open(build_cache(images, Path(folder, "cache")))


def run_settings(
    size: str, network: str = "srresnet", dropout: str = "none", **changes: Any
) -> RunSettings:
    """Return the settings of a run of a scale (paper or demo), with pairs made online.

    ``changes`` are those of ``pairs`` and ``training`` (keys of either), ``network`` (features,
    blocks) and the run itself.
    """
    scale = load({"scale": size}, CONFIG).scale
    shape = scale.networks[network].model_dump()
    pairs: dict[str, Any] = scale.pairs.model_dump() | {"synthesis": "online"}
    training: dict[str, Any] = {"batch": scale.training.batch}
    own: dict[str, Any] = {}
    for key, value in changes.items():
        if key in ("window", "patch", "crops", "synthesis", "count", "shuffle_pool"):
            pairs[key] = value
        elif key in ("batch", "precision", "iterations"):
            training[key] = value
        elif key in ("features", "blocks", "growth"):
            shape[key] = value
        else:
            own[key] = value
    model = parse_model(f"{network}/multi/{dropout}")
    ours = "reflash.training.regularisers"
    values = {
        "id": f"{network}/multi/{dropout}/seed0",
        "network": shape,
        "dropout": model.dropout,
        "regularisers": [
            {**one._asdict(), "factory": f"{ours}.{one.name}:build"} for one in model.regularisers
        ],
        "setting": "multi",
        "seed": 0,
        "pairs": pairs,
        "training": training,
    }
    return RunSettings.model_validate(values | own)
