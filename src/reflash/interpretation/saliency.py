"""Channel saliency maps: how much each channel of each layer matters for the output's detail.

As in the authors' analysis code: one plain backward pass of the output's gradient magnitude.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from reflash.core.files import atomic, write_csv, write_json
from reflash.interpretation.concentration import concentration_table
from reflash.interpretation.contact_sheet import contact_sheet
from reflash.interpretation.inputs import (
    Weights,
    Which,
    float64_sum,
    opened,
    read_images,
    require_finite,
    run_name,
    to_batch,
)
from reflash.interpretation.settings import AnalysisSettings
from reflash.models.layers import LayeredNetwork
from reflash.models.staged import StagedNetwork

MADE = ".saliency.json"
"""File of a folder's pictures and arrays, so that a later call removes no others."""


def detail(sr: Tensor) -> Tensor:
    """Return the objective: the sum of the gradient magnitude over pixels, channels and images.

    At each pixel but the last row and column, ``sqrt(dy^2 + dx^2)`` of the differences to the
    pixels below and to the right. Where both are zero the derivative is taken as zero (the
    authors' code gives 0 / 0 there).

    Parameters
    ----------
    sr : (B, C, H, W) float, not clamped

    Examples
    --------
    >>> detail(torch.tensor([[[[0.0, 3.0], [4.0, 0.0]]]]))  # sqrt(4^2 + 3^2) at one pixel
    tensor(5.)
    """
    corner = sr[..., :-1, :-1]
    squares = (corner - sr[..., 1:, :-1]).square() + (corner - sr[..., :-1, 1:]).square()
    flat = squares == 0
    return squares.masked_fill(flat, 1).sqrt().masked_fill(flat, 0).sum()


def channel_saliency(
    network: LayeredNetwork, lr: Tensor, layers: Iterable[str] | None = None
) -> dict[str, Tensor]:
    """Return the channel saliency maps of layers of a network for one image.

    A map is the magnitude of the derivative of `detail` with respect to the layer's tensor, over
    the largest one in all channels of the layer; all zero if no derivative is above zero. The
    derivatives of all layers come from one backward pass.

    Parameters
    ----------
    network : LayeredNetwork
        In evaluation mode.
    lr : (1, 3, h, w) float in [0, 1]
    layers : iterable of str, optional
        Names as in ``reflash.models.layers``; by default all of ``network.layer_names``.

    Returns
    -------
    dict of str to Tensor
        (C, h', w') in [0, 1] for each layer, in network order; without what lies over padding.

    Raises
    ------
    ReflashError
        The network has no such layer, or its output is not finite.
    """
    return _maps_and_features(network, lr, layers)[0]


