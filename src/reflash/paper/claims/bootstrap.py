"""95 % intervals for paired differences: a bootstrap over seeds and over images.

Differences between two models are paired: the same seed (the same stream of training pairs) and
the same image. Seeds are resampled, then images, the same images for all seeds of a resample,
because what an image adds is shared by the runs. A bootstrap of a handful of seeds or images is
too narrow, as a normal approximation is; so its percentiles give the interval's shape, and its
width is that of Student's t for the variances and degrees of freedom of seeds and images
(Satterthwaite). For one seed only images are resampled, and the interval says nothing about other
seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROUNDING = 1e-12
"""Resamples that differ by less than this are the same."""


@dataclass(frozen=True)
class Estimate:
    """An effect with its interval."""

    effect: float
    """Mean over seeds."""
    low: float
    """Lower end of the interval; not a number where there is nothing to resample."""
    high: float
    """Upper end."""
    seeds: int
    """How many seeds were resampled (one: none were)."""
    units: int
    """How many images (or other units) were resampled (one: none were)."""


def paired_interval(
    differences: Array, resamples: int, confidence: float, rng: np.random.Generator
) -> Estimate:
    """Return the mean of paired differences with its interval.

    Parameters
    ----------
    differences : (seeds, images) float
        Of two models with the same seed on the same image.
    resamples : int
        Bootstrap resamples.
    confidence : float in (0, 1)
        Meant coverage of the interval.
    rng : numpy.random.Generator
    """
    seeds, images = differences.shape
    return interval(
        lambda weights: weights @ differences.T, seeds, images, resamples, confidence, rng
    )


DEFINED = 0.9
"""Share of the resamples in which a statistic must be defined for an interval."""


def interval(
    per_seed: Callable[[Array], Array],
    seeds: int,
    units: int,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Estimate:
    """Return a statistic, averaged over seeds, with its interval.

    Parameters
    ----------
    per_seed : callable
        From weights of the units, (B, units) with rows that sum to 1, to the statistic of every
        seed under these weights, (B, seeds).
    seeds, units : int
        How many there are.
    resamples, confidence, rng
        As in ``paired_interval``.

    Returns
    -------
    Estimate
        Without an interval (not a number) for one seed with one unit, and where the statistic is
        undefined in more than one resample of ten (few units, all draws of which are the same
        one); rarer such resamples are left out.
    """
    of_seeds = per_seed(np.full((1, units), 1 / units))[0]
    effect = float(of_seeds.mean())
    if seeds == units == 1:
        return Estimate(effect, float("nan"), float("nan"), seeds, units)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_resamples = per_seed(_weights(rng, resamples, units))
    defined = np.isfinite(of_resamples).all(axis=1)
    if not np.isfinite(effect) or defined.mean() < DEFINED:
        return Estimate(effect, float("nan"), float("nan"), seeds, units)
    of_resamples = of_resamples[defined]
    replicates = (_weights(rng, resamples, seeds)[defined] * of_resamples).sum(axis=1)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = map(float, np.quantile(replicates, tails))
    if high - low <= ROUNDING * max(1.0, abs(effect)):
        return Estimate(effect, effect, effect, seeds, units)
    variance, freedom = _variance(of_seeds, of_resamples, units)
    factor = 2 * _student(freedom, confidence) * variance**0.5 / (high - low)
    return Estimate(
        effect,
        effect - factor * (effect - low),
        effect + factor * (high - effect),
        seeds,
        units,
    )


def _weights(rng: np.random.Generator, resamples: int, count: int) -> Array:
    """Return how often each of ``count`` is drawn in each resample, over ``count``."""
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return drawn / count


def _variance(of_seeds: Array, of_resamples: Array, units: int) -> tuple[float, float]:
    """Return the variance of the mean over seeds and units, and its degrees of freedom.

    Seeds and units are crossed: the variance between seeds and that between units both hold the
    residual one, which is taken off once.
    """
    seeds = of_seeds.size
    between_seeds = float(of_seeds.var(ddof=1)) / seeds if seeds > 1 else 0.0
    between_units = residual = 0.0
    if units > 1:
        exact = units / (units - 1)
        between_units = exact * float(of_resamples.mean(axis=1).var())
        if seeds > 1:
            within = exact * float(of_resamples.var(axis=0).mean())
            residual = max(0.0, (within - between_units) / (seeds - 1))
    terms = [(between_seeds, seeds - 1), (between_units, units - 1)]
    terms = [(part, freedom) for part, freedom in terms if part > 0]
    largest, of_largest = max(terms)
    together = between_seeds + between_units - residual
    if together <= largest:
        return largest, float(of_largest)
    spread = sum(part**2 / freedom for part, freedom in terms)
    spread += residual**2 / max(1, (seeds - 1) * (units - 1))
    return together, max(together**2 / spread, min(freedom for _, freedom in terms))


def _student(freedom: float, confidence: float) -> float:
    """Return the two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))
