"""Reading the evaluations of many runs, checking that they can be compared, averaging them.

``read_table``, ``read_rows`` and ``same_images`` read and check any result of the pipeline that is
a CSV with a row per run and something else; ``reflash.paper.analyses`` uses them too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from reflash.core.errors import ReflashError
from reflash.core.files import read_csv, require_file
from reflash.degradations.settings import KINDS
from reflash.evaluation.metrics import PERFECT_PSNR
from reflash.models.names import BICUBIC, runs_of
from reflash.study.context import Context

KINDS_OF = {"single": ("clean",), "multi": KINDS}
"""What models of a setting are tested on: what they were trained for."""

MEAN = "mean"
"""What the mean over the degradations is called where a degradation is named."""

METRIC_LABELS = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "psnr_y": "PSNR-Y (dB)",
    "ssim_y": "SSIM-Y",
}

_CHANNELS = {"psnr": "8-bit RGB", "ssim": "8-bit RGB"}


def metric_name(metric: str) -> str:
    """Return the short name of a metric.

    >>> metric_name("psnr_y")
    'PSNR-Y'
    """
    return METRIC_LABELS[metric].split(" ")[0]


def metric_sentence(metric: str, context: Context) -> str:
    """Say what the numbers are: metric, unit, channels, border."""
    name = "PSNR in dB" if metric.startswith("psnr") else "SSIM"
    return (
        f"{name} on {_CHANNELS.get(metric, 'the BT.601 luma')}, border of {context.crop} pixels "
        "left out, mean over images."
    )


def perfect_sentence(count: int) -> str:
    """Say how many images of all runs and degradations were reproduced exactly; nothing for none.

    >>> perfect_sentence(2)
    '2 images of all runs and degradations were reproduced exactly and count as 100 dB.'
    """
    if not count:
        return ""
    words = ("image", "was", "counts") if count == 1 else ("images", "were", "count")
    return "{} {} of all runs and degradations {} reproduced exactly and {} as {:g} dB.".format(
        count, *words, PERFECT_PSNR
    )


class ColumnMissingError(ReflashError):
    """A CSV lacks a column, as one does that was made without a metric."""


def read_table(path: Path | str, columns: Sequence[str], remedy: str) -> pd.DataFrame:
    """Read a CSV that must have ``columns`` and at least one row.

    Raises
    ------
    ReflashError
        The file is missing, empty or not a CSV; ``ColumnMissingError``: it lacks a column.
    """
    path = require_file(path, remedy)
    try:
        table = read_csv(path)
    except ReflashError as error:
        raise ReflashError(f"{error}; {remedy}") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ColumnMissingError(f"{path}: has no column {missing[0]!r}; {remedy}")
    if table.empty:
        raise ReflashError(f"{path}: has no rows; {remedy}")
    return table


def read_rows(
    paths: Iterable[Path | str],
    command: str,
    keys: Sequence[str],
    values: Sequence[str],
    only: Mapping[str, Collection[str]],
) -> pd.DataFrame:
    """Read the CSVs of one subcommand, one or several runs each, as one table.

    Parameters
    ----------
    paths
        CSV files.
    command
        The subcommand of ``reflash`` that makes them, e.g. ``evaluate``.
    keys
        Columns that tell rows apart, the run's first.
    values
        Columns of finite numbers.
    only
        Column -> what is kept of it; other rows are left out.

    Returns
    -------
    pandas.DataFrame
        Columns keys and values, rows as in the files.

    Raises
    ------
    ReflashError
        No file is given; one is missing, empty or lacks a column; a value is not a number; a row
        is there twice.
    """
    remedy = f"regenerate it with reflash {command}"
    parts = []
    for path in paths:
        part = read_table(path, (*keys, *values), remedy)
        for value in values:
            if not is_numeric_dtype(part[value]) or not np.isfinite(part[value]).all():
                raise ReflashError(
                    f"{path}: column {value!r} contains non-numeric values; {remedy}"
                )
        parts.append(part[[*keys, *values]].assign(path=str(path)))
    if not parts:
        raise ReflashError(f"{command}: no file is given; name the CSV files of reflash {command}")
    table = pd.concat(parts, ignore_index=True)
    for column, kept in only.items():
        table = table[table[column].isin(list(kept))]
    twice = table[table.duplicated(list(keys))]
    if len(twice):
        row = twice.iloc[0]
        where = "/".join(str(row[key]) for key in keys[1:])
        raise ReflashError(
            f"{row['path']}: {row[keys[0]]} ({where}) was given before; name it once"
        )
    return table.drop(columns="path").reset_index(drop=True)


def same_images(
    table: pd.DataFrame,
    by: Sequence[str] = ("model", "seed"),
    label: str = "run {}/seed{}",
) -> list[str]:
    """Return the images that all groups of ``table`` have, in order.

    Parameters
    ----------
    table
        Has a column ``image`` and the columns ``by``.
    by
        What makes a group: by default a run.
    label
        How an error names a group; one pair of braces for each of ``by``.

    Raises
    ------
    ReflashError
        A group has other images than the first one.
    """
    expected: list[str] | None = None
    first = ""
    for key, rows in table.groupby(list(by), sort=False):
        images = [str(image) for image in dict.fromkeys(rows["image"])]
        name = label.format(*key)
        if expected is None:
            expected, first = images, name
        elif set(images) != set(expected):
            other = sorted(set(images) ^ set(expected))[0]
            raise ReflashError(
                f"{name}: made from other images than {first}, e.g. {other}; use the same images "
                "for both"
            )
    return expected or []


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
        kinds the context does not name are left out.
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
        Columns set, model, seed, kind, value, images, perfect (how many of them were
        reproduced exactly, where the metric is PSNR; for the mean, of all kinds); in the context's
        order with bicubic (seed -1) first where it was evaluated, kinds in order and then their
        mean.

    Raises
    ------
    ReflashError
        A file is unusable (see ``read_rows``); a run was not evaluated, or on other images than
        the others.
    """
    table = _evaluations(paths, context, (metric,), kinds)
    runs = context.runs
    if bicubic and (table["run"] == BICUBIC).any():
        runs = (BICUBIC, *runs)
    rows = []
    for name in context.test_sets:
        of_set = table[table["set"] == name]
        for run in runs:
            rows += _rows(of_set[of_set["run"] == run], name, run, metric, kinds)
        _check_images(of_set[of_set["run"].isin(runs)])
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
        By model; seeds in the context's order (of an external model one), the same images in every
        column.

    Raises
    ------
    ReflashError
        As in ``read_scores``.
    """
    values = read_values(paths, context, (metric,), kinds)
    return {model: of_model[..., 0].mean(axis=2) for model, of_model in values.items()}


def read_values(
    paths: Iterable[Path | str], context: Context, metrics: Sequence[str], kinds: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Read several metrics of every image and kind, of all test sets of the context together.

    Parameters
    ----------
    paths, context, kinds
        As in ``read_scores``.
    metrics
        Columns.

    Returns
    -------
    dict of str to (seeds, images, kinds, metrics) float
        By model; seeds in the context's order (of an external model one), the same images for
        every model.

    Raises
    ------
    ReflashError
        As in ``read_scores``.
    """
    table = _evaluations(paths, context, metrics, kinds)
    table = table[table["run"].isin(list(context.runs))]
    have = set(table[["run", "set", "kind"]].itertuples(index=False, name=None))
    for key in product(context.runs, context.test_sets, kinds):
        if key not in have:
            raise _not_evaluated(*key)
    for name in context.test_sets:
        _check_images(table[table["set"] == name])
    whole = table.set_index(["run", "set", "image", "kind"])[list(metrics)]
    images = sorted(set(table[["set", "image"]].itertuples(index=False, name=None)))
    shape = (-1, len(images), len(kinds), len(metrics))
    return {
        model: whole.loc[
            [
                (run, *image, kind)
                for run in runs_of(model, context.seeds)
                for image in images
                for kind in kinds
            ]
        ]
        .to_numpy(np.float64)
        .reshape(shape)
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
    perfect: int = 0
    """How many of them were reproduced exactly, in all seeds together."""


def over_seeds(scores: pd.DataFrame) -> dict[tuple[str, str, str], Mean]:
    """Average ``read_scores`` (or ``gains``) over seeds; keys are set, model and kind."""
    groups = scores.groupby(["set", "model", "kind"], sort=False)
    stats = groups["value"].agg(["mean", "std", "size"]).join(groups["images"].first())
    if "perfect" in scores:
        stats = stats.join(groups["perfect"].sum())
    return {
        (str(line["set"]), str(line["model"]), str(line["kind"])): Mean(
            float(line["mean"]),
            float(line["std"]),
            int(line["size"]),
            int(line["images"]),
            int(line.get("perfect", 0)),
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


def _evaluations(
    paths: Iterable[Path | str], context: Context, metrics: Sequence[str], kinds: Sequence[str]
) -> pd.DataFrame:
    """Read the rows of the context's test sets and ``kinds``: run, set, kind, image, metrics."""
    only = {"kind": kinds, "set": context.test_sets}
    return read_rows(paths, "evaluate", ("run", "set", "kind", "image"), metrics, only)


def _check_images(table: pd.DataFrame) -> None:
    """All runs and degradations of one set must be means over the same images."""
    same_images(table, ("run", "set", "kind"), "run {} on {} ({})")


def _not_evaluated(run: str, name: str, kind: str) -> ReflashError:
    return ReflashError(
        f"run {run}: no evaluation on {name} ({kind}) among the files given; "
        "evaluate it with reflash evaluate"
    )


def _rows(
    table: pd.DataFrame, name: str, run: str, metric: str, kinds: Sequence[str]
) -> list[dict[str, object]]:
    model, _, seed = run.rpartition("/seed") if "/seed" in run else (run, "", "")
    means = table.groupby("kind")[metric].mean()
    counts = table.groupby("kind").size()
    perfect = (table[metric] >= PERFECT_PSNR).groupby(table["kind"]).sum()
    absent = [kind for kind in kinds if kind not in means.index]
    if absent:
        raise _not_evaluated(run, name, absent[0])
    key = {"set": name, "model": model, "seed": int(seed) if seed else -1}
    rows: list[dict[str, object]] = [
        {
            **key,
            "kind": kind,
            "value": float(means[kind]),
            "images": int(counts[kind]),
            "perfect": int(perfect[kind]),
        }
        for kind in kinds
    ]
    mean = {
        "kind": MEAN,
        "value": sum(float(means[kind]) for kind in kinds) / len(kinds),
        "images": int(max(counts)),
        "perfect": int(perfect[list(kinds)].sum()),
    }
    return [*rows, key | mean]
