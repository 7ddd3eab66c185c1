"""Figure: the same crop from every model side by side, with the PSNR of its image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from reflash.core.errors import ReflashError
from reflash.core.settings import SCALE
from reflash.datasets.images import Pixels, list_images, read_rgb
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
from reflash.paper.scores import read_rows
from reflash.study.artefacts import FigureStyle, VisualComparison
from reflash.study.context import Context, kind_label, listing, scale_sentence, sentences

NAME = "visual_comparison"


def gather(
    context: Context,
    settings: VisualComparison,
    evaluations: Iterable[Path | str],
    hr: Path | str,
    lr: Path | str,
    sr: Mapping[str, Path | str],
) -> Drawing:
    """Cut the same crop from the HR, LR and SR images.

    Parameters
    ----------
    context
        The models shown; the PSNR is that of the first seed.
    settings
        How many images, which degradation, which size.
    evaluations
        CSV files of ``reflash evaluate``, for the PSNR of the images.
    hr, lr : folder
        HR images and LR images of the degradation, with the same names.
    sr : mapping of str to folder
        A folder of SR images, with the same names, for bicubic and each model of the context.

    Returns
    -------
    Drawing
        The frame has a row per image: row, column, role (image, hr, lr, sr), model, label,
        image, kind, x, y, size (the crop in HR pixels), width, height (of what the file shows, in
        HR pixels), psnr (dB, of the whole image), file (PNG in the folder of the figure).

    Raises
    ------
    ReflashError
        A folder, image or evaluation is missing, or an image has the wrong size.
    """
    test_set = settings.set or context.test_sets[0]
    models = [BICUBIC, *context.models]
    psnr = _read_psnr(evaluations, context, test_set, settings.kind)
    lr_images, hr_images = by_stem(lr), list_images(hr)[: settings.examples]
    sr_images = {model: by_stem(sr[model]) for model in models}
    rows: list[Cell] = []
    images: dict[str, Pixels] = {}
    for row, path in enumerate(hr_images):
        stem, whole = path.stem, read_rgb(path)
        height, width = whole.shape[:2]
        side = min(settings.size, *(length // SCALE * SCALE for length in (height, width)))
        x, y = detailed_crop(whole, side)
        size = {"width": side, "height": side}
        sources = [
            ("hr", "", "HR", path, 1),
            ("lr", "", "LR", find_image(lr_images, stem, lr), SCALE),
        ]
        sources += [
            ("sr", model, context.label(model), find_image(sr_images[model], stem, sr[model]), 1)
            for model in models
        ]
        cells: list[Cell] = [
            {"role": "image", "model": "", "label": stem, "pixels": thumbnail(whole)}
            | {"width": width, "height": height, "psnr": float("nan"), "file": f"{row}-image.png"}
        ]
        for role, model, label, source, factor in sources:
            value = psnr.get((model, stem), float("nan"))
            if model and value != value:
                raise ReflashError(
                    f"{stem}: no PSNR of {model} on {test_set} ({settings.kind}) among the "
                    "evaluations given; evaluate it with reflash evaluate"
                )
            box = (x // factor, y // factor, side // factor)
            part = cut(read_rgb(source), box, (height // factor, width // factor), source, path)
            cells.append(
                {"role": role, "model": model, "label": label, "pixels": part, "psnr": value} | size
            )
        common: Cell = {"row": row, "image": stem, "kind": settings.kind}
        add_example(rows, images, common | {"x": x, "y": y, "size": side}, cells)
    order = ["row", "column", "role", "model", "label", "image", "kind", "x", "y", "size"]
    frame = pd.DataFrame(rows)[[*order, "width", "height", "psnr", "file"]]
    return Drawing(
        name=NAME,
        frame=frame,
        title=f"Crops of {test_set} ({kind_label(settings.kind)})",
        caption=_caption(context, settings, test_set, frame),
        alt=_alt(frame),
        images=images,
    )


def _read_psnr(
    evaluations: Iterable[Path | str], context: Context, test_set: str, kind: str
) -> dict[tuple[str, str], float]:
    """Return (model, image) -> PSNR of bicubic and of every model's first seed."""
    runs = {f"{model}/seed{context.seeds[0]}": model for model in context.models}
    runs[BICUBIC] = BICUBIC
    only = {"run": runs, "set": (test_set,), "kind": (kind,)}
    table = read_rows(evaluations, "evaluate", ("run", "set", "kind", "image"), ("psnr",), only)
    rows = zip(table["run"], table["image"].map(str), table["psnr"], strict=True)
    return {(runs[run], image): float(value) for run, image, value in rows}


def _caption(
    context: Context, settings: VisualComparison, test_set: str, frame: pd.DataFrame
) -> str:
    count = frame["row"].nunique()
    return sentences(
        f"{count} image{'s' if count != 1 else ''} of {test_set}, degradation "
        f"{kind_label(settings.kind)}: the crop with the most detail, of {settings.size} "
        "pixels at most; LR upscaled without interpolation.",
        "Below: PSNR of the whole image in dB (8-bit RGB, border of "
        f"{context.crop} pixels left out), best bold.",
        f"Seed {context.seeds[0]}.",
        scale_sentence(context),
    )


def _alt(frame: pd.DataFrame) -> str:
    labels = list(dict.fromkeys(frame.loc[frame["role"] != "image", "label"]))
    best = frame.loc[frame.dropna(subset="psnr").groupby("row")["psnr"].idxmax()]
    ends = [f"{row['image']}: {row['label']} ({row['psnr']:.2f} dB)" for _, row in best.iterrows()]
    return f"Crops side by side: {listing(labels)}. Highest PSNR: {'; '.join(ends)}."


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw the whole image and its crops in cells of one size; many models take more lines."""
    return draw_crops(drawing, style, "HR image")
