"""Reading the benchmark of dropout's cost, and comparing with no dropout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from reflash.core.errors import ReflashError
from reflash.paper.scores import read_table

COLUMNS = (
    "network",
    "where",
    "dimension",
    "p",
    "ms_per_iteration",
    "ms_std",
    "extra",
    "extra_error",
    "rounds",
    "peak_mib",
    "workload",
    "device",
)
_REMEDY = "regenerate it with reflash bench cost"


def read_cost(path: Path | str) -> pd.DataFrame:
    """Read the benchmark and compare every line with no dropout.

    Returns
    -------
    pandas.DataFrame
        Columns of the file, dimension, p and extra empty for no dropout, and extra_mib. ``extra``
        is the share of time beyond that of the same network without dropout, mean over rounds in
        which both were measured, ``extra_error`` its standard error and ``rounds`` their number.

    Raises
    ------
    ReflashError
        The file is missing, empty or lacks a column, or a network has no line without dropout.
    """
    table = read_table(path, COLUMNS, _REMEDY)[list(COLUMNS)]
    table["where"] = table["where"].fillna("none").astype(str)
    table["dimension"] = table["dimension"].astype(object).fillna("")
    table["p"] = pd.to_numeric(table["p"], errors="coerce").where(table["where"] != "none")
    table["ms_std"] = table["ms_std"].astype(float)
    measured = table.loc[table["where"] != "none", ["extra", "rounds"]]
    if not np.isfinite(table["peak_mib"]).all() or not np.isfinite(measured.to_numpy(float)).all():
        raise ReflashError(f"{path}: a line lacks extra, rounds or peak_mib; {_REMEDY}")
    parts = []
    for (network, device), rows in table.groupby(["network", "device"], sort=False):
        plain = rows[rows["where"] == "none"]
        if len(plain) != 1:
            raise ReflashError(
                f"{path}: has {len(plain)} lines without dropout for {network} on {device}, "
                f"not one; {_REMEDY}"
            )
        before = plain.iloc[0]
        dropped = rows["where"] != "none"
        parts.append(
            rows.assign(
                extra=rows["extra"].where(dropped),
                extra_error=rows["extra_error"].where(dropped),
                extra_mib=(rows["peak_mib"] - before["peak_mib"]).where(dropped),
            )
        )
    return pd.concat(parts, ignore_index=True)
