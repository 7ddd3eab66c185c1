"""From what a user calls weights to a function that upscales images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reflash.core.devices import choose_device
from reflash.core.settings import SCALE

Upscaler: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Any function from an LR image (h, w, 3) uint8 to an SR image (4h, 4w, 3) uint8."""


def open_upscaler(
    weights: Path | str,
    key: Literal["params", "params_ema"] | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    device: str = "auto",
) -> Upscaler:
    """Return what upscales images with ``weights``.

    Parameters
    ----------
    weights : path or str
        A weights file or more (see `reflash.models.external`), or the word ``bicubic``, for which
        torch is not imported.
    key : {"params", "params_ema"}, optional
        Which weights of the file; by default what it holds, raw ones if both.
    tile, overlap : int, optional
        See `reflash.evaluation.inference.upscale_tensor`.
    device : str
        ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises
    ------
    ReflashError
        The file is missing or not readable as weights of a known network, or there is no such
        device.
    """
    if str(weights) == "bicubic":
        if device not in ("auto", "cpu"):
            choose_device(device)  # it is not used, but a wrong name should not go unnoticed
        return bicubic_upscale
    from reflash.evaluation.inference import NetworkUpscaler
    from reflash.models.external import external_name, open_network

    chosen = choose_device(device)
    network = open_network(weights, key).to(chosen)
    return NetworkUpscaler(network, tile, overlap, chosen, external_name(weights))


def bicubic_upscale(image: NDArray[np.uint8], scale: int = SCALE) -> NDArray[np.uint8]:
    """Upscale an image with Pillow's bicubic filter (a = -0.5), the one of the test protocol.

    It is the baseline of every table, and what transparency is upscaled with.

    Parameters
    ----------
    image : (h, w, 3) or (h, w) uint8
        RGB or one channel.
    scale : int
        Factor of both sides.

    Returns
    -------
    (scale * h, scale * w, ...) uint8

    Examples
    --------
    >>> bicubic_upscale(np.full((2, 3), 7, np.uint8)).shape
    (8, 12)
    """
    height, width = image.shape[:2]
    size = (width * scale, height * scale)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
