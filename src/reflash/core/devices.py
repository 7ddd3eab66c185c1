"""Choosing a device: the CPU, or a GPU that no other job of this machine is using."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from reflash.core.errors import ReflashError
from reflash.core.machine import cpu_features

if TYPE_CHECKING:  # slow to import, and not needed to check a name
    import torch

_NAMES = re.compile(r"auto|cpu|(cuda|mps|xpu)(:\d+)?")
_HELD: dict[int, IO[bytes]] = {}
"""The GPUs that are this process's, with the locks that say so to others."""


def _try_lock(gpu: int) -> bool:
    """Take the lock of one GPU for the life of this process, if it is free or this process's."""
    import torch

    if gpu in _HELD:
        return True

    name = torch.cuda.get_device_properties(gpu)
    path = Path(tempfile.gettempdir()) / f"reflash-gpu-{getattr(name, 'uuid', gpu)}.lock"
    try:
        handle: IO[bytes] = path.open("ab")
    except PermissionError:  # made by another user: reading is enough to hold a lock
        handle = path.open("rb")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return False
    _HELD[gpu] = handle
    return True


def check_device_name(name: str) -> str:
    """Return ``name`` if a device may be called so; torch is not imported.

    Raises
    ------
    ReflashError
        It is none of auto, cpu, cuda, cuda:N, mps and xpu.

    Examples
    --------
    >>> check_device_name("cuda:1")
    'cuda:1'
    """
    if not _NAMES.fullmatch(name):
        raise ReflashError(f"device {name!r}: no such device; use auto, cpu, cuda, cuda:N or mps")
    return name


def visible_gpus(root: Path | str = "/") -> int:
    """Return how many NVIDIA GPUs a process started here would see; torch is not imported.

    ``CUDA_VISIBLE_DEVICES`` counts as it does for CUDA: it lists indices or beginnings of UUIDs,
    its first entry that names no GPU ends the list, an empty list hides all GPUs, and of the parts
    of a partitioned GPU (MIG) one is seen. What the machine has is told by its driver, where it
    does not (WSL2, some containers) by ``nvidia-smi``, otherwise by its device files.

    Parameters
    ----------
    root : path
        Where ``proc``, ``dev`` and ``usr`` lie.

    Examples
    --------
    >>> visible_gpus("/nowhere") if not shutil.which("nvidia-smi") else 0
    0
    """
    root = Path(root)
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None and not listed.strip():
        return 0
    uuids = _gpu_uuids(root)
    if listed is None:
        return len(uuids)
    seen: set[int] = set()
    for entry in (part.strip() for part in listed.split(",")):
        if entry.startswith("MIG"):
            return 1 if uuids else 0
        if re.fullmatch(r"\d+", entry):
            found = [int(entry)] if int(entry) < len(uuids) else []
        else:
            found = [n for n, uuid in enumerate(uuids) if entry and uuid.startswith(entry)]
            if entry.startswith("GPU-") and "" in uuids:  # a GPU whose UUID is not told
                found = [-1 - len(seen)] if len(seen) < len(uuids) else []
        if len(found) != 1 or found[0] in seen:
            break
        seen.update(found)
    return len(seen)


def _gpu_uuids(root: Path) -> list[str]:
    """Return the UUID of every GPU of the machine, empty where only its being there is known."""
    told = sorted(root.glob("proc/driver/nvidia/gpus/*/information"))
    if told:
        texts = [path.read_text(errors="replace") for path in told]
        found = [re.search(r"GPU UUID:\s*(GPU-\S+)", text) for text in texts]
        return [match[1] if match else "" for match in found]
    smi = shutil.which("nvidia-smi") or str(root / "usr/lib/wsl/lib/nvidia-smi")
    try:
        done = subprocess.run([smi, "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        done = None
    if done is not None and done.returncode == 0:
        lines = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
        return [match[1] if (match := re.search(r"(GPU-[^)\s]+)", line)) else "" for line in lines]
    return ["" for _ in root.glob("dev/nvidia[0-9]*")]


def choose_device(name: str = "auto", poll: float = 1.0) -> torch.device:
    """Return the device ``name`` stands for, and make it this process's GPU if it is one.

    ``auto`` takes a free GPU, waiting for one where all are in use (a workflow runs several jobs
    at once and hands out no ids; a lock per GPU does), and the CPU where there is no GPU. A process
    keeps the one it took: every further ``auto`` is that one.

    Raises
    ------
    ReflashError
        No device is called so, or it is not there.
    """
    import torch

    check_device_name(name)
    if name == "auto":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        waiting = False
        while count:
            for gpu in (*_HELD, *range(count)):
                if _try_lock(gpu):
                    torch.cuda.set_device(gpu)  # what records graphs and times has no other way
                    return torch.device("cuda", gpu)
            if not waiting:
                print("waiting for a free GPU (--device cuda takes one in use)", file=sys.stderr)
                waiting = True
            time.sleep(poll)
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).add(1).item()
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch built without CUDA
        raise ReflashError(
            f"device {name!r}: not available on this machine; use cpu or auto"
        ) from error
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    return device


def has_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bf16; where it has none, bf16 is slower than fp32.

    On a CPU these are AVX512-BF16, AMX-BF16 or those of ARM.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    names = {"avx512_bf16", "amx_bf16", "bf16"}
    return device.type == "cpu" and not names.isdisjoint(cpu_features())
