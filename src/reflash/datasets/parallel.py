"""Doing the same to many images on all cores: decoding and hashing release Python's lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_WORKERS = 16


def core_count() -> int:
    """Return how many cores this process may use, at most 16."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, _MOST_WORKERS)


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, computed by threads a little ahead.

    Parameters
    ----------
    function
        Is called in a thread; what it raises is raised here, in the item's turn.
    items
        Are taken as they are needed.
    workers
        How many threads; by default one per core.

    At most three results per thread exist at any moment, so that memory stays bounded however
    many items there are.
    """
    workers = workers or core_count()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 3 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
