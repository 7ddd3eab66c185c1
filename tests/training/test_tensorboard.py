from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_run import run_settings

from reflash.core.errors import ReflashError
from reflash.datasets.cache import ImageCache
from reflash.training.pairs import OnlinePairs
from reflash.training.trainer import Options, Trainer, train
from reflash.training.validation import Validation

CPU = torch.device("cpu")


def start(cache: ImageCache, images: Path, out: Path, events: Path) -> None:
    settings = run_settings()
    validation = Validation(settings.training.validation, images)
    options = Options(tensorboard=events)
    trainer = Trainer(settings, validation, out)
    train([trainer], OnlinePairs(settings, cache, CPU), CPU, options)


def test_events_hold_the_log(cache: ImageCache, image_folder: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    start(cache, image_folder, tmp_path / "run", tmp_path / "events")
    events = EventAccumulator(str(tmp_path / "events" / run_settings().id))
    events.Reload()
    import pandas as pd

    log = pd.read_csv(tmp_path / "run/log.csv")
    scalars = events.Scalars("psnr")
    assert [event.step for event in scalars] == list(log.iteration)
    assert [event.value for event in scalars] == pytest.approx(list(log.psnr), rel=1e-5)


def test_a_missing_tensorboard_is_one_line(
    cache: ImageCache, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if "tensorboard" in name:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ReflashError, match=r"pip install 'reflash\[tensorboard\]'"):
        start(cache, image_folder, tmp_path / "run", tmp_path / "events")
