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


def main_psnr(table: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Average the PSNR of the models of the main comparison over images, degradations and seeds.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `evaluate`, with the rows of every run of the models.
    labels : mapping of str to str
        Names shown of the models (network/setting/dropout, or bicubic), in the order wanted.

    Returns
    -------
    pandas.DataFrame
        Columns ``name`` (label and test set), ``label``, ``set`` and ``psnr`` (dB: of the means
        over images the mean over degradations, of these the mean over seeds).
    """
    means = mean_table(table).groupby(["run", "set"], sort=False, observed=True)["psnr"].mean()
    runs = means.reset_index()
    runs["model"] = runs["run"].astype(str).str.replace(r"/seed\d+$", "", regex=True)
    of_model = runs.groupby(["model", "set"], sort=False, observed=True)["psnr"].mean()
    rows = [
        (f"{label} on {test_set}", label, test_set, float(of_model[model, test_set]))
        for model, label in labels.items()
        for test_set in dict.fromkeys(runs["set"])
    ]
    return pd.DataFrame(rows, columns=["name", "label", "set", "psnr"])
