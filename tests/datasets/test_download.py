"""Downloads survive what servers, networks and disks do, and never leave half a file."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from web_server import Reply, WebServer

from reflash.core import progress as progress_module
from reflash.core.errors import ReflashError, StopError
from reflash.datasets import download as download_module
from reflash.datasets.download import Network, NotFoundError, download
from reflash.datasets.meter import transfer_meter

BODY = np.random.default_rng(3).bytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
QUICK = Network(back_off=0.01, stall_timeout=10, retries=2)
IMPATIENT = QUICK.model_copy(update={"stall_timeout": 0.5})


@pytest.fixture
def dst(tmp_path: Path) -> Path:
    return tmp_path / "new" / "file.bin"


def left_over(dst: Path) -> list[str]:
    return sorted(path.name for path in dst.parent.iterdir()) if dst.parent.is_dir() else []


def test_a_file_arrives_whole_and_alone(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(BODY)
    assert download(f"{server.url}/f", dst, sha256=SHA256, size=len(BODY), network=QUICK) == dst
    assert dst.read_bytes() == BODY
    assert left_over(dst) == ["file.bin"]
    assert server.seen[0].headers["Accept-Encoding"] == "identity"


def test_a_file_of_the_right_hash_is_not_asked_for_again(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(BODY)
    for _ in range(2):
        download(f"{server.url}/f", dst, sha256=SHA256, network=QUICK)
    assert len(server.seen) == 1
    dst.write_bytes(b"changed")
    download(f"{server.url}/f", dst, sha256=SHA256, network=QUICK)
    assert dst.read_bytes() == BODY


def test_404_is_final(server: WebServer, dst: Path) -> None:
    with pytest.raises(NotFoundError, match=r"/f: answered 404 Not Found$"):
        download(f"{server.url}/f", dst, network=QUICK)
    assert len(server.seen) == 1
    assert left_over(dst) == []


def test_an_overloaded_server_is_asked_again(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = [Reply(status=503), Reply(status=429), Reply(BODY)]
    download(f"{server.url}/f", dst, network=QUICK)
    assert dst.read_bytes() == BODY
    assert len(server.seen) == 3


def test_waits_grow_and_end(server: WebServer, dst: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(threading.Event, "wait", lambda self, t=None: waits.append(t) or False)
    replies = [
        Reply(status=503),
        Reply(status=503, headers={"Retry-After": "7"}),
        Reply(status=500),
    ]
    server.replies["/f"] = replies
    with pytest.raises(ReflashError, match=r"answered 500 .* \(tried 4 times\)$"):
        download(f"{server.url}/f", dst, network=Network(back_off=0.25, retries=3))
    assert [wait for wait in waits if wait in (0.25, 7, 1.0)] == [0.25, 7, 1.0]


def test_a_broken_transfer_asks_for_the_rest_only(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = [Reply(BODY, reset_after=100_000), Reply(BODY)]
    download(f"{server.url}/f", dst, sha256=SHA256, network=QUICK)
    assert dst.read_bytes() == BODY
    first, second = server.seen
    assert "Range" not in first.headers
    start = int(second.headers["Range"].removeprefix("bytes=").rstrip("-"))
    assert 0 < start <= 100_000
    assert second.headers["If-Range"] == '"v1"'
    assert second.status == 206
    assert second.sent == len(BODY) - start


def test_a_short_body_counts_as_broken(server: WebServer, dst: Path) -> None:
    short = Reply(BODY[:1000], headers={"Content-Length": "300000"}, length=False)
    server.replies["/f"] = [short, Reply(BODY)]
    download(f"{server.url}/f", dst, network=QUICK)
    assert dst.read_bytes() == BODY
    assert server.seen[1].headers["Range"] == "bytes=1000-"


def test_progress_renews_the_patience(server: WebServer, dst: Path) -> None:
    """Each of ten attempts brings something, so none of them is the last."""
    server.replies["/f"] = [*(Reply(BODY, reset_after=20_000) for _ in range(10)), Reply(BODY)]
    download(f"{server.url}/f", dst, sha256=SHA256, network=QUICK)
    assert dst.read_bytes() == BODY
    assert len(server.seen) > QUICK.retries + 1


def test_a_server_that_ignores_ranges_starts_again(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = [Reply(BODY, reset_after=100_000), Reply(BODY, ranges=False)]
    download(f"{server.url}/f", dst, sha256=SHA256, network=QUICK)
    assert dst.read_bytes() == BODY
    assert "Range" in server.seen[1].headers
    assert server.seen[1].status == 200


def test_without_ranges_it_still_ends(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(BODY, ranges=False, reset_after=100_000)
    with pytest.raises(ReflashError, match=r"the connection broke after .* of 300 kB \(tried 3"):
        download(f"{server.url}/f", dst, network=QUICK)
    assert len(server.seen) <= 2 * (QUICK.retries + 1)
    assert not dst.exists()


def test_the_rest_of_another_version_is_not_appended(server: WebServer, dst: Path) -> None:
    changed = Reply(BODY[::-1], etag='"v2"')
    server.replies["/f"] = [Reply(BODY, reset_after=100_000), changed]
    download(f"{server.url}/f", dst, network=QUICK)
    assert dst.read_bytes() == BODY[::-1]
    assert server.seen[1].headers["If-Range"] == '"v1"'


def test_without_etag_or_hash_the_rest_is_not_trusted(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = [Reply(BODY, etag=None, reset_after=100_000), Reply(BODY, etag=None)]
    download(f"{server.url}/f", dst, network=QUICK)
    assert dst.read_bytes() == BODY
    assert "Range" not in server.seen[1].headers


def test_without_etag_the_hash_makes_up_for_it(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = [Reply(BODY, etag=None, reset_after=100_000), Reply(BODY, etag=None)]
    download(f"{server.url}/f", dst, sha256=SHA256, network=QUICK)
    assert dst.read_bytes() == BODY
    assert "Range" in server.seen[1].headers


def part_of(dst: Path, url: str, data: bytes, validator: str | None = '"v1"') -> None:
    """Leave what a killed download leaves."""
    dst.parent.mkdir(parents=True)
    dst.with_name("file.bin.part").write_bytes(data)
    note = {"url": url, "validator": validator}
    dst.with_name("file.bin.part.json").write_text(json.dumps(note))


def test_the_next_run_continues(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(BODY)
    part_of(dst, f"{server.url}/f", BODY[:200_000])
    download(f"{server.url}/f", dst, network=QUICK)
    assert dst.read_bytes() == BODY
    assert server.seen[0].headers["Range"] == "bytes=200000-"
    assert left_over(dst) == ["file.bin"]


def test_a_part_that_is_whole_already_is_taken(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(BODY)
    part_of(dst, f"{server.url}/f", BODY)
    download(f"{server.url}/f", dst, network=QUICK)
    assert dst.read_bytes() == BODY
    assert [seen.status for seen in server.seen] == [416]


def test_a_part_of_another_address_is_not_continued(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(BODY)
    part_of(dst, f"{server.url}/other", b"x" * 200_000)
    download(f"{server.url}/f", dst, network=QUICK)
    assert dst.read_bytes() == BODY


def test_a_damaged_part_costs_a_second_download_only(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(BODY)
    part_of(dst, f"{server.url}/f", b"x" * 200_000)
    download(f"{server.url}/f", dst, sha256=SHA256, network=QUICK)
    assert dst.read_bytes() == BODY
    assert [seen.status for seen in server.seen] == [206, 200]


def test_a_damaged_part_and_a_wrong_file_end(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(BODY)
    part_of(dst, f"{server.url}/f", b"x" * 200_000)
    with pytest.raises(ReflashError, match="/f: "):
        download(f"{server.url}/f", dst, sha256="0" * 64, network=QUICK)
    assert [seen.status for seen in server.seen] == [206, 200]
    assert not dst.exists()


def test_a_stall_ends_in_time(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(BODY, ranges=False, stall_after=50_000)
    began = time.monotonic()
    with pytest.raises(ReflashError, match=r"/f: no data for 0.5 s \(tried 3 times\)"):
        download(f"{server.url}/f", dst, network=IMPATIENT)
    assert time.monotonic() - began < 10
    assert not dst.exists()


def test_a_drip_is_a_stall(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(BODY, piece=10, delay=0.1)
    with pytest.raises(ReflashError, match=r"/f: no data for 0.5 s \(tried once\)"):
        download(f"{server.url}/f", dst, network=IMPATIENT.model_copy(update={"retries": 0}))


def test_a_stalled_transfer_is_continued(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = [Reply(BODY, stall_after=50_000), Reply(BODY)]
    download(f"{server.url}/f", dst, sha256=SHA256, network=IMPATIENT)
    assert server.seen[1].headers["Range"] == "bytes=50000-"


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_wrong_checksum_is_named(server: WebServer, dst: Path, kind: str) -> None:
    server.replies["/f"] = Reply(BODY)
    wrong = hashlib.new(kind, b"").hexdigest()
    right = hashlib.new(kind, BODY).hexdigest()
    message = rf"/f: wrong checksum, {kind} is {right}, should be {wrong}$"
    with pytest.raises(ReflashError, match=message):
        download(f"{server.url}/f", dst, network=QUICK, **{kind: wrong})
    assert left_over(dst) == []


def test_a_web_page_is_not_an_archive(server: WebServer, dst: Path) -> None:
    page = b"\n <!DOCTYPE html><html><body>log in</body></html>"
    server.replies["/f"] = Reply(page, content_type="text/html; charset=utf-8")
    for size in (None, len(BODY)):
        with pytest.raises(ReflashError, match="/f: answered with a web page instead of the file"):
            download(f"{server.url}/f", dst, size=size, network=QUICK)
        assert left_over(dst) == []


def test_another_size_is_refused_at_once(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(BODY)
    with pytest.raises(ReflashError, match="/f: has 300000 bytes, should have 299999"):
        download(f"{server.url}/f", dst, size=299_999, network=QUICK)
    server.replies["/f"] = Reply(BODY, length=False)
    with pytest.raises(ReflashError, match="/f: has more than the 1000 bytes it should"):
        download(f"{server.url}/f", dst, size=1000, network=QUICK)


def test_an_empty_file_is_refused(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(b"")
    with pytest.raises(ReflashError, match="/f: the file there is empty"):
        download(f"{server.url}/f", dst, network=QUICK)


def test_nobody_there(dst: Path, server: WebServer) -> None:
    server.close()
    with pytest.raises(ReflashError, match=r"/f: connection refused \(tried 3 times\)$"):
        download(f"{server.url}/f", dst, network=QUICK)


def test_too_little_space_is_said_before(server: WebServer, full_disk: Path) -> None:
    server.replies["/f"] = Reply(BODY)
    with pytest.raises(StopError, match=r"takes 300 kB of disk and 2\d\d kB are free; free some"):
        download(f"{server.url}/f", full_disk / "f", network=QUICK)
    assert not list(full_disk.glob("f*"))


def test_a_disk_that_fills_up_is_one_line_and_the_next_run_heals(
    server: WebServer, full_disk: Path
) -> None:
    """The server does not say how much there is, so that only writing shows it."""
    server.replies["/f"] = Reply(BODY, length=False)
    with pytest.raises(StopError, match="f: the disk is full; free some space and run again"):
        download(f"{server.url}/f", full_disk / "f", network=QUICK)
    assert not (full_disk / "f").exists()
    assert len(server.seen) == 1
    server.replies["/f"] = Reply(BODY[:200_000], length=False, ranges=False)
    download(f"{server.url}/f", full_disk / "f", network=QUICK)
    assert (full_disk / "f").read_bytes() == BODY[:200_000]


def test_a_log_gets_plain_lines_with_bytes_rate_and_time(
    server: WebServer,
    dst: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(progress_module, "LINE_SECONDS", 0.0)
    server.replies["/f"] = Reply(BODY, piece=100_000, delay=0.05)
    download(f"{server.url}/f", dst, network=QUICK)
    lines = capsys.readouterr().err.splitlines()
    states = [
        re.match(r"file\.bin: [01]/1, ([\d.]+) kB of 300 kB, [\d.]+ .?B/s", line) for line in lines
    ]
    done = [float(state[1]) for state in states if state]
    assert len(done) >= 3
    assert done == sorted(done)
    assert all("\r" not in line and "\x1b" not in line for line in lines)
    assert lines[-1].startswith("file.bin: 1/1, 300 kB of 300 kB, ")
    assert "B/s, 0 s left" in lines[-1]


def test_the_meter_counts_what_was_resumed_but_not_as_speed() -> None:
    with transfer_meter("x", files=2) as meter:
        meter.expect(1000)
        meter.resume(400)
        meter.advance(100)
        assert meter.done == 500
        assert meter.received == 100
        assert meter.note().startswith("500 B of 1.0 kB, ")
        meter.finish_file()
        assert meter.files_done == 1


def test_stop_ends_a_transfer(server: WebServer, dst: Path) -> None:
    server.replies["/f"] = Reply(BODY, piece=1000, delay=0.05)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(ReflashError, match="stopped"):
        download(f"{server.url}/f", dst, network=QUICK, stop=stop)
    assert time.monotonic() - began < 5


def test_hash_problem(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(BODY)
    assert download_module.hash_problem(tmp_path / "f", SHA256, None) is None
    assert download_module.hash_problem(tmp_path / "f", None, None) is None
    assert "md5 is" in str(download_module.hash_problem(tmp_path / "f", SHA256, "0" * 32))
