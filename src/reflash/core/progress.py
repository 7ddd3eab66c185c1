"""Progress of long work: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, float, float], None]

LINE_SECONDS = 10.0
"""Seconds between two lines of a log."""


@contextmanager
def training_progress(name: str, total: int) -> Iterator[Report]:
    """Yield a function of (iteration, loss, learning rate) that shows progress on stderr."""
    if not sys.stderr.isatty():
        yield _plain(name, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[values]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total, values="")

        def report(iteration: int, loss: float, rate: float) -> None:
            bar.update(task, completed=iteration, values=f"loss {loss:.4f} lr {rate:.1e}")

        yield report


def _plain(name: str, total: int) -> Report:
    began = last = time.monotonic()
    first: int | None = None

    def report(iteration: int, loss: float, rate: float) -> None:
        nonlocal last, first
        now = time.monotonic()
        if first is None:
            first = iteration
        elif now - last < LINE_SECONDS and iteration < total:
            return
        last = now
        done = iteration - first
        speed = f"{done / (now - began):.1f} it/s" if done else ""
        left = f"{(total - iteration) * (now - began) / done:.0f} s left" if done else ""
        print(
            f"{name}: iteration {iteration}/{total} loss {loss:.4f} lr {rate:.1e} {speed} {left}",
            file=sys.stderr,
            flush=True,
        )

    return report
