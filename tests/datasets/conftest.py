"""Fixtures of the dataset tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from web_server import WebServer

_DEFAULT_MIRROR = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The mirror folder with the public sets (REFLASH_MIRROR, or ../shared/data)."""
    folder = Path(os.environ.get("REFLASH_MIRROR", _DEFAULT_MIRROR))
    if not folder.is_dir():
        pytest.skip(f"no mirror of the public sets at {folder}; set REFLASH_MIRROR")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20220618)


@pytest.fixture
def server() -> Iterator[WebServer]:
    """A web server on 127.0.0.1 that answers what a test puts into ``replies``."""
    running = WebServer()
    yield running
    running.close()


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
