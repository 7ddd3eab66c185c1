"""Files are written whole or not at all, and what killed processes left is removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reflash.core.errors import ReflashError
from reflash.core.files import atomic, read_csv, write_text

KILLED = """
import os, signal, sys
from reflash.core.files import atomic
with atomic(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed_while_writing(path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize("name", ["state.pt", "other.json", "no suffix"])
def test_the_next_write_into_a_folder_removes_what_a_kill_left(tmp_path: Path, name: str) -> None:
    killed_while_writing(tmp_path / "state.pt")
    assert len(names(tmp_path)) == 1
    write_text(tmp_path / name, "whole")
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "whole"


def test_a_kill_leaves_the_old_content(tmp_path: Path) -> None:
    write_text(tmp_path / "a.csv", "old")
    killed_while_writing(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "old"


def test_what_living_processes_of_this_and_all_of_other_hosts_write_stays(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.csv") as temporary:
        temporary.write_text("half")
        there = temporary.name.replace(f".{os.getpid()}.", ".another-host.1.")
        (tmp_path / there).write_text("half")
        code = (
            "import sys; from reflash.core.files import write_text; "
            "write_text(sys.argv[1], 'whole')"
        )
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "b.csv")], check=True)
        assert names(tmp_path) == sorted([temporary.name, there, "b.csv"])
    assert names(tmp_path) == sorted([there, "a.csv", "b.csv"])


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic(tmp_path / "a.csv") as temporary:
            temporary.write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert names(tmp_path) == []


def test_names_that_look_like_numbers_or_nothing_stay_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,psnr\n0001,20.5\nnull,\n101085,1\n")
    table = read_csv(tmp_path / "a.csv")
    assert list(table["image"]) == ["0001", "null", "101085"]
    assert table["psnr"].isna().tolist() == [False, True, False]


def test_the_longest_names_are_written_and_longer_ones_told(tmp_path: Path) -> None:
    for name in ("a" * 251 + ".csv", "é" * 127):
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"
    with pytest.raises(ReflashError, match="the file name is too long; choose a shorter one"):
        write_text(tmp_path / ("a" * 252 + ".csv"), "whole")


def test_two_long_names_that_begin_alike_are_written_at_the_same_time(tmp_path: Path) -> None:
    first, second = (tmp_path / ("a" * 240 + end) for end in ("1", "2"))
    with atomic(first) as one, atomic(second) as two:
        one.write_text("one")
        two.write_text("two")
    assert (first.read_text(), second.read_text()) == ("one", "two")
