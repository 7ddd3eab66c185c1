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

torch.set_num_threads(1)


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
