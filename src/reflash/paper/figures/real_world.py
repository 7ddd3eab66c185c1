"""Figure: real LR pictures enlarged by every model, side by side; there is no HR picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reflash.core.errors import ReflashError
from reflash.datasets.images import Pixels, list_images, read_rgba
from reflash.models.names import BICUBIC
from reflash.paper.figures.crops import (
    by_stem,
    detailed_crop,
    draw_crops,
    find_image,
    thumbnail,
)
from reflash.paper.figures.drawing import Drawing
from reflash.study.artefacts import FigureStyle, RealWorld
from reflash.study.context import Context, listing, scale_sentence

NAME = "real_world"

ENLARGED = 4
"""How many times larger a result is on each side."""


def gather(
    context: Context, settings: RealWorld, real: Path | str, sr: Mapping[str, Path | str]
) -> Drawing:
    """Cut the same crop from LR pictures and from what every model makes of them.

    Parameters
    ----------
    context
        The models shown.
    settings
        How many pictures, which size.
    real
        Folder of LR pictures.
    sr : mapping of str to folder
        A folder of enlarged pictures, with the same names, for each model of the context (and for
        bicubic, if it is to be shown); those of the first seed.

    Returns
    -------
    Drawing
        The frame has a row per picture: row, column, role (image, lr, sr), model, label, image, x,
        y, size (the crop in pixels of the result), width, height (of what the file shows, in
        pixels of the result), file (PNG in the folder of the figure).

    Raises
    ------
    ReflashError
        A folder or picture is missing, or an enlarged picture has the wrong size.
    """
    for model in context.models:
        if model not in sr:
            raise ReflashError(f"model {model}: no folder of SR images is given; name one")
    models = [model for model in (BICUBIC, *context.models) if model in sr]
    enlarged = {model: by_stem(sr[model]) for model in models}
    rows: list[dict[str, object]] = []
    images: dict[str, Pixels] = {}
    for row, path in enumerate(list_images(real)[: settings.examples]):
        lr, _ = read_rgba(path)
        height, width = (ENLARGED * side for side in lr.shape[:2])
        size = min(settings.size // ENLARGED, *lr.shape[:2])
        left, top = detailed_crop(lr, size, 1)
        common = {"row": row, "image": path.stem, "x": ENLARGED * left, "y": ENLARGED * top}
        common |= {"size": ENLARGED * size}
        crop = (ENLARGED * size, ENLARGED * size)
        cells = [
            ("image", "", path.stem, (width, height), thumbnail(lr)),
            ("lr", "", "LR", crop, lr[top : top + size, left : left + size]),
        ]
        for model in models:
            source = find_image(enlarged[model], path.stem, sr[model])
            picture, _ = read_rgba(source)
            if picture.shape[:2] != (height, width):
                raise ReflashError(
                    f"{source}: {picture.shape[1]}x{picture.shape[0]} pixels are not {ENLARGED} "
                    f"times those of {path}; make it again with reflash upscale"
                )
            part = picture[ENLARGED * top :, ENLARGED * left :][: crop[0], : crop[1]]
            cells.append(("sr", model, context.label(model), crop, part))
        for column, (role, model, label, shown, pixels) in enumerate(cells):
            file = f"{row}-{column}-{role}.png"
            images[file] = np.ascontiguousarray(pixels)
            rows.append(
                {**common, "column": column, "role": role, "model": model, "label": label}
                | {"width": shown[0], "height": shown[1], "file": file}
            )
    order = ["row", "column", "role", "model", "label", "image", "x", "y", "size"]
    frame = pd.DataFrame(rows)[[*order, "width", "height", "file"]]
    return Drawing(
        name=NAME,
        frame=frame,
        title="Real pictures",
        caption=_caption(context, settings, frame),
        alt=(
            "Crops side by side, a row per picture "
            f"({listing(list(dict.fromkeys(frame['image'])))}): "
            f"{listing(list(dict.fromkeys(frame.loc[frame['role'] != 'image', 'label'])))}."
        ),
        images=images,
    )


def _caption(context: Context, settings: RealWorld, frame: pd.DataFrame) -> str:
    count = frame["row"].nunique()
    source = Path(settings.pictures).name if settings.pictures else "the sample photographs"
    return " ".join(
        [
            f"{count} picture{'s' if count != 1 else ''} of {source} as they are, enlarged "
            f"{ENLARGED} times: the crop with the most detail, of {settings.size} pixels at most; "
            "LR enlarged without interpolation. There is no HR picture to compare with: no PSNR.",
            f"Seed {context.seeds[0]}.",
            scale_sentence(context),
        ]
    )


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw the whole picture and its crops in cells of one size."""
    return draw_crops(drawing, style)
