"""Choosing a device, and sharing GPUs between jobs."""

from __future__ import annotations

import fcntl
import multiprocessing
import queue
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from reflash.core import devices
from reflash.core.devices import choose_device, has_bf16, visible_gpus
from reflash.core.errors import ReflashError
from reflash.core.machine import cpu_features


def test_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device() == torch.device("cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("model name\t: X\nflags\t\t: fpu sse2 avx2 avx512f avx512_bf16\n\nflags\t: fpu\n", True),
        ("flags : fpu avx512f amx_tile amx_bf16\n", True),
        ("model name\t: X with avx512_bf16\nflags\t\t: fpu sse2 avx2 avx512f\n", False),
        ("processor : 0\nFeatures\t: fp asimd sve bf16 i8mm\n", True),
        ("Features : fp asimd\n", False),
        ("", False),
    ],
)
def test_bf16_of_a_processor(
    cpuinfo: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(devices, "cpu_features", lambda: cpu_features(tmp_path / "cpuinfo"))
    assert has_bf16(torch.device("cpu")) is expected
    assert not has_bf16(torch.device("meta"))


def test_bf16_of_this_processor() -> None:
    """PyTorch knows, too."""
    assert has_bf16(torch.device("cpu")) == (
        torch.cpu._is_avx512_bf16_supported() or "amx_bf16" in cpu_features()
    )


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


def test_a_process_keeps_the_gpu_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in (
        *((torch.cuda, n) for n in ("is_available", "device_count", "get_device_properties")),
        (torch.cuda, "set_device"),
        (devices.tempfile, "gettempdir"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back after the test
    two_gpus(tmp_path)
    monkeypatch.setattr(devices, "_HELD", {})
    other = (tmp_path / "reflash-gpu-gpu0.lock").open("ab")
    fcntl.flock(other, fcntl.LOCK_EX)
    assert choose_device() == torch.device("cuda:1")
    other.close()  # free now, and not needed
    assert [str(choose_device()) for _ in range(3)] == ["cuda:1"] * 3
    assert list(devices._HELD) == [1]


def take(folder: Path, ready: Any, taken: Any, release: Any) -> None:
    two_gpus(folder)
    ready.put("")
    taken.put(str(choose_device(poll=0.01)))
    release.wait(30)


def test_jobs_take_different_gpus_and_wait_for_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, taken, release = context.Queue(), context.Queue(), context.Event()
    arguments = (tmp_path, ready, taken, release)
    jobs = [context.Process(target=take, args=arguments) for _ in range(3)]
    for job in jobs:
        job.start()
    for _ in jobs:
        ready.get(timeout=60)
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
    monkeypatch.setattr(devices, "_HELD", {})
    assert devices._try_lock(0)
    held = devices._HELD.copy()
    monkeypatch.setattr(devices, "_HELD", {})  # as another process sees it
    assert not devices._try_lock(0)
    assert list(held) == [0]


@pytest.mark.parametrize("name", ["gpu0", "meta", "xla", "", "cuda:-1", "cpu:1", "CPU", "cuda:x"])
def test_what_is_no_device_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ReflashError, match="no such device; use auto, cpu"):
        choose_device(name)


UUIDS = ("GPU-1f0a7a6e-0000-4000-8000-000000000001", "GPU-2b771c21-0000-4000-8000-000000000002")
MIG = "MIG-3d4e5f60-0000-4000-8000-000000000003"


def driver(root: Path, uuids: tuple[str, ...] = UUIDS) -> None:
    """What the driver of NVIDIA shows of its GPUs below ``root``."""
    for number, uuid in enumerate(uuids):
        folder = root / f"proc/driver/nvidia/gpus/0000:0{number}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t Some GPU\nGPU UUID: \t {uuid}\n")


def smi(root: Path, uuids: tuple[str, ...] = UUIDS, status: int = 0) -> None:
    """An ``nvidia-smi`` where WSL2 has it."""
    folder = root / "usr/lib/wsl/lib"
    folder.mkdir(parents=True)
    lines = [f"GPU {number}: Some GPU (UUID: {uuid})" for number, uuid in enumerate(uuids)]
    lines += [f"  MIG 1g.10gb     Device  0: (UUID: {MIG})"]
    (folder / "lines").write_text("\n".join(lines))
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n/bin/cat {folder}/lines\nexit {status}\n")
    (folder / "nvidia-smi").chmod(0o755)


def device_files(root: Path) -> None:
    (root / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (root / "dev" / name).touch()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a machine without GPUs, and an environment that says nothing of any."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", "")
    return tmp_path


@pytest.mark.parametrize(
    ("listed", "seen"),
    [
        (None, 2),
        ("", 0),
        (" ", 0),
        ("-1", 0),
        ("NoDevFiles", 0),
        ("0", 1),
        ("1, 0", 2),
        ("0,1,2", 2),  # the machine has two
        ("0,-1,1", 1),  # what follows an entry that is none does not count
        ("0,0", 1),
        (UUIDS[1], 1),
        (",".join(UUIDS), 2),
        ("GPU-2b77", 1),  # the beginning will do
        ("GPU-", 0),  # of several GPUs
        ("GPU-ffffffff", 0),
        (MIG, 1),
        (f"{MIG},{MIG[:-1]}4", 1),
    ],
)
@pytest.mark.parametrize("told_by", [driver, smi])
def test_gpus_that_the_environment_lets_a_process_see(
    machine: Path, monkeypatch: pytest.MonkeyPatch, told_by: Any, listed: str | None, seen: int
) -> None:
    told_by(machine)
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert visible_gpus(machine) == seen


@pytest.mark.parametrize("listed", [None, "0", "0,1", MIG, UUIDS[0]])
def test_a_machine_without_gpus_has_none_whatever_the_environment_says(
    machine: Path, monkeypatch: pytest.MonkeyPatch, listed: str | None
) -> None:
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert visible_gpus(machine) == 0
    smi(machine, status=9)  # installed, and no driver runs
    assert visible_gpus(machine) == 0


def test_a_container_that_only_has_device_files(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device_files(machine)
    assert visible_gpus(machine) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert visible_gpus(machine) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join([*UUIDS, "GPU-f"]))
    assert visible_gpus(machine) == 2  # which cannot be told apart
