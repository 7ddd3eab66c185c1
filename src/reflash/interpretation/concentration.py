"""How unequally a layer's saliency is shared among its channels, in two numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


def gini(values: ArrayLike) -> float:
    """Return the Gini coefficient of non-negative values.

    Half the mean absolute difference of all pairs over the mean: 0 if all are equal,
    ``1 - 1 / n`` if one of n holds everything. All zero counts as equal.

    Parameters
    ----------
    values : (n,) array of float, not negative, n at least 1
    """
    ordered = np.sort(_checked(values))
    total = ordered.sum()
    if total == 0:
        return 0.0
    n = ordered.size
    ranks = np.arange(1, n + 1)
    return max(0.0, float(((2 * ranks - n - 1) * ordered).sum() / (n * total)))  # not -3e-17


def normalised_entropy(values: ArrayLike) -> float:
    """Return the Shannon entropy of the values' shares of their sum, over its maximum log n.

    1 if all are equal, 0 if one holds everything. All zero, or a single value, counts as equal.

    Parameters
    ----------
    values : (n,) array of float, not negative, n at least 1
    """
    array = _checked(values)
    total = array.sum()
    if total == 0 or array.size == 1:
        return 1.0
    shares = array / total
    shares = shares[shares > 0]
    return abs(float((shares * np.log(shares)).sum() / np.log(array.size)))


def concentration_table(saliency: pd.DataFrame) -> pd.DataFrame:
    """Summarise channel saliency per layer.

    Parameters
    ----------
    saliency : pandas.DataFrame
        Columns ``run, image, layer, channel, saliency``.

    Returns
    -------
    pandas.DataFrame
        Columns ``run, image, layer, gini, entropy``, in the order of first appearance.
    """
    rows = [
        (*keys, gini(group), normalised_entropy(group))
        for keys, group in saliency.groupby(["run", "image", "layer"], sort=False)["saliency"]
    ]
    return pd.DataFrame(rows, columns=["run", "image", "layer", "gini", "entropy"])


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64).ravel()
    if array.size == 0 or not np.isfinite(array).all() or (array < 0).any():
        raise ValueError("expected one or more finite values that are not negative")
    return array
