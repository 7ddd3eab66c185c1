"""Locks, with and without flock, and after their holder was killed."""

from __future__ import annotations

import errno
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from reflash.core.errors import ReflashError
from reflash.core.lock import only_one

HOLD = """if True:
    import fcntl, sys, time
    def unsupported(*arguments):
        raise OSError(int(sys.argv[2]), "not supported")
    if sys.argv[2] != "0":
        fcntl.flock = unsupported
    from reflash.core.lock import only_one
    with only_one(sys.argv[1]):
        print("held", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("error", [0, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_the_holder_is_named_and_a_killed_one_leaves_no_lock(
    tmp_path: Path, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without flock (an error of the system) the lock is a file."""

    def unsupported(*arguments: object) -> None:
        raise OSError(error, "not supported")

    if error:
        monkeypatch.setattr("fcntl.flock", unsupported)
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path), str(error)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ReflashError) as refused, only_one(path, busy="the run"):
            pass
        assert str(refused.value) == (
            f"the run: in use by process {holder.pid} on {platform.node()}; wait until it has "
            f"ended, or stop it (kill {holder.pid} on {platform.node()})"
        )
        holder.kill()
    with only_one(path, busy="the run"):
        pass
