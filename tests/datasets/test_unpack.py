"""Archives are unpacked inside their folder, within bounds, whole or not at all."""

from __future__ import annotations

import gzip
import io
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from reflash.core.errors import ReflashError, StopError
from reflash.datasets.unpack import Limits, unpack

DATA = np.random.default_rng(1).bytes(3_000_000)
FILES = {"set/a.png": DATA[:50_000], "set/deep/b.png": DATA[50_000:70_000], "set/c.txt": b"text"}


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def plain_tar_of(path: Path, files: dict[str, bytes]) -> Path:
    return tar_of(path, files, "w")


MAKERS: list[Callable[[Path, dict[str, bytes]], Path]] = [zip_of, tar_of, plain_tar_of]


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("make", MAKERS)
def test_files_come_out_as_they_went_in(tmp_path: Path, make: Callable[..., Path]) -> None:
    archive = make(tmp_path / "x", FILES)
    paths = unpack(archive, tmp_path / "out")
    assert everything(tmp_path / "out") == FILES
    assert sorted(paths) == sorted(tmp_path / "out" / name for name in FILES)
    assert not any(stat.S_IMODE(path.stat().st_mode) & 0o111 for path in paths)


@pytest.mark.parametrize("make", MAKERS)
def test_only_what_is_wanted_is_written(tmp_path: Path, make: Callable[..., Path]) -> None:
    archive = make(tmp_path / "x", FILES)

    def wanted(path: PurePosixPath) -> bool:
        return path.parts[:2] == ("set", "deep")

    assert unpack(archive, tmp_path / "out", wanted) == [tmp_path / "out/set/deep/b.png"]
    assert list(everything(tmp_path / "out")) == ["set/deep/b.png"]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil.png", "would leave the folder"),
        ("set/../../evil.png", "would leave the folder"),
        ("set\\..\\..\\evil.png", "would leave the folder"),
        ("/tmp/evil.png", "has an absolute path"),
        ("C:\\evil.png", "has an absolute path"),
        ("\\\\host\\evil.png", "has an absolute path"),
        ("set/a.png", "occurs twice"),
        ("set/a.png/evil.png", "occurs twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_evil_name_refuses_the_whole_archive(
    tmp_path: Path, make: Callable[..., Path], name: str, why: str
) -> None:
    archive = make(tmp_path / "x.bin", FILES)
    if name == "set/a.png":
        if make is zip_of:
            with zipfile.ZipFile(archive, "a") as again:
                again.writestr(name, b"evil")
        else:
            with tarfile.open(archive, "w") as again:
                for _ in range(2):
                    again.addfile(tarfile.TarInfo(name))
    else:
        make(archive, FILES | {name: b"evil"})
    before = sorted(tmp_path.parent.rglob("*evil*"))
    with pytest.raises(ReflashError, match=rf"x\.bin: the entry .* {why}, which no honest archive"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]
    assert sorted(tmp_path.parent.rglob("*evil*")) == before
    assert not Path("/tmp/evil.png").exists()


