"""What the paper says, as far as it is known, with the evidence for every value.

``reference/psnr.csv`` holds one row per value: *seen* in the authors' public files, *digitised*
from the authors' bar chart, *inferred* from what was seen, *restated* by somebody else about the
paper, or *not found*. The column ``evidence`` is about the number; ``model_evidence`` and
``set_evidence`` are about which model and which test set it belongs to.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

FILE = Path(__file__).with_name("psnr.csv")

EVIDENCE = ("seen", "digitised", "inferred", "restated", "not found")
"""How sure a value is, from read in the authors' files to unknown."""

NOT_FOUND = "not found"

COMPARABLE_SET = "Set5"
"""The test set of the known values (inferred); no other set's numbers can be held against them."""

EVIDENCE_NOTE = (
    "digitised from the authors' bar chart; that its test set is Set5 and which dropout "
    "probability it shows are inferred"
)
"""How the known values are known, as a part of a sentence."""


@cache
def reference_table() -> pd.DataFrame:
    """Return every row of the reference, also those of values that were not found.

    Columns model, model_evidence, set, set_evidence, kind, psnr (dB, empty if not found),
    evidence, source, note.
    """
    text = ["model", "model_evidence", "set", "set_evidence", "kind", "evidence", "source", "note"]
    table = pd.read_csv(FILE, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values="")
    table[text] = table[text].fillna("")
    return table


def reference_psnr(model: str, test_set: str, kind: str) -> tuple[float, str] | None:
    """Return the paper's mean PSNR and its evidence, or None where it is not found.

    Parameters
    ----------
    model
        network/setting/dropout, e.g. srresnet/multi/last_conv-channel-p0.7.
    test_set
        Name of the test set; values are known for Set5 only.
    kind
        One of `reflash.degradations.benchmark.KINDS`; a mean over them is not found.

    Returns
    -------
    (dB on RGB with a border of 4 left out, evidence) or None

    Examples
    --------
    >>> reference_psnr("srresnet/multi/none", "Set5", "clean")
    (24.89, 'digitised')
    """
    table = reference_table()
    hit = table[(table["model"] == model) & (table["set"] == test_set) & (table["kind"] == kind)]
    hit = hit.dropna(subset="psnr")
    if hit.empty:
        return None
    return float(hit["psnr"].iloc[0]), str(hit["evidence"].iloc[0])


def reference_gain(model: str, baseline: str, test_set: str, kind: str) -> tuple[float, str] | None:
    """Return the paper's PSNR of a model less that of another, and its evidence.

    Returns
    -------
    (dB, evidence of the first) or None
        None where either is not found.

    Examples
    --------
    >>> reference_gain(
    ...     "srresnet/multi/last_conv-channel-p0.7", "srresnet/multi/none", "Set5", "clean"
    ... )
    (0.78, 'digitised')
    """
    own = reference_psnr(model, test_set, kind)
    other = reference_psnr(baseline, test_set, kind)
    if own is None or other is None:
        return None
    return round(own[0] - other[0], 6), own[1]
