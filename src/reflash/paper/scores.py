"""Reading the evaluations of many runs, checking that they can be compared, averaging them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from reflash.core.errors import ReflashError
from reflash.core.files import read_csv, require_file
from reflash.models.names import BICUBIC
from reflash.study.context import Context

MEAN = "mean"
"""What the mean over the degradations is called where a degradation is named."""

METRIC_LABELS = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "psnr_y": "PSNR-Y (dB)",
    "ssim_y": "SSIM-Y",
}

_CHANNELS = {"psnr": "8-bit RGB", "ssim": "8-bit RGB"}


def metric_sentence(metric: str, context: Context) -> str:
    """Say what the numbers are: metric, unit, channels, border."""
    name = "PSNR in dB" if metric.startswith("psnr") else "SSIM"
    return (
        f"{name} on {_CHANNELS.get(metric, 'the BT.601 luma')}, border of {context.crop} pixels "
        "left out, mean over images."
    )


def read_table(path: Path | str, columns: Sequence[str], remedy: str) -> pd.DataFrame:
    """Read a CSV that must have ``columns`` and at least one row.

    Raises
    ------
    ReflashError
        The file is missing, empty, no CSV, or lacks a column.
    """
    path = require_file(path, remedy)
    try:
        table = read_csv(path)
    except ReflashError as error:
        raise ReflashError(f"{error}; {remedy}") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ReflashError(f"{path}: has no column {missing[0]!r}; {remedy}")
    if table.empty:
        raise ReflashError(f"{path}: holds no rows; {remedy}")
    return table


def read_scores(
    paths: Iterable[Path | str],
    context: Context,
    metric: str,
    kinds: Sequence[str],
    bicubic: bool = True,
) -> pd.DataFrame:
    """Average the images of every run, test set and degradation of the context.

    Parameters
    ----------
    paths
        Tables of `reflash.evaluation.evaluate`: run, set, kind, image and metrics. Runs, sets and
        kinds the context does not name are left aside.
    context
        Names the models, seeds and test sets there must be.
    metric
        Column that is averaged.
    kinds
        Degradations there must be; their mean is added under the name ``mean``.
    bicubic
        Whether the baseline is wanted too, where it was evaluated.

    Returns
    -------
    pandas.DataFrame
        Columns set, model, seed, kind, value, images; in the context's order with bicubic (seed
        -1) first where it was evaluated, kinds in order and then their mean.

    Raises
    ------
    ReflashError
        A file is missing, empty or lacks a column; a run was not evaluated, or evaluated twice, or
        on other images than the others.
    """
    table = _read_all(paths, context, metric, kinds)
    runs = context.runs
    if bicubic and (table["run"] == BICUBIC).any():
        runs = (BICUBIC, *runs)
    rows = []
    for name in context.test_sets:
        of_set = table[table["set"] == name]
        for run in runs:
            rows += _rows(of_set[of_set["run"] == run], name, run, metric, kinds)
        _check_same_images(of_set[of_set["run"].isin(runs)], name)
    return pd.DataFrame(rows)


def read_images(
    paths: Iterable[Path | str], context: Context, metric: str, kinds: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Average the kinds of every image, of all test sets of the context together.

    Parameters
    ----------
    paths, context, metric, kinds
        As in ``read_scores``.

    Returns
    -------
    dict of str to (seeds, images) float
        By model; seeds in the context's order, the same images in every column.

    Raises
    ------
    ReflashError
        As in ``read_scores``; or a value is infinite.
    """
    table = _read_all(paths, context, metric, kinds)
    table = table[table["run"].isin(list(context.runs))]
    have = set(table[["run", "set", "kind"]].itertuples(index=False, name=None))
    for key in product(context.runs, context.test_sets, kinds):
        if key not in have:
            raise _not_evaluated(*key)
    for name in context.test_sets:
        _check_same_images(table[table["set"] == name], name)
    whole = table.groupby(["run", "set", "image"])[metric].mean().unstack(["set", "image"])
    if not np.isfinite(whole.to_numpy()).all():
        raise ReflashError(f"column {metric!r}: holds infinite values; leave these images out")
    return {
        model: whole.loc[[f"{model}/seed{seed}" for seed in context.seeds]].to_numpy(np.float64)
        for model in context.models
    }


@dataclass(frozen=True)
class Mean:
    """A mean over seeds."""

    mean: float
    """Mean over seeds of the mean over images."""
    std: float
    """Sample standard deviation over seeds (n - 1); not a number for one seed."""
    seeds: int
    """How many seeds."""
    images: int
    """How many images."""


