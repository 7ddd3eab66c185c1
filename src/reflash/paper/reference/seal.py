"""SEAL's published values on Set14-SE, its measures, and what it says of itself.

SEAL ("A Framework for Systematic Evaluation of Real-World Super-Resolution", ICLR 2024; repository
XPixelGroup/SEAL) publishes PSNR and SSIM of seven models for each of a hundred degradations of
Set14, and of two lines that a model is held against. All of it is *seen*, in its tables
(``seal.csv``) and its README (``seal_readme.csv``). That these are of the luma without a cropped
border is *inferred*: plain bicubic has its right mean only so.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

FILE = Path(__file__).with_name("seal.csv")
README = Path(__file__).with_name("seal_readme.csv")

LINES = {
    "acceptance": "acceptance line (FSRCNN per degradation)",
    "excellence": "excellence line (SRResNet per degradation)",
}
"""Names of the two lines in the table: a small and a larger network for each degradation alone."""

AUTHORS = "RRDB + dropout (authors)"
"""Name of the paper's own model there; that it is the released file is inferred from its name."""

DEGRADATIONS = 100

MEASURES = {
    "psnr_s": "PSNR-S (dB)",
    "ssim_s": "SSIM-S",
    "ar": "AR",
    "rpr_i": "RPR_I",
    "rpr_a": "RPR_A",
    "rpr_u": "RPR_U",
}
"""SEAL's measures and their names."""


@cache
def seal_table() -> pd.DataFrame:
    """Return degradation, model, psnr_y (dB) and ssim_y of the published models and both lines."""
    return pd.read_csv(FILE, dtype={"model": str})


@cache
def seal_lines() -> pd.DataFrame:
    """Return the PSNR (dB) of both lines by degradation: columns acceptance and excellence."""
    wide = seal_table().pivot_table(index="degradation", columns="model", values="psnr_y")
    return wide[[*LINES.values()]].set_axis([*LINES], axis="columns")


@cache
def seal_readme() -> pd.DataFrame:
    """Return the measures that the README states, by model."""
    return pd.read_csv(README, dtype={"model": str}).set_index("model")


def published_models() -> list[str]:
    """Return the names of the published models, without the lines."""
    names = seal_table()["model"].unique()
    return [str(name) for name in names if name not in LINES.values()]


def seal_measures(scores: pd.DataFrame) -> dict[str, float]:
    """Return SEAL's measures of one model.

    Parameters
    ----------
    scores
        Columns degradation, psnr_y (dB) and ssim_y, one row for each degradation.

    Returns
    -------
    dict
        ``psnr_s`` and ``ssim_s``, the means; ``ar``, the share of degradations at or above the
        acceptance line; and of RPR = sigmoid((PSNR - acceptance) / (excellence - acceptance)) the
        interquartile range ``rpr_i`` and the means ``rpr_a`` and ``rpr_u`` over accepted and not
        accepted degradations (NaN where there are none).

    Examples
    --------
    >>> table = seal_table()
    >>> values = seal_measures(table[table["model"] == AUTHORS])
    >>> [round(values[name], 2) for name in ("psnr_s", "ar", "rpr_i", "rpr_a", "rpr_u")]
    [22.44, 0.09, 0.24, 0.64, 0.21]
    """
    lines = seal_lines().loc[scores["degradation"]]
    psnr = scores["psnr_y"].to_numpy()
    low, high = lines["acceptance"].to_numpy(), lines["excellence"].to_numpy()
    rpr, accepted = 1 / (1 + np.exp(-(psnr - low) / (high - low))), psnr >= low
    upper, lower = np.percentile(rpr, [75, 25])
    return {
        "psnr_s": float(psnr.mean()),
        "ssim_s": float(scores["ssim_y"].mean()),
        "ar": float(accepted.mean()),
        "rpr_i": float(upper - lower),
        "rpr_a": float(rpr[accepted].mean()) if accepted.any() else float("nan"),
        "rpr_u": float(rpr[~accepted].mean()) if not accepted.all() else float("nan"),
    }
