"""Reading the training logs of many runs, and checking that they can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from reflash.core.errors import ReflashError
from reflash.paper.scores import read_table
from reflash.study.context import Context

AVERAGED = "the moving average of the weights, which sets out from the initial ones"
"""What is validated while training; early on it is behind the weights."""

_REMEDY = "train the run again with reflash train"


def read_logs(paths: Iterable[Path | str], context: Context) -> dict[str, pd.DataFrame]:
    """Read the training log of every run of the context.

    Returns
    -------
    dict of str to pandas.DataFrame
        By run in the context's order: a row per validation, columns iteration, psnr (dB, mean
        over the kinds validated) and ``psnr_KIND`` of each.

    Raises
    ------
    ReflashError
        A log is missing, empty or lacks a column, a run has none or two, or the seeds of a model
        were validated at different iterations.
    """
    found: dict[str, tuple[str, pd.DataFrame]] = {}
    for path in paths:
        table = read_table(path, ("run", "iteration", "psnr"), _REMEDY)
        for name, rows in table.groupby("run", sort=False):
            run = str(name)
            measured = ["psnr", *(f"psnr_{kind}" for kind in validated_kinds([rows]))]
            numbers = rows[["iteration", *measured]].apply(pd.to_numeric, errors="coerce")
            finite = np.isfinite(numbers).all(axis=None)
            if not finite or not (numbers["iteration"].diff()[1:] > 0).all():
                what = "iteration does not rise" if finite else "a psnr is no number"
                raise ReflashError(f"{path}: run {run}: {what}; {_REMEDY}")
            if run in found:
                raise ReflashError(f"{path}: run {run} was given before; name each log once")
            found[run] = (str(path), rows)
    for model in context.models:
        runs = [f"{model}/seed{seed}" for seed in context.seeds]
        for run in runs:
            if run not in found:
                raise ReflashError(f"run {run}: no log among the files given; {_REMEDY}")
        first = found[runs[0]][1]["iteration"].tolist()
        for run in runs[1:]:
            path, rows = found[run]
            if rows["iteration"].tolist() != first:
                raise ReflashError(
                    f"{path}: was validated at other iterations than {runs[0]}; {_REMEDY}"
                )
    return {run: found[run][1] for run in context.runs}


def logged_models(paths: Iterable[Path | str], context: Context) -> tuple[str, ...]:
    """Return the context's models of which every run has a log among ``paths``, in order.

    Raises
    ------
    ReflashError
        A log is missing, empty or names no runs.
    """
    runs = {str(run) for path in paths for run in read_table(path, ("run",), _REMEDY)["run"]}
    return tuple(
        m for m in context.models if all(f"{m}/seed{seed}" in runs for seed in context.seeds)
    )


def validated_kinds(tables: Iterable[pd.DataFrame]) -> list[str]:
    """Return the kinds that some logs have a column of, in order of appearance."""
    names = (column for table in tables for column in table.columns)
    return list(dict.fromkeys(n.removeprefix("psnr_") for n in names if n.startswith("psnr_")))
