"""The study on a real Slurm of one node: to its end, and through what happens on clusters."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from project_copy import ROOT, Project, copy_project, small_study
from slurm_cluster import SlurmCluster, missing, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

PROFILE = "workflow/profiles/slurm/config.yaml"
STUDY = small_study(
    "Two models on a cluster",
    ["srresnet/multi/{none,last_conv-channel-p0.7}"],
    "multi_degradation",
    "teaser_bars",
    "training_curves",
)
RUN = "srresnet/multi/b8-channel-p0.2/seed0"
"""A run of another study, for what happens to single jobs."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A Slurm whose commands the tests' processes find."""
    why = missing()
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        why = "pip install 'reflash[slurm]'"
    if why:
        pytest.skip(f"no Slurm here ({why})")
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    with pytest.MonkeyPatch.context() as patch:
        try:
            cluster.start()
            for name in ("PATH", "SLURM_CONF"):
                patch.setenv(name, cluster.environment[name])
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture(scope="module")
def project(cluster: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with a small study, and a profile for a small and quick cluster."""
    project = copy_project(ROOT, tmp_path_factory.mktemp("project"))
    (project.folder / "config/study/cluster.yaml").write_text(STUDY)
    for old, new in {
        "slots: 4": "slots: 2",
        "latency-wait: 60": "latency-wait: 20",
        "status-checks: 20": "status-checks: 2",
    }.items():
        project.edit(PROFILE, old, new)
    return project


def command(*arguments: str, study: str = "cluster") -> list[str]:
    options = ["--workflow-profile", str(Path(PROFILE).parent)]
    targets = [word for word in arguments if word.startswith("results/")]
    others = [word for word in arguments if word not in targets]
    config = [word for word in others if "=" in word]
    options += [word for word in others if word not in config]
    return [
        "snakemake",
        *options,
        "--config",
        "scale=tiny",
        f"study={study}",
        *config,
        "--",
        *targets,
    ]


@contextmanager
def main_process(project: Project, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Snakemake as a user starts it, with its output in ``main.log``."""
    environment = {**os.environ, "PYTHONPATH": str(project.folder / "src")}
    with (project.folder / "main.log").open("wb") as log:
        process = subprocess.Popen(
            command(*arguments, study="mine"),
            cwd=project.folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def said(project: Project) -> str:
    return (project.folder / "main.log").read_text()


def log_of(project: Project, suffix: str = "") -> str:
    path = project.folder / f"results/tiny/logs/train_network/{RUN}.log{suffix}"
    return path.read_text() if path.exists() else ""


def limit(cluster: SlurmCluster, job: str, minutes: int) -> None:
    """Change a job's time limit, as soon as Slurm lets one."""

    def changed() -> bool:
        cluster.ask("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes}")
        return f" TimeLimit={minutes // 60:02}:{minutes % 60:02}:00 " in cluster.ask(
            "scontrol", "show", "job", "-o", job
        )

    wait_until(changed, 60, "a time limit")


def trains(project: Project) -> bool:
    """Whether a training holds the run's folder and takes SIGTERM for an order to save."""
    try:
        holder = (project.folder / f"results/tiny/runs/{RUN}/.lock").read_text().split()[0]
        status = Path(f"/proc/{holder}/status").read_text()
    except (OSError, IndexError):
        return False
    return bool(int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16) >> 14 & 1)


@pytest.fixture(scope="module")
def studied(project: Project) -> str:
    """What Snakemake said while it made the whole study; the other tests start from its images."""
    done = project.run(*command(), warm=True)
    return done.stdout + done.stderr


def test_the_whole_study_in_a_few_submissions(
    cluster: SlurmCluster, project: Project, studied: str
) -> None:
    assert (project.folder / "results/tiny/cluster/report/index.html").is_file()
    runs = project.folder / "results/tiny/runs/srresnet/multi"
    records = [json.loads(path.read_text()) for path in runs.glob("*/seed0/run.json")]
    assert [record["runs_together"] for record in records] == [2, 2]  # one job trained both
    steps = int(re.search(r"(\d+) of \1 steps", studied)[1])
    # Images, training, evaluation, bicubic, paper.
    assert cluster.submissions() == 5 < steps / 4
    # Only jobs with a network asked for a GPU.
    asked = cluster.ask("squeue", "-h", "-t", "all", "-O", "Partition,tres-per-job").splitlines()
    assert sorted(map(str.split, asked)) == [["cpu", "N/A"]] * 3 + [["gpu", "gres:gpu:1"]] * 2
    again = project.run(*command())
    assert "Nothing to be done" in again.stderr
    assert cluster.submissions() == 5


def test_a_training_lives_through_a_time_limit_and_the_death_of_the_main_process(
    cluster: SlurmCluster, project: Project, studied: str
) -> None:
    target = f"results/tiny/runs/{RUN}/log.csv"
    long = "overrides={training: {iterations: 100000, validation: {every: 100000}}}"
    with main_process(project, long, target) as main:
        wait_until(lambda: trains(project), 600, "training")
        (job,) = cluster.jobs()
        # Slurm warns three minutes before the limit: the run saves its state, the job queues again.
        limit(cluster, job, 2)
        again = f"job {job} was interrupted and is queued again (restart 1)"
        wait_until(lambda: again in log_of(project, ".interrupted"), 600, "a restart")
        limit(cluster, job, 60)
        wait_until(lambda: f"{RUN}: continuing after" in log_of(project), 600, "going on")
        assert main.poll() is None  # which took it for a job that takes longer
        main.kill()
        main.wait()
    assert cluster.jobs() == [job]

    # Another main process does not start a second job for the run, and says what to do.
    project.run(*command("--unlock"))
    second = project.run(*command(long, target, study="mine"), check=False)
    assert second.returncode
    assert f"still in the queue ({job}); end them (scancel {job})" in second.stderr
    assert "Traceback" not in second.stderr
    assert cluster.jobs() == [job]
    cluster.ask("scancel", job)
    wait_until(lambda: not cluster.jobs(), 600, "an empty queue")

    # The third goes on where the first was; its job is cancelled, and it notices.
    with main_process(project, long, target) as main:
        wait_until(lambda: trains(project), 600, "training")
        assert f"{RUN}: continuing after" in log_of(project)
        (job,) = cluster.jobs()
        cluster.ask("scancel", job)
        wait_until(lambda: f"error: {RUN}" in said(project), 600, "an error in the main log")
    assert "stopped on SIGTERM after iteration" in said(project)
    assert not cluster.jobs()  # it stays cancelled
    project.run(*command("--unlock"))  # the main process was not waited for


def test_a_job_that_would_fail_again_is_not_tried_again(
    cluster: SlurmCluster, project: Project, studied: str
) -> None:
    before = cluster.submissions()
    wild = "overrides={training: {lr: 1.0e+30}}"
    with main_process(project, wild, f"results/tiny/runs/{RUN}/log.csv") as main:
        assert main.wait(600)
    assert cluster.submissions() == before + 1
    reasons = re.findall(r"train_network/\S+\.log: (error: .*)", said(project))
    assert len(reasons) == 1
    assert reasons[0].startswith(f"error: {RUN}: iteration 10: the loss is nan")
    # What was trained with other settings does not count as what the failed job made.
    with main_process(project, wild, "-n", f"results/tiny/runs/{RUN}/log.csv") as main:
        assert not main.wait(600)
    assert "train_network" in said(project)
