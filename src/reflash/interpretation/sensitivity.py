"""Dropping features at test time: super-resolution beside a small classifier.

A share of a layer's features is set to zero. By default nothing makes up for them; with
``rescale`` what is left is scaled up as by a dropout layer left on after training. Which of the
two, and which layer, the paper used is not known. The features dropped at a ratio are also dropped
at every larger one, and the same ones in every run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from reflash.core.keys import KeyPart, key_seed
from reflash.interpretation.digits import (
    NAME,
    DigitClassifier,
    Digits,
    load_digits,
    train_classifier,
)
from reflash.interpretation.inputs import (
    Weights,
    Which,
    opened,
    quality,
    read_pairs,
    run_name,
    table_path,
    to_batch,
    write_table,
)
from reflash.interpretation.settings import AnalysisSettings
from reflash.interpretation.silencing import silenced
from reflash.models.layers import LayeredNetwork
from reflash.models.settings import Dimension

COLUMNS = ("task", "model", "ratio", "draw", "metric", "value")


def drop_features(
    features: Tensor, ratio: float, dimension: Dimension, key: Sequence[KeyPart], rescale: bool
) -> Tensor:
    """Return features of which a share is zero, chosen anew for each image of the batch.

    Parameters
    ----------
    features : (B, C, h, w) float
    ratio : float in [0, 1]
        ``channel``: exactly ``round(ratio C)`` channels of each image are zero. ``element``: each
        element is zero with this probability.
    dimension : {"channel", "element"}
    key : sequence of int or str
        What the choice depends on; under one key, a larger ratio drops more of the same order.
    rescale : bool
        Divide what is left by the share that is left.

    Returns
    -------
    (B, C, h, w) float

    Examples
    --------
    >>> left = drop_features(torch.ones(1, 4, 1, 1), 0.5, "channel", (0,), rescale=True)
    >>> sorted(left.flatten().tolist())
    [0.0, 0.0, 2.0, 2.0]
    """
    if dimension == "channel":
        batch, channels = features.shape[:2]
        kept, factor = keep_channels(batch, channels, ratio, key, rescale)
        keep = kept[:, :, None, None]
    else:
        generator = torch.Generator().manual_seed(key_seed(*key))
        keep, factor = torch.rand(features.shape, generator=generator) >= ratio, 1.0
        if rescale and ratio < 1:
            factor = 1 / (1 - ratio)
    return features * keep.to(features) * factor


def keep_channels(
    batch: int, channels: int, ratio: float, key: Sequence[KeyPart], rescale: bool
) -> tuple[Tensor, float]:
    """Return which channels `drop_features` keeps, (batch, channels) bool, and their factor.

    >>> keep, factor = keep_channels(1, 4, 0.5, (0,), rescale=True)
    >>> int(keep.sum()), factor
    (2, 2.0)
    """
    generator = torch.Generator().manual_seed(key_seed(*key))
    places = torch.rand(batch, channels, generator=generator).argsort(1).argsort(1)
    dropped = round(ratio * channels)
    left = 1 - dropped / channels
    return places >= dropped, 1 / left if rescale and left > 0 else 1.0


def psnr_when_dropping(
    network: LayeredNetwork,
    images: Iterable[tuple[str, Tensor, np.ndarray]],
    settings: AnalysisSettings,
) -> list[tuple[float, int, float]]:
    """Return (ratio, draw, mean PSNR in dB over the images).

    Parameters
    ----------
    network : LayeredNetwork
        In evaluation mode.
    images : iterable of (name, lr, hr)
        ``lr`` (1, 3, h, w) float in [0, 1], ``hr`` (scale h, scale w, 3) uint8.
    settings : AnalysisSettings
        ``ratios``, ``seed`` and those that begin with ``sensitivity`` count.
    """
    layer = settings.sensitivity_layer
    values: dict[tuple[float, int], list[float]] = {step: [] for step in _steps(settings)}
    with torch.inference_mode():
        for name, lr, hr in images:
            features = network.forward_features(lr, (layer,))[1][layer]
            outputs = _outputs(network, features, lr, name, settings)
            for of_step, sr in zip(values.values(), outputs, strict=True):
                of_step.append(quality(sr, hr, settings.border))
    return [(*step, sum(of_step) / len(of_step)) for step, of_step in values.items()]


def _outputs(
    network: LayeredNetwork,
    features: Tensor,
    lr: Tensor,
    image: str,
    settings: AnalysisSettings,
) -> Iterator[Tensor]:
    """Yield the network's output for each of `_steps`."""
    layer, rescale = settings.sensitivity_layer, settings.sensitivity_rescale
    steps = [(ratio, (settings.seed, "drop", image, draw)) for ratio, draw in _steps(settings)]
    if settings.sensitivity_dimension == "element":
        for ratio, key in steps:
            yield network.forward_from(layer, _dropped(features, ratio, key, settings), lr)
        return
    choices = [keep_channels(1, features.shape[1], ratio, key, rescale) for ratio, key in steps]
    keep = torch.cat([kept for kept, _ in choices]).numpy()
    factors = np.array([factor for _, factor in choices])
    yield from silenced(network, layer, features, lr, keep, factors=factors)


