"""Where the results come from: the runs, their machines and hours, the code and its versions."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from typing import Any

from reflash.core.errors import ReflashError
from reflash.core.machine import package_versions
from reflash.core.progress import duration
from reflash.study.context import listing
from reflash.training.record import RECORD, Record

PAPER = "https://arxiv.org/abs/2112.12089"
AUTHORS_CODE = "https://github.com/XPixelGroup/RDSR"

PACKAGES = (
    "reflash",
    "torch",
    "numpy",
    "pandas",
    "opencv-python-headless",
    "pillow",
    "matplotlib",
    "scikit-learn",
)
SOURCE = "src/reflash"
"""Where the package lies in the repository."""


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that make the results."""
    return {"Python": platform.python_version(), **package_versions(PACKAGES)}


def source_link(address: str | None, commit: str | None, path: str = "") -> str | None:
    """Return where a file (or the whole source) can be read at a commit; None if nobody knows.

    >>> source_link("https://github.com/a/b", "12ab+dirty", "Snakefile")
    'https://github.com/a/b/blob/12ab/Snakefile'
    """
    if not address or not commit:
        return None
    kind = "blob" if path else "tree"
    return f"{address}/{kind}/{commit.removesuffix('+dirty')}/{path}".rstrip("/")


def short(commit: str | None) -> str:
    """Return a commit as people write it.

    >>> short("0123456789abcdef+dirty"), short(None)
    ('0123456789+changes', 'not known')
    """
    if not commit:
        return "not known"
    return commit[:10] + ("+changes" if commit.endswith("+dirty") else "")


def run_row(record: Record) -> dict[str, str]:
    """Return what the page says about one run."""
    try:
        network, training = record.settings["network"], record.settings["training"]
        size = network.get("factory") or (
            f"{network['name']}, {network['blocks']} blocks, {network['features']} features"
        )
        return {
            "id": record.run,
            "network": size,
            "iterations": f"{record.iterations:,}",
            "batch": f"{training['batch']} × {record.settings['pairs']['patch']} px",
            "time": duration(record.seconds),
            "resumed": str(record.resumes or "–"),
            "device": ", ".join(filter(None, (record.device, record.precision))),
            "finished": (record.finished or "not finished")[:10],
            "commit": short(record.commit),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ReflashError(
            f"{record.run}: its {RECORD} does not describe a run ({error!r}); "
            "train the run again with reflash train --again"
        ) from error


def training_facts(records: Sequence[Record]) -> dict[str, Any]:
    """Sum up how the runs were trained: hours, interruptions, machines, commits, versions."""
    resumed = [record for record in records if record.resumes]
    times = sum(record.resumes for record in resumed)
    machines = Counter(
        ", ".join(filter(None, (_machine(record), record.precision))) for record in records
    )
    torch = dict.fromkeys(record.versions["torch"] for record in records if record.versions)
    return {
        "hours": duration(sum(record.seconds for record in records)),
        "longest": duration(max(record.seconds for record in records)),
        "runs": _count(len(records), "run"),
        "resumed": f"{_count(len(resumed), 'run')} resumed, {_count(times, 'time')} in all"
        if resumed
        else "no run was interrupted",
        "machines": [f"{name} ({_count(count, 'run')})" for name, count in machines.items()],
        "commits": [
            (commit, _count(count, "run"))
            for commit, count in Counter(record.commit for record in records).items()
        ],
        "torch": listing(list(torch)),
    }


def _machine(record: Record) -> str:
    if record.device != "cpu":
        return record.device
    return f"{record.processor}, {_count(record.threads, 'thread')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
