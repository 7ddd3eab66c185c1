"""What a job does for itself on a Slurm cluster, and which jobs of a folder are in its queue.

``python -m reflash.core.slurm STATUS`` is what a failed command of a submitted job asks: Slurm then
queues the job again (status 0), or the failure stands (status 1). So an interruption is no failure
for Snakemake, which only sees a job that takes longer, and a failure that would repeat is not tried
again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from reflash.core.errors import INTERRUPTED_STATUS, ReflashError

PREFIX = "reflash"
"""Names of the submitted jobs begin so (slurm-jobname-prefix of the profile)."""

GRACE = 600
"""Seconds before its time limit in which a job that is told to stop has reached the limit."""

MOST_RESTARTS = 3
"""How often a job that starts over, because its command keeps no state, is queued again."""

_TERMINATED = 128 + signal.SIGTERM


def requeue(status: int) -> str | None:
    """Queue this job again if its command was interrupted.

    A training that saved its state (``INTERRUPTED_STATUS``) goes on in the job's next life, however
    often. Another command starts over: after a preemption it does so ``MOST_RESTARTS`` times, at
    the job's time limit never, because it would reach it again. Cancelled jobs stay cancelled.

    Parameters
    ----------
    status : int
        Exit status of the command, 128 + the number of the signal that ended it.

    Returns
    -------
    str or None
        Why the job is queued again; None where the failure stands.

    Raises
    ------
    ReflashError
        The job was stopped at its time limit, or too often: says what to change.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or status not in (INTERRUPTED_STATUS, _TERMINATED):
        return None
    try:
        shown = _output("scontrol", "show", "job", "-o", job)
    except (OSError, subprocess.SubprocessError):  # such as in a container without Slurm's commands
        return None
    facts = dict(re.findall(r"(\w+)=(\S*)", shown))
    if facts.get("JobState") != "RUNNING":
        return None
    restarts = int(facts.get("Restarts", 0))
    if status == _TERMINATED:
        limit = seconds(facts.get("TimeLimit", ""))
        if limit is not None and (seconds(facts.get("RunTime", "")) or 0) > limit - GRACE:
            raise ReflashError(
                f"stopped at the time limit of its job ({facts['TimeLimit']}); give the rule a "
                "longer runtime in the profile"
            )
        if restarts >= MOST_RESTARTS:
            raise ReflashError(
                f"interrupted {restarts + 1} times; use a partition whose jobs are not preempted"
            )
    try:
        _output("scontrol", "requeue", job)
    except (OSError, subprocess.SubprocessError):
        return None
    return f"job {job} was interrupted and is queued again (restart {restarts + 1})"


def queued_jobs(folder: Path | str) -> list[str]:
    """Return the ids of the user's jobs in the queue that Snakemake submitted from a folder.

    Empty where there is no Slurm.
    """
    try:
        listed = _output("squeue", "--me", "--noheader", "--format=%A|%j|%Z")
    except (OSError, subprocess.SubprocessError):
        return []
    here, jobs = Path(folder).resolve(), []
    for line in listed.splitlines():
        job, name, where = line.split("|", 2)
        if name.startswith(f"{PREFIX}_") and Path(where).resolve() == here:
            jobs.append(job)
    return jobs


def check_queue(folder: Path | str) -> None:
    """Check that no jobs of an earlier Snakemake, which was killed, work in a folder.

    Raises
    ------
    ReflashError
        There are such jobs; a second job for the same run would find its folder in use.
    """
    jobs = queued_jobs(folder)
    if jobs:
        named = " ".join(jobs)
        raise ReflashError(
            f"jobs of an earlier snakemake in this folder are still in the queue ({named}); end "
            f"them (scancel {named}) and start again: training resumes where it was"
        )


def seconds(text: str) -> int | None:
    """Return the seconds of a time as Slurm writes it; None for one without limit.

    Examples
    --------
    >>> seconds("1-02:00:30"), seconds("00:05:00"), seconds("UNLIMITED")
    (93630, 300, None)
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if found is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


if __name__ == "__main__":
    try:
        said = requeue(int(sys.argv[1]))
    except ReflashError as error:
        sys.exit(f"error: {error}")
    if said is None:
        sys.exit(1)
    print(said)
