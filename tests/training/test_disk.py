"""What a full disk and damaged files cost while making pairs and training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy_run import run_settings

from reflash.cli import main
from reflash.core.errors import ReflashError
from reflash.core.lock import only_one
from reflash.datasets import space
from reflash.datasets.cache import ImageCache
from reflash.training.pairs import OnlinePairs
from reflash.training.pool import build_pool, read_pool
from reflash.training.run import Run
from reflash.training.settings import PoolSettings
from reflash.training.state import load_state, save_state, state_path

CPU = torch.device("cpu")


def pool_settings(count: int) -> PoolSettings:
    settings = run_settings()
    pairs = settings.pairs.model_copy(update={"count": count, "synthesis": "pool"})
    return PoolSettings(setting="multi", pairs=pairs, degradation=settings.degradation)


def test_a_state_that_does_not_fit_leaves_the_last_one(full_disk: Path) -> None:
    save_state(full_disk, "key", {"iteration": 1})
    with pytest.raises(ReflashError, match="the disk is full; free some space and run again"):
        save_state(full_disk, "key", {"iteration": 2, "weights": torch.zeros(10**6)})
    assert load_state(full_disk, "key") == {"iteration": 1}
    assert list(full_disk.iterdir()) == [state_path(full_disk, "key")]


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    save_state(tmp_path, "key", {"iteration": 1, "weights": torch.zeros(100)})
    path = state_path(tmp_path, "key")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1  # which PyTorch would load
    for content in (b"", b"text", *(whole[:size] for size in range(7, len(whole), 97)), flipped):
        path.write_bytes(content)
        with pytest.raises(ReflashError, match=r"state-key\.pt: damaged; remove it and run again"):
            load_state(tmp_path, "key")


def test_two_do_not_make_a_pool_in_one_folder(
    cache: ImageCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pairs", "--config", pool_settings(8).model_dump_json()]
    words += ["--images", str(cache.folder), "--out", str(tmp_path / "pool")]
    with only_one(tmp_path / "pool/.lock"), pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 1
    assert f"error: {tmp_path / 'pool'}: in use by" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0


def test_a_pool_says_what_it_needs_before_it_starts(cache: ImageCache, full_disk: Path) -> None:
    with pytest.raises(ReflashError, match=r"pool of 4000 pairs takes .* free some space"):
        build_pool(pool_settings(4000), cache, full_disk / "pool", batch=4)
    assert list(full_disk.iterdir()) == []


def test_a_disk_that_fills_up_under_a_pool_is_one_line(
    cache: ImageCache, full_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space.shutil, "disk_usage", lambda place: type("D", (), {"free": 10**12}))
    with pytest.raises(ReflashError, match="pool: the disk is full; free some space"):
        build_pool(pool_settings(4000), cache, full_disk / "pool", batch=4)


def test_a_damaged_pool_is_named(cache: ImageCache, tmp_path: Path) -> None:
    build_pool(pool_settings(8), cache, tmp_path, batch=4)
    (tmp_path / "pool.json").write_text('{"count": 8')
    with pytest.raises(ReflashError, match=r"pool\.json: damaged; make it with"):
        read_pool(tmp_path)


def test_weights_that_are_no_numbers_are_noticed(cache: ImageCache) -> None:
    run = Run(run_settings(), CPU)
    run.step(0, *OnlinePairs(run_settings(), cache, CPU).batch(0))
    assert run.is_finite()
    with torch.no_grad():
        run._weights[3].view(-1)[0] = torch.nan
    assert not run.is_finite()
