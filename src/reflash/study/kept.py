"""Results of record: what a repository can hold of a study's runs.

Weights and images are DVC's (`reflash.study.store`). Records, logs, scores of every image and
tables of analyses are small: with them beside its tables a study can be looked into, and its
claims, tables and figures (but those of images) are made again without training anything.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.files import atomic, require_file
from reflash.study.inputs import needed_files
from reflash.study.saved import open_results
from reflash.training.record import RECORD, check_record

KEPT = "runs"
"""Folder in a study's results that holds them, NETWORK/SETTING/DROPOUT/seedN below it."""


def keep(results: Path | str) -> list[Path]:
    """Copy records, logs, scores and analyses of a study's runs into its results.

    What was kept of other runs before is removed.

    Parameters
    ----------
    results : path
        Folder of the study's results, such as ``results/cpu/record``.

    Returns
    -------
    list of Path
        The files written, below ``results/runs``. To make claims, tables and figures from them,
        copy them to where the scale's runs lie, ``results/SCALE/runs``.

    Raises
    ------
    ReflashError
        The results are those of the scale's own study, whose runs lie there already; a run is not
        finished or its weights are not those of its record, or an evaluation or analysis is
        missing. Nothing is then copied.
    """
    results = Path(results)
    plan, root = open_results(results)
    runs = Path(plan.files.runs)
    if (results / KEPT).resolve() == (root / runs).resolve():
        raise ReflashError(
            f"{results}: its {KEPT} are the scale's own; give a study with a name of its own"
        )
    for run in plan.trained_runs:
        problems = check_record(root / runs / run, run)
        if problems:
            raise ReflashError(problems[0])
    read = [Path(file) for file in needed_files(plan)]
    names = [file.relative_to(runs) for file in read if file.is_relative_to(runs)]
    names = [name for name in names if name.suffix == ".csv" and name.name != "manifest.csv"]
    names += [Path(run) / RECORD for run in plan.trained_runs]
    for name in names:
        require_file(root / runs / name, "make it with the workflow (snakemake)")
    written = []
    for name in names:
        with atomic(results / KEPT / name) as temporary:
            shutil.copyfile(root / runs / name, temporary)
        written.append(results / KEPT / name)
    for path in (results / KEPT).rglob("*"):  # of models and sets that the study has no longer
        if path.suffix in (".csv", ".json") and path not in written:
            path.unlink()
    return written
