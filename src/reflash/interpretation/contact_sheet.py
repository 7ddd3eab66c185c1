"""All maps of a layer on one image."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SMALLEST, LARGEST = 64, 128
"""Bounds in pixels of the longer side of a map on the sheet."""

_GAP = 4
_LABEL = 12
_TITLE = 20

_LEVELS = 254
_WHITE, _BLACK = 254, 255
"""Numbers in the palette: first the colours of values, then those of paper and ink."""


def contact_sheet(maps: NDArray[np.floating], title: str) -> Image.Image:
    """Draw maps side by side, numbered from 0, under a title.

    The square root of the values is shown (black 0, light yellow 1), because most values of a
    saliency map are close to zero. Maps are averaged down, or repeated up, to a readable size.

    Parameters
    ----------
    maps : (C, h, w) float in [0, 1]
    title : str

    Returns
    -------
    PIL.Image.Image
        With a palette: a third of the bytes of RGB.
    """
    from matplotlib import colormaps

    count, height, width = maps.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    size = _shown_size(height, width)
    cell_width, cell_height = size[0] + _GAP, size[1] + _LABEL + _GAP
    sheet = Image.new(
        "P", (columns * cell_width + _GAP, rows * cell_height + _TITLE + _GAP), _WHITE
    )
    colours = (colormaps["inferno"](np.linspace(0, 1, _LEVELS))[:, :3] * 255).round()
    sheet.putpalette([*colours.astype(np.uint8).flatten().tolist(), *(255, 255, 255), *(0, 0, 0)])
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    draw.text((_GAP, _GAP), title, _BLACK, font)
    shrinks = max(height, width) > LARGEST
    for index, values in enumerate(maps):
        shown = cv2.resize(
            np.sqrt(np.asarray(values, np.float32).clip(0, 1)),
            size,
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST,
        )
        left = _GAP + index % columns * cell_width
        top = _TITLE + index // columns * cell_height
        draw.text((left, top), str(index), _BLACK, font)
        levels = np.rint(np.asarray(shown).clip(0, 1) * (_LEVELS - 1)).astype(np.uint8)
        sheet.paste(Image.frombytes("P", size, levels.tobytes()), (left, top + _LABEL))
    return sheet


def _shown_size(height: int, width: int) -> tuple[int, int]:
    """Return width and height on the sheet."""
    longer = max(height, width)
    factor = LARGEST / longer if longer > LARGEST else float(math.ceil(SMALLEST / longer))
    return max(1, round(width * factor)), max(1, round(height * factor))
