"""From per-image rows to means."""

from __future__ import annotations

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
