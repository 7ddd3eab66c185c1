"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reflash.core.errors import ReflashError

if TYPE_CHECKING:
    import pandas as pd


_HOST = re.sub(r"\W", "-", platform.node())
_TEMPORARY = re.compile(rf"\..+\.{_HOST}\.(\d+)\.tmp(\.\w+)?")


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path`` and rename it to ``path`` on success.

    The folder is made where it is missing. After an exception the temporary file is removed and
    ``path`` is as it was before. What killed processes left in the folder goes, too.

    Raises
    ------
    ReflashError
        The disk is full, the quota is spent, or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{_HOST}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent.absolute())
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise explained(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


@cache
def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes of this host left in ``folder``; a process looks only once."""
    for path in folder.iterdir():
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _alive(int(match[1])):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)  # it may be of another user
    return True


def explained(error: OSError, path: Path | str | None = None) -> Exception:
    """Return what the user can do about a file-system error, or the error where that is unclear."""
    path = path or error.filename
    if path is None:
        return error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ReflashError(f"{path}: the disk is full; free some space and run again")
    forbidden = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)
    if error.errno in forbidden:
        return ReflashError(f"{path}: cannot be used ({error.strerror}); choose another place")
    return error


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as indented JSON with a final newline, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_csv(path: Path | str, table: pd.DataFrame, float_format: str | None = "%.6f") -> None:
    """Write ``table`` without its index, whole or not at all."""
    write_text(path, table.to_csv(index=False, float_format=float_format, lineterminator="\n"))


TEXT_COLUMNS = ("run", "model", "network", "set", "kind", "image", "layer", "label", "file", "name")
"""Columns of our CSVs that hold names, whatever these look like: an image may be called 0001."""


def read_csv(path: Path | str) -> pd.DataFrame:
    """Read a CSV: names are text, a name like ``null`` too, and nothing but emptiness is missing.

    Raises
    ------
    ReflashError
        The file cannot be read as CSV.
    """
    import pandas as pd

    names = dict.fromkeys(TEXT_COLUMNS, str)
    try:
        return pd.read_csv(path, dtype=names, keep_default_na=False, na_values=[""])
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0].strip()
        raise ReflashError(f"{path}: cannot be read as CSV ({reason})") from error


def require_file(path: Path | str, remedy: str) -> Path:
    """Return ``path`` if it is a file; otherwise say so with ``remedy``."""
    path = Path(path)
    if not path.is_file():
        raise ReflashError(f"{path}: no such file; {remedy}")
    return path


def require_folder(path: Path | str, remedy: str) -> Path:
    """Return ``path`` if it is a folder; otherwise say so with ``remedy``."""
    path = Path(path)
    if not path.is_dir():
        raise ReflashError(f"{path}: no such folder; {remedy}")
    return path
