"""Making a part of a claim from an estimate: its verdict, rule, method and the paper's value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reflash.paper.claims.bootstrap import Estimate
from reflash.paper.claims.data import Array, Data, Pair
from reflash.paper.claims.model import Part, judge
from reflash.paper.reference import COMPARABLE_SET, reference_psnr, reference_table
from reflash.study.context import kind_label, listing

Tested = tuple[list[Part], list[str]]
"""The parts of a claim that could be made, and a line for each that could not."""


def psnr_part(
    data: Data,
    name: str,
    differences: Array,
    compared: Sequence[Pair],
    not_worse: bool = False,
) -> Part:
    """Make a part of differences of PSNR (seeds, images) in dB.

    With ``not_worse`` the claim is that the first model is not worse by what matters.
    """
    smallest = data.settings.smallest_db
    paper = _paper(data, compared[0]) if len(compared) == 1 else (None, "")
    return difference_part(
        data, name, differences, compared, "dB", 2, smallest, not_worse=not_worse, paper=paper
    )


def difference_part(
    data: Data,
    name: str,
    differences: Array,
    compared: Sequence[Pair],
    unit: str,
    digits: int,
    smallest: float,
    not_worse: bool = False,
    paper: tuple[float | None, str] = (None, ""),
    units: str = "images",
) -> Part:
    """Make a part of paired differences (seeds, images) that the claim says are large.

    ``smallest`` is the smallest difference that matters, ``units`` what the columns are.
    """
    estimate = data.estimate(differences, name)
    support, reject = (-smallest, -smallest) if not_worse else (0.0, smallest)
    return _made(estimate, name, compared, unit, digits, support, reject, paper, units)


def ratio_part(
    data: Data, name: str, estimate: Estimate, pairs: Sequence[Pair], smallest: float
) -> Part:
    """Make a part of the logarithm of a ratio: by how much the second is lower, in per cent."""

    def lower(value: float) -> float:
        return 100 * (1 - float(np.exp(-value)))

    shown = Estimate(
        lower(estimate.effect),
        lower(estimate.low),
        lower(estimate.high),
        estimate.seeds,
        estimate.units,
    )
    compared = [(b, a) for a, b in pairs]
    return _made(shown, name, compared, "%", 1, 0.0, smallest, (None, ""), "images")


def _made(
    estimate: Estimate,
    name: str,
    compared: Sequence[Pair],
    unit: str,
    digits: int,
    support: float,
    reject: float,
    paper: tuple[float | None, str],
    units: str,
) -> Part:
    known = estimate.low == estimate.low
    low, high = (estimate.low, estimate.high) if known else (None, None)
    ends = f"{support:g} {unit}".strip(), f"{reject:g} {unit}".strip()
    return Part(
        name=name,
        effect=estimate.effect,
        low=low,
        high=high,
        unit=unit,
        digits=digits,
        method=_method(estimate, units),
        compared=tuple(f"{a} - {b}" for a, b in compared),
        rule=(
            f"supported if the interval lies above {ends[0]}, not supported if it lies below "
            f"{ends[1]}, else inconclusive"
            if known
            else "without an interval it is reported and does not count"
        ),
        verdict=judge(low, high, support, reject),
        paper=paper[0],
        paper_evidence=paper[1],
    )


def _method(estimate: Estimate, units: str) -> str:
    if estimate.seeds == estimate.units == 1:
        return "one seed and nothing else to resample: no interval"
    if estimate.units == 1:
        return f"paired bootstrap over {estimate.seeds} seeds"
    if estimate.seeds == 1:
        return (
            f"one seed: paired bootstrap over {estimate.units} {units} only, says nothing about "
            "other seeds"
        )
    return f"paired bootstrap over {estimate.seeds} seeds and {estimate.units} {units}"


def _paper(data: Data, pair: Pair) -> tuple[float | None, str]:
    """Return the paper's difference of two models, mean over the kinds that are known.

    None where the test set that the paper's values are of is not tested.
    """
    if COMPARABLE_SET not in data.context.test_sets:
        return None, ""
    table = reference_table()
    of_set = table[table["set"] == COMPARABLE_SET]
    differences, kinds, evidence = [], [], ""
    for kind in dict.fromkeys(of_set["kind"]):
        first, second = (reference_psnr(model, COMPARABLE_SET, kind) for model in pair)
        if first is not None and second is not None:
            differences.append(first[0] - second[0])
            kinds.append(kind_label(kind))
            evidence = first[1]
    if not differences:
        return None, ""
    mean = round(sum(differences) / len(differences), 6)
    return (
        mean,
        f"{evidence}; mean of {listing(kinds)}; that the images are {COMPARABLE_SET} is inferred",
    )
