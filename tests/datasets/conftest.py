"""Fixtures of the dataset tests."""

from __future__ import annotations

import os
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
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A web server on 127.0.0.1 that answers what a test puts into ``replies``."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = WebServer()
    yield running
    running.close()
