"""Every rule of the workflow is one command, and says what it does, takes and took."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from reflash.study.workflow import LOGGED

RULES = {
    name: text
    for path in sorted((Path(__file__).parents[1] / "workflow/rules").glob("*.smk"))
    for name, text in re.findall(r"(?ms)^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", path.read_text())
}


def test_rules_are_found() -> None:
    assert {"fetch_dataset", "train_network", "test_claims", "make_report"} <= set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_all_parts(name: str) -> None:
    keys = re.findall(r"(?m)^ +(\w+):$", RULES[name])
    for key in ("output", "log", "benchmark", "resources", "message", "shell"):
        assert keys.count(key) == 1
    assert not {"run", "script", "notebook"} & set(keys)
    assert re.search(r"\bmem_mb=\d+", RULES[name])
    assert re.search(r"\bruntime=(\d+|max\(\d+)", RULES[name])


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_one_command_of_reflash(name: str) -> None:
    lines = RULES[name].split("shell:\n")[1]
    command = "".join(re.findall(r'(?m)^ +"(.*)"$', lines.split("\n\n")[0]))
    assert re.fullmatch(r"logged \{log\} reflash [^|&;>]+", command)


def test_logged_keeps_what_earlier_tries_said_and_shows_why_the_last_failed(
    tmp_path: Path,
) -> None:
    log = tmp_path / "job.log"

    def run(command: str) -> subprocess.CompletedProcess[str]:
        script = f"set -euo pipefail; {LOGGED} logged {log} {command}"
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True)

    failed = run("bash -c 'echo working; echo error: no weights >&2; exit 3'")
    assert failed.returncode == 3
    assert failed.stderr.splitlines()[-1] == "error: no weights"
    done = run("echo 'all is well'")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    text = log.read_text()
    assert "error: no weights" in text
    assert text.endswith("all is well\n")
    assert text.count("--- ") == 2


def test_what_an_interrupted_job_said_outlives_the_end_of_its_processes(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    # Stands in for reflash.core.slurm: Slurm ends a job's processes as soon as it is queued again.
    (tmp_path / "python").write_text("#!/bin/sh\nkill -TERM $$ $PPID\necho queued again\n")
    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    for name in ("python", "sleep"):
        (tmp_path / name).chmod(0o755)
    subprocess.run(
        ["bash", "-c", f"{LOGGED} logged {log} bash -c 'echo stopped; exit 75'"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "1"},
        capture_output=True,
    )
    assert (tmp_path / "job.log.interrupted").read_text().endswith("stopped\nqueued again\n")


def test_rules_that_use_a_network_connection_try_again() -> None:
    assert {name for name, text in RULES.items() if "retries:" in text} == {
        "fetch_dataset",
        "fetch_weights",
    }


def test_the_picture_of_the_rules_shows_them_all(root: Path) -> None:
    picture = (root / "docs/images/rulegraph.svg").read_text()
    shown = set(re.findall(r"<text [^>]*>(\w+)</text>", picture))
    assert shown == {*RULES, "all"}, "run make rulegraph"


def test_training_images_wait_for_the_datasets_they_are_from(root: Path) -> None:
    picture = (root / "docs/images/rulegraph.svg").read_text()
    names = dict(
        re.findall(r"<title>(\d+)</title>(?:(?!<title>).)*<text [^>]*>(\w+)</text>", picture, re.S)
    )
    edges = {
        (names[a], names[b]) for a, b in re.findall(r"<title>(\d+)&#45;&gt;(\d+)</title>", picture)
    }
    assert ("fetch_dataset", "make_training_images") in edges
