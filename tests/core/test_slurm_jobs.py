"""What a submitted job does after an interruption, with commands of Slurm that only answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reflash.core.errors import INTERRUPTED_STATUS, ReflashError
from reflash.core.slurm import check_queue, queued_jobs, requeue, seconds

SCONTROL = """#!/bin/sh
case "$1" in
  show) cat "$ANSWERS/job" ;;
  requeue) echo "$2" >> "$ANSWERS/requeued" ;;
esac
"""


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files are what Slurm's commands answer, in a job of the number 7."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"scontrol": SCONTROL, "squeue": '#!/bin/sh\ncat "$ANSWERS/queue"\n'}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ANSWERS", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    return tmp_path


def describe(
    answers: Path, state: str = "RUNNING", restarts: int = 0, run: str = "01:00:00"
) -> None:
    (answers / "job").write_text(
        f"JobId=7 JobName=reflash_1 JobState={state} Reason=None Requeue=1 Restarts={restarts} "
        f"RunTime={run} TimeLimit=12:00:00 TimeMin=N/A\n"
    )


def requeued(answers: Path) -> bool:
    return (answers / "requeued").exists()


@pytest.mark.parametrize("run", ["00:00:05", "11:58:00"])
def test_a_training_that_saved_its_state_goes_on_however_often(answers: Path, run: str) -> None:
    describe(answers, restarts=40, run=run)
    assert requeue(INTERRUPTED_STATUS) == "job 7 was interrupted and is queued again (restart 41)"
    assert (answers / "requeued").read_text() == "7\n"


def test_a_preempted_command_starts_over_three_times(answers: Path) -> None:
    describe(answers, restarts=2)
    assert "restart 3" in (requeue(143) or "")
    describe(answers, restarts=3)
    with pytest.raises(ReflashError, match="interrupted 4 times; use a partition"):
        requeue(143)


def test_a_command_at_its_time_limit_does_not_reach_it_again(answers: Path) -> None:
    describe(answers, run="11:57:10")
    with pytest.raises(ReflashError, match=r"time limit of its job \(12:00:00\); give the rule"):
        requeue(143)
    assert not requeued(answers)


@pytest.mark.parametrize("status", [1, 2, 130, 137])
def test_a_failure_stands(answers: Path, status: int) -> None:
    describe(answers)
    assert requeue(status) is None
    assert not requeued(answers)


def test_a_cancelled_job_stays_cancelled(answers: Path) -> None:
    describe(answers, state="CANCELLED")
    assert requeue(INTERRUPTED_STATUS) is None
    assert not requeued(answers)


def test_nothing_happens_outside_a_job_or_without_slurms_commands(
    answers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(answers)
    monkeypatch.setenv("PATH", str(answers))
    assert requeue(INTERRUPTED_STATUS) is None
    assert queued_jobs(answers) == []
    monkeypatch.delenv("SLURM_JOB_ID")
    assert requeue(INTERRUPTED_STATUS) is None


def test_the_command_says_by_its_status_whether_the_job_was_queued_again(answers: Path) -> None:
    describe(answers)

    def ask(status: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "reflash.core.slurm", str(status)]
        return subprocess.run(command, capture_output=True, text=True)

    assert ask(INTERRUPTED_STATUS).returncode == 0
    assert (ask(1).returncode, ask(1).stdout, ask(1).stderr) == (1, "", "")
    describe(answers, restarts=9)
    assert ask(143).returncode == 1
    assert ask(143).stderr.startswith("error: interrupted 10 times")


def test_jobs_of_an_earlier_snakemake_in_the_folder_stop_a_new_one(
    answers: Path, tmp_path: Path
) -> None:
    here = tmp_path / "project"
    here.mkdir()
    (tmp_path / "other name").symlink_to(here)
    (answers / "queue").write_text(
        f"12|reflash_a|{here}\n13|reflash_b|{tmp_path}\n14|else|{here}\n"
        f"15|reflash_c|{tmp_path / 'other name'}\n"
    )
    assert queued_jobs(here) == ["12", "15"]
    with pytest.raises(ReflashError, match=r"in the queue \(12 15\); end them \(scancel 12 15\)"):
        check_queue(here)
    check_queue(tmp_path / "bin")


def test_times_as_slurm_writes_them() -> None:
    written = ("00:00:09", "02:30:00", "3-00:00:00", "UNLIMITED", "")
    assert [seconds(text) for text in written] == [9, 9000, 259200, None, None]
