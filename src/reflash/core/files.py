"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reflash.core.errors import ReflashError, StopError

if TYPE_CHECKING:
    import pandas as pd


_HOST = re.sub(r"\W", "-", platform.node())
_TEMPORARY = re.compile(rf"\..+\.{_HOST}\.(\d+)\.tmp(\.\w+)?")
_FORBIDDEN = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR),
)
_LONGEST = 255  # bytes of a file name on common file systems


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
    temporary = path.with_name(_temporary_name(path))
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
        with suppress(OSError):  # such as a read-only folder, which the error above is about
            temporary.unlink()


def _temporary_name(path: Path) -> str:
    """Return a hidden name for the file being written, no longer than file systems allow."""
    end = f".{_HOST}.{os.getpid()}.tmp{path.suffix}"
    name, room = os.fsencode(path.name), _LONGEST - len(os.fsencode(end)) - 1
    if len(name) > room:  # shortened, and still a name of its own
        name = os.fsencode(f"{zlib.crc32(name):08x}")
    return f".{os.fsdecode(name)}{end}"


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
    reason = (error.strerror or str(error)).lower()
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f"{path}: " if path else ""
        return StopError(f"{where}the disk is full; free some space and run again")
    if path is None:
        return error
    if error.errno == errno.ENAMETOOLONG:
        return ReflashError(f"{path}: the file name is too long; choose a shorter one")
    if error.errno == errno.ENOENT and error.filename:
        return ReflashError(f"{error.filename}: no such file or folder; check the path")
    if error.errno in _FORBIDDEN or error.filename:
        return StopError(f"{path}: cannot be used ({reason}); choose another place")
    return error  # not of a file system, such as a lost connection


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all.

    Raises
    ------
    ReflashError
        The text holds a name of a file, or an argument, that is not UTF-8.
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        line = text[text.rfind("\n", 0, error.start) + 1 :].partition("\n")[0]
        raise ReflashError(
            f"{path}: a name in it is not UTF-8 ({line[:200]}); rename it"
        ) from error
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path | str, value: Any, ascii: bool = True) -> None:
    """Write ``value`` as indented JSON with a final newline, whole or not at all.

    With ``ascii`` other characters are escaped; without they stand there for people to read.
    """
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=ascii)
    write_text(path, f"{text}\n")


def write_csv(path: Path | str, table: pd.DataFrame, float_format: str | None = "%.6f") -> None:
    """Write ``table`` without its index, whole or not at all."""
    write_text(path, table.to_csv(index=False, float_format=float_format, lineterminator="\n"))


TEXT_COLUMNS = (
    *("run", "model", "network", "set", "kind", "image", "other", "layer"),
    *("label", "file", "name", "strength"),
)
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


def file_hash(path: Path, kind: str = "sha256") -> str:
    """Return the SHA-256 (or another hash of hashlib) of a file's content."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, kind).hexdigest()
    except PermissionError as error:
        raise ReflashError(
            f"{path}: cannot be read ({error.strerror}); check its rights"
        ) from error


def with_ending(stem: Path, ending: str) -> Path:
    """Return a path with an ending; dots of its name are none.

    >>> with_ending(Path("gain_p0.7"), ".csv").name
    'gain_p0.7.csv'
    """
    return stem.with_name(stem.name + ending)


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
