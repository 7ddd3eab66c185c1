"""Figure: real LR photographs upscaled by every model, side by side; there is no HR image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from reflash.core.settings import SCALE
from reflash.datasets.images import Pixels, list_images, read_rgba
from reflash.models.names import BICUBIC
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.image_grid import (
    Cell,
    add_example,
    by_stem,
    cut,
    detailed_crop,
    draw_crops,
    find_image,
    thumbnail,
)
from reflash.study.artefacts import FigureStyle, RealWorld
from reflash.study.context import Context, listing, scale_sentence, sentences

NAME = "real_world"


def gather(
    context: Context, settings: RealWorld, real: Path | str, sr: Mapping[str, Path | str]
) -> Drawing:
    """Cut the same crop from LR photographs and from what every model makes of them.

    Parameters
    ----------
    context
        The models shown.
    settings
        How many images, which size.
    real
        Folder of LR photographs.
    sr : mapping of str to folder
        A folder of upscaled images, with the same names, for each model of the context (and for
        bicubic, if it is to be shown); those of the first seed.

    Returns
    -------
    Drawing
        The frame has a row per image: row, column, role (image, lr, sr), model, label, image, x,
        y, size (the crop in pixels of the result), width, height (of what the file shows, in
        pixels of the result), file (PNG in the folder of the figure).

    Raises
    ------
    ReflashError
        A folder or image is missing, or an upscaled image has the wrong size.
    """
    models = [BICUBIC, *context.models]
    upscaled = {model: by_stem(sr[model]) for model in models}
    rows: list[Cell] = []
    images: dict[str, Pixels] = {}
    for row, path in enumerate(list_images(real)[: settings.examples]):
        lr, _ = read_rgba(path)
        height, width = (SCALE * side for side in lr.shape[:2])
        side = min(settings.size // SCALE, *lr.shape[:2])
        left, top = detailed_crop(lr, side, 1)
        box = (SCALE * left, SCALE * top, SCALE * side)
        crop = cut(lr, (left, top, side), lr.shape[:2], path, path)
        size = {"width": box[2], "height": box[2]}
        cells: list[Cell] = [
            {"role": "image", "model": "", "label": path.stem, "pixels": thumbnail(lr)}
            | {"width": width, "height": height},
            {"role": "lr", "model": "", "label": "LR", "pixels": crop, **size},
        ]
        for model in models:
            source = find_image(upscaled[model], path.stem, sr[model])
            part = cut(read_rgba(source)[0], box, (height, width), source, path)
            label = context.label(model)
            cells.append({"role": "sr", "model": model, "label": label, "pixels": part, **size})
        common: Cell = {"row": row, "image": path.stem, "x": box[0], "y": box[1], "size": box[2]}
        add_example(rows, images, common, cells)
    order = ["row", "column", "role", "model", "label", "image", "x", "y", "size"]
    frame = pd.DataFrame(rows)[[*order, "width", "height", "file"]]
    return Drawing(
        name=NAME,
        frame=frame,
        title="Real photographs",
        caption=_caption(context, settings, frame),
        alt=(
            "Crops side by side, a row per image "
            f"({listing(list(dict.fromkeys(frame['image'])))}): "
            f"{listing(list(dict.fromkeys(frame.loc[frame['role'] != 'image', 'label'])))}."
        ),
        images=images,
    )


def _caption(context: Context, settings: RealWorld, frame: pd.DataFrame) -> str:
    count = frame["row"].nunique()
    source = Path(settings.photos).name if settings.photos else "the sample photographs"
    return sentences(
        f"{count} image{'s' if count != 1 else ''} of {source} as they are, upscaled "
        f"{SCALE} times: the crop with the most detail, of {settings.size} pixels at most; "
        "LR upscaled without interpolation. There is no HR image to compare with: no PSNR.",
        f"Seed {context.seeds[0]}.",
        scale_sentence(context),
    )


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw the whole image and its crops in cells of one size."""
    return draw_crops(drawing, style, "LR image")