@pytest.mark.parametrize(
    ("kind", "target", "why"),
    [
        (tarfile.SYMTYPE, "/etc/passwd", "is a link"),
        (tarfile.SYMTYPE, "set/a.png", "is a link"),
        (tarfile.LNKTYPE, "../../evil", "is a link"),
        (tarfile.CHRTYPE, "", "is a device"),
        (tarfile.FIFOTYPE, "", "is a device"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(
    tmp_path: Path, kind: bytes, target: str, why: str
) -> None:
    archive = tar_of(tmp_path / "x.tar", FILES, "w")
    with tarfile.open(archive, "a") as again:
        info = tarfile.TarInfo("set/link.png")
        info.type, info.linkname = kind, target
        again.addfile(info)
    with pytest.raises(ReflashError, match=rf"the entry 'set/link.png' {why}"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


@pytest.mark.parametrize(("mode", "why"), [(stat.S_IFLNK, "a link"), (stat.S_IFCHR, "a device")])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, mode: int, why: str) -> None:
    archive = zip_of(tmp_path / "x.zip", FILES)
    with zipfile.ZipFile(archive, "a") as again:
        info = zipfile.ZipInfo("set/link.png")
        info.external_attr = (mode | 0o777) << 16
        again.writestr(info, "/etc/passwd")
    with pytest.raises(ReflashError, match=rf"the entry 'set/link.png' is {why}"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_a_bomb_is_refused_before_it_is_written(tmp_path: Path, make: Callable[..., Path]) -> None:
    archive = make(tmp_path / "bomb", {"a.png": bytes(30_000_000)})
    assert archive.stat().st_size < 50_000
    with pytest.raises(ReflashError, match=r"bomb: would unpack to more than .* MB; get it from"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bomb"]


def test_many_small_bombs_count_together(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "bomb", {f"{i}.png": bytes(500_000) for i in range(50)})
    with pytest.raises(ReflashError, match="would unpack to more than"):
        unpack(archive, tmp_path / "out")


def test_a_bomb_in_the_headers_of_a_tar_is_not_read(tmp_path: Path) -> None:
    """A GNU long name of 100 MB, which tarfile would read whole."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 100_000_000
    with gzip.open(tmp_path / "bomb", "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(100):
            file.write(bytes(1_000_000))
    with pytest.raises(ReflashError, match="would unpack to more than"):
        unpack(tmp_path / "bomb", tmp_path / "out")


def test_limits(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "x", FILES)
    with pytest.raises(ReflashError, match="more than 2 files"):
        unpack(archive, tmp_path / "out", limits=Limits(files=2))
    with pytest.raises(ReflashError, match="more than 60.0 kB"):
        unpack(archive, tmp_path / "out", limits=Limits(bytes=60_000))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("kept", [0.98, 0.5, 0.01])
def test_a_cut_archive_leaves_nothing(
    tmp_path: Path, make: Callable[..., Path], kept: float
) -> None:
    archive = make(tmp_path / "x", {"a.png": DATA[:100_000], "b.png": DATA[100_000:200_000]})
    data = archive.read_bytes()
    size = int(len(data) * kept) if make is not plain_tar_of else int(200_000 * kept)
    archive.write_bytes(data[:size])
    with pytest.raises(ReflashError, match="x: the archive is damaged or cut off; get it again"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the archive is damaged or cut off; get it again"),
        (b"PK\x03\x04" + DATA[:999], "the archive is damaged or cut off; get it again"),
        (b"<html></html>", "not an archive; supported are zip, tar"),
        (DATA[:5000], "not an archive; supported are zip, tar"),
    ],
    ids=["empty", "zip", "page", "noise"],
)
def test_what_is_no_archive_is_one_line(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ReflashError, match=f"x: {what}"):
        unpack(tmp_path / "x", tmp_path / "out")


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "x", {"a.png": b"1"})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    archive.write_bytes(data)
    with pytest.raises(ReflashError, match=r"the entry 'a\.png' is encrypted"):
        unpack(archive, tmp_path / "out")


def test_a_folder_that_is_there_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    unpack(zip_of(tmp_path / "x", FILES), tmp_path / "out")
    assert everything(tmp_path / "out") == FILES


def test_a_full_disk_is_one_line_and_leaves_nothing(full_disk: Path) -> None:
    archive = full_disk.parent / "x"
    zip_of(archive, {"a.png": DATA[:200_000], "b.png": DATA[:200_000]})
    with pytest.raises(StopError, match="out: the disk is full; free some space and run again"):
        unpack(archive, full_disk / "out")
    assert list(full_disk.iterdir()) == []
    near = full_disk / "x"
    zip_of(near, {"a.png": DATA[:100_000]})
    (full_disk / "filler").write_bytes(bytes(90_000))
    with pytest.raises(StopError, match=r"unpacking x takes 100 kB of disk and .* are free"):
        unpack(near, full_disk / "out")


def test_a_killed_unpacking_is_repeated(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "x", FILES)
    code = (
        "import os, sys, reflash.datasets.unpack as u\n"
        "write = u._write\n"
        "def kill(archive, member, path):\n"
        "    write(archive, member, path)\n"
        "    if member.name.endswith('b.png'):\n"
        "        os.kill(os.getpid(), 9)\n"
        "u._write = kill\n"
        "u.unpack(*sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, str(archive), str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -9
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.unpacking" / "set" / "a.png").is_file()
    unpack(archive, tmp_path / "out")
    assert everything(tmp_path / "out") == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x"]
