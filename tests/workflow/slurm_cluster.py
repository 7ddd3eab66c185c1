"""A Slurm of one node, started in a folder of its own by Debian's packages.

    python tests/workflow/slurm_cluster.py COMMAND...

runs a command with such a Slurm and says when each job was submitted, started and ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={dir}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.pid
SlurmctldLogFile={dir}/slurmctld.log
SlurmdLogFile={dir}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
ReturnToService=2
MinJobAge=3600
KillWait=10
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 CoresPerSocket=2 RealMemory={memory} Gres=gpu:2
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
GRES = """\
NodeName={host} Name=gpu File=/dev/null
NodeName={host} Name=gpu File=/dev/zero
"""


def missing() -> str | None:
    """Say why no Slurm can be started here; None where it can."""
    absent = [name for name in (*DAEMONS, "sbatch", "squeue", "setpriv") if not shutil.which(name)]
    if absent:
        return f"{', '.join(absent)} missing: apt-get install slurmctld slurmd slurm-client munge"
    if os.geteuid() != 0:
        return "starting Slurm needs root"
    return None


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until ``condition()`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.5)


class SlurmCluster:
    """Munge, slurmctld and slurmd of a folder; two CPUs and two GPUs that are none."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, list[subprocess.Popen[bytes]]()
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}

    def start(self) -> None:
        """Start the daemons and wait for the node to be idle."""
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir(parents=True)
        values = {
            "dir": self.folder,
            "host": socket.gethostname().split(".")[0],
            "ports": _free_ports(2),
            "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 9 // 10 >> 20,
        }
        (self.folder / "slurm.conf").write_text(CONF.format(**values))
        (self.folder / "gres.conf").write_text(GRES.format(**values))
        # Job steps lose SLURM_CONF; other clusters have their configuration where Slurm looks.
        for name in ("srun", "scontrol", "squeue"):
            script = self.folder / "bin" / name
            script.write_text(
                f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which(name)} "$@"\n'
            )
            script.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        munge = {
            name: str(self.folder / f"munge.{name.split('-')[0]}")
            for name in ("socket", "pid-file", "log-file", "seed-file")
        }
        options = [f"--{name}={path}" for name, path in munge.items()]
        self._run("munged", "--foreground", "--force", f"--key-file={key}", *options)
        wait_until((self.folder / "munge.socket").exists, 60, "munged")
        self._run("slurmctld", "-D")
        self._run("slurmd", "-D")
        wait_until(self._idle, 60, f"an idle node; see the logs in {self.folder}")

    def _idle(self) -> bool:
        return self.ask("sinfo", "-h", "-o", "%t") == "idle"

    def stop(self) -> None:
        """Kill all jobs and end the daemons, each by its id."""
        try:
            if self.processes:
                wait_until(self._killed_all, 60, "an empty queue")
        finally:
            for process in reversed(self.processes):
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _killed_all(self) -> bool:
        jobs = self.jobs()
        if jobs:  # at once, or one that is told to stop could queue itself again
            self.ask("scancel", "--full", "--signal=KILL", *jobs)
            self.ask("scancel", *jobs)
        return not jobs

    def jobs(self, state: str = "") -> list[str]:
        """Return the ids of the jobs in the queue, or of those in a state."""
        options = ["-t", state] if state else []
        return self.ask("squeue", "-h", "-o", "%A", *options).split()

    def submissions(self) -> int:
        """Return how many jobs were submitted since the start."""
        return len(set(self.ask("squeue", "-h", "-t", "all", "-o", "%A").split()))

    def ask(self, *command: str) -> str:
        """Return the output of one of Slurm's commands."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        return done.stdout.strip()

    def _run(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    ["setpriv", "--pdeathsig", "TERM", *command],  # when these tests are killed
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                )
            )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main() -> None:
    """Run the command of the arguments and list the jobs it submitted."""
    why = missing()
    if why:
        sys.exit(f"error: {why}")
    with tempfile.TemporaryDirectory() as folder:
        cluster = SlurmCluster(Path(folder))
        try:
            cluster.start()
            begin = time.monotonic()
            status = subprocess.run(sys.argv[1:], env=cluster.environment).returncode
            wall = time.monotonic() - begin
            print(f"status {status} after {wall:.0f} s, {cluster.submissions()} jobs submitted")
            columns = "JobID:6,State:11,StartTime:21,EndTime:21,TRES-per-job:14,Comment:60"
            print(cluster.ask("squeue", "-t", "all", "-S", "S", "-O", columns))
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
