"""The library's front door: what a script or notebook asks for most, on arrays and files.

These functions are attributes of the package itself: ``from reflash import degrade, evaluate``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from reflash.degradations.benchmark import degrade_image as degrade
from reflash.evaluation.evaluate import evaluate as evaluate_upscaler
from reflash.evaluation.inference import NetworkUpscaler
from reflash.evaluation.settings import EvaluationSettings
from reflash.evaluation.upscalers import Upscaler, open_upscaler
from reflash.models.dropout import insert_dropout
from reflash.models.external import open_network as load_network
from reflash.study.reading import validate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["degrade", "evaluate", "insert_dropout", "load_network", "saliency"]


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
        What the columns ``run`` and ``set`` say; the set is by default the HR folder's name.
    device : str
        ``auto``, ``cpu``, ``cuda``, ...
    **settings
        Keys of `reflash.evaluation.settings.EvaluationSettings`, such as ``crop=4``.

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
    >>> write_png(Path("hr/a.png"), hr)
    >>> write_png(Path("clean/a.png"), degrade(hr, "clean"))
    >>> evaluate("bicubic", "hr", {"clean": "clean"}, metrics=["psnr", "ssim"]).round(2)
           run set   kind image  psnr  ssim
    0  network  hr  clean     a  11.0  0.05
    """
    chosen: EvaluationSettings = validate(EvaluationSettings, settings, "evaluate")
    upscaler: Upscaler
    if isinstance(network, nn.Module):
        from reflash.core.devices import choose_device

        place = choose_device(device)
        upscaler = NetworkUpscaler(network.to(place), chosen.tile, chosen.overlap, place, run)
    elif callable(network):
        upscaler = network
    else:
        upscaler = open_upscaler(network, None, chosen.tile, chosen.overlap, device)
    return evaluate_upscaler(upscaler, hr, lr, run, test_set or Path(hr).name, chosen)


def saliency(
    network: nn.Module | Path | str,
    image: NDArray[np.uint8],
    *,
    key: Literal["params", "params_ema"] | None = None,
    device: str = "auto",
) -> dict[str, NDArray[np.float32]]:
    """Return the channel saliency maps of a network for one LR image (paper section 4.2).

    Parameters
    ----------
    network : nn.Module or path
        A weights file, or any module from (B, 3, h, w) to (B, 3, scale h, scale w) in [0, 1].
    image : (h, w, 3) uint8 RGB
    key : {"params", "params_ema"}, optional
        Which weights of a file.
    device : str
        ``auto``, ``cpu``, ``cuda``, ...

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

    with opened(network, key, device) as layered:
        maps = channel_saliency(layered, to_batch(image, layered))
        return {layer: of_layer.cpu().numpy() for layer, of_layer in maps.items()}
