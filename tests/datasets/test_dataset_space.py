"""Disk space, threads and locks that the dataset steps share."""

from __future__ import annotations

import errno
import threading
import time
from pathlib import Path

import pytest

from reflash.core.errors import ReflashError, StopError
from reflash.core.lock import only_one
from reflash.datasets.parallel import ordered_map
from reflash.datasets.space import disk_errors, human, require_space


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_449, "99.4 kB"),
        (852_000, "852 kB"),
        (999_600, "1.0 MB"),
        (3_530_603_713, "3.5 GB"),
        (2.5e12, "2.5 TB"),
    ],
)
def test_sizes_for_people(size: float, text: str) -> None:
    assert human(size) == text


def test_space_is_that_of_the_nearest_folder(
    full_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_space(full_disk / "a" / "b", 200_000, "work")
    assert capsys.readouterr().err == "work: needs 200 kB of disk, 262 kB are free\n"
    message = r"a/b: work takes 300 kB of disk and 262 kB are free; free some space or choose"
    with pytest.raises(StopError, match=message):
        require_space(full_disk / "a" / "b", 300_000, "work")
    assert not (full_disk / "a").exists()


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "f: the disk is full; free some space and run again"),
        (errno.EDQUOT, "f: the disk is full"),
        (errno.EACCES, "f: cannot be used .* choose another place"),
    ],
)
def test_errors_of_the_disk_are_one_line(number: int, message: str) -> None:
    with pytest.raises(StopError, match=message), disk_errors("f"):
        raise OSError(number, "no")


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(OSError, match="no"), disk_errors("f"):
        raise OSError(errno.EIO, "no")
    with pytest.raises(ReflashError, match="^as it was$"), disk_errors("f"):
        raise ReflashError("as it was")


def test_results_come_in_order_from_several_threads() -> None:
    names = set()

    def work(i: int) -> int:
        names.add(threading.current_thread().name)
        time.sleep(0.01 * (i % 3))
        return i * i

    assert list(ordered_map(work, range(40), workers=4)) == [i * i for i in range(40)]
    assert len(names) == 4


def test_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> object:
        for i in range(100):
            taken.append(i)
            yield i

    results = ordered_map(lambda i: i, items(), workers=2)
    assert next(results) == 0
    assert len(taken) <= 6
    results.close()


def test_an_error_is_raised_in_its_turn_and_ends_the_rest() -> None:
    started: list[int] = []

    def work(i: int) -> int:
        started.append(i)
        if i == 3:
            raise ReflashError("three")
        return i

    results = ordered_map(work, range(1000), workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ReflashError, match="three"):
        next(results)
    assert len(started) < 20


def test_a_lock_is_waited_for_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []

    def second() -> None:
        with only_one(tmp_path / "lock", "waiting for the first"):
            order.append("second")

    thread = threading.Thread(target=second)
    with only_one(tmp_path / "lock", "never said"):
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert capsys.readouterr().err.startswith("waiting for the first (process ")
