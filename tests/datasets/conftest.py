"""Fixtures of the dataset tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from web_server import WebServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A web server on 127.0.0.1 that answers what a test puts into ``replies``."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = WebServer()
    yield running
    running.close()
