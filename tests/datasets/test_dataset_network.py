"""Fetching over the network: sources in turn, resumed, complete or nothing, one process at a time.

The dataset is Toy of ``toy_set``: six images of noise.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_set
from PIL import Image
from toy_set import NAMES
from web_server import Reply, WebServer

from reflash.core.errors import ReflashError
from reflash.datasets.download import Network
from reflash.datasets.fetch import fetch
from reflash.datasets.images import list_images, read_rgb, write_png
from reflash.datasets.manifest import MANIFEST
from reflash.datasets.verify import SUMS, verify

QUICK = Network(back_off=0.01, stall_timeout=1, retries=1)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_set.make_images(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def archive_of(images: Path, extra: dict[str, bytes] | None = None) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path in list_images(images):
            archive.write(path, f"Toy/HR/{path.name}")
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return data.getvalue()


def offer(server: WebServer, images: Path, **options: Any) -> None:
    """Offer the images under /files and as an archive under /toy.zip."""
    for path in list_images(images):
        server.replies[f"/files/{path.name}"] = Reply(path.read_bytes(), **options)
    server.replies["/toy.zip"] = Reply(archive_of(images), **options)


def files(server: WebServer, where: str = "files") -> dict[str, Any]:
    return {"kind": "files", "url": f"{server.url}/{where}/{{name}}.png"}


def archive(server: WebServer, **values: Any) -> dict[str, Any]:
    return {"kind": "archive", "url": f"{server.url}/toy.zip", **values}


def get(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    raw: Path,
    *sources: dict[str, Any],
    source: str | None = None,
    accepted: bool = False,
    **values: Any,
) -> Path:
    toy_set.install(folder, list(sources), monkeypatch.setattr, **values)
    return fetch("Toy", source, raw, accept_terms=accepted, network=QUICK)


def assert_whole(raw: Path, images: Path) -> None:
    """Assert that Toy is there, proven, and nothing else is."""
    assert verify("Toy", raw) == []
    for path in list_images(images):
        assert (raw / "Toy" / path.name).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in raw.iterdir()) == ["Toy"]
    inside = {path.name for path in (raw / "Toy").iterdir()}
    marks = {MANIFEST, SUMS, ".written-by-reflash"}
    assert inside == {f"{name}.png" for name in NAMES} | marks


def test_many_files(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, images)
    get(monkeypatch, images, raw, files(server))
    assert_whole(raw, images)
    assert sorted(server.paths()) == sorted(f"/files/{name}.png" for name in NAMES)


def test_many_files_are_fetched_at_once(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, images, piece=1000, delay=0.05)  # about 0.35 s each
    began = time.monotonic()
    get(monkeypatch, images, raw, files(server))
    assert time.monotonic() - began < 0.7 * 6 * 0.35
    assert_whole(raw, images)


def test_an_archive(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"Toy/LR/im00.png": b"not wanted", "Toy/HR/readme.txt": b"text"}
    body = archive_of(images, extra)
    server.replies["/toy.zip"] = Reply(body)
    sha256 = hashlib.sha256(body).hexdigest()
    source = archive(server, sha256=sha256, bytes=len(body), folder="Toy/HR")
    get(monkeypatch, images, raw, source)
    assert_whole(raw, images)


def test_the_second_source_serves_where_the_first_is_dead(
    server: WebServer,
    images: Path,
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offer(server, images)
    dead = {"kind": "archive", "url": "http://127.0.0.1:9/toy.zip"}
    get(monkeypatch, images, raw, dead, files(server))
    assert_whole(raw, images)
    said = capsys.readouterr().err
    assert "http://127.0.0.1:9/toy.zip: connection refused" in said
    assert "trying the next source" in said


def test_what_one_source_gave_is_not_fetched_from_the_next(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, images)
    for name in NAMES:
        server.replies[f"/more/{name}.png"] = server.replies[f"/files/{name}.png"]
    server.replies["/files/im05.png"] = Reply(b"", 403, before=lambda: time.sleep(0.5))
    get(monkeypatch, images, raw, files(server), files(server, "more"))
    assert_whole(raw, images)
    assert len([path for path in server.paths() if path.startswith("/more")]) < len(NAMES)


def test_when_all_fail_every_source_is_named_with_its_reason(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, images)
    del server.replies["/files/im03.png"]
    page = Reply(b"<html>moved</html>", content_type="text/html")
    server.replies["/toy.zip"] = page
    server.replies["/other.zip"] = Reply(archive_of(images))
    wrong = {"kind": "archive", "url": f"{server.url}/other.zip", "md5": "0" * 32}
    with pytest.raises(ReflashError) as caught:
        get(monkeypatch, images, raw, files(server), archive(server), wrong)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("Toy: could not be fetched from any source: (1) ")
    assert f"(1) {server.url}/files/im03.png: answered 404 Not Found; (2) " in line
    assert f"(2) {server.url}/toy.zip: answered with a web page instead of the file; (3)" in line
    assert f"(3) {server.url}/other.zip: wrong checksum, md5 is " in line
    assert line.endswith("by hand and run: reflash data fetch Toy --source FOLDER")
    assert not (raw / "Toy").exists()


def damaged(kind: str, path: Path) -> bytes:
    data = path.read_bytes()
    if kind == "truncated":
        return data[: len(data) // 2]
    if kind == "html":
        return b"<!doctype html><p>quota exceeded"
    rgb = read_rgb(path)
    file = io.BytesIO()
    if kind == "jpeg":
        Image.fromarray(rgb).save(file, "jpeg")
    elif kind == "other pixels":
        Image.fromarray(rgb ^ 1).save(file, "png")
    else:
        Image.fromarray(rgb[:20]).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", r"/files/im02\.png: the image is truncated or damaged"),
        ("html", r"/files/im02\.png: answered with a web page"),
        ("jpeg", r"/files/im02\.png: its pixels differ .* \(it is a JPG file named \.png\)"),
        ("other pixels", r"/files/im02\.png: its pixels differ from those that the manifest"),
        ("other size", r"/files/im02\.png: is 56x20 pixels, the manifest Toy states 56x40"),
    ],
)
def test_a_bad_image_is_named_and_the_next_run_gets_only_that(
    server: WebServer,
    images: Path,
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    message: str,
) -> None:
    offer(server, images)
    good = server.replies["/files/im02.png"]
    others = sum(path.stat().st_size for path in list_images(images) if path.stem != "im02")

    def wait_for_the_others() -> None:
        server.wait_for(others)
        time.sleep(0.3)

    bad = damaged(kind, images / "im02.png")
    server.replies["/files/im02.png"] = Reply(bad, before=wait_for_the_others)
    with pytest.raises(ReflashError, match=message):
        get(monkeypatch, images, raw, files(server))
    assert not (raw / "Toy").exists()
    server.replies["/files/im02.png"] = good
    server.seen.clear()
    get(monkeypatch, images, raw, files(server))
    assert_whole(raw, images)
    assert server.paths() == ["/files/im02.png"]


def test_a_bad_image_in_an_archive_is_named(
    server: WebServer, images: Path, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(images, tmp_path / "bad")
    (tmp_path / "bad" / "im04.png").write_bytes(damaged("other pixels", images / "im04.png"))
    server.replies["/toy.zip"] = Reply(archive_of(tmp_path / "bad"))
    with pytest.raises(ReflashError, match=r"/toy\.zip: Toy/HR/im04\.png: its pixels differ"):
        get(monkeypatch, images, raw, archive(server))
    server.replies["/toy.zip"] = Reply(archive_of(images))
    get(monkeypatch, images, raw, archive(server))
    assert_whole(raw, images)


def test_an_evil_archive_is_one_line(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.replies["/toy.zip"] = Reply(archive_of(images, {"../../evil.png": b"x"}))
    with pytest.raises(ReflashError, match=r"/toy\.zip: the entry '.*evil.png' would leave the"):
        get(monkeypatch, images, raw, archive(server))
    assert not list(raw.parent.rglob("evil*"))


def test_without_a_manifest_the_folder_and_number_decide(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"Toy/LR/im00.png": (images / "im01.png").read_bytes()}
    server.replies["/toy.zip"] = Reply(archive_of(images, extra))
    values = {"manifests": [], "images": len(NAMES)}
    get(monkeypatch, images, raw, archive(server, folder="HR"), **values)
    assert_whole(raw, images)
    (raw / "Toy" / MANIFEST).unlink()
    server.seen.clear()
    get(monkeypatch, images, raw, archive(server, folder="HR"), **values)
    assert server.seen == []
    assert_whole(raw, images)
    values["images"] = 7
    with pytest.raises(ReflashError, match="holds 6 images, Toy has 7; get the whole set"):
        get(monkeypatch, images, raw, archive(server, folder="HR"), **values)


def test_only_what_is_missing_or_changed_is_fetched_again(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, images)
    get(monkeypatch, images, raw, files(server))
    (raw / "Toy" / "im01.png").unlink()
    write_png(raw / "Toy" / "im03.png", np.zeros((40, 56, 3), np.uint8))
    server.seen.clear()
    get(monkeypatch, images, raw, files(server))
    assert sorted(server.paths()) == ["/files/im01.png", "/files/im03.png"]
    assert_whole(raw, images)


def test_a_folder_without_manifest_is_completed_without_download(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workflow removes the manifest before it runs a rule again."""
    shutil.copytree(images, raw / "Toy")
    get(monkeypatch, images, raw, files(server))
    assert server.seen == []
    assert verify("Toy", raw) == []