def over_seeds(scores: pd.DataFrame) -> dict[tuple[str, str, str], Mean]:
    """Average ``read_scores`` (or ``gains``) over seeds; keys are set, model and kind."""
    groups = scores.groupby(["set", "model", "kind"], sort=False)
    stats = groups["value"].agg(["mean", "std", "size"]).join(groups["images"].first())
    return {
        (str(line["set"]), str(line["model"]), str(line["kind"])): Mean(
            float(line["mean"]), float(line["std"]), int(line["size"]), int(line["images"])
        )
        for line in stats.reset_index().to_dict("records")
    }


def gains(scores: pd.DataFrame, model: str, baseline: str) -> pd.DataFrame:
    """Return ``scores`` of ``model`` less those of ``baseline``, seed by seed."""
    keys = ["set", "seed", "kind"]
    reference = scores[scores["model"] == baseline].set_index(keys)["value"]
    own = scores[scores["model"] == model].copy()
    pairs = list(own[keys].itertuples(index=False, name=None))
    own["value"] = own["value"].to_numpy() - reference.loc[pairs].to_numpy()
    return own


def image_counts(scores: pd.DataFrame) -> dict[str, int]:
    """Return the number of images of every test set."""
    counts = scores.groupby("set", sort=False)["images"].max()
    return {str(name): int(count) for name, count in counts.items()}


def _read_all(
    paths: Iterable[Path | str], context: Context, metric: str, kinds: Sequence[str]
) -> pd.DataFrame:
    """Read all rows of the context's test sets and ``kinds``: run, set, kind, image, metric."""
    remedy = "evaluate the run again with reflash evaluate"
    parts = []
    for path in paths:
        part = read_table(path, ("run", "set", "kind", "image", metric), remedy)
        if not is_numeric_dtype(part[metric]) or part[metric].isna().any():
            raise ReflashError(f"{path}: column {metric!r} holds other than numbers; {remedy}")
        parts.append(part[["run", "set", "kind", "image", metric]].assign(path=str(path)))
    if not parts:
        raise ReflashError("evaluations: no file is given; name the CSV files of reflash evaluate")
    table = pd.concat(parts, ignore_index=True)
    table = table[table["kind"].isin(kinds) & table["set"].isin(context.test_sets)]
    _check_unique(table)
    return table


def _not_evaluated(run: str, name: str, kind: str) -> ReflashError:
    return ReflashError(
        f"run {run}: no evaluation on {name} ({kind}) among the files given; "
        "evaluate it with reflash evaluate"
    )


def _rows(
    table: pd.DataFrame, name: str, run: str, metric: str, kinds: Sequence[str]
) -> list[dict[str, object]]:
    model, _, seed = run.partition("/seed")
    means = table.groupby("kind")[metric].mean()
    counts = table.groupby("kind").size()
    absent = [kind for kind in kinds if kind not in means.index]
    if absent:
        raise _not_evaluated(run, name, absent[0])
    key = {"set": name, "model": model, "seed": int(seed) if seed else -1}
    rows: list[dict[str, object]] = [
        {**key, "kind": kind, "value": float(means[kind]), "images": int(counts[kind])}
        for kind in kinds
    ]
    mean = sum(float(means[kind]) for kind in kinds) / len(kinds)
    return [*rows, {**key, "kind": MEAN, "value": mean, "images": int(max(counts))}]


def _check_unique(table: pd.DataFrame) -> None:
    twice = table[table.duplicated(["run", "set", "kind", "image"])]
    if len(twice):
        row = twice.iloc[0]
        raise ReflashError(
            f"{row['path']}: {row['run']} on {row['set']}/{row['kind']}/{row['image']} was given "
            "before; name each evaluation once"
        )


def _check_same_images(table: pd.DataFrame, name: str) -> None:
    """All runs and degradations of one set must be means over the same images."""
    names = table.groupby(["run", "kind"], sort=False)["image"].agg(frozenset)
    expected = names.iloc[0]
    for line in names.reset_index().to_dict("records"):
        if line["image"] != expected:
            other = sorted(map(str, line["image"] ^ expected))[0]
            raise ReflashError(
                f"run {line['run']}: was evaluated on other images of {name} ({line['kind']}) than "
                f"{names.index[0][0]}, e.g. {other}; evaluate both on the same images"
            )
