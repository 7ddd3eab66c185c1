"""How far features separate the kinds once what the images show is taken out; without torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from reflash.core.keys import numpy_generator

SHUFFLES = 50
"""Random choices of the kinds within each image, from which an index by chance is taken."""


def centred_products(components: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much images agree about what the kinds do to them.

    The mean over the kinds is taken off every image; then the entry of two images is the sum over
    kinds of the inner product of their samples. `paired_separation` needs nothing else, for any
    weights of the images.

    Parameters
    ----------
    components : (kinds, images, dimensions) float

    Returns
    -------
    (images, images) float
    """
    centred = (components - components.mean(axis=0)).transpose(1, 0, 2)
    rows = centred.reshape(len(centred), -1)
    return np.asarray(rows @ rows.T)


def paired_index(components: NDArray[np.float64]) -> float:
    """Return `paired_separation` of (kinds, images, dimensions), all images with the same weight.

    Examples
    --------
    Two images of very different content, whose features a degradation moves in the same way:

    >>> features = np.array([[[0.0], [100.0]], [[1.0], [101.2]]])  # kinds, images, dimensions
    >>> round(paired_index(features), 1)
    121.0
    """
    centred = components - components.mean(axis=0)
    between = float(np.square(centred.mean(axis=1)).sum())
    total = float(np.square(centred).sum()) / centred.shape[1]
    return (centred.shape[1] - 1) * between / (total - between)


def paired_separation(
    products: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the Calinski-Harabasz index of kinds with the content of images taken out first.

    The pseudo-F of a block design (Anderson, "A new method for non-parametric multivariate
    analysis of variance", Austral Ecology 2001): dispersion between the kinds' centres over that
    around them, each over its degrees of freedom, kinds - 1 and (kinds - 1)(images - 1). Around 1
    where the kinds of an image are interchangeable, whatever the images show.

    Parameters
    ----------
    products : (images, images) float
        As `centred_products` returns.
    weights : (B, images) float
        Rows sum to 1, each with more than one image; an image has the same weight in every kind.

    Returns
    -------
    (B,) float
    """
    images, own = len(products), np.diagonal(products)
    total = weights @ own
    # An image drawn twice agrees with itself, which would raise the index of every resample: what
    # an image has with itself keeps its share of 1 / images, the rest goes to pairs of others.
    alone = np.square(weights).sum(axis=1)
    others = ((weights @ products) * weights).sum(axis=1) - np.square(weights) @ own
    between = total / images + (1 - 1 / images) / (1 - alone) * others
    return np.asarray((images - 1) * between / (total - between))


def shuffled_kinds(
    components: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return samples (kinds, images, dimensions) with the kinds of each image in random order."""
    kinds, images = components.shape[:2]
    order = rng.permuted(np.tile(np.arange(kinds)[:, None], images), axis=0)
    return np.asarray(components[order, np.arange(images)])


def by_chance(
    index: Callable[[NDArray[np.float64]], float], components: NDArray[np.float64], seed: int
) -> float:
    """Return the mean of an index of (kinds, images, dimensions) over ``SHUFFLES``."""
    rng = numpy_generator(seed, "representations", "shuffles")
    return float(np.mean([index(shuffled_kinds(components, rng)) for _ in range(SHUFFLES)]))
