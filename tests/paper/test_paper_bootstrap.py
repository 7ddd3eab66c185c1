"""Intervals cover the true effect about as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reflash.paper.claims.bootstrap import interval, paired_interval

TRUE = 0.3


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("seeds", "images", "of_seeds", "of_images", "residual"),
    [
        (1, 5, 0.0, 0.3, 0.0),  # the demo: one seed, few images
        (1, 40, 0.0, 0.3, 0.1),
        (3, 24, 0.05, 0.3, 0.1),  # images matter most
        (3, 24, 0.2, 0.05, 0.05),  # seeds matter most
        (3, 24, 0.0, 0.0, 0.3),  # neither does
        (2, 24, 0.1, 0.1, 0.05),  # two seeds, which matter most
    ],
)
def test_coverage_is_near_95_percent(seeds, images, of_seeds, of_images, residual):
    """Of 300 repetitions; 0.90 to 0.99 is within what 300 draws (std 0.013) and t allow."""
    draws, hits = rng(1), 0
    for _ in range(300):
        differences = (
            TRUE
            + of_seeds * draws.normal(size=(seeds, 1))
            + of_images * draws.normal(size=(1, images))
            + residual * draws.normal(size=(seeds, images))
        )
        found = paired_interval(differences, 500, 0.95, draws)
        hits += found.low <= TRUE <= found.high
    assert 0.90 <= hits / 300 <= 0.99


def test_width_of_two_sources():
    """Cochran: the standard error times both Student's t, weighted by their variances."""
    of_seeds, of_images = np.array([-0.3, -0.1, 0.4])[:, None], rng(1).normal(0, 0.5, (1, 10))
    found = paired_interval(of_seeds + of_images, 20_000, 0.95, rng())
    parts = np.array([of_seeds.var(ddof=1) / 3, of_images.var(ddof=1) / 10])
    student = stats.t.ppf(0.975, [2, 9]) @ parts / parts.sum()
    expected = 2 * student * math.sqrt(parts.sum())
    assert found.high - found.low == pytest.approx(expected, rel=0.03)


def test_the_effect_is_the_mean_and_lies_inside():
    differences = rng().exponential(size=(3, 20))
    found = paired_interval(differences, 1000, 0.95, rng())
    assert found.effect == pytest.approx(differences.mean())
    assert found.low < found.effect < found.high
    assert (found.seeds, found.units) == (3, 20)


def test_one_seed_has_the_width_of_students_t_over_images():
    differences = rng(3).normal(0.5, 0.2, (1, 15))
    found = paired_interval(differences, 20_000, 0.95, rng())
    error = differences.std(ddof=1) / math.sqrt(15)
    expected = 2 * stats.t.ppf(0.975, 14) * error
    assert found.high - found.low == pytest.approx(expected, rel=0.03)


def test_one_image_leaves_the_seeds():
    values = np.array([[0.1], [0.2], [0.4]])
    found = paired_interval(values, 5000, 0.95, rng())
    expected = 2 * stats.t.ppf(0.975, 2) * values.std(ddof=1) / math.sqrt(3)
    assert found.high - found.low == pytest.approx(expected)


def test_skewed_images_make_a_skewed_interval():
    values = np.concatenate([np.zeros(18), [3.0, 5.0]])[None]
    found = paired_interval(values, 5000, 0.95, rng())
    assert found.high - found.effect > found.effect - found.low


def test_an_interval_holds_its_effect_where_all_resamples_are_on_one_side():
    """A statistic that any uneven weighting makes larger, as an index far below chance is."""
    found = interval(lambda w: 1 + 20 * (w**2).sum(1)[:, None], 1, 20, 2000, 0.95, rng())
    assert found.effect == pytest.approx(2)
    assert found.low < found.effect < found.high
    assert found.high - found.effect == pytest.approx(found.effect - found.low)


def test_images_are_shared_by_the_seeds():
    """What images add is not averaged away by more seeds that are tested on the same ones."""
    images = rng(5).normal(0, 1, (1, 12))
    one = paired_interval(images, 5000, 0.95, rng())
    three = paired_interval(np.repeat(images, 3, axis=0), 5000, 0.95, rng())
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.05)


def test_higher_confidence_is_wider():
    differences = rng().normal(size=(2, 10))
    narrow = paired_interval(differences, 2000, 0.8, rng())
    wide = paired_interval(differences, 2000, 0.99, rng())
    assert wide.low < narrow.low
    assert narrow.high < wide.high


def test_equal_differences_have_no_width():
    found = paired_interval(np.full((2, 6), 0.25), 500, 0.95, rng())
    assert (found.low, found.effect, found.high) == (0.25, 0.25, 0.25)


def test_what_cancels_over_seeds_and_over_images_has_no_width():
    found = paired_interval(np.array([[0.0, 1.0], [1.0, 0.0]]), 500, 0.95, rng())
    assert (found.low, found.effect, found.high) == (0.5, 0.5, 0.5)


def test_a_single_value_has_no_interval():
    found = paired_interval(np.array([[0.7]]), 500, 0.95, rng())
    assert found.effect == 0.7
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_same_generator_same_interval():
    differences = rng().normal(size=(3, 9))
    first, again = (paired_interval(differences, 500, 0.95, rng(7)) for _ in range(2))
    assert first == again
    assert first != paired_interval(differences, 500, 0.95, rng(8))


def test_a_statistic_that_is_no_mean():
    """The logarithm of a ratio of means, which no per-image value gives."""
    top, bottom = rng(2).uniform(2, 3, (2, 1, 30)) * np.array([2.0, 1.0])[:, None, None]

    def log_ratio(weights):
        return np.log((weights @ top.T) / (weights @ bottom.T))

    found = interval(log_ratio, 1, 30, 3000, 0.95, rng())
    assert found.effect == pytest.approx(math.log(top.mean() / bottom.mean()))
    assert found.low < math.log(2) < found.high


def test_resamples_without_a_value_are_left_out_if_they_are_few() -> None:
    """A ratio of variances has no value where all draws are the same unit."""
    values = np.array([1.0, 2.0, 4.0, 7.0, 3.0])

    def log_spread(weights: np.ndarray) -> np.ndarray:
        mean = weights @ values
        return np.log(weights @ values**2 - mean**2)[:, None]

    found = interval(log_spread, 1, 5, 4000, 0.95, np.random.default_rng(0))
    assert found.low < found.effect < found.high
    assert np.isfinite([found.low, found.high]).all()

    def mostly_undefined(weights: np.ndarray) -> np.ndarray:
        return np.where(weights.max(axis=1) > 0.3, np.nan, 1.0)[:, None]

    assert np.isnan(interval(mostly_undefined, 1, 5, 4000, 0.95, np.random.default_rng(0)).low)
