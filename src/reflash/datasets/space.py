"""Disk space: said and checked before work starts, explained when it runs out after all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reflash.core.errors import ReflashError, StopError
from reflash.core.files import explained
from reflash.core.progress import say


def human(size: float) -> str:
    """Return a number of bytes as people write it: 512 B, 3.5 GB (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.5 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def require_space(folder: Path | str, need: int, what: str, announce: bool = True) -> None:
    """Say on stderr what ``what`` needs and raise where ``folder`` has not that much free.

    Parameters
    ----------
    folder
        Where the data will go; it need not exist yet.
    need
        Bytes.
    what
        Begins the line, e.g. ``cache of 800 images``.
    announce
        Whether to say it where the space suffices.

    Raises
    ------
    StopError
        There is less free space than ``need``.
    """
    folder = Path(folder)
    place = folder.absolute()
    while not place.is_dir():
        place = place.parent
    free = shutil.disk_usage(place).free
    if need > free:
        raise StopError(
            f"{folder}: {what} takes {human(need)} of disk and {human(free)} are free; "
            "free some space or choose another folder"
        )
    if announce:
        say(f"{what}: needs {human(need)} of disk, {human(free)} are free")


@contextmanager
def disk_errors(path: Path | str) -> Iterator[None]:
    """Turn errors of the file system while writing ``path`` into one line for the user."""
    try:
        yield
    except OSError as error:
        problem = explained(error, path)
        if isinstance(problem, ReflashError):
            raise StopError(str(problem)) from error
        raise