def accuracy_when_dropping(
    model: DigitClassifier, test: Digits, settings: AnalysisSettings
) -> list[tuple[float, int, float]]:
    """Return (ratio, draw, share of test digits classified rightly) of the classifier.

    The features dropped are the last before the output; every digit has its own choice.
    """
    rows = []
    with torch.inference_mode():
        features = model.features(test.images)
        for ratio, draw in _steps(settings):
            left = _dropped(features, ratio, (settings.seed, "drop", "digits", draw), settings)
            right = model.classify(left).argmax(1) == test.labels
            rows.append((ratio, draw, float(right.double().mean())))
    return rows


def run_sensitivity(
    weights: Weights,
    lr: Path | str,
    hr: Path | str,
    out: Path | str,
    settings: AnalysisSettings | None = None,
    *,
    run: str | None = None,
    key: Which | None = None,
    device: str = "auto",
) -> pd.DataFrame:
    """Write PSNR and a classifier's accuracy against the share of features dropped at test time.

    Parameters
    ----------
    weights, lr, hr, run, key, device
        As in ``reflash.interpretation.ablation.run_ablation``.
    out : path
        The CSV to write, or a folder for ``sensitivity.csv``.
    settings : AnalysisSettings, optional
        ``images``, ``crop``, ``ratios``, ``seed`` and those that begin with ``sensitivity`` count.

    Returns
    -------
    pandas.DataFrame
        Columns ``task, model, ratio, draw, metric, value``: task ``sr`` with metric psnr (dB,
        mean over the images, ``border`` left out) for the run, and task ``classification`` with
        metric accuracy (0 to 1) for ``digits_cnn``, the same for every run of one seed.

    Raises
    ------
    ReflashError
        Unreadable weights or images, HR images of another size, no such layer or device.
    """
    settings, run = settings or AnalysisSettings(), run_name(weights, run)
    with opened(weights, key, device) as network:
        network.check_layers((settings.sensitivity_layer,))
        images = (
            (sample.name, to_batch(sample.lr, network), sample.hr)
            for sample in read_pairs(lr, hr, network.scale, settings, f"dropping features of {run}")
        )
        dropped = psnr_when_dropping(network, images, settings)
    model, test = _classifier(settings.seed)
    rows = [("sr", run, ratio, draw, "psnr", value) for ratio, draw, value in dropped]
    rows += [
        ("classification", NAME, ratio, draw, "accuracy", value)
        for ratio, draw, value in accuracy_when_dropping(model, test, settings)
    ]
    return write_table(table_path(out, "sensitivity"), rows, COLUMNS)


@cache
def _classifier(seed: int) -> tuple[DigitClassifier, Digits]:
    """Return a trained classifier and what it is tested on."""
    train, test = load_digits(seed)
    return train_classifier(train, seed), test


def _steps(settings: AnalysisSettings) -> list[tuple[float, int]]:
    return [
        (ratio, draw) for ratio in settings.ratios for draw in range(settings.sensitivity_draws)
    ]


def _dropped(
    features: Tensor, ratio: float, key: Sequence[KeyPart], settings: AnalysisSettings
) -> Tensor:
    dimension, rescale = settings.sensitivity_dimension, settings.sensitivity_rescale
    return drop_features(features, ratio, dimension, key, rescale)
