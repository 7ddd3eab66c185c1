"""What several test folders share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

# Workers share the processors, and each program they start would take all of them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
LONG = ("workflow", "slow")

torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give workers the long tests first, so that they end together, and most files as a whole.

    What a file's tests share is then made by one worker. Long tests go one by one, except for those
    of the workflow, which share most.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return

    def place(item: pytest.Item) -> int:
        return next((n for n, mark in enumerate(LONG) if item.get_closest_marker(mark)), len(LONG))

    items.sort(key=place)
    for item in items:
        if place(item) != LONG.index("slow"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session")
def root() -> Path:
    """Folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Folder with real benchmark images; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("REFLASH_MIRROR", ROOT.parent / "shared" / "data"))
    if not (folder / "test" / "Set5").is_dir():
        pytest.skip(f"no benchmark images in {folder}; set REFLASH_MIRROR to a mirror folder")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def photo_like() -> np.ndarray:
    """A smooth colour image with edges, (128, 160, 3) uint8."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:128, 0:160]
    image = np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 15)], -1) * 60 + 128
    image[30:90, 40:110] += 50
    image += rng.normal(0, 4, image.shape)
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own with 256 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
