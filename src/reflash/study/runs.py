"""Runs as they are on disk: their records, what has changed since, and protecting finished ones.

A finished run carries ``run.json``: its settings, the fingerprint of the training code, what its
training pairs were made from, the hashes of its weights, versions, commit and time. Here it is
compared with what the plan asks for now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.fingerprint import stage_fingerprint
from reflash.study.context import Context, first
from reflash.study.plan import Plan
from reflash.study.workflow import folder_key, text
from reflash.training.record import Record, check_record, differences, read_record


@dataclass(frozen=True)
class RunState:
    """One run as it is on disk."""

    run: str
    planned: bool
    """Whether the study asks for it."""
    state: str
    """``finished``, ``begun`` (a saved state waits to be resumed) or ``missing``."""
    record: Record | None
    """Its ``run.json``, where there is one."""
    changes: tuple[str, ...]
    """What has changed since it was trained: settings by key, code, training images."""
    problems: tuple[str, ...]
    """What does not agree with its record, such as other weights."""

    @property
    def hours(self) -> float:
        """Recorded hours of training."""
        return self.record.seconds / 3600 if self.record else 0.0


def made_from(plan: Plan, run: str) -> str:
    """Hash what the training pairs of a run are made from: images, their settings, the code."""
    images = [text(plan.scale.training_images), folder_key(*plan.own_images("training"))]
    stages = ["images", "cache"]
    if plan.scale.pairs.synthesis == "pool":
        images.append(text(plan.pool_settings(run.split("/")[1])))
        stages.append("pairs")
    parts = [*images, *(stage_fingerprint(stage) for stage in stages)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def run_state(plan: Plan, run: str, root: Path | str = ".", verify: bool = True) -> RunState:
    """Return what is on disk of a run, and how it differs from the plan.

    With ``verify`` its weights are hashed and compared with the record.
    """
    folder = Path(root) / plan.files.run(run)
    record = read_record(folder)
    weights = Path(root) / plan.files.weights(run, plan.scale.evaluation.weights)
    if weights.is_file():
        state = "finished"
    else:
        begun = folder.is_dir() and any(folder.glob("state-*.pt"))
        state = "begun" if begun else "missing"
    planned = run in plan.trained_runs
    with chdir(root):  # to which folders and files of one's own are relative
        changes = tuple(_changes(plan, run, record)) if planned and record else ()
    problems = tuple(check_record(folder, run)) if verify and state == "finished" else ()
    return RunState(run, planned, state, record, changes, problems)


def all_states(plan: Plan, root: Path | str = ".", verify: bool = True) -> list[RunState]:
    """Return the state of the study's runs, then of the scale's other runs on disk."""
    folder = Path(root) / plan.files.runs
    here = sorted(path.parent for path in folder.glob("*/*/*/seed*/log.csv"))
    others = [path.relative_to(folder).as_posix() for path in here]
    return [
        run_state(plan, run, root, verify) for run in dict.fromkeys([*plan.trained_runs, *others])
    ]


def _changes(plan: Plan, run: str, record: Record) -> Iterable[str]:
    """Say what has changed since a run was recorded."""
    now = plan.run_settings(run).model_dump(mode="json")
    yield from (
        f"{key}: {before} -> {after}" for key, before, after in differences(record.settings, now)
    )
    if record.code != stage_fingerprint("training"):
        yield "the training code"
    if record.made_from not in ("", made_from(plan, run)):
        yield "the training images or pairs"


def protect_finished_runs(
    plan: Plan, root: Path | str = ".", again: Collection[str] | None = None
) -> None:
    """Stop before finished runs are replaced whose training took long.

    A run is at risk where it is finished and its settings, the training code or its images have
    changed since: Snakemake would train it again and remove the old weights first. Given the runs
    that it is about to train ``again``, those are at risk, whatever has changed.

    Raises
    ------
    ReflashError
        Runs at risk took more than ``protect_hours`` together and ``replace`` is not set.
    """
    config = plan.config
    if config.replace or config.weights != "trained":
        return
    states = [run_state(plan, run, root, verify=False) for run in plan.trained_runs]
    finished = [one for one in states if one.state == "finished"]
    risky = [one for one in finished if (one.changes if again is None else one.run in again)]
    hours = sum(one.hours for one in risky)
    if hours <= config.protect_hours:
        return
    changes = list(dict.fromkeys(change for one in risky for change in one.changes))
    why = f"these have changed since: {first(changes, 4)}"
    if again is not None:
        why = (
            "Snakemake would train them again (snakemake -n says why; of files that are only "
            "marked incomplete, snakemake --cleanup-metadata FILES tells it that they are whole)"
        )
    names = first([one.run for one in risky], 3)
    scale = plan.resolved.scale_name
    raise ReflashError(
        f"{len(risky)} finished run{'s' if len(risky) > 1 else ''} ({hours:.1f} hours of training) "
        f"would be replaced ({names}), because {why}. Nothing was "
        f"touched. To try the change beside them, put it into a scale file of its own "
        f"(config/scale/NAME.yaml with `extends: {scale}`) and run it with --config scale=NAME; "
        "to replace them, add --config replace=true."
    )


def study_context(plan: Plan, root: Path | str = ".") -> Context:
    """Return the context of the whole study, for the report."""
    return _with_records(plan.context(plan.models), root, plan)


def artefact_context(plan: Plan, kind: str, name: str, root: Path | str = ".") -> Context:
    """Return the context of one table or figure, with what is wrong with the weights it shows."""
    return _with_records(plan.artefact_context(kind, name), root, plan)


def _with_records(context: Context, root: Path | str, plan: Plan) -> Context:
    trained = [run for run in context.runs if run in plan.trained_runs]
    folder = Path(root) / plan.files.runs
    foreign = [run for run in trained if check_record(folder / run, run, weights="if any")]
    records = [read_record(folder / run) for run in trained if run not in foreign]
    ways = {record.precision for record in records if record and record.precision}
    found = {"not_recorded": tuple(foreign), "arithmetic": tuple(sorted(ways))}
    return context.model_copy(update=found)
