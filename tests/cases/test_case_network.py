"""Addresses and archives as users give them: fetched, or one line and the next source."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import re
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))

import toy_set
from web_server import Reply, WebServer

from reflash.datasets.images import list_images, read_rgb

Reflash = Callable[..., Any]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_set.make_images(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def toy(images: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dataset Toy in place of the registry's, with no source of its own."""
    source = {"kind": "archive", "url": "http://127.0.0.1:9/Toy.zip"}
    toy_set.install(images, [source], monkeypatch.setattr)
    monkeypatch.setattr("reflash.datasets.registry.find", toy_set.fetch_module.find)
    return images


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = WebServer()
    yield running
    running.close()


def fetched(reflash: Reflash, source: object, raw: Path) -> Any:
    patience = ("--retries", 0, "--timeout", 3)
    return reflash("data", "fetch", "Toy", "--source", source, "--raw", raw, *patience)


def tar_of(folder: Path, mode: str) -> bytes:
    if mode == "lzma":
        return lzma.compress(tar_of(folder, "w"), format=lzma.FORMAT_ALONE)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for path in list_images(folder):
            archive.add(path, f"Toy/{path.name}")
    return data.getvalue()


TARS = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.xz": "w:xz", ".txz": "w:xz"} | {
    ".tar.bz2": "w:bz2",
    ".tbz2": "w:bz2",
    ".tar.lzma": "lzma",
    ".tlz": "lzma",
}


@pytest.mark.parametrize("suffix", TARS)
def test_tar_of_any_compression(
    reflash: Reflash, toy: Path, tmp_path: Path, server: WebServer, suffix: str
) -> None:
    data = tar_of(toy, TARS[suffix])
    local = tmp_path / f"Toy{suffix}"
    local.write_bytes(data)
    server.replies[f"/Toy{suffix}"] = Reply(data)
    for number, source in enumerate((local, f"{server.url}/Toy{suffix}")):
        raw = tmp_path / f"raw{number}"
        outcome = fetched(reflash, source, raw)
        assert outcome.status == 0, outcome.err
        for path in list_images(toy):
            assert (read_rgb(raw / "Toy" / path.name) == read_rgb(path)).all()


OTHERS = {
    "Toy.7z": b"7z\xbc\xaf\x27\x1c" + bytes(90),
    "Toy.rar": b"Rar!\x1a\x07\x01\0" + bytes(90),
    "Toy.tar.zst": b"\x28\xb5\x2f\xfd" + bytes(90),
    "Toy.png.gz": gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(2000)),
    "Toy.csv.gz": gzip.compress(b"name,width\n" * 100),
}
SUPPORTED = "supported are zip, tar, tar.gz, tar.xz and tar.bz2"