def _maps_and_features(
    network: LayeredNetwork, lr: Tensor, layers: Iterable[str] | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return what `channel_saliency` says, and the tensors of the layers themselves."""
    with torch.enable_grad():
        sr, features = network.forward_features(lr.detach().requires_grad_(), layers)
        maps, features = _maps(network, lr, sr, features)
    return maps, {k: network.over_image(v, lr)[0] for k, v in features.items()}


def saliency_of_layer(network: LayeredNetwork, lr: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """Return the whole tensor of one layer, (1, C, h', w'), and its saliency map.

    As `channel_saliency`, with less memory in a network of our own: nothing is kept for a
    derivative of what comes before the layer.
    """
    with torch.enable_grad():
        if isinstance(network, StagedNetwork):
            with torch.no_grad():
                features = network.forward_features(lr, (layer,))[1]
            sr = network.forward_from(layer, features[layer].requires_grad_(), lr)
        else:
            sr, features = network.forward_features(lr.detach().requires_grad_(), (layer,))
        maps, features = _maps(network, lr, sr, features)
    return features[layer], maps[layer]


def _maps(
    network: LayeredNetwork, lr: Tensor, sr: Tensor, features: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the saliency maps and the tensors of layers from which ``sr`` was computed."""
    require_finite(sr)
    maps = {}
    gradients = torch.autograd.grad(detail(sr), list(features.values()))
    for layer, gradient in zip(features, gradients, strict=True):
        require_finite(gradient)
        magnitude = network.over_image(gradient, lr)[0].abs()
        peak = magnitude.max()
        maps[layer] = magnitude / peak if peak > 0 else magnitude
    return maps, {layer: tensor.detach() for layer, tensor in features.items()}


def channel_totals(maps: Tensor) -> NDArray[np.float64]:
    """Return each channel's saliency, the sum of its map: (C, h, w) to (C,)."""
    return float64_sum(maps, (1, 2))


def saliency_table(maps: Mapping[str, Tensor], run: str, image: str) -> pd.DataFrame:
    """Return the channel saliencies of one image as ``run, image, layer, channel, saliency``.

    Parameters
    ----------
    maps : mapping of str to Tensor
        As `channel_saliency` returns.
    run, image : str
        What these columns say.
    """
    return pd.DataFrame(
        [
            (run, image, layer, channel, total)
            for layer, of_layer in maps.items()
            for channel, total in enumerate(channel_totals(of_layer))
        ],
        columns=["run", "image", "layer", "channel", "saliency"],
    )


def run_saliency(
    weights: Weights,
    lr: Path | str,
    out: Path | str,
    settings: AnalysisSettings | None = None,
    *,
    run: str | None = None,
    key: Which | None = None,
    device: str = "auto",
    arrays: bool = False,
    layers: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Write the channel saliency of layers of a network for one or several images.

    Parameters
    ----------
    weights, key
        As in ``reflash.interpretation.inputs.opened``.
    lr : path
        An LR image, or a folder of which the first ``settings.images`` are taken.
    out : path
        Folder for ``saliency.csv`` (`saliency_table`), ``concentration.csv``
        (``reflash.interpretation.concentration``) and ``maps/IMAGE-LAYER.png``, the maps of all
        channels of a layer side by side.
    settings : AnalysisSettings, optional
        ``images`` and ``crop`` count.
    run : str, optional
        What the column ``run`` says; by default the name of the weights file.
    device : str
        As in ``reflash.core.devices.choose_device``.
    arrays : bool
        Also write ``maps/IMAGE.npz`` with the maps themselves and ``features/IMAGE.npz`` with
        the features, (C, h, w) 16-bit floats by layer.
    layers : iterable of str, optional
        As in `channel_saliency`.

    Returns
    -------
    pandas.DataFrame
        What is in ``saliency.csv``.

    Raises
    ------
    ReflashError
        Unreadable weights or images, no such layer or device, or an output that is not finite.
    """
    settings, out, run = settings or AnalysisSettings(), Path(out), run_name(weights, run)
    tables, written = [], set[Path]()
    with opened(weights, key, device) as network:
        chosen = network.layer_names if layers is None else tuple(layers)
        network.check_layers(chosen)
        for sample in read_images(lr, settings, f"saliency of {run}"):
            batch = to_batch(sample.lr, network)
            maps, features = _maps_and_features(network, batch, chosen)
            tables.append(saliency_table(maps, run, sample.name))
            for layer, of_layer in maps.items():
                sheet = contact_sheet(of_layer.cpu().numpy(), f"{sample.name}, {layer}")
                path = out / "maps" / f"{sample.name}-{layer}.png"
                with atomic(path) as temporary:
                    sheet.save(temporary, "PNG", compress_level=2)
                written.add(path)
            if arrays:
                for folder, tensors in (("maps", maps), ("features", features)):
                    written.add(path := out / folder / f"{sample.name}.npz")
                    _write_halves(path, tensors)
    table = pd.concat(tables, ignore_index=True)
    for path in _of_an_earlier_call(out) - written:  # of other images or weights
        path.unlink(missing_ok=True)
    write_json(out / MADE, sorted(str(path.relative_to(out)) for path in written))
    write_csv(out / "concentration.csv", concentration_table(table))
    write_csv(out / "saliency.csv", table)
    return table


def _of_an_earlier_call(out: Path) -> set[Path]:
    """Return the pictures and arrays in a folder that an earlier call made."""
    try:
        names = json.loads((out / MADE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return {out / str(name) for name in names}


def _write_halves(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors by layer as arrays of 16-bit floats, whole or not at all."""
    halves = {layer: tensor.half().cpu().numpy() for layer, tensor in tensors.items()}
    with atomic(path) as temporary:
        # Compressed they are a sixth smaller, and writing them is most of the work.
        np.savez(temporary, **halves)  # type: ignore[arg-type]
