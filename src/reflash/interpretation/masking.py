"""Progressive masking: how fast the output decays as channels are masked one after another.

As in the authors' analysis code: channels are set to zero one by one and the others rescaled by
the cumulative sum of magnitudes. Their last step divides by zero; here, when all channels are
masked, the layer is zero and what is left is what the rest of the network makes of that (for
SRResNet at ``last`` the bilinearly upsampled input and a bias).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from reflash.core.files import write_csv
from reflash.core.keys import numpy_generator
from reflash.interpretation.inputs import (
    Weights,
    Which,
    opened,
    quality,
    read_pairs,
    run_name,
    table_path,
    to_batch,
)
from reflash.interpretation.saliency import channel_totals, saliency_of_layer
from reflash.interpretation.settings import AnalysisSettings
from reflash.interpretation.silencing import silenced
from reflash.models.layers import LayeredNetwork

COLUMNS = ("run", "image", "layer", "order", "draw", "masked", "psnr")

Orders = dict[tuple[str, int], NDArray[np.intp]]
"""(name of the order, draw) -> channels in the order in which they are masked."""


def mask_progressively(
    network: LayeredNetwork,
    lr: Tensor,
    hr: NDArray[np.uint8],
    orders: Orders,
    layer: str = "last",
    linear: bool = True,
    border: int = 0,
    features: Tensor | None = None,
) -> dict[tuple[str, int], NDArray[np.float64]]:
    """Return the PSNR after each step of masking a layer's channels in given orders.

    Parameters
    ----------
    network : LayeredNetwork
        In evaluation mode.
    lr : (1, 3, h, w) float in [0, 1]
    hr : (scale h, scale w, 3) uint8
    orders : dict
        Permutations of the layer's C channels, by name and draw.
    layer : str
        A name as in ``reflash.models.layers``.
    linear : bool
        As in ``reflash.interpretation.silencing.silenced``.
    border : int
        Border in HR pixels left out of the PSNR.
    features : (1, C, h', w') float, optional
        The layer's tensor, where it is known already.

    Returns
    -------
    dict of (name, draw) to (C + 1,) float, dB
        Nothing masked first, everything masked last.
    """
    if features is None:
        with torch.inference_mode():
            features = network.forward_features(lr, (layer,))[1][layer]
    keep = np.concatenate([kept_by_step(order) for order in orders.values()])
    outputs = silenced(network, layer, features, lr, keep, linear)
    values = np.array([quality(output, hr, border) for output in outputs])
    return dict(zip(orders, values.reshape(len(orders), -1), strict=True))


def masking_orders(saliency: NDArray[np.float64], draws: int, seed: int, image: str) -> Orders:
    """Return the orders of masking: natural, by saliency (largest first), and random ones.

    Parameters
    ----------
    saliency : (C,) float
        Channel saliency; equal ones keep their natural order.
    draws : int
        How many random orders; they depend on ``seed``, ``image`` and their number alone, so that
        runs are compared under the same ones.
    """
    orders: Orders = {
        ("natural", 0): np.arange(saliency.size),
        ("saliency", 0): np.argsort(-saliency, kind="stable"),
    }
    for draw in range(draws):
        rng = numpy_generator(seed, "masking", image, draw)
        orders["random", draw] = rng.permutation(saliency.size)
    return orders


def kept_by_step(order: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return (C + 1, C) bool: row m is what is left when the first m channels are masked.

    >>> kept_by_step(np.array([1, 0])).astype(int).tolist()
    [[1, 1], [1, 0], [0, 0]]
    """
    place = np.empty(order.size, int)
    place[order] = np.arange(order.size)
    return np.asarray(place[None, :] >= np.arange(order.size + 1)[:, None])


def masking_areas(masking: pd.DataFrame) -> pd.DataFrame:
    """Return the normalised area under each masking curve.

    The mean height of the curve (trapezoids over the masked share, from none to all) over its
    height at the start: 1 if masking costs nothing.

    Parameters
    ----------
    masking : pandas.DataFrame
        As `run_masking` returns, for one layer.

    Returns
    -------
    pandas.DataFrame
        Columns ``run, image, order, draw, area``.
    """
    rows = []
    for keys, curve in masking.groupby(["run", "image", "order", "draw"], sort=False):
        psnr = curve.sort_values("masked")["psnr"].to_numpy()
        rows.append((*keys, float(((psnr[1:] + psnr[:-1]) / 2).mean() / psnr[0])))
    return pd.DataFrame(rows, columns=["run", "image", "order", "draw", "area"])


def run_masking(
    weights: Weights,
    lr: Path | str,
    hr: Path | str,
    out: Path | str,
    settings: AnalysisSettings | None = None,
    *,
    layer: str = "last",
    run: str | None = None,
    key: Which | None = None,
    device: str = "auto",
) -> pd.DataFrame:
    """Write masking curves in natural, saliency-ranked and random order, and their areas.

    Parameters
    ----------
    weights, lr, hr, run, key, device
        As in ``reflash.interpretation.ablation.run_ablation``.
    out : path
        The CSV to write (the areas go to ``NAME_area.csv`` beside it), or a folder for
        ``masking.csv`` and ``masking_area.csv``.
    settings : AnalysisSettings, optional
        ``images``, ``crop``, ``border``, ``masking_draws`` and ``seed`` count.
    layer : str
        A name as in ``reflash.models.layers``.

    Returns
    -------
    pandas.DataFrame
        Columns ``run, image, layer, order, draw, masked, psnr``; ``order`` is natural, saliency
        or random, ``draw`` counts the random ones, ``masked`` the masked channels from 0 to C.

    Raises
    ------
    ReflashError
        Unreadable weights or images, HR images of another size, no such layer or device.
    """
    settings, run = settings or AnalysisSettings(), run_name(weights, run)
    rows: list[tuple[str, str, str, str, int, int, float]] = []
    with opened(weights, key, device) as network:
        network.check_layers((layer,))
        for sample in read_pairs(lr, hr, network.scale, settings, f"masking {run}"):
            batch = to_batch(sample.lr, network)
            features, saliency = saliency_of_layer(network, batch, layer)
            totals = channel_totals(saliency)
            orders = masking_orders(totals, settings.masking_draws, settings.seed, sample.name)
            curves = mask_progressively(
                network,
                batch,
                sample.hr,
                orders,
                layer,
                border=settings.border,
                features=features,
            )
            rows += [
                (run, sample.name, layer, order, draw, masked, float(value))
                for (order, draw), curve in curves.items()
                for masked, value in enumerate(curve)
            ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    path = table_path(out, "masking")
    write_csv(path.with_name(f"{path.stem}_area.csv"), masking_areas(table))
    write_csv(path, table)
    return table