@pytest.mark.parametrize("name", OTHERS)
def test_other_archives_are_one_line(
    reflash: Reflash, toy: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(OTHERS[name])
    error = fetched(reflash, tmp_path / name, tmp_path / "raw").error
    assert f"{name}: " in error
    assert SUPPORTED in error
    at_an_address = fetched(reflash, f"http://127.0.0.1:9/{name}", tmp_path / "raw").error
    assert SUPPORTED in at_an_address
    assert not (tmp_path / "raw" / "Toy").exists()


NO_ARCHIVES = {
    "Toy.zip": b"<!DOCTYPE html><html><body>Please log in</body></html>" * 20,
    "Toy.tar": b"name,width\n" * 100,
    "Toy.mat": b"MATLAB 5.0 MAT-file" + bytes(1000),
    "Toy.png": b"\x89PNG\r\n\x1a\n" + bytes(2000),
    "Toy.exe": b"MZ" + bytes(3000),
    "note": b"a line\n",
}


@pytest.mark.parametrize("name", NO_ARCHIVES)
def test_a_file_that_is_no_archive_is_not_called_damaged(
    reflash: Reflash, toy: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(NO_ARCHIVES[name])
    error = fetched(reflash, tmp_path / name, tmp_path / "raw").error
    assert f"{name}: not an archive; {SUPPORTED}" in error


@pytest.mark.parametrize("name", ["Toy.zip.001", "Toy.z01", "Toy.tar.part2", "Toy.zip.part"])
def test_a_part_of_an_archive(reflash: Reflash, toy: Path, tmp_path: Path, name: str) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path in list_images(toy):
            archive.write(path, path.name)
    for part in (data.getvalue()[:500], data.getvalue()[500:1500]):
        (tmp_path / name).write_bytes(part)
        error = fetched(reflash, tmp_path / name, tmp_path / "raw").error
        assert "parts of an archive are joined first" in error


@pytest.mark.parametrize("suffix", TARS)
@pytest.mark.parametrize("kept", [0, 0.3, 0.9])
def test_a_cut_tar_is_one_line(
    reflash: Reflash, toy: Path, tmp_path: Path, suffix: str, kept: float
) -> None:
    data = tar_of(toy, TARS[suffix])
    path = tmp_path / f"Toy{suffix}"
    path.write_bytes(data[: int(kept * len(data) * 0.8)])
    assert "the archive is damaged or cut off" in fetched(reflash, path, tmp_path / "raw").error


@pytest.mark.parametrize("suffix", [".tar.xz", ".tar.bz2"])
def test_flipped_bytes_in_a_tar_are_one_line(
    reflash: Reflash, toy: Path, tmp_path: Path, suffix: str
) -> None:
    data = bytearray(tar_of(toy, TARS[suffix]))
    data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    (tmp_path / f"Toy{suffix}").write_bytes(data)
    error = fetched(reflash, tmp_path / f"Toy{suffix}", tmp_path / "raw").error
    assert f"Toy{suffix}: " in error


def test_a_bomb_of_xz_is_refused(reflash: Reflash, toy: Path, tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        info = tarfile.TarInfo("a.png")
        info.size = 300_000_000
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    (tmp_path / "Toy.tar.xz").write_bytes(data.getvalue())
    error = fetched(reflash, tmp_path / "Toy.tar.xz", tmp_path / "raw").error
    assert "would unpack to more than" in error


def test_a_zip_of_an_unknown_compression(reflash: Reflash, toy: Path, tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a.png", b"x" * 50)
    changed = bytearray(data.getvalue())
    for start, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        changed[changed.index(start) + offset] = 9  # deflate64
    (tmp_path / "Toy.zip").write_bytes(changed)
    error = fetched(reflash, tmp_path / "Toy.zip", tmp_path / "raw").error
    assert "Toy.zip: its compression is not supported" in error


ADDRESSES = [
    "http://[bad/",
    "http://[bad/Toy.zip",
    "http://a..b/",
    "http://a..b/Toy.zip",
    f"http://{'x' * 70}.org/Toy.zip",
    "http://\u2024\u2024/Toy.zip",
    "http://127.0.0.1:99999/Toy.zip",
    "http://127.0.0.1:port/Toy.zip",
    "http:///Toy.zip",
    "http://",
    "http://*bad/Toy.zip",
    "ftp://127.0.0.1/Toy.zip",
    "gopher://x",
    "file:///Toy.zip",
    "s3://toy/test",
    "://",
    "http://caf\udce9/Toy.zip",
    "http://127.0.0.1:9/caf\udce9.zip",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_bad_address_is_one_line(
    reflash: Reflash, toy: Path, tmp_path: Path, address: str
) -> None:
    error = fetched(reflash, address, tmp_path / "raw").error
    assert re.search("malformed|Invalid URL|not an http|could not be fetched", error)
    assert os.fsencode(address).decode(errors="backslashreplace") in error


@pytest.mark.parametrize("address", [*ADDRESSES, "file:///etc/passwd", "/Toy.zip"])
def test_a_redirect_to_a_bad_address_is_one_line(
    reflash: Reflash, toy: Path, tmp_path: Path, server: WebServer, address: str
) -> None:
    """The last one is a loop."""
    location = os.fsencode(address).decode("latin-1")
    server.replies["/Toy.zip"] = Reply(status=302, headers={"Location": location})
    error = fetched(reflash, f"{server.url}/Toy.zip", tmp_path / "raw").error
    assert f"{server.url}/Toy.zip: " in error
    assert not (tmp_path / "raw" / "Toy").exists()


def test_the_next_source_is_tried(
    reflash: Reflash, images: Path, tmp_path: Path, server: WebServer, monkeypatch: Any
) -> None:
    addresses = ("http://[bad/Toy.zip", "http://a..b/Toy.zip", f"{server.url}/Toy.tar.xz")
    sources = [{"kind": "archive", "url": address} for address in addresses]
    toy_set.install(images, sources, monkeypatch.setattr)
    monkeypatch.setattr("reflash.datasets.registry.find", toy_set.fetch_module.find)
    server.replies["/Toy.tar.xz"] = Reply(tar_of(images, "w:xz"))
    outcome = reflash("data", "fetch", "Toy", "--raw", tmp_path / "raw", "--retries", 0)
    assert outcome.status == 0, outcome.err
    assert outcome.err.count("trying the next source") == 2


@pytest.mark.parametrize("given", [" {}", "{} ", "{}\n"])
def test_spaces_around_an_address(
    reflash: Reflash, toy: Path, tmp_path: Path, server: WebServer, given: str
) -> None:
    server.replies["/Toy.tar.gz"] = Reply(tar_of(toy, "w:gz"))
    outcome = fetched(reflash, given.format(f"{server.url}/Toy.tar.gz"), tmp_path / "raw")
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("words", ["data fetch Toy", "weights fetch RealESRNet_x4plus"])
def test_an_empty_source_is_a_usage_error(reflash: Reflash, toy: Path, words: str) -> None:
    """As an unset variable of a shell gives it: neither this folder nor the public sources."""
    for empty in ("", " "):
        outcome = reflash(*words.split(), "--source", empty)
        assert outcome.status == 2
        assert "--source" in outcome.error
        assert "it is empty" in outcome.error


@pytest.mark.parametrize("missing", ["www.example.org/Toy.zip", "http:/example.org/Toy.zip"])
def test_an_address_without_its_beginning(
    reflash: Reflash, toy: Path, tmp_path: Path, missing: str
) -> None:
    error = fetched(reflash, missing, tmp_path / "raw").error
    assert "an address that begins with http:// or https://" in error


def test_certificates_that_are_not_there(
    reflash: Reflash, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/not/there.pem")
    error = fetched(reflash, "https://127.0.0.1:9/Toy.zip", tmp_path / "raw").error
    assert "CA certificate bundle, invalid path: /not/there.pem" in error


def test_a_proxy_is_named_as_between(
    reflash: Reflash, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address is not shown: passwords stand there."""
    monkeypatch.setenv("NO_PROXY", "")
    for proxy in (
        "http://me:secret@127.0.0.1:9",
        "http://me:secret@[bad/",
        "http://me:secret@a..b",
    ):
        monkeypatch.setenv("http_proxy", proxy)
        error = fetched(reflash, "http://example.org/Toy.zip", tmp_path / "raw").error
        assert "through the proxy that the environment names" in error
        assert "secret" not in error


@pytest.mark.parametrize("header", ["Content-Length", "Retry-After"])
def test_numbers_that_are_none_in_an_answer(
    reflash: Reflash, toy: Path, tmp_path: Path, server: WebServer, header: str
) -> None:
    """A superscript two is a digit to ``str.isdigit``, and no number."""
    status = 200 if header == "Content-Length" else 503
    headers, measured = {header: "\u00b2"}, header != "Content-Length"
    reply = Reply(tar_of(toy, "w"), status=status, headers=headers, length=measured)
    server.replies["/Toy.tar"] = reply
    outcome = fetched(reflash, f"{server.url}/Toy.tar", tmp_path / "raw")
    if status == 200:
        assert outcome.status == 0, outcome.err
    else:
        assert outcome.status == 1
        assert "answered 503" in outcome.err


def test_weights_at_the_address_of_the_file(
    reflash: Reflash, tmp_path: Path, server: WebServer
) -> None:
    """What is asked for is the file that was named, not one below it."""
    server.replies["/mine.pth"] = Reply(b"other weights" * 100)
    words = ("weights", "fetch", "RealESRNet_x4plus", "--folder", tmp_path / "weights")
    error = reflash(*words, "--source", f"{server.url}/mine.pth").error
    assert f"{server.url}/mine.pth: wrong checksum" in error
    assert "mine.pth/" not in error
    address = "http://[bad/"
    assert reflash(*words, "--source", address).error.startswith(f"error: {address}: malformed")
