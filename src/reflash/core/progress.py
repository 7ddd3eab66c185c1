"""Progress of long work on standard error: bars on a terminal, plain lines in a log.

Short work shows nothing: a bar appears after ``QUIET_SECONDS``, a line of a log every
``LINE_SECONDS``. Work inside other work (the tiles of one image of many) gets a bar of its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # slow to import, and only needed on a terminal
    from rich.progress import Progress

Item = TypeVar("Item")
Update = Callable[..., None]

QUIET_SECONDS = 1.0
"""Work that takes less shows no bar."""

LINE_SECONDS = 10.0
"""Seconds between two lines of a log; work that takes less shows none."""

_bars: Progress | None = None  # the one that is on the terminal; rich allows no second


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield ``items``, showing how many are done and how long the others will take.

    Parameters
    ----------
    items : iterable
    what : str
        What is being done, such as ``evaluating``.
    total : int, optional
        How many items there are; by default their length, where they have one.

    Examples
    --------
    >>> [2 * n for n in track([1, 2, 3], "doubling")]
    [2, 4, 6]
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress(what, total) as update:
        update(0)
        for done, item in enumerate(items, start=1):
            yield item
            update(done)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Update]:
    """Yield a function of (items done, note) that shows them; the first call sets the start.

    Examples
    --------
    >>> with progress("training", 200) as update:
    ...     update(100, note="loss 0.25")  # resumed: time left is estimated from here on
    ...     update(200, note="loss 0.20")
    """
    with _bar(what, total) if sys.stderr.isatty() else _lines(what, total) as update:
        yield update


@contextmanager
def training_progress(name: str, total: int) -> Iterator[Callable[[int, float, float], None]]:
    """Yield a function of (iteration, loss, learning rate) that shows them."""
    with progress(name, total) as update:
        yield lambda done, loss, rate: update(done, f"loss {loss:.4f}, lr {rate:.1e}")


def say(line: str) -> None:
    """Print a line on standard error, above the bars where some are shown."""
    if _bars is not None and _bars.live.is_started:
        _bars.console.print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        print(line, file=sys.stderr, flush=True)


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Update]:
    """Show a bar; it stays on the terminal afterwards unless it is one inside another."""
    global _bars
    outer, bars = _bars, _bars or _new_bars()
    task = bars.add_task(what, total=total, note="", visible=False)
    began = time.monotonic()

    def update(done: int, note: str = "") -> None:
        if time.monotonic() - began >= QUIET_SECONDS:
            bars.start()
            bars.update(task, visible=True)
        bars.update(task, completed=done, note=note)

    _bars = bars
    try:
        yield update
    finally:
        _bars = outer
        if outer is None:
            bars.stop()
        else:
            bars.remove_task(task)


def _new_bars() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


@contextmanager
def _lines(what: str, total: int | None) -> Iterator[Update]:
    """Print a line now and then, and one at the end where some were printed before."""
    last = time.monotonic()
    start: tuple[int, float] | None = None
    printed = False

    def update(done: int, note: str = "") -> None:
        nonlocal last, start, printed
        now = time.monotonic()
        start = start or (done, now)
        if now - last < LINE_SECONDS and not (printed and done == total):
            return
        last, printed = now, True
        words = [f"{done}/{total}" if total is not None else str(done), *([note] if note else [])]
        since, seconds = done - start[0], now - start[1]
        if since and done == total:
            words.append(f"in {duration(seconds)}")
        elif since and total is not None:
            words.append(f"{duration((total - done) * seconds / since)} left")
        print(f"{what}: {', '.join(words)}", file=sys.stderr, flush=True)

    yield update


def duration(seconds: float) -> str:
    """Return seconds in words.

    >>> duration(8.4), duration(312), duration(7500)
    ('8 s', '5 min 12 s', '2 h 5 min')
    """
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    return f"{total // 3600} h {total % 3600 // 60} min"
