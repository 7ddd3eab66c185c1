"""Finishing a forward pass with some channels of a layer set to zero and the others rescaled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from reflash.interpretation.inputs import MEMORY, batch_size, float64_sum
from reflash.models.layers import LayeredNetwork
from reflash.models.staged import StagedNetwork

_COLUMNS = 4096


def channel_amounts(features: Tensor) -> NDArray[np.float64]:
    """Return each channel's sum of magnitudes: (1, C, h, w) to (C,)."""
    return float64_sum(features.abs(), (0, 2, 3))


def rescale_factors(amounts: NDArray[np.float64], keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the factors that give what is kept the magnitude of the whole layer.

    ``S / (S - s)`` with S the sum of all ``amounts`` and s that of the channels that are not
    kept. Where nothing is left to rescale (S = s; a division by zero in the authors' code) the
    factor is 1.

    Parameters
    ----------
    amounts : (C,) float, not negative
    keep : (N, C) bool

    Returns
    -------
    (N,) float

    Examples
    --------
    >>> rescale_factors(np.array([1.0, 3.0]), np.array([[True, True], [True, False]])).tolist()
    [1.0, 4.0]
    """
    kept = np.where(keep, amounts, 0.0).sum(1)
    left = kept > 0
    return np.where(left, amounts.sum() / np.where(left, kept, 1.0), 1.0)


@torch.inference_mode()
def silenced(
    network: LayeredNetwork,
    layer: str,
    features: Tensor,
    lr: Tensor,
    keep: NDArray[np.bool_],
    linear: bool = True,
    factors: NDArray[np.float64] | None = None,
) -> Iterator[Tensor]:
    """Yield what the network makes of one image when only some channels of a layer are kept.

    The channels that are not kept are zero, the others are multiplied by a factor, and the
    forward pass is finished from the layer. At layer ``last`` of our networks only a
    convolution follows, which is linear: its output is the sum of the single channels' outputs, so
    that each channel is convolved once and the rest is one product of matrices.

    Parameters
    ----------
    network : LayeredNetwork
        In evaluation mode.
    layer : str
        A name as in ``reflash.models.layers``.
    features : (1, C, h', w') float
        The layer's tensor for ``lr``.
    lr : (1, 3, h, w) float in [0, 1]
    keep : (N, C) bool
        A choice of channels per row.
    linear : bool
        Use the shortcut at ``last``; without it, and at other layers, as many rows as memory
        allows pass through the rest of the network together.
    factors : (N,) float, optional
        By default `rescale_factors`, as in the authors' analysis code.

    Yields
    ------
    (1, 3, scale h, scale w) float, not clamped, one per row
    """
    if factors is None:
        factors = rescale_factors(channel_amounts(features), keep)
    weights = torch.from_numpy(keep * factors[:, None]).to(features)
    if linear and layer == "last" and isinstance(network, StagedNetwork):
        yield from _through_last_convolution(network, features, lr, weights)
        return
    for rows in weights.split(batch_size(network, lr)):
        yield from network.forward_from(layer, features * rows[:, :, None, None], lr).split(1)


def _through_last_convolution(
    network: StagedNetwork, features: Tensor, lr: Tensor, weights: Tensor
) -> Iterator[Tensor]:
    """Yield the same from the outputs of single channels, each of 3 x 3 weights, padded by 1.

    They take three times the memory of ``features``.
    """
    rest = network.forward_from("last", torch.zeros_like(features), lr)  # bias, global residual
    last = network.get_parameter("conv_last.weight")
    parts = rest.new_empty(features.shape[1], rest.numel())
    for channel, part in enumerate(parts):
        one = slice(channel, channel + 1)
        part.copy_(F.conv2d(features[:, one], last[:, one], padding=1).flatten())
    flat = rest.reshape(1, -1)
    for rows in weights.split(max(1, MEMORY // (8 * rest.numel()))):
        outputs = rest.new_empty(len(rows), rest.numel())
        for begin in range(0, rest.numel(), _COLUMNS):  # which stay in the processor's cache
            columns = slice(begin, begin + _COLUMNS)
            outputs[:, columns] = torch.addmm(flat[:, columns], rows, parts[:, columns])
        yield from outputs.view(-1, *rest.shape[1:]).split(1)