def test_terms_are_printed_once_and_must_be_accepted(
    server: WebServer,
    images: Path,
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offer(server, images)
    terms = {"terms": "Only on Sundays.", "accept_terms": True}
    with pytest.raises(
        ReflashError, match=r"Toy: its terms \(Only on Sundays\.\) must be accepted"
    ):
        get(monkeypatch, images, raw, files(server), **terms)
    assert server.seen == []
    assert capsys.readouterr().err.count("Only on Sundays.") == 1
    get(monkeypatch, images, raw, files(server), accepted=True, **terms)
    assert capsys.readouterr().err.count("Only on Sundays.") == 1
    assert_whole(raw, images)


def test_a_manual_set_is_never_downloaded(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual = {"kind": "manual", "instructions": "ask its owners"}
    with pytest.raises(ReflashError, match="Toy: is never downloaded; ask its owners: reflash dat"):
        get(monkeypatch, images, raw, manual)
    fetch("Toy", images, raw)
    assert_whole(raw, images)


@pytest.mark.parametrize(
    "place",
    [
        "Toy",
        "test/Toy",
        "Toy/GTmod12",
        "Toy/HR",
        "benchmark/Toy/HR",
        "Toy/image_SRF_4",
        "",
        "T6",
    ],
)
def test_the_address_of_a_mirror(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    for path in list_images(images):
        name = f"{path.stem}_SRF_4_HR.png" if place.endswith("SRF_4") else path.name
        server.replies["/".join(p for p in ("/m", place, name) if p)] = Reply(path.read_bytes())
    manual = {"kind": "manual", "instructions": "ask"}
    get(monkeypatch, images, raw, manual, source=f"{server.url}/m/", aliases=["T6"])
    assert_whole(raw, images)


def test_the_address_of_an_archive(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, images)
    known = {"kind": "archive", "url": "https://dead.example/toy.zip", "md5": "0" * 32}
    with pytest.raises(ReflashError, match="wrong checksum, md5"):
        get(monkeypatch, images, raw, known, source=f"{server.url}/toy.zip")
    manual = {"kind": "manual", "instructions": "ask"}
    get(monkeypatch, images, raw, manual, source=f"{server.url}/toy.zip")
    assert_whole(raw, images)


def test_an_address_without_the_images(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ReflashError, match="has no image im00 in any of the usual places of Toy"):
        get(monkeypatch, images, raw, files(server), source=f"{server.url}/m")
    server.close()
    with pytest.raises(ReflashError, match="connection refused"):
        get(monkeypatch, images, raw, files(server), source=f"{server.url}/m")


@pytest.mark.parametrize("no", [Reply(b"", 403), Reply(b"<!DOCTYPE html><html>no</html>")])
@pytest.mark.parametrize("there", [True, False])
def test_a_mirror_that_refuses_what_it_does_not_have(
    server: WebServer,
    images: Path,
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: bool,
    no: Reply,
) -> None:
    """As S3 does where nobody may list, or with a page: all the usual places are tried."""
    for path in list_images(images):
        for place in ("/m", "/m/Toy", "/m/test/Toy"):
            server.replies[f"{place}/{path.name}"] = no
        if there:
            server.replies[f"/m/T6/{path.name}"] = Reply(path.read_bytes())
    manual = {"kind": "manual", "instructions": "ask"}
    if there:
        get(monkeypatch, images, raw, manual, source=f"{server.url}/m/", aliases=["T6"])
        assert_whole(raw, images)
    else:
        said = r"has no image im00 in any of the usual places of Toy \(an answer: .*"
        said += "answered 403" if no.status == 403 else "answered with a web page"
        with pytest.raises(ReflashError, match=said):
            get(monkeypatch, images, raw, manual, source=f"{server.url}/m/", aliases=["T6"])


def test_a_full_disk_stops_without_trying_the_next_source(
    server: WebServer, images: Path, full_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, images, length=False)
    (full_disk / "filler").write_bytes(bytes(240_000))
    with pytest.raises(ReflashError, match="the disk is full; free some space and run again"):
        get(monkeypatch, images, full_disk / "raw", archive(server), files(server))
    assert server.paths() == ["/toy.zip"]
    (full_disk / "filler").unlink()
    get(monkeypatch, images, full_disk / "raw", archive(server), files(server))
    assert_whole(full_disk / "raw", images)


def test_killed_during_download_the_next_run_continues(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, images)
    body = archive_of(images)
    server.replies["/toy.zip"] = [Reply(body, piece=2000, delay=0.1), Reply(body)]
    source = archive(server, bytes=len(body))
    with toy_set.start_fetch(images, [source], raw) as process:
        server.wait_for(12_000)
        process.kill()
    assert not (raw / "Toy").exists()
    get(monkeypatch, images, raw, source)
    assert_whole(raw, images)
    start = int(re.findall(r"\d+", server.seen[1].headers["Range"])[0])
    assert start > 0
    assert server.seen[1].sent == len(body) - start


def test_killed_amid_many_files_the_next_run_gets_the_rest(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, images)
    server.replies["/files/im05.png"] = [
        Reply((images / "im05.png").read_bytes(), stall_after=3000),
        Reply((images / "im05.png").read_bytes()),
    ]
    size = sum(path.stat().st_size for path in list_images(images)[:5])
    with toy_set.start_fetch(images, [files(server)], raw) as process:
        server.wait_for(size + 3000)
        time.sleep(0.5)
        process.kill()
    server.seen.clear()
    get(monkeypatch, images, raw, files(server))
    assert_whole(raw, images)
    assert server.paths() == ["/files/im05.png"]
    assert server.seen[0].headers["Range"] == "bytes=3000-"


KILLS = {
    "unpacking": "write = unpack._write\n"
    "def kill(archive, member, path):\n"
    "    write(archive, member, path)\n"
    "    if path.name == 'im02.png': os.kill(os.getpid(), 9)\n"
    "unpack._write = kill",
    "moving into place": "copy = folder.Filler.copy\n"
    "def kill(self, name, *rest):\n"
    "    copy(self, name, *rest)\n"
    "    if name == 'im02': os.kill(os.getpid(), 9)\n"
    "folder.Filler.copy = kill",
    "writing the manifest": "folder.write_manifest = lambda *a: os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("moment", KILLS)
def test_killed_later_the_next_run_heals_without_download(
    server: WebServer, images: Path, raw: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    offer(server, images)
    sha256 = hashlib.sha256(archive_of(images)).hexdigest()
    source = archive(server, sha256=sha256)
    with toy_set.start_fetch(images, [source], raw, KILLS[moment]) as process:
        process.wait(30)
    assert process.returncode == -9
    assert not (raw / "Toy" / MANIFEST).exists()
    server.seen.clear()
    get(monkeypatch, images, raw, source)
    assert_whole(raw, images)
    assert server.seen == []


def test_two_processes_at_once_download_once(server: WebServer, images: Path, raw: Path) -> None:
    offer(server, images)
    pieces = max(1, len(archive_of(images)) // 2000)
    reply = Reply(archive_of(images), piece=2000, delay=12 / pieces)  # longer than a start takes
    server.replies["/toy.zip"] = reply
    sources = [archive(server)]
    with toy_set.start_fetch(images, sources, raw) as first:
        server.wait_for(2000)
        with toy_set.start_fetch(images, sources, raw) as second:
            waiting, done = second.communicate(timeout=60)[1].splitlines()
        assert waiting.startswith("Toy: another process is fetching it; waiting for that (process")
        assert done == "Toy: is there already"
        first.communicate(timeout=30)
    assert (first.returncode, second.returncode) == (0, 0)
    assert server.paths() == ["/toy.zip"]
