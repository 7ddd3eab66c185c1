"""A pool has the same bytes whatever interrupts its making and however many threads make it."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_pairs import pool_settings

from reflash.datasets.cache import ImageCache
from reflash.training import pool
from reflash.training.pool import build_pool

FILES = ("lr.u8", "hr.u8", "pool.json")


def content(folder: Path) -> dict[str, bytes]:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def whole(cache: ImageCache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    build_pool(pool_settings(), cache, folder, batch=4)
    return folder


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the batches that are synthesised."""
    numbers: list[int] = []
    real = pool.make_pairs

    def counting(*arguments: object) -> object:
        numbers.append(int(arguments[-1]))  # type: ignore[call-overload]
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pool, "make_pairs", counting)
    return numbers


def interrupt(after: int, cache: ImageCache, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop a build when it has written some portions; every portion is saved at once."""
    real, count = pool._Progress.add, 0

    def add(self: pool._Progress, portion: tuple[bytes, bytes], *, last: bool) -> None:
        nonlocal count
        if count == after:
            for file in self.files:
                file.write(b"half a portion")
            raise KeyboardInterrupt
        count += 1
        real(self, portion, last=last)

    with monkeypatch.context() as patch:
        patch.setattr(pool._Progress, "add", add)
        patch.setattr(pool, "SAVE_SECONDS", -1.0)
        with pytest.raises(KeyboardInterrupt):
            build_pool(pool_settings(), cache, folder, batch=4)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_it_continues_with_identical_bytes(
    after: int,
    cache: ImageCache,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    made: list[int],
) -> None:
    interrupt(after, cache, tmp_path, monkeypatch)
    assert not (tmp_path / "pool.json").exists()
    del made[:]
    build_pool(pool_settings(), cache, tmp_path, batch=4)
    assert made == list(range(after, 3))  # 3 batches of 4 windows, 2 crops each, for 21 pairs
    assert content(tmp_path) == content(whole)


def test_it_continues_when_killed_between_its_last_steps(
    cache: ImageCache, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[int]
) -> None:
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.name == "hr.u8.part":
            raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            build_pool(pool_settings(), cache, tmp_path, batch=4)
    assert (tmp_path / "lr.u8").exists()
    del made[:]
    build_pool(pool_settings(), cache, tmp_path, batch=4)
    assert made == []
    assert content(tmp_path) == content(whole)


@pytest.mark.parametrize("change", ["settings", "code", "record", "file"])
def test_another_build_s_portions_are_not_used(
    change: str,
    cache: ImageCache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    made: list[int],
) -> None:
    interrupt(2, cache, tmp_path, monkeypatch)
    settings = pool_settings(seed=1) if change == "settings" else pool_settings()
    if change == "code":
        monkeypatch.setattr(pool, "stage_fingerprint", lambda stage: "other code")
    if change == "record":
        (tmp_path / "progress.json").write_text("{")
    if change == "file":
        (tmp_path / "hr.u8.part").write_bytes(b"short")
    del made[:]
    build_pool(settings, cache, tmp_path, batch=4)
    assert made == [0, 1, 2]
    build_pool(settings, cache, tmp_path / "fresh", batch=4)
    assert content(tmp_path / "fresh") == {name: (tmp_path / name).read_bytes() for name in FILES}


def test_a_finished_pool_is_made_anew(cache: ImageCache, tmp_path: Path, made: list[int]) -> None:
    build_pool(pool_settings(), cache, tmp_path, batch=4)
    before = content(tmp_path)
    build_pool(pool_settings(), cache, tmp_path, batch=4)
    assert made == [0, 1, 2, 0, 1, 2]
    assert content(tmp_path) == before


def test_threads_change_nothing(cache: ImageCache, whole: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    build_pool(pool_settings(), cache, tmp_path, batch=4, threads=3)
    assert content(tmp_path) == content(whole)
    assert torch.get_num_threads() == threads


def test_a_mistake_in_a_thread_is_reported(
    cache: ImageCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(pool, "make_pairs", broken)
    with pytest.raises(RuntimeError, match="broken"):
        build_pool(pool_settings(), cache, tmp_path, batch=4, threads=2)
    assert not (tmp_path / "pool.json").exists()


@pytest.mark.slow
def test_killed_at_random_moments_it_has_the_same_bytes(cache: ImageCache, tmp_path: Path) -> None:
    settings = pool_settings(
        pairs={"synthesis": "pool", "window": 96, "patch": 32, "crops": 2, "count": 1200}
    )
    build_pool(settings, cache, tmp_path / "whole")
    code = (
        "import sys\nfrom pathlib import Path\nfrom reflash.datasets.cache import ImageCache\n"
        "from reflash.training import pool\nfrom reflash.training.settings import PoolSettings\n"
        "pool.SAVE_SECONDS = 0\n"
        "settings = PoolSettings.model_validate_json(sys.argv[1])\n"
        "pool.build_pool(settings, ImageCache.open(sys.argv[2]), Path(sys.argv[3]), threads=2)\n"
    )
    out = tmp_path / "killed"
    arguments = [settings.model_dump_json(), str(cache.folder), str(out)]
    rng, kills = random.Random(0), 0
    while kills < 5:
        before = portions(out)
        process = subprocess.Popen([sys.executable, "-c", code, *arguments])
        while kills < 3 and process.poll() is None and portions(out) <= before:
            time.sleep(0.005)
        if kills < 3 and process.poll() is None:
            time.sleep(rng.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert process.returncode == 0
    assert kills >= 1
    assert content(out) == content(tmp_path / "whole")


def portions(folder: Path) -> int:
    try:
        return int(json.loads((folder / "progress.json").read_text())["portions"])
    except (OSError, ValueError):
        return 0
