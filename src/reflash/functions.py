"""The library's front door: what a script or notebook asks for most, on arrays and files.

These functions are attributes of the package itself: ``from reflash import degrade, evaluate``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from reflash.core.devices import choose_device
from reflash.core.errors import ReflashError
from reflash.degradations.benchmark import checked
from reflash.degradations.benchmark import degrade_image as degrade
from reflash.evaluation.evaluate import evaluate as evaluate_upscaler
from reflash.evaluation.inference import NetworkUpscaler
from reflash.evaluation.pairs import set_name
from reflash.evaluation.settings import EvaluationSettings
from reflash.evaluation.upscalers import Upscaler, open_upscaler
from reflash.models.dropout import insert_dropout
from reflash.models.external import open_network as load_network
from reflash.study.reading import validate

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ablate",
    "degrade",
    "evaluate",
    "insert_dropout",
    "load_network",
    "represent",
    "saliency",
    "upscale",
]


def device_of(network: object, device: str) -> str:
    """Return the device to use: of a module that is somewhere already, by ``auto`` that place."""
    if device == "auto" and isinstance(network, nn.Module):
        parameter = next(network.parameters(), None)
        return "cpu" if parameter is None else str(parameter.device)
    return device


def upscale(
    network: nn.Module | Path | str,
    image: NDArray[np.uint8],
    *,
    tile: int | None = None,
    key: Literal["params", "params_ema"] | None = None,
    device: str = "auto",
) -> NDArray[np.uint8]:
    """Return an image four times larger.

    Parameters
    ----------
    network : nn.Module, path or str
        A weights file, the word ``bicubic``, or a module from (B, 3, h, w) to (B, 3, 4h, 4w) in
        [0, 1].
    image : (h, w, 3) uint8 RGB
    tile : int, optional
        Side of a tile in pixels of ``image``, so that memory stays bounded; 0: the whole image.
    key : {"params", "params_ema"}, optional
        Which weights of a file.
    device : str
        ``cpu``, ``cuda``, ..., or ``auto``: where a module is; of a file a free GPU, else the CPU.

    Returns
    -------
    (4h, 4w, 3) uint8 RGB

    Raises
    ------
    ReflashError
        Unreadable weights, no such device, or an output that is not finite.

    Examples
    --------
    >>> upscale("bicubic", np.full((5, 6, 3), 128, np.uint8)).shape
    (20, 24, 3)
    """
    checked(image, "image")
    if not isinstance(network, nn.Module):
        return open_upscaler(network, key, tile, device=device)(image)
    place = choose_device(device_of(network, device))
    return NetworkUpscaler(network.to(place), tile, None, place)(image)


def evaluate(
    network: nn.Module | Upscaler | Path | str,
    hr: Path | str,
    lr: Mapping[str, Path | str],
    *,
    run: str = "network",
    test_set: str | None = None,
    device: str = "auto",
    **settings: Any,
) -> pd.DataFrame:
    """Return PSNR and SSIM of every image by the paper's protocol.

    Parameters
    ----------
    network
        A weights file, the word ``bicubic``, a module from (B, 3, h, w) to (B, 3, 4h, 4w) in
        [0, 1], or a function from (h, w, 3) uint8 to (4h, 4w, 3) uint8.
    hr : path
        Folder of HR images.
    lr : mapping of str to path
        A folder of LR images for each degradation.
    run, test_set : str
        What the columns ``run`` and ``set`` say; the set is by default the HR folder's name, or
        its parent's of a folder called ``hr``.
    device : str
        ``cpu``, ``cuda``, ..., or ``auto``: where a module is; of a file a free GPU, else the CPU.
    **settings
        Keys of `reflash.evaluation.settings.EvaluationSettings`, such as ``crop=4``, or
        ``weights="params_ema"`` of a file that holds both (by default the raw ones).

    Returns
    -------
    pandas.DataFrame
        Columns ``run, set, kind, image`` and the metrics (dB for PSNR), one row per LR image.

    Raises
    ------
    ReflashError
        As `reflash.evaluation.evaluate.evaluate`; unreadable weights, or an unknown setting.

    Examples
    --------
    >>> from reflash.datasets.images import write_png
    >>> hr = np.random.default_rng(0).integers(0, 256, (48, 60, 3), np.uint8)
    >>> write_png(Path("photos/a.png"), hr)
    >>> write_png(Path("clean/a.png"), degrade(hr, "clean"))
    >>> evaluate("bicubic", "photos", {"clean": "clean"}, metrics=["psnr", "ssim"]).round(2)
           run     set   kind image  psnr  ssim
    0  network  photos  clean     a  11.0  0.05
    """
    chosen: EvaluationSettings = validate(EvaluationSettings, settings, "evaluate")
    if "weights" in settings and callable(network):
        raise ReflashError("evaluate: weights: only a file holds several; leave it out")
    upscaler: Upscaler
    if isinstance(network, nn.Module):
        place = choose_device(device_of(network, device))
        upscaler = NetworkUpscaler(network.to(place), chosen.tile, chosen.overlap, place, run)
    elif callable(network):

        def upscaler(lr: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return checked(network(lr), f"{run}: what its function returns")
    else:
        key = settings.get("weights")
        upscaler = open_upscaler(network, key, chosen.tile, chosen.overlap, device)
    return evaluate_upscaler(upscaler, hr, lr, run, test_set or set_name(hr), chosen)


def saliency(
    network: nn.Module | Path | str,
    image: NDArray[np.uint8],
    *,
    key: Literal["params", "params_ema"] | None = None,
    device: str = "auto",
) -> dict[str, NDArray[np.float32]]:
    """Return the channel saliency maps of a network for one LR image, as the authors' code does.

    Parameters
    ----------
    network : nn.Module or path
        A weights file, or any module from (B, 3, h, w) to (B, 3, scale h, scale w) in [0, 1].
    image : (h, w, 3) uint8 RGB
    key : {"params", "params_ema"}, optional
        Which weights of a file.
    device : str
        ``cpu``, ``cuda``, ..., or ``auto``: where a module is; of a file a free GPU, else the CPU.

    Returns
    -------
    dict of str to (C, h', w') float in [0, 1]
        By layer: ``first``, ``b1`` ..., ``hr``, ``last`` where the network has them.

    Raises
    ------
    ReflashError
        Unreadable weights, no such device, or a module that is no super-resolution network.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
    >>> maps = saliency(model, np.full((8, 9, 3), 128, np.uint8))
    >>> {layer: of_layer.shape for layer, of_layer in maps.items()}
    {'last': (3, 8, 9)}
    """
    from reflash.interpretation.inputs import opened, to_batch
    from reflash.interpretation.saliency import channel_saliency

    checked(image, "image")
    with opened(network, key, device_of(network, device)) as layered:
        maps = channel_saliency(layered, to_batch(image, layered))
        return {layer: of_layer.cpu().numpy() for layer, of_layer in maps.items()}


def ablate(
    network: nn.Module | Path | str,
    lr: NDArray[np.uint8],
    hr: NDArray[np.uint8],
    *,
    layer: str = "last",
    key: Literal["params", "params_ema"] | None = None,
    device: str = "auto",
) -> tuple[NDArray[np.float64], float]:
    """Return the PSNR of an image without each channel of a layer, and with all of them.

    Parameters
    ----------
    network : nn.Module or path
        A weights file, or any module from (B, 3, h, w) to (B, 3, scale h, scale w) in [0, 1].
    lr : (h, w, 3) uint8 RGB
    hr : (scale h, scale w, 3) uint8 RGB
    layer : str
        ``first``, ``b1`` ..., ``hr``, ``last`` where the network has them, or a module's name.
    key : {"params", "params_ema"}, optional
        Which weights of a file.
    device : str
        ``cpu``, ``cuda``, ..., or ``auto``: where a module is; of a file a free GPU, else the CPU.

    Returns
    -------
    psnr : (C,) float, dB
    full : float, dB

    Raises
    ------
    ReflashError
        Unreadable weights, no such layer or device, or images whose sizes do not fit.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
    >>> grey = np.full((32, 36, 3), 128, np.uint8)
    >>> psnr, full = ablate(model, grey[::4, ::4], grey, layer="0")
    >>> psnr.shape
    (48,)
    """
    from reflash.interpretation.ablation import ablate_channels
    from reflash.interpretation.inputs import opened, to_batch

    checked(lr, "lr")
    checked(hr, "hr")
    with opened(network, key, device_of(network, device)) as layered:
        layered.check_layers((layer,))
        expected = (lr.shape[0] * layered.scale, lr.shape[1] * layered.scale, 3)
        if hr.shape != expected:
            raise ReflashError(f"hr: has shape {hr.shape}; for this lr it must be {expected}")
        return ablate_channels(layered, to_batch(lr, layered), hr, layer)


def represent(
    network: nn.Module | Path | str,
    images: Mapping[str, Sequence[NDArray[np.uint8]]],
    *,
    layer: str = "last",
    key: Literal["params", "params_ema"] | None = None,
    device: str = "auto",
    **settings: Any,
) -> tuple[pd.DataFrame, dict[str, tuple[float, float]]]:
    """Return how a network's features cluster by degradation: t-SNE and Calinski-Harabasz index.

    Parameters
    ----------
    network : nn.Module or path
        A weights file, or any module from (B, 3, h, w) to (B, 3, scale h, scale w) in [0, 1].
    images : mapping of str to sequence of (h, w, 3) uint8 RGB
        The same LR images in the same order for each of two or more degradations; all of one size.
    layer : str
        ``first``, ``b1`` ..., ``hr``, ``last`` where the network has them, or a module's name.
    key : {"params", "params_ema"}, optional
        Which weights of a file.
    device : str
        ``cpu``, ``cuda``, ..., or ``auto``: where a module is; of a file a free GPU, else the CPU.
    **settings
        ``pca``, ``perplexity`` and ``seed`` of `reflash.interpretation.settings.AnalysisSettings`.

    Returns
    -------
    points : pandas.DataFrame
        Columns ``kind, image, x, y``, one row per image.
    chi : dict of str to (float, float)
        The index in the spaces ``pca``, ``tsne`` and ``paired`` (the content of images taken out),
        and what it is by chance. The lower, the less the degradations are separate.

    Raises
    ------
    ReflashError
        Unreadable weights, no such layer or device, fewer than two degradations or images, images
        of different sizes, an unknown setting, or features that are all the same.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
    >>> photos = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), np.uint8)
    >>> lr = {kind: [degrade(one, kind) for one in photos] for kind in ("clean", "noise")}
    >>> points, chi = represent(model, lr, layer="0")
    >>> points["kind"].value_counts().to_dict()
    {'clean': 4, 'noise': 4}
    >>> list(chi)
    ['pca', 'tsne', 'paired']
    """
    import pandas as pd
    import torch

    from reflash.interpretation.inputs import opened, require_finite, to_batch
    from reflash.interpretation.representations import compare_kinds
    from reflash.interpretation.settings import AnalysisSettings

    chosen = validate(AnalysisSettings, settings, "represent")
    for name in settings:
        if name not in ("pca", "perplexity", "seed"):
            raise ReflashError(f"represent: {name}: is not used here; leave it out")
    counts = {len(of_kind) for of_kind in images.values()}
    if len(images) < 2 or len(counts) > 1 or min(counts) < 2:
        raise ReflashError(
            "images: give two or more images of each of two or more degradations, as many of each"
        )
    for kind, of_kind in images.items():
        for number, image in enumerate(of_kind):
            checked(image, f"images[{kind!r}][{number}]")
    sizes = {image.shape for of_kind in images.values() for image in of_kind}
    if len(sizes) > 1:
        raise ReflashError(f"images: {len(sizes)} different sizes; crop them to one")
    rows = []
    place = device_of(network, device)
    with opened(network, key, place) as layered, torch.inference_mode():
        layered.check_layers((layer,))
        for image in (image for of_kind in images.values() for image in of_kind):
            lr = to_batch(image, layered)
            sr, kept = layered.forward_features(lr, (layer,))
            require_finite(sr)
            rows.append(layered.over_image(kept[layer], lr).flatten().cpu().numpy())
    kinds = [kind for kind, of_kind in images.items() for _ in of_kind]
    _, xy, chi = compare_kinds(np.stack(rows), kinds, chosen)
    numbers = [number for of_kind in images.values() for number in range(len(of_kind))]
    points = pd.DataFrame({"kind": kinds, "image": numbers, "x": xy[:, 0], "y": xy[:, 1]})
    return points, chi
