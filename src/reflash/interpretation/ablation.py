"""Channel ablation: what the output loses when one channel of a layer is missing.

As in the authors' analysis code: the channel is set to zero, the others are rescaled so that the
layer keeps its sum of magnitudes, and PSNR is taken on 8-bit RGB without border crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

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

COLUMNS = ("run", "image", "layer", "channel", "psnr", "psnr_full")


def ablate_channels(
    network: LayeredNetwork,
    lr: Tensor,
    hr: NDArray[np.uint8],
    layer: str = "last",
    linear: bool = True,
    border: int = 0,
) -> tuple[NDArray[np.float64], float]:
    """Return the PSNR without each of a layer's channels, and with all of them.

    The network runs once up to the layer and is restarted from there (see
    ``reflash.interpretation.silencing``).

    Parameters
    ----------
    network : LayeredNetwork
        In evaluation mode.
    lr : (1, 3, h, w) float in [0, 1]
    hr : (scale h, scale w, 3) uint8
    layer : str
        A name as in ``reflash.models.layers``.
    linear : bool
        Use the linearity of the last convolution at ``last``: the same values, much faster.
    border : int
        Border in HR pixels left out of the PSNR.

    Returns
    -------
    psnr : (C,) float, dB
    full : float, dB

    Raises
    ------
    ReflashError
        The network has no such layer, or its output is not finite.

    Examples
    --------
    One channel of two holds the image, the other nothing:

    >>> from reflash.models.layers import HookedNetwork
    >>> conv = torch.nn.Conv2d(3, 2, 1, bias=False)
    >>> last = torch.nn.Conv2d(2, 3, 1, bias=False)
    >>> conv.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 0]])[:, :, None, None]
    >>> last.weight.data = torch.ones(3, 2, 1, 1)
    >>> network = HookedNetwork(torch.nn.Sequential(conv, last))
    >>> psnr, full = ablate_channels(network, torch.ones(1, 3, 8, 8), np.full((8, 8, 3), 255, "u1"))
    >>> psnr.tolist(), full  # black without the first, perfect without the second
    ([0.0, 100.0], 100.0)
    """
    with torch.inference_mode():
        sr, kept = network.forward_features(lr, (layer,))
        full, features = quality(sr, hr, border), kept[layer]
        keep = ~np.eye(features.shape[1], dtype=bool)
        outputs = silenced(network, layer, features, lr, keep, linear)
        values = np.array([quality(output, hr, border) for output in outputs])
        return values, full


def run_ablation(
    weights: Weights,
    lr: Path | str,
    hr: Path | str,
    out: Path | str,
    settings: AnalysisSettings | None = None,
    *,
    layers: Sequence[str] = ("last",),
    run: str | None = None,
    key: Which | None = None,
    device: str = "auto",
) -> pd.DataFrame:
    """Write the PSNR without each channel of some layers, for one or several images.

    Parameters
    ----------
    weights, key
        As in ``reflash.interpretation.inputs.opened``.
    lr, hr : path
        Two images, or two folders of which the first ``settings.images`` are taken.
    out : path
        The CSV to write, or a folder for ``ablation.csv``.
    settings : AnalysisSettings, optional
        ``images``, ``crop`` and ``border`` count.
    layers : sequence of str
        Which layers, named as in ``reflash.models.layers``.
    run : str, optional
        What the column ``run`` says; by default the name of the weights file.
    device : str
        As in ``reflash.core.devices.choose_device``.

    Returns
    -------
    pandas.DataFrame
        Columns ``run, image, layer, channel, psnr, psnr_full``; ``psnr_full`` is the PSNR with
        all channels.

    Raises
    ------
    ReflashError
        Unreadable weights or images, HR images of another size, no such layer or device.
    """
    settings, run = settings or AnalysisSettings(), run_name(weights, run)
    rows: list[tuple[str, str, str, int, float, float]] = []
    with opened(weights, key, device) as network:
        network.check_layers(layers)
        for sample in read_pairs(lr, hr, network.scale, settings, f"ablating {run}"):
            batch = to_batch(sample.lr, network)
            for layer in layers:
                values, full = ablate_channels(
                    network, batch, sample.hr, layer, border=settings.border
                )
                rows += [
                    (run, sample.name, layer, channel, float(value), full)
                    for channel, value in enumerate(values)
                ]
    return write_table(table_path(out, "ablation"), rows, COLUMNS)
