"""Progress: silent for short work, lines in a log, bars on a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from reflash.core import progress
from reflash.core.progress import say, track, training_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal on which bars appear at once."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    return shown


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that `progress` sees, in seconds."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_short_work_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", "reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_a_log_gets_a_line_every_ten_seconds_with_the_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in track(range(6), "evaluating"):
        clock[0] += 4
    assert capsys.readouterr().err.splitlines() == [
        "evaluating: 3/6, 12 s left",
        "evaluating: 6/6, in 24 s",
    ]


def test_work_without_a_known_end_is_counted(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in track(iter("ab"), "reading"):
        clock[0] += 11
    assert capsys.readouterr().err.splitlines() == ["reading: 1", "reading: 2"]


def test_resumed_training_estimates_from_where_it_resumed(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with training_progress("run", 1000) as report:
        report(900, 0.5, 1e-4)
        clock[0] += 20
        report(950, 0.25, 1e-4)
    assert capsys.readouterr().err == "run: 950/1000, loss 0.2500, lr 1.0e-04, 20 s left\n"


def test_a_terminal_gets_bars_one_inside_another(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    for name in track(["[red]a", "b"], "upscaling"):
        for _ in track(range(3), f"{name}, tiles"):
            assert progress._bars is not None
            progress._bars.refresh()
        say(f"error: {name}")
    shown = terminal.getvalue()
    assert "upscaling" in shown
    assert "2/2" in shown
    assert "[red]a, tiles" in shown
    assert "error: [red]a" in shown


def test_an_error_takes_the_bar_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with pytest.raises(ZeroDivisionError):
        sum(1 // item for item in track([1, 0], "upscaling"))
    say("afterwards")
    assert terminal.getvalue().endswith("afterwards\n")
