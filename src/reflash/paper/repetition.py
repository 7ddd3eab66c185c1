"""Runs made again: how they compare with those that are on record somewhere else.

On the same kind of machine a run ends with the same bytes. On another, rounding differs, training
carries it on, and the validation curves say how far.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reflash.core.errors import ReflashError
from reflash.paper.logs import validated_kinds
from reflash.paper.scores import read_table
from reflash.study.runs import differences
from reflash.training.record import LOG, RECORD, Record, require_record

REMEDY = "train the run again with reflash train --again"
MACHINE = ("device", "processor", "precision", "threads", "runs_together")
"""What a record says of where and how a run was computed; versions come on top."""


@dataclass(frozen=True)
class Repetition:
    """A run beside the recorded one of the same name."""

    run: str
    equal: bool
    """Whether raw and averaged weights are the same bytes."""
    recipe: tuple[str, ...]
    """Which settings differ, and whether training images or code do."""
    machine: tuple[str, ...]
    """What differs in where and how it was computed."""
    largest: float
    """Largest difference of a validated PSNR of any kind, in dB, over the whole training."""
    last: float
    """Difference of the mean validated PSNR after the last iteration, in dB."""

    def __str__(self) -> str:
        if self.equal:
            return "bit for bit as recorded"
        why = "; ".join((*self.recipe, *self.machine)) or "nothing that is recorded differs"
        return (
            f"{self.last:+.3f} dB after the last iteration, {self.largest:.3f} dB off at most "
            f"in between ({why})"
        )


def compare_runs(runs: Path | str, recorded: Path | str) -> list[Repetition]:
    """Compare the finished runs of a folder with those of the same names in another.

    Parameters
    ----------
    runs, recorded : path
        Folders of runs, NETWORK/SETTING/DROPOUT/seedN below each. Of the recorded ones ``run.json``
        and ``log.csv`` are read, not their weights.

    Raises
    ------
    ReflashError
        ``recorded`` holds no record, a file is damaged, or two logs validate other iterations.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     try:
    ...         compare_runs(folder, "nowhere")
    ...     except ReflashError as error:
    ...         print(error)
    nowhere: no records of runs below it; name a folder like results/cpu/record/runs
    """
    runs, recorded = Path(runs), Path(recorded)
    records = sorted(recorded.glob(f"*/*/*/seed*/{RECORD}"))
    if not records:
        raise ReflashError(
            f"{recorded}: no records of runs below it; name a folder like results/cpu/record/runs"
        )
    found = []
    for path in records:
        name = path.parent.relative_to(recorded)
        if (runs / name / LOG).is_file():
            found.append(_compare(name.as_posix(), runs / name, path.parent))
    return found


def _compare(run: str, folder: Path, recorded: Path) -> Repetition:
    now, before = require_record(folder), require_record(recorded)
    log, old = (_curves(one) for one in (folder, recorded))
    shared = log.index.intersection(old.index)
    if log.index[-1] != old.index[-1]:
        raise ReflashError(
            f"{folder / LOG}: ends at iteration {log.index[-1]}, {recorded / LOG} at "
            f"{old.index[-1]}; compare runs of the same length"
        )
    apart = (log.loc[shared] - old.loc[shared]).dropna(axis="columns")
    return Repetition(
        run=run,
        equal=now.weights == before.weights,
        recipe=tuple(_recipe(before, now)),
        machine=tuple(_machine(before, now)),
        largest=float(apart.abs().to_numpy().max()),
        last=float(apart["psnr"].iloc[-1]),
    )


def _curves(folder: Path) -> pd.DataFrame:
    log = read_table(folder / LOG, ("iteration", "psnr"), REMEDY).set_index("iteration")
    curves = log[["psnr", *(f"psnr_{kind}" for kind in validated_kinds([log]))]]
    numbers = curves.apply(pd.to_numeric, errors="coerce")
    if not np.isfinite(numbers).all(axis=None):
        raise ReflashError(f"{folder / LOG}: contains a PSNR that is not a number; {REMEDY}")
    return numbers


def _recipe(before: Record, now: Record) -> list[str]:
    changed = [_arrow(*one) for one in differences(before.settings, now.settings)]
    if before.data != now.data:
        changed.append("other training pairs")
    if before.code != now.code:
        changed.append("other training code")
    return changed


def _machine(before: Record, now: Record) -> list[str]:
    old = {name: getattr(before, name) for name in MACHINE} | before.versions
    new = {name: getattr(now, name) for name in MACHINE} | now.versions
    return [_arrow(name, old.get(name), new[name]) for name in new if old.get(name) != new[name]]


def _arrow(name: str, before: Any, after: Any) -> str:
    return f"{name}: {before} -> {after}"
