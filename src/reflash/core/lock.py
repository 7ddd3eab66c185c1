"""One process at a time: locks that are free again when their holder ends, however it ends.

Where the file system knows ``flock`` the kernel holds the lock and drops it with the process. Where
it does not (some network file systems), the lock is a file that names its holder; one that a
killed process of this host left behind is taken over.
"""

from __future__ import annotations

import errno
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from reflash.core.errors import ReflashError
from reflash.core.files import explained
from reflash.core.progress import say

_NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def only_one(
    path: Path | str, waiting: str | None = None, *, busy: str | None = None
) -> Iterator[None]:
    """Hold the lock file ``path`` for the time of the context; its folder is made if missing.

    Parameters
    ----------
    path : Path or str
    waiting : str, optional
        Said on stderr, with the holder, before waiting for another process that has the lock.
    busy : str, optional
        What is in use; given, another process's lock is an error instead.

    Raises
    ------
    ReflashError
        ``busy`` was given and another process has the lock; names it and says what to do.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, only_one(Path(folder, ".lock")):
    ...     Path(folder, ".lock").exists()
    True
    """
    path = Path(path)
    try:
        lock = _acquire(path, timeout=0)
    except Timeout as taken:
        process, host = _holder(Path(taken.lock_file))
        if busy is not None:
            stop = f"stop it (kill {process} on {host})" if process else "stop it"
            raise ReflashError(
                f"{busy}: in use by {_named(process, host)}; wait until it has ended, or {stop}"
            ) from None
        if waiting:
            say(f"{waiting} ({_named(process, host)})")
        lock = _acquire(path, timeout=-1)
    try:
        yield
    finally:
        if not isinstance(lock, SoftFileLock):  # which does so by itself
            path.unlink(missing_ok=True)  # who waits notices, and takes a new file
        lock.release()


def _acquire(path: Path, timeout: float) -> BaseFileLock:
    lock: BaseFileLock = FileLock(path)
    with warnings.catch_warnings(action="ignore"):  # filelock tells of its own fallback
        try:
            lock.acquire(timeout=timeout)
        except (OSError, NotImplementedError) as error:
            if isinstance(error, Timeout):
                raise
            if isinstance(error, OSError) and error.errno not in _NO_FLOCK:
                raise
            # The attempt may have left an empty file: a soft lock of that name would be taken.
            lock = SoftFileLock(f"{path}.soft")
            lock.acquire(timeout=timeout)
    if not isinstance(lock, SoftFileLock):  # which names its holder by itself, the same way
        try:
            path.write_text(f"{os.getpid()}\n{platform.node()}\n")
        except OSError as error:
            lock.release()
            raise explained(error, path) from error
    return lock


def _holder(path: Path) -> tuple[int | None, str]:
    """Return process and host that a lock file names."""
    try:
        process, host, *_ = path.read_text().split("\n")
        return int(process), host
    except (OSError, ValueError):
        return None, ""


def _named(process: int | None, host: str) -> str:
    return f"process {process} on {host}" if process else "another process"
