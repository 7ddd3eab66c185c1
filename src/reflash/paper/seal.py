"""What the table and the figure of SEAL share: scores of our runs beside the published ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reflash.core.errors import ReflashError
from reflash.models.names import BICUBIC
from reflash.paper.reference.seal import DEGRADATIONS, seal_lines, seal_table
from reflash.paper.scores import read_rows
from reflash.study.context import Context

OURS, PUBLISHED = "this study", "published by SEAL"
"""Where scores are from."""


def read_seal(
    context: Context, paths: Iterable[Path | str], published: Sequence[str]
) -> pd.DataFrame:
    """Return the scores of our runs and of published models on the same degradations.

    Parameters
    ----------
    context
        Names the models and seeds.
    paths
        CSVs of ``reflash evaluate`` on folders ``deg_0`` … of Set14_SE.
    published
        Names of published models.

    Returns
    -------
    pandas.DataFrame
        Columns source, model, label, seed, degradation, psnr_y (dB), ssim_y (means over images),
        and margin: PSNR less the acceptance line.

    Raises
    ------
    ReflashError
        A file is unusable, a run is missing, or runs were evaluated in different degradations.
    """
    keys = ("run", "kind", "image")
    rows = read_rows(
        paths, "evaluate", keys, ("psnr_y", "ssim_y"), {"run": (BICUBIC, *context.runs)}
    )
    kinds = rows["kind"].str.extract(r"^deg_(\d+)$")[0]
    if kinds.isna().any():
        kind = rows.loc[kinds.isna(), "kind"].iloc[0]
        raise ReflashError(f"kind {kind!r}: not a degradation of Set14_SE; name folders deg_0 …")
    rows = rows.assign(degradation=kinds.astype(int))
    means = rows.groupby(["run", "degradation"])[["psnr_y", "ssim_y"]].mean()
    expected: set[int] | None = None
    parts = []
    for run in (BICUBIC, *context.runs):
        if run not in means.index.get_level_values("run"):
            raise ReflashError(f"run {run}: not among the files given; evaluate it on Set14_SE")
        part = means.loc[run].reset_index()
        expected = expected or set(part["degradation"])
        if set(part["degradation"]) != expected:
            raise ReflashError(f"run {run}: evaluated in other degradations than {BICUBIC}")
        model, _, seed = run.rpartition("/seed") if run != BICUBIC else (run, "", "0")
        own: dict[str, Any] = {
            "source": OURS,
            "model": model,
            "label": context.label(model),
            "seed": int(seed),
        }
        parts.append(part.assign(**own))
    theirs = seal_table()
    theirs = theirs[theirs["degradation"].isin(expected or ())]
    for name in published:
        part = theirs[theirs["model"] == name]
        if part.empty:
            raise ReflashError(f"{name!r}: SEAL publishes no such model; correct its name")
        own = {"source": PUBLISHED, "model": f"external/{name}", "label": name, "seed": 0}
        parts.append(part.assign(**own))
    table = pd.concat(parts, ignore_index=True)
    lines = seal_lines()["acceptance"].loc[table["degradation"]].to_numpy()
    columns = ["source", "model", "label", "seed", "degradation", "psnr_y", "ssim_y"]
    return table[columns].assign(margin=table["psnr_y"] - lines)


def degradations_sentence(count: int) -> str:
    """Say how many of SEAL's degradations there are.

    >>> degradations_sentence(20)
    "Set14 in 20 of SEAL's 100 degradations (a part: shares move by 5 % with each)."
    """
    if count == DEGRADATIONS:
        return f"Set14 in SEAL's {DEGRADATIONS} degradations."
    return (
        f"Set14 in {count} of SEAL's {DEGRADATIONS} degradations (a part: shares move by "
        f"{100 / count:.3g} % with each)."
    )


CONVENTION = (
    "BT.601 luma, no border left out, mean over 14 images and the degradations (that SEAL computes "
    "so is inferred)."
)
"""Sentence for captions."""
