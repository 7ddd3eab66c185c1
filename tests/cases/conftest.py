"""The command line as a function, and the files that users of this field have brought."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from reflash.cli import main

_CASES = Path(__file__).parents[2].parent / "shared" / "cases"


class Outcome(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that starts with ``error:``, which a refusal must have."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.status != 0
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


Command = Callable[..., Outcome]


@pytest.fixture
def reflash(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process; an exception that escapes it fails the test."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        status = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capfd.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def cases() -> Path:
    """Folder of the files that users have brought; tests that need one are skipped without."""
    folder = Path(os.environ.get("REFLASH_CASES", _CASES))
    if not folder.is_dir():
        pytest.skip(f"no such files in {folder}; set REFLASH_CASES to their folder")
    return folder


@pytest.fixture
def another_user() -> Callable[[], AbstractContextManager[None]]:
    """Be somebody who may not read and write everything, for tests that root runs."""

    @contextmanager
    def become() -> Iterator[None]:
        # Where Python is root's, nobody else can import what commands import late.
        import matplotlib.pyplot  # noqa: F401
        import sklearn.datasets
        import sklearn.manifold  # noqa: F401

        torch.optim.Adam([torch.zeros(1, requires_grad=True)])
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield
        finally:
            if root:
                os.seteuid(0)

    return become


@pytest.fixture
def commons(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that everybody can write to, with the temporary files in it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)
