"""How a transfer goes: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from reflash.datasets.space import human

LINE_SECONDS = 10.0
"""Seconds between two lines of a log."""


class Meter:
    """Counts bytes and files of a transfer; threads may share one."""

    def __init__(self, name: str, show: Callable[[Meter, bool], None], files: int = 1) -> None:
        self.name, self.files, self.files_done = name, files, 0
        self.total: int | None = None
        self.done = 0
        self.received = 0
        self.began = time.monotonic()
        self._show, self._lock = show, threading.Lock()

    def expect(self, total: int | None) -> None:
        """Set how many bytes there will be in all, where that is known."""
        with self._lock:
            self.total = total
            self._show(self, False)

    def resume(self, size: int) -> None:
        """Count ``size`` bytes that are there already; negative where some were thrown away."""
        with self._lock:
            self.done += size

    def advance(self, size: int) -> None:
        """Count ``size`` bytes that arrived."""
        with self._lock:
            self.done += size
            self.received += size
            self._show(self, False)

    def finish_file(self) -> None:
        """Count one finished file."""
        with self._lock:
            self.files_done += 1
            self._show(self, self.files_done == self.files)

    @property
    def rate(self) -> float:
        """Bytes per second since the beginning."""
        return self.received / max(time.monotonic() - self.began, 1e-6)

    def line(self) -> str:
        """Return the state in one line: bytes, rate, time left, files."""
        of = f" of {human(self.total)}" if self.total else ""
        parts = [f"{human(self.done)}{of}", f"{human(self.rate)}/s"]
        if self.total and self.received:
            parts.append(f"{max(0, self.total - self.done) / self.rate:.0f} s left")
        if self.files > 1:
            parts.append(f"{self.files_done} of {self.files} files")
        return f"{self.name}: {', '.join(parts)}"


@contextmanager
def transfer_meter(name: str, files: int = 1) -> Iterator[Meter]:
    """Yield a meter that shows on stderr how the transfer ``name`` of ``files`` files goes."""
    if not sys.stderr.isatty():
        last = time.monotonic()

        def show(meter: Meter, final: bool) -> None:
            nonlocal last
            now = time.monotonic()
            if final or now - last >= LINE_SECONDS:
                last = now
                print(meter.line(), file=sys.stderr, flush=True)

        yield Meter(name, show, files)
        return
    with _bar(name, files) as meter:
        yield meter


@contextmanager
def _bar(name: str, files: int) -> Iterator[Meter]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[files]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=None, files="")

        def show(meter: Meter, final: bool) -> None:
            counted = f"{meter.files_done}/{meter.files} files" if meter.files > 1 else ""
            total = meter.done if final else meter.total
            progress.update(task, completed=meter.done, total=total, files=counted)

        yield Meter(name, show, files)
