"""What the workflow files need of this machine and package, beside the plan of the study."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from reflash.core.errors import ReflashError
from reflash.core.files import file_hash, write_json
from reflash.datasets.images import list_images
from reflash.study.config import Config
from reflash.study.plan import Plan

HASHES = ".snakemake/reflash-image-hashes.json"
"""Hashes of the images in users' own folders, kept so that only changed files are read again."""

LOGGED = r"""
logged() {
    log=$1; shift
    printf -- '--- %s: %s\n' "$(date +%FT%T)" "$*" >> "$log"
    trap : TERM
    "$@" >> "$log" 2>&1 && return
    status=$?
    trap '' TERM
    if [ -n "${SLURM_JOB_ID:-}" ] && python -m reflash.core.slurm $status >> "$log" 2>&1; then
        cat "$log" >> "$log.interrupted"
        sleep 60
    fi
    tail -n 3 "$log" >&2
    exit $status
}
"""
"""Shell function that runs a command with its output in a log.

After a failure the last lines are shown, so that the reason stands beside Snakemake's message. A
signal ends the command, and the shell lives on to see how it ended: a job of Slurm that was
interrupted queues itself again and then waits to be taken off its node. What follows the command
ignores the signal that Slurm sends as soon as a job is queued again. Snakemake begins the log anew
in the job's next life; what it said before is kept beside it.
"""

TRAVEL = "REFLASH_SLOTS"
"""Set in the environment of submitted jobs: how many small jobs one of them does at once."""

GROUPS = ("images", "train", "evaluate", "paper")
"""Kinds of jobs that travel together, the first words of their groups' names."""

EVALUATED_TOGETHER = 8
"""Networks not trained here that a submitted job evaluates."""


def shell_prefix() -> str:
    """Return what stands before every command; Snakemake takes single braces for names."""
    return "set -euo pipefail; " + LOGGED.replace("{", "{{").replace("}", "}}")


class _Reasons(logging.Handler):
    """Says why a submitted job failed: the last error in its logs, in one line."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", None) == "job_error":
            for log in getattr(record, "log", None) or []:
                reason = last_error(Path(log))
                if reason:
                    logging.getLogger(record.name).error(f"{log}: {reason}")


def show_reasons() -> None:
    """Let the main process repeat the error of each failed job that it submitted.

    Otherwise it stands in a log that Snakemake's message only names.
    """
    logger = logging.getLogger("snakemake.logging")
    if not any(isinstance(handler, _Reasons) for handler in logger.handlers):
        logger.addHandler(_Reasons())


def runs_to_train(workflow: Any) -> set[str]:
    """Return the runs that this start of Snakemake is about to train."""
    jobs = () if workflow.touch else workflow.dag.needrun_jobs()
    return {job.wildcards.run for job in jobs if job.rule.name == "train_network"}


def remove_outdated(workflow: Any) -> None:
    """Remove what jobs are about to make again, all of it before the first is submitted.

    Where Snakemake runs a job itself it removes the old output as the job begins. With
    keep-incomplete it takes what a submitted job left for made by it, whatever became of the job
    and of the others of its group: results of before would count as those of today's settings.
    """
    for job in () if workflow.touch else workflow.dag.needrun_jobs():
        for file in job.output:
            Path(file).unlink(missing_ok=True)


def container_image(deployment: Any) -> str | None:
    """Return the image that commands run in with ``--sdm apptainer``; None without.

    It is ``reflash.sif``, or what ``REFLASH_IMAGE`` names.

    Raises
    ------
    ReflashError
        There is no such image.
    """
    methods = [one.item_to_choice() for one in deployment.deployment_method] if deployment else []
    if "apptainer" not in methods:
        return None
    image = os.environ.get("REFLASH_IMAGE", "reflash.sif")
    if "://" not in image and not Path(image).is_file():
        raise ReflashError(
            f"{image}: no such image; build it (docs/cluster.md) or name one in REFLASH_IMAGE"
        )
    return image


def work_as_submitted(workflow: Any, slots: int) -> None:
    """Give Snakemake in a submitted job what its main process does not hand on.

    The jobs of a group stay together in one more Snakemake instead of one each, ``slots`` of them
    run at once, and when one fails the others are done all the same: a run that fails would
    otherwise keep its whole batch from being put in place.
    """
    workflow.register_resource("slot", slots)
    execute = workflow.execute

    def execute_together(*args: Any, **options: Any) -> Any:
        workflow.execution_settings.keep_going = True
        workflow.group_settings.group_components = dict.fromkeys(GROUPS, 1000)
        return execute(*args, **options)

    workflow.execute = execute_together  # the settings are not there before


def last_error(log: Path) -> str | None:
    """Return the last line of a log if it is an error's, of reflash or of Python."""
    try:
        lines = log.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    except OSError:
        return None
    last = next((line for line in reversed(lines) if line.strip()), "")
    return last if re.match(r"error: |[\w.]+(Error|Exception)\b", last) else None


