"""Choosing a device, and sharing GPUs between jobs."""

from __future__ import annotations

import multiprocessing
import queue
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from reflash.core import devices
from reflash.core.devices import choose_device
from reflash.core.errors import ReflashError


def test_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device() == torch.device("cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "mps:9", "xpu:7"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ReflashError, match="not available on this machine; use cpu or auto"):
        choose_device(name)


def two_gpus(folder: Path) -> None:
    """Pretend that the machine has two GPUs and locks in ``folder``."""
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 2
    torch.cuda.get_device_properties = lambda gpu: SimpleNamespace(uuid=f"gpu{gpu}")  # type: ignore
    torch.cuda.set_device = lambda gpu: None  # type: ignore[assignment]
    devices.tempfile.gettempdir = lambda: str(folder)  # type: ignore[assignment]


def take(folder: Path, taken: Any, release: Any) -> None:
    two_gpus(folder)
    taken.put(str(choose_device(poll=0.01)))
    release.wait(30)


def test_jobs_take_different_gpus_and_wait_for_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    taken, release = context.Queue(), context.Event()
    jobs = [context.Process(target=take, args=(tmp_path, taken, release)) for _ in range(3)]
    for job in jobs:
        job.start()
    first = {taken.get(timeout=60), taken.get(timeout=60)}
    assert first == {"cuda:0", "cuda:1"}
    with pytest.raises(queue.Empty):
        taken.get(timeout=1)  # the third waits
    release.set()  # a job that ends gives its GPU back
    assert taken.get(timeout=60) in first
    for job in jobs:
        job.join(60)
        assert job.exitcode == 0


def test_a_lock_file_of_another_user_can_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reflash-gpu-gpu0.lock").touch()
    real = Path.open

    def refuse(path: Path, mode: str = "r", *rest: Any) -> Any:
        if mode == "ab":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, mode, *rest)

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    gpu = SimpleNamespace(uuid="gpu0")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: gpu)
    monkeypatch.setattr(devices, "_HELD", [])
    assert devices._try_lock(0)
    assert not devices._try_lock(0)


@pytest.mark.parametrize("name", ["gpu0", "meta", "xla", "", "cuda:-1", "cpu:1", "CPU", "cuda:x"])
def test_what_is_no_device_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ReflashError, match="no such device; use auto, cpu"):
        choose_device(name)
