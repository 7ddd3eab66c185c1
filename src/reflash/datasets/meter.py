"""How a transfer goes: bytes, rate and time left, beside the files that are done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reflash.core.progress import progress
from reflash.datasets.space import human


class Meter:
    """Counts bytes and files of a transfer; threads may share one."""

    def __init__(self, show: Callable[[Meter], None], files: int = 1) -> None:
        self.files, self.files_done = files, 0
        self.total: int | None = None
        self.done = 0
        self.received = 0
        self.began = time.monotonic()
        self._show, self._lock = show, threading.Lock()

    def expect(self, total: int | None) -> None:
        """Set how many bytes there will be in all, where that is known."""
        with self._lock:
            self.total = total
            self._show(self)

    def resume(self, size: int) -> None:
        """Count ``size`` bytes that are there already; negative where some were thrown away."""
        with self._lock:
            self.done += size

    def advance(self, size: int) -> None:
        """Count ``size`` bytes that arrived."""
        with self._lock:
            self.done += size
            self.received += size
            self._show(self)

    def finish_file(self) -> None:
        """Count one finished file."""
        with self._lock:
            self.files_done += 1
            self._show(self)

    @property
    def rate(self) -> float:
        """Bytes per second since the beginning."""
        return self.received / max(time.monotonic() - self.began, 1e-6)

    def note(self) -> str:
        """Return bytes, rate and time left."""
        of = f" of {human(self.total)}" if self.total else ""
        parts = [f"{human(self.done)}{of}", f"{human(self.rate)}/s"]
        if self.total and self.received:
            parts.append(f"{max(0, self.total - self.done) / self.rate:.0f} s left")
        return ", ".join(parts)


@contextmanager
def transfer_meter(name: str, files: int = 1) -> Iterator[Meter]:
    """Yield a meter that shows on stderr how the transfer ``name`` of ``files`` files goes."""
    with progress(name, files) as update:
        yield Meter(lambda meter: update(meter.files_done, note=meter.note()), files)
