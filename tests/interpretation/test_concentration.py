"""Gini and entropy: known values, definitions, invariances."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflash.interpretation.concentration import concentration_table, gini, normalised_entropy

shares = st.lists(st.floats(0, 1e6), min_size=2, max_size=30).filter(lambda v: sum(v) > 1e-3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 1, 1], 0), ([0, 0, 0, 1], 0.75), ([1, 3], 0.25), ([1, 2, 3, 4], 0.25), ([0, 0], 0)],
)
def test_gini_of_known_distributions(values, expected):
    assert gini(values) == pytest.approx(expected, abs=1e-15)


@given(shares)
def test_gini_is_half_the_relative_mean_difference(values):
    x = np.array(values)
    pairs = np.abs(x[:, None] - x[None, :]).mean()
    assert gini(values) == pytest.approx(pairs / (2 * x.mean()), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2, 2, 2, 2], 1),
        ([0, 5, 0], 0),
        ([1, 1, 0, 0], 0.5),
        ([3, 1], 0.8112781244591328),  # bits of a coin that falls 3 : 1
        ([0, 0, 0], 1),
        ([7], 1),
    ],
)
def test_entropy_of_known_distributions(values, expected):
    assert normalised_entropy(values) == pytest.approx(expected, abs=1e-15)


@given(shares, st.floats(0.01, 100), st.randoms())
def test_scale_and_order_do_not_matter(values, scale, random):
    other = [scale * value for value in values]
    random.shuffle(other)
    assert gini(other) == pytest.approx(gini(values), abs=1e-9)
    assert normalised_entropy(other) == pytest.approx(normalised_entropy(values), abs=1e-9)
    assert 0 <= gini(values) <= 1 - 1 / len(values) + 1e-12
    assert 0 <= normalised_entropy(values) <= 1 + 1e-12


def test_rounding_makes_no_negative_gini():
    assert gini([699051.0709202413] * 5) == 0


@pytest.mark.parametrize("values", [[], [1, -1], [1, np.nan], [np.inf]])
@pytest.mark.parametrize("measure", [gini, normalised_entropy])
def test_what_is_no_distribution_is_refused(values, measure):
    with pytest.raises(ValueError, match="not negative"):
        measure(values)


def test_table_has_a_row_per_layer_in_order():
    table = pd.DataFrame(
        {
            "run": "r",
            "image": "i",
            "layer": ["last", "last", "b1", "b1"],
            "channel": [0, 1, 0, 1],
            "saliency": [1.0, 3.0, 2.0, 2.0],
        }
    )
    result = concentration_table(table)
    assert list(result.columns) == ["run", "image", "layer", "gini", "entropy"]
    assert result["layer"].tolist() == ["last", "b1"]
    assert result["gini"].tolist() == [0.25, 0]
    assert result["entropy"].tolist() == pytest.approx([0.8112781244591328, 1])
