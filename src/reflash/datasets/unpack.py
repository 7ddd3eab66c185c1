"""Unpacking archives of unknown origin: nothing leaves the folder, nothing grows without bound."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Any, NamedTuple

from pydantic import Field

from reflash.core.errors import ReflashError
from reflash.core.settings import Settings
from reflash.datasets.space import disk_errors, human, require_space

_CHUNK = 1 << 20
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,  # zipfile: encrypted, or of a compression method it does not know
    ValueError,  # names that are no text, sizes below 0
    OverflowError,  # sizes and places beyond any file
)


_SUPPORTED = "supported are zip, tar, tar.gz, tar.xz and tar.bz2"
FORMATS = f"archive format not supported; {_SUPPORTED}"

OTHER_ARCHIVES = (".7z", ".rar", ".zst", ".tzst", ".lz4", ".lz", ".z", ".cab", ".gz", ".xz", ".bz2")
"""Last suffixes of archives that are not unpacked, unless ``.tar`` comes before."""

_STREAMS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"\x5d\0\0": lzma.LZMAFile,  # xz's predecessor, .tar.lzma
    b"BZh": bz2.BZ2File,
}
_OTHER_STARTS = (
    b"7z\xbc\xaf",
    b"Rar!",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
    b"LZIP",
    b"\x1f\x9d",
    b"MSCF",
)


class Limits(Settings):
    """How much an archive may unpack to."""

    files: Annotated[int, Field(ge=1)] = 50_000
    """Number of entries."""
    bytes: Annotated[int, Field(ge=1)] = 200 * 10**9
    """Bytes of all entries together."""
    ratio: Annotated[float, Field(ge=1)] = 50.0
    """Bytes of all entries together for each byte of the archive (images: below 5)."""
    slack: Annotated[int, Field(ge=0)] = 1 << 20
    """Bytes that any archive may have, whatever the ratio."""


class _Member(NamedTuple):
    name: str
    size: int
    folder: bool
    problem: str | None
    """What it is instead of a plain file or folder."""
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path | str,
    dst: Path | str,
    wanted: Callable[[PurePosixPath], bool] = lambda path: True,
    limits: Limits | None = None,
) -> list[Path]:
    """Unpack the zip or tar file ``archive`` to the new folder ``dst`` and return what it wrote.

    Parameters
    ----------
    archive
        zip, tar, or tar compressed with gzip, xz or bzip2, told apart by content.
    dst
        Is filled under a temporary name first, so that it is either whole or not there. A folder
        that is there already is replaced.
    wanted
        Chooses among the entries by their path; the others are checked but not written.
    limits
        How much may come out.

    Raises
    ------
    ReflashError
        The archive is damaged or no archive; an entry has an absolute path or ``..``, is a link or
        a device, or occurs twice; or more would come out than ``limits`` allow.
    StopError
        The disk is full.
    """
    archive, dst = Path(archive), Path(dst)
    limits = limits or Limits()
    temporary = dst.with_name(f".{dst.name}.unpacking")
    most = min(limits.bytes, int(archive.stat().st_size * limits.ratio) + limits.slack)
    written, size = [], 0
    with disk_errors(dst):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            with _members(archive, most) as members:
                for count, member in enumerate(members, 1):
                    path = _safe_path(archive, member)
                    size += member.size
                    if count > limits.files:
                        raise ReflashError(_too_much(archive, f"{limits.files} files"))
                    if size > most:
                        raise ReflashError(_too_much(archive, human(most)))
                    if not member.folder and wanted(path):
                        _write(archive, member, temporary / path)
                        written.append(dst / path)
            shutil.rmtree(dst, ignore_errors=True)
            temporary.replace(dst)
        except NotImplementedError as error:
            raise ReflashError(f"{archive}: its compression is not supported ({error})") from error
        except _DAMAGED as error:
            raise _damaged(archive) from error
        except OSError as error:
            if error.errno not in (None, errno.EINVAL):
                raise
            raise _damaged(archive) from error  # bzip2; places that are in no file
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return written


def _write(archive: Path, member: _Member, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.open("xb")
    except (FileExistsError, NotADirectoryError) as error:
        raise ReflashError(_refused(archive, member.name, "occurs twice")) from error
    with target, member.open() as source:
        left = member.size
        while chunk := source.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise ReflashError(_refused(archive, member.name, "is larger than it says"))
            target.write(chunk)
    if left:
        raise EOFError


def _safe_path(archive: Path, member: _Member) -> PurePosixPath:
    name = member.name.replace("\\", "/")
    path = PurePosixPath(name)
    if path.is_absolute() or (len(name) > 1 and name[1] == ":"):
        raise ReflashError(_refused(archive, member.name, "has an absolute path"))
    if ".." in path.parts:
        raise ReflashError(_refused(archive, member.name, "would leave the folder"))
    if member.problem:
        raise ReflashError(_refused(archive, member.name, member.problem))
    if "\0" in name or (not path.parts and not member.folder):
        raise ReflashError(_refused(archive, member.name, "has no proper name"))
    return path


def _damaged(archive: Path) -> ReflashError:
    return ReflashError(
        f"{archive}: the archive is damaged or cut off; get it again{_part(archive)}"
    )


def _refused(archive: Path, name: str, why: str) -> str:
    return (
        f"{archive}: the entry {name!r} {why}, which no honest archive of images needs; "
        "get it from another source"
    )


def _too_much(archive: Path, what: str) -> str:
    return f"{archive}: would unpack to more than {what}; get it from another source"


@contextmanager
def _members(archive: Path, most: int) -> Iterator[Iterator[_Member]]:
    with archive.open("rb") as file:
        head = file.read(8)
        file.seek(0)
        if head.startswith(_OTHER_STARTS):
            raise ReflashError(f"{archive}: {FORMATS}")
        if head.startswith(b"PK"):
            with zipfile.ZipFile(file) as zipped:
                infos = zipped.infolist()
                need = sum(info.file_size for info in infos)
                if need <= most:
                    require_space(archive.parent, need, f"unpacking {archive.name}")
                yield (_zip_member(zipped, info) for info in infos)
            return
        start = next((start for start in _STREAMS if head.startswith(start)), None)
        stream: Any = _STREAMS[start](file) if start else file
        what = "a compressed file that is not a tar" if start else "not an archive"
        _require_tar(archive, stream, what)
        if need := archive.stat().st_size:
            require_space(archive.parent, need, f"unpacking {archive.name}")
        guarded: Any = _Guarded(stream, archive, most)
        with tarfile.open(fileobj=guarded, mode="r:") as tarred:
            yield (_tar_member(tarred, info) for info in tarred)


def _require_tar(archive: Path, stream: IO[bytes], what: str) -> None:
    """Raise, saying ``what`` it is, where a file is whole so far but not a tar file."""
    block = stream.read(tarfile.BLOCKSIZE)
    stream.seek(0)
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if block.strip(b"\0"):  # zeros end an archive, here one without files
            raise ReflashError(f"{archive}: {what}; {_SUPPORTED}{_part(archive)}") from error


def _part(archive: Path) -> str:
    """Say what to do with a file whose name is that of a part of an archive."""
    part = re.search(r"\.(z\d\d|\d{2,3}|part\w*)$", archive.name, re.IGNORECASE)
    return "; parts of an archive are joined first" if part else ""


def _zip_member(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    mode = info.external_attr >> 16
    problem = None
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem = "is a link" if stat.S_ISLNK(mode) else "is a device"
    elif info.flag_bits & 1:
        problem = "is encrypted"
    return _Member(info.filename, info.file_size, info.is_dir(), problem, lambda: zipped.open(info))


def _tar_member(tarred: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    problem = None
    if info.issym() or info.islnk():
        problem = "is a link"
    elif not (info.isreg() or info.isdir()):
        problem = "is a device"

    def opened() -> IO[bytes]:
        file = tarred.extractfile(info)
        if file is None:
            raise tarfile.ReadError(info.name)
        return file

    return _Member(info.name, info.size, info.isdir(), problem, opened)


class _Guarded:
    """A stream that stops at ``most`` bytes, headers included: tarfile reads some of them whole."""

    def __init__(self, stream: IO[bytes], archive: Path, most: int) -> None:
        self._stream, self._archive = stream, archive
        self._most = most + (16 << 20)

    def read(self, size: int = -1) -> bytes:
        if size > 16 << 20 or self._stream.tell() > self._most:
            raise ReflashError(_too_much(self._archive, human(self._most)))
        return self._stream.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        if position > self._most:
            raise ReflashError(_too_much(self._archive, human(self._most)))
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()
