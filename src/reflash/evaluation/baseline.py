"""Bicubic enlargement: the baseline of every table, and what transparency is enlarged with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def bicubic_upscale(image: NDArray[np.uint8], scale: int = 4) -> NDArray[np.uint8]:
    """Enlarge an image with Pillow's bicubic filter (a = -0.5), the one of the test protocol.

    Parameters
    ----------
    image : (h, w, 3) or (h, w) uint8
        RGB or one channel.
    scale : int
        Factor of both sides.

    Returns
    -------
    (scale * h, scale * w, ...) uint8
    """
    height, width = image.shape[:2]
    size = (width * scale, height * scale)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
