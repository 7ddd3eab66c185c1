"""What a result was made with: the processor, and the state of the source."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_SOURCE = Path(__file__).parents[1]


def cpu_name() -> str:
    """Return the processor's name where the system tells it, otherwise its kind.

    Examples
    --------
    >>> cpu_name() != ""
    True
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cpu_features(cpuinfo: Path | str = "/proc/cpuinfo") -> frozenset[str]:
    """Return what the processor's instructions are called, e.g. avx2; empty where nobody tells.

    Examples
    --------
    >>> cpu_features("/nowhere")
    frozenset()
    """
    try:
        lines = Path(cpuinfo).read_text().splitlines()
    except OSError:
        return frozenset()
    told = (line.partition(":") for line in lines)
    # x86 calls them flags, ARM Features; every core is told, and one is enough.
    return next(
        (
            frozenset(names.split())
            for key, _, names in told
            if key.strip() in ("flags", "Features")
        ),
        frozenset(),
    )


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each of some packages, without those that are not installed."""
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@cache
def source_commit() -> str | None:
    """Return the git commit of this package's source, ``+dirty`` where it has been changed.

    None where the package does not lie in a working copy, or git is missing.
    """
    try:
        # An installed copy may lie inside another repository, which does not track it.
        _git("ls-files", "--error-unmatch", "__init__.py")
        changed = _git("status", "--porcelain", "--untracked-files=no", ":/")
        return _git("rev-parse", "HEAD") + ("+dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_SOURCE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


@cache
def source_remote() -> str | None:
    """Return the web address of the repository this package's source was cloned from.

    None for an installed package and for a clone of a folder.
    """
    try:
        _git("ls-files", "--error-unmatch", "__init__.py")
        return web_address(_git("remote", "get-url", "origin"))
    except (OSError, subprocess.SubprocessError):
        return None


def web_address(remote: str) -> str | None:
    """Return a git remote as a web address, without names and passwords; None for a folder.

    >>> web_address("git@github.com:a/b.git"), web_address("https://me:secret@host.org/a/b")
    ('https://github.com/a/b', 'https://host.org/a/b')
    >>> web_address("/srv/git/b.git") is None
    True
    """
    found = re.fullmatch(
        r"(?:(?:https?|ssh|git)://)?(?:[^@/]+@)?([\w.-]+\.\w+)(?::\d+)?[:/](?!/)(.+?)(?:\.git)?/?",
        remote,
    )
    return f"https://{found[1]}/{found[2]}" if found else None
