"""From per-image rows to means."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

_KEYS = ["run", "set", "kind"]


def mean_table(table: pd.DataFrame) -> pd.DataFrame:
    """Average the metrics of a table of `evaluate` over images.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``run, set, kind, image`` and metrics.

    Returns
    -------
    pandas.DataFrame
        Columns ``run, set, kind``, the metrics' means and ``images``, the number of images
        averaged, in the order in which run, set and kind first appear.
    """
    metrics = [name for name in table.columns if name not in (*_KEYS, "image")]
    groups = table.groupby(_KEYS, sort=False, observed=True)
    means = groups[metrics].mean()
    means["images"] = groups.size()
    return means.reset_index()


def mean_psnr(table: pd.DataFrame) -> pd.DataFrame:
    """Return name, run, set and psnr (dB): the mean over kinds of the means over images."""
    means = mean_table(table).groupby(["run", "set"], sort=False, observed=True)["psnr"].mean()
    bars = means.reset_index()
    bars.insert(0, "name", bars["run"].astype(str) + " on " + bars["set"].astype(str))
    return bars


def main_psnr(bars: pd.DataFrame, test_set: str, labels: Mapping[str, str]) -> dict[str, float]:
    """Return label -> PSNR (dB) on one test set, mean over seeds, for ``dvc metrics show``.

    Parameters
    ----------
    bars : pandas.DataFrame
        Of :func:`mean_psnr`.
    test_set : str
        The set that is shown.
    labels : mapping of str to str
        Names shown of the models (network/setting/dropout, or bicubic) that are shown.
    """
    shown = bars[bars["set"] == test_set]
    models = shown["run"].str.replace(r"/seed\d+$", "", regex=True)
    means = shown["psnr"].groupby(models).mean()
    return {label: round(float(means[model]), 4) for model, label in labels.items()}