def prepare_environment(config: Config, project: Path | str) -> None:
    """Set the environment that jobs inherit: where ``reflash`` is, the mirror, accepted terms.

    ``reflash`` of the environment that runs Snakemake is found also where that is not activated,
    and imports the source of this project where it has one, so that a copied project never runs
    another one's code. A mirror reaches jobs this way and not as a parameter, because fetching
    the same images from elsewhere is no reason to train again.
    """
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    source = Path(project) / "src"
    if (source / "reflash").is_dir():
        others = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(source), *([others] if others else [])])
    if config.mirror is not None:
        os.environ["REFLASH_MIRROR"] = config.mirror
    if config.accept_terms:
        os.environ["REFLASH_ACCEPT_TERMS"] = "1"


def prepare_training(plan: Plan, one_by_one: bool) -> None:
    """Set the environment that trainings inherit: which runs go together, where curves go.

    Like the mirror these are no parameters of a rule: training with others or watching a training
    is no reason to train again.
    """
    if plan.scale.runs_per_job and one_by_one:
        os.environ["REFLASH_TOGETHER"] = plan.files.results
    if plan.scale.training.tensorboard:
        os.environ["REFLASH_TENSORBOARD"] = plan.files.tensorboard


def run_groups(plan: Plan) -> dict[str, tuple[str, str]]:
    """Return, for every run, the names of the submitted jobs that train and evaluate it.

    A submitted job costs some ten seconds of processor time and half a minute of waiting, so that
    the jobs of several runs travel together: a batch is trained in one, two batches are evaluated
    in one. Bicubic, which uses no GPU, has one to itself.
    """
    numbers: dict[tuple[str, ...], int] = {}
    found = {"bicubic": ("", "evaluate-bicubic")}
    others = 0
    for run in plan.all_runs:
        batch = plan.batches.get(run)
        if batch is None:
            found[run] = ("", f"evaluate-others-{others // EVALUATED_TOGETHER}")
            others += 1
        else:
            number = numbers.setdefault(batch, len(numbers))
            found[run] = (f"train-{number}", f"evaluate-{number // 2}")
    return found


def require_makers(rules: Iterable[Any], needed: Iterable[str]) -> None:
    """Check that some rule makes every file a study needs, or that it is there already.

    Snakemake takes a job whose inputs nobody can make for up to date as long as its outputs
    exist, so that a name no rule understands would silently leave old results in place.

    Parameters
    ----------
    rules
        Snakemake's rules, with ``is_producer(file)``.
    needed
        Files, relative to the project.

    Raises
    ------
    ReflashError
        A file is missing and no rule makes it.
    """
    makers = list(rules)
    for file in needed:
        if not any(rule.is_producer(file) for rule in makers) and not Path(file).exists():
            raise ReflashError(
                f"{file}: the study needs it, no rule makes it and it is not there; restore it, or "
                "correct the name in config/"
            )


def text(settings: BaseModel | Mapping[str, Any]) -> str:
    """Return settings as the JSON text that a command takes."""
    values = settings.model_dump(mode="json") if isinstance(settings, BaseModel) else settings
    return json.dumps(values, sort_keys=True)


def folder_key(folder: Path | None, recursive: bool = False) -> str:
    """Return a hash of the images in a user's own folder: names and bytes; empty where none is.

    As a parameter of a rule it makes another image in the folder rerun it, whatever characters
    the names hold, and a touched file does not.
    """
    if folder is None:
        return ""
    try:
        images = list_images(folder, recursive)
    except ReflashError:  # the rule's command says what is wrong
        return "unreadable"
    try:
        known = json.loads(Path(HASHES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    before, total = dict(known), hashlib.sha256()
    for path in images:
        try:
            state = path.stat()
            stamp = f"{state.st_size} {state.st_mtime_ns}"
            name = str(path.absolute()).encode("utf-8", "surrogateescape").hex()
            if known.get(name, [""])[0] != stamp:
                known[name] = [stamp, hashlib.sha256(path.read_bytes()).hexdigest()]
            content = known[name][1]
        except OSError:
            content = "unreadable"
        total.update(f"{os.fsencode(path.relative_to(folder)).hex()} {content}\n".encode())
    if known != before:
        write_json(HASHES, known)
    return total.hexdigest()[:20]


def external_key(plan: Plan, run: str) -> str:
    """Return a hash of what an external network is made from; empty for one trained here.

    As a parameter of a rule it makes another weights file, or a changed factory, rerun what shows
    the network, whatever the times of the files.
    """
    external = plan.external(run)
    if external is None:
        return ""
    parts = []
    public = plan.public_weights(run)
    if public is not None:  # known before it is fetched, whatever source has it
        parts.append(public.sources[0].sha256[:20])
    elif external.weights is not None:
        path = Path(external.weights)
        try:
            state = path.stat()
        except OSError:  # the rule's command says what is wrong
            return "unreadable"
        parts.append(_file_hash(path, state.st_size, state.st_mtime_ns))
    if external.factory is not None:
        from reflash.models.factory import factory_code  # imports torch

        parts.append(factory_code(external.factory))
    return "-".join(parts)


@cache
def _file_hash(path: Path, size: int, time: int) -> str:
    """Return a hash of a file's content, found once for each size and time of change."""
    return file_hash(path)[:20]


def artefact_title(path: Path | str) -> str:
    """Return the title of a table or figure from its JSON; its name where that is not made yet."""
    try:
        return str(json.loads(Path(path).read_text(encoding="utf-8"))["title"])
    except (OSError, ValueError, KeyError):
        return Path(path).stem
