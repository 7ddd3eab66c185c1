"""From what a user calls weights to a function that enlarges images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reflash.evaluation.baseline import bicubic_upscale

SCALE = 4
"""Factor of the study: HR sides over LR sides."""

Upscaler: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Any function from an LR image (h, w, 3) uint8 to an SR image (4h, 4w, 3) uint8."""


def open_upscaler(
    weights: Path | str,
    key: Literal["params", "params_ema"] | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    device: str = "auto",
) -> Upscaler:
    """Return what enlarges images with ``weights``.

    Parameters
    ----------
    weights : path or str
        A weights file, or the word ``bicubic``, for which torch is not imported.
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
        return bicubic_upscale
    from reflash.core.devices import choose_device
    from reflash.evaluation.inference import NetworkUpscaler
    from reflash.models.weights import load_network

    chosen = choose_device(device)
    return NetworkUpscaler(load_network(weights, key).to(chosen), tile, overlap, chosen)
