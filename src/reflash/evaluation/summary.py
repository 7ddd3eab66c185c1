"""From per-image rows to means."""

from __future__ import annotations

from typing import Any

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


def nested_psnr(table: pd.DataFrame) -> dict[str, Any]:
    """Return run -> set -> kind -> mean PSNR over images (dB), for ``dvc metrics``."""
    nested: dict[str, Any] = {}
    means = mean_table(table)
    keys = zip(*(means[key].astype(str) for key in _KEYS), strict=True)
    for (run, test_set, kind), psnr in zip(keys, means["psnr"], strict=True):
        nested.setdefault(run, {}).setdefault(test_set, {})[kind] = round(float(psnr), 4)
    return nested
