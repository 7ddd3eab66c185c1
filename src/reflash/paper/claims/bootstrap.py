"""Intervals of paired differences by a bootstrap over seeds and images.

What is compared is always paired: two models with the same seed saw the same stream of training
pairs, and both were tested on the same images. Their difference, seed by seed and image by image,
is free of what both share (a hard image, a lucky seed), which is far larger than what dropout does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from reflash.core.keys import numpy_generator
from reflash.study.artefacts import Claims

Array = NDArray[np.float64]

ROUNDING = 1e-12
"""Resamples that differ by less than this are the same."""

DEFINED = 0.9
"""Share of the resamples in which a statistic must be defined for an interval."""


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


def estimate(differences: Array, claims: Claims, comparisons: int = 1) -> Estimate:
    """Return the mean of paired differences with the interval that a study's claims ask for.

    The same differences have the same interval in every table, figure and claim.

    Parameters
    ----------
    differences : (seeds, images) float
        Of two models with the same seed on the same image.
    claims
        Confidence, resamples and seed.
    comparisons
        Of several, each has a wider interval, so that all cover their effects together as one
        would (Bonferroni).
    """
    confidence = 1 - (1 - claims.confidence) / comparisons
    return paired_interval(differences, claims.resamples, confidence, generator(claims))


def generator(claims: Claims) -> np.random.Generator:
    """Return what draws a study's resamples: the same ones for whatever has as many images."""
    return numpy_generator(claims.seed, "resamples")


def interval_name(confidence: float) -> str:
    """Return what an interval is called: ``95 % interval``."""
    return f"{100 * confidence:g} % interval"


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

    Examples
    --------
    Dropout gains 0.3 dB on average; one seed and four images leave much open:

    >>> gains = np.array([[0.1, 0.2, 0.4, 0.5]])
    >>> found = paired_interval(gains, 1000, 0.95, np.random.default_rng(0))
    >>> round(found.effect, 3), found.low < 0.1, found.high > 0.5
    (0.3, True, True)
    """
    seeds, images = differences.shape
    return interval(
        lambda weights: weights @ differences.T, seeds, images, resamples, confidence, rng
    )


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
    unknown = Estimate(effect, float("nan"), float("nan"), seeds, units)
    if seeds == units == 1:
        return unknown

    # Images first, and the same ones for all seeds of a resample: the runs were tested on the same
    # images, so a hard image that is drawn twice is hard for all of them. Drawing images for each
    # seed by itself would average away what they share and make the interval too narrow.
    with np.errstate(divide="ignore", invalid="ignore"):
        of_resamples = per_seed(_weights(rng, resamples, units))
    defined = np.isfinite(of_resamples).all(axis=1)
    if not np.isfinite(effect) or defined.mean() < DEFINED:
        return unknown
    of_resamples = of_resamples[defined]

    # Then seeds: each stands for a training that could have gone otherwise. With three seeds the
    # interval covers both other images and other trainings. With one seed its weight is always 1:
    # the interval then covers other images only and says nothing about other trainings.
    replicates = (_weights(rng, resamples, seeds)[defined] * of_resamples).sum(axis=1)
    low, high = map(float, np.quantile(replicates, [(1 - confidence) / 2, (1 + confidence) / 2]))
    if high - low <= ROUNDING * max(1.0, abs(effect)):
        return Estimate(effect, effect, effect, seeds, units)

    # Percentiles of a handful of seeds or images are too narrow: drawing n of n shrinks the
    # variance by (n - 1) / n, and n values say little about it. So the percentiles give the shape
    # (how much further the interval reaches to one side), and Student's t the width. Resamples of
    # a biased statistic may all lie on one side of it and have no such shape.
    half = _half_width(of_seeds, of_resamples, units, confidence)
    if not low < effect < high:
        return Estimate(effect, effect - half, effect + half, seeds, units)
    factor = 2 * half / (high - low)
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


def _half_width(of_seeds: Array, of_resamples: Array, units: int, confidence: float) -> float:
    """Return half the width of the interval of a mean over seeds and units.

    Seeds and units are crossed, every seed with every unit: the variance between seeds and that
    between units both hold the residual one, which is taken off once. The standard error is
    multiplied by the mean of both sources' Student's t, weighted by their variances (Cochran,
    "Approximate significance levels of the Behrens-Fisher test", Biometrics 1964): it covers at
    least about as often as it says, while Satterthwaite's degrees of freedom, with the two or three
    seeds that there are, cover less often (of two seeds 0.87 for 0.95).
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
    sources = [(between_seeds, seeds - 1), (between_units, units - 1)]
    sources = [(part, freedom) for part, freedom in sources if part > 0]
    if not sources:  # what varies does so within seeds and units alone, and cancels in the mean
        return 0.0
    both = sum(part for part, _ in sources)
    student = sum(part * stdtrit(freedom, (1 + confidence) / 2) for part, freedom in sources) / both
    # The estimate of the residual is noisy; the variance is never less than its larger source.
    variance = max(both - residual, *(part for part, _ in sources))
    return float(student * variance**0.5)
