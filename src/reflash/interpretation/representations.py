"""Deep degradation representations: how far deep features cluster by degradation.

The same images in several kinds go through a network; the features of a layer are flattened,
reduced by PCA and embedded in the plane by t-SNE. The Calinski-Harabasz index (CHI) with the kind
as label says how separate the kinds are, on the PCA coordinates and on the embedding: the lower,
the more they mix.

The authors never released this part. The method is that of their group's earlier work ("Discovering
'Semantics' in Super-Resolution Networks", arXiv 2108.00406); which images and sizes the paper used
is not known. Here all images are cropped at the centre to one size, as flattening needs.

Images differ far more from each other than one image does between kinds, and all of that counts as
spread within a kind: CHI cannot see the degradation where content drowns it. Beside it stands a
*paired* index on features whose mean over the kinds is taken off image by image, and for every
index what it would be by chance: its mean with the kinds shuffled within each image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from reflash.core.errors import ReflashError
from reflash.core.files import write_csv
from reflash.core.progress import track
from reflash.interpretation.inputs import (
    Weights,
    Which,
    batch_size,
    opened,
    read_kinds,
    require_finite,
    run_name,
    to_batch,
    write_table,
)
from reflash.interpretation.paired import by_chance, centred_products, paired_index
from reflash.interpretation.principal import FeatureFile, principal_components
from reflash.interpretation.settings import AnalysisSettings
from reflash.models.layers import LayeredNetwork

POINTS = ("run", "layer", "image", "kind", "x", "y")
CHI = ("run", "layer", "space", "chi", "images", "kinds", "components", "chance")
PAIRED = ("run", "layer", "image", "other", "product")

SAME = 1e-6
"""Difference of features, as a share of the largest, that is rounding."""


def write_features(
    network: LayeredNetwork, batches: Iterable[Tensor], files: Mapping[str, FeatureFile]
) -> None:
    """Append the flattened features of images to the file of each layer, one row per image.

    Parameters
    ----------
    network : LayeredNetwork
        In evaluation mode.
    batches : iterable of (B, 3, h, w) float in [0, 1]
        All of the same size h, w.
    files : mapping of str to FeatureFile
        By layer.
    """
    with torch.inference_mode():
        for batch in batches:
            sr, kept = network.forward_features(batch, tuple(files))
            require_finite(sr)
            for layer, features in kept.items():
                seen = network.over_image(features, batch)
                files[layer].append(seen.flatten(1).cpu().numpy())


def separation(features: ArrayLike, labels: Sequence[str]) -> float:
    """Return the Calinski-Harabasz index of labelled samples (scikit-learn's).

    Between-group over within-group dispersion, each over its degrees of freedom: large where the
    groups are separate, around 1 where they are drawn from one distribution.

    Parameters
    ----------
    features : (samples, dimensions) array of float
    labels : sequence of str
        One per sample; at least two different ones, fewer than samples.

    Examples
    --------
    >>> round(separation([[0.0], [1.0], [10.0], [11.0]], ["a", "a", "b", "b"]), 9)
    200.0
    """
    from sklearn.metrics import calinski_harabasz_score

    return float(calinski_harabasz_score(np.asarray(features), list(labels)))


def embed(components: NDArray[np.float64], perplexity: float, seed: int) -> NDArray[np.float64]:
    """Embed samples in the plane by t-SNE (scikit-learn's, started from PCA).

    One thread does it: several would add numbers in changing order, and are slower.

    Parameters
    ----------
    components : (samples, dimensions) float
        At least 4 samples and 2 dimensions, not all the same.
    perplexity : float
        At most a third of the samples is used.
    seed : int

    Returns
    -------
    (samples, 2) float
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    samples = components.shape[0]
    tsne = TSNE(
        n_components=2,
        init="pca",
        perplexity=min(perplexity, (samples - 1) / 3),
        random_state=seed,
    )
    with threadpool_limits(1):
        return np.asarray(tsne.fit_transform(components.astype(np.float32)), np.float64)


def compare_kinds(
    features: NDArray[np.float32],
    kinds: Sequence[str],
    settings: AnalysisSettings,
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, tuple[float, float]]]:
    """Reduce features by PCA and t-SNE and measure the separation of kinds in both.

    Parameters
    ----------
    features : (samples, features) float
    kinds : sequence of str
        The kind of each sample: all images of the first, then the same of the next.
    settings : AnalysisSettings
        ``pca``, ``perplexity`` and ``seed`` count.

    Returns
    -------
    components : (samples, min(pca, samples - 1)) float
    points : (samples, 2) float
    chi : dict of str to (float, float)
        The separation in the spaces ``pca``, ``tsne`` and ``paired`` (principal components with
        the mean over kinds taken off each image), and what it is by chance.

    Raises
    ------
    ReflashError
        All samples, all kinds or all images have the same features, or some are not finite.
    """
    components = principal_components(features, settings.pca)
    if not np.isfinite(components).all() or not components.any():
        raise ReflashError(
            "representations: the features are all the same or not finite; "
            "choose another layer, or weights of a network that was trained"
        )
    groups = len(dict.fromkeys(kinds))
    by_kind = components.reshape(groups, -1, components.shape[1])
    for axis, what in enumerate(("kinds", "images")):
        if np.ptp(by_kind, axis=axis).max() <= SAME * np.abs(by_kind).max():
            raise ReflashError(
                f"representations: the {what} have the same features; compare {what} that differ"
            )
    points = embed(components, settings.perplexity, settings.seed)
    spaces: dict[str, tuple[NDArray[np.float64], Callable[[NDArray[np.float64]], float]]] = {
        "pca": (components, lambda x: separation(x.reshape(len(kinds), -1), kinds)),
        "tsne": (points, lambda x: separation(x.reshape(len(kinds), -1), kinds)),
        "paired": (components, paired_index),
    }
    chi = {}
    for space, (samples, index) in spaces.items():
        blocks = samples.reshape(groups, -1, samples.shape[1])
        chi[space] = index(blocks), by_chance(index, blocks, settings.seed)
    return components, points, chi


def own_layers(network: LayeredNetwork, layers: Sequence[str]) -> dict[str, str]:
    """Return the layers of a network by the names they were asked for.

    ``body`` is the output of its last block, b16 in the paper's SRResNet, which the group's later
    work looks at; a network that has no blocks is looked at without it, if there is another layer.
    """
    blocks = [name for name in network.layer_names if name.startswith("b") and name[1:].isdigit()]
    kept = [layer for layer in layers if layer != "body" or blocks or len(layers) == 1]
    return {layer: blocks[-1] if layer == "body" and blocks else layer for layer in kept}


def run_representations(
    weights: Weights,
    lr: Mapping[str, Path | str],
    out: Path | str,
    settings: AnalysisSettings | None = None,
    *,
    run: str | None = None,
    key: Which | None = None,
    device: str = "auto",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the representations of images in several kinds as points of the plane, and their CHI.

    Parameters
    ----------
    weights, key
        As in ``reflash.interpretation.inputs.opened``.
    lr : mapping of str to path
        A folder of LR images for each kind, with the same names in each.
    out : path
        Folder for ``points.csv``, ``chi.csv`` and ``paired.csv``.
    settings : AnalysisSettings, optional
        ``layers``, ``representation_images``, ``representation_crop``, ``pca``, ``perplexity``
        and ``seed`` count; the kinds are those of ``lr``.
    run : str, optional
        What the column ``run`` says; by default the name of the weights file.
    device : str
        As in ``reflash.core.devices.choose_device``.

    Returns
    -------
    points : pandas.DataFrame
        Columns ``run, layer, image, kind, x, y``.
    chi : pandas.DataFrame
        Columns ``run, layer, space, chi, images, kinds, components, chance``: the space is pca,
        tsne or paired (see `compare_kinds`), ``images`` counts those of one kind, ``components``
        the dimensions of the space; ``chance`` is the index with kinds shuffled within images.
        A third file, ``paired.csv``, has `centred_products` of every two images.

    Raises
    ------
    ReflashError
        Unreadable weights or images, an image that a kind lacks, fewer than two kinds or images,
        no such layer or device, features that do not differ.
    """
    settings, out, run = settings or AnalysisSettings(), Path(out), run_name(weights, run)
    names, images = read_kinds(lr, settings.representation_images, settings.representation_crop)
    kinds = [kind for kind in lr for _ in names]
    samples = images.reshape(-1, *images.shape[2:])
    points: list[tuple[str, str, str, str, float, float]] = []
    chi: list[tuple[str, str, str, float, int, int, int, float]] = []
    paired: list[tuple[str, str, str, str, float]] = []
    with ExitStack() as stack, opened(weights, key, device) as network:
        layers = own_layers(network, settings.layers)
        network.check_layers(tuple(layers.values()))
        files = {layer: stack.enter_context(FeatureFile()) for layer in layers.values()}
        size = batch_size(network, to_batch(samples[:1], network))
        starts = track(range(0, len(samples), size), f"representations of {run}")
        write_features(network, (to_batch(samples[i : i + size], network) for i in starts), files)
        for layer, own in layers.items():
            components, plane, by_space = compare_kinds(files[own].matrix(), kinds, settings)
            dimensions = {"pca": components.shape[1], "tsne": 2, "paired": components.shape[1]}
            products = centred_products(components.reshape(len(lr), len(names), -1))
            products /= np.trace(products)
            paired += [
                (run, layer, names[i], names[j], products[i, j])
                for i in range(len(names))
                for j in range(i, len(names))
            ]
            points += [
                (run, layer, image, kind, x, y)
                for image, kind, (x, y) in zip(names * len(lr), kinds, plane, strict=True)
            ]
            chi += [
                (run, layer, space, value, len(names), len(lr), dimensions[space], chance)
                for space, (value, chance) in by_space.items()
            ]
    write_csv(out / "paired.csv", pd.DataFrame(paired, columns=list(PAIRED)), "%.9g")
    indices = pd.DataFrame(chi, columns=list(CHI))
    write_csv(out / "chi.csv", indices, "%.9g")  # in the plane an index may be near 0
    return write_table(out / "points.csv", points, POINTS), indices
