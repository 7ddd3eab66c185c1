"""Where a gain lies: the PSNR gained by a model, divided exactly among bands of frequency."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reflash.degradations.settings import KINDS
from reflash.models.names import setting_of
from reflash.paper.scores import read_values
from reflash.study.artefacts import ANATOMY
from reflash.study.context import Context

MEASURES = ANATOMY
"""Columns of an evaluation that the anatomy is made from."""

BAND_METRICS = MEASURES[1:-1]
"""Those that hold the PSNR of one band's error."""

BANDS_SENTENCE = (
    "Bands of the error's spectrum by radial frequency in cycles per HR pixel: low below 1/16, "
    "middle from 1/16 to below 1/8 (the most an LR image can hold along an axis), high from 1/8; "
    "their squared errors add up to the whole."
)
"""Sentence for captions."""

PARTS_SENTENCE = (
    "A gain's parts are the bands' shares of the reduced squared error, image by image, and add "
    "up to it."
)
"""Sentence for captions."""


def target_sentence(context: Context) -> str:
    """Say what networks of the multi setting were trained to make; empty where none is shown."""
    if not any(setting_of(model) == "multi" for model in context.models):
        return ""
    if context.sharpened:
        return "Networks of the multi setting were trained on sharpened images."
    return "Networks of the multi setting were trained on images that were not sharpened."


def read_measures(paths: Iterable[Path | str], context: Context) -> dict[str, NDArray[np.float64]]:
    """Read ``MEASURES`` of every image in the eight kinds (see ``scores.read_values``).

    Returns
    -------
    dict of str to (seeds, images, 8, 5) float, dB
        By model.
    """
    return read_values(paths, context, MEASURES, KINDS)


def band_parts(own: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide the gain in PSNR of one model over another among the bands of the error.

    The gain is 10 log10 of the ratio of two sums of band errors. With the logarithmic mean L of
    the sums, 10 / ln 10 (other - own) / L of each band adds up to the gain exactly (the additive
    logarithmic mean decomposition; Ang, "The LMDI approach to decomposition analysis", Energy
    Policy 2005): every band gets its share of the squared error that is gone.

    Parameters
    ----------
    own, other : (..., bands) float
        PSNR in dB of each band's error. An image reproduced exactly counts with 100 dB in each,
        95.2 dB in all, where its own PSNR is 100.

    Returns
    -------
    (..., bands) float, dB

    Examples
    --------
    From 20 to 23.01 dB by halving the low band's error, which was all there was:

    >>> band_parts(np.array([23.0103, 90.0]), np.array([20.0, 90.0])).round(2).tolist()
    [3.01, 0.0]
    """
    errors, others = 10 ** (-own / 10), 10 ** (-other / 10)
    whole, before = errors.sum(-1), others.sum(-1)
    change = before - whole
    # Equal sums: the logarithmic mean of a number with itself is that number.
    same = np.abs(change) <= 1e-12 * before
    log_ratio = np.log(before / whole)
    per_error = np.where(same, 1 / before, log_ratio / np.where(same, 1.0, change))
    return np.asarray(10 / np.log(10) * (others - errors) * per_error[..., None])
