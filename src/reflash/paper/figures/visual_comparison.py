"""Figure: the same crop from every model side by side, with the PSNR of its image."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reflash.datasets.images import Pixels, list_images, read_rgb
from reflash.errors import ReflashError
from reflash.paper.context import BICUBIC, Context, kind_label, listing, scale_sentence
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.style import ACCENT, new_figure, small, two_columns, wrap
from reflash.paper.scores import read_table
from reflash.paper.settings import FigureStyle, VisualComparison

NAME = "visual_comparison"

THUMBNAIL = 360
"""Longest side of the whole image shown beside the crops, in pixels."""

MOST_CELLS = 8
"""Pictures beside each other at most; more go to a second line."""

MARGIN, GAP = 0.03, 0.04
"""Inches around the figure and between pictures."""

Cell: TypeAlias = dict[Hashable, Any]


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
        A folder of SR images, with the same names, for each model of the context (and for
        bicubic, if it is to be shown).

    Returns
    -------
    Drawing
        The frame has a row per picture: row, column, role (image, hr, lr, sr), model, label,
        image, kind, x, y, size (the crop in HR pixels), width, height (of what the file shows, in
        HR pixels), psnr (dB, of the whole image), file (PNG in the folder of the figure).

    Raises
    ------
    ReflashError
        A folder, image or evaluation is missing, or an image has the wrong size.
    """
    test_set = settings.set or context.test_sets[0]
    models = [m for m in (BICUBIC, *context.models) if m in sr]
    for model in context.models:
        if model not in sr:
            raise ReflashError(f"model {model}: no folder of SR images is given; name one")
    psnr = _read_psnr(evaluations, context, test_set, settings.kind)
    lr_images, hr_images = _by_stem(lr), list_images(hr)[: settings.examples]
    sr_images = {model: _by_stem(sr[model]) for model in models}
    rows: list[dict[str, object]] = []
    images: dict[str, Pixels] = {}
    for row, path in enumerate(hr_images):
        stem = path.stem
        whole = read_rgb(path)
        size = min(settings.size, *(side // 4 * 4 for side in whole.shape[:2]))
        x, y = detailed_crop(whole, size)
        height, width = whole.shape[:2]
        common = {"row": row, "image": stem, "kind": settings.kind, "x": x, "y": y, "size": size}
        sources = [("hr", "", "HR", path, 1), ("lr", "", "LR", _find(lr_images, stem, lr), 4)]
        sources += [
            ("sr", model, context.label(model), _find(sr_images[model], stem, sr[model]), 1)
            for model in models
        ]
        thumbnail = f"{row}-image.png"
        images[thumbnail] = _shrink(whole)
        rows.append(
            {**common, "column": 0, "role": "image", "model": "", "label": stem}
            | {"width": width, "height": height, "psnr": float("nan"), "file": thumbnail}
        )
        for column, (role, model, label, source, factor) in enumerate(sources, start=1):
            picture = read_rgb(source)
            if (picture.shape[0] * factor, picture.shape[1] * factor) != (height, width):
                raise ReflashError(
                    f"{source}: {picture.shape[1]}x{picture.shape[0]} pixels do not go with "
                    f"{path} ({width}x{height}); make both from the same HR image"
                )
            file = f"{row}-{column}-{role}.png"
            images[file] = picture[
                y // factor : (y + size) // factor, x // factor : (x + size) // factor
            ]
            value = psnr.get((model, stem), float("nan"))
            if model and value != value:
                raise ReflashError(
                    f"{stem}: no PSNR of {model} on {test_set} ({settings.kind}) among the "
                    "evaluations given; evaluate it with reflash evaluate"
                )
            rows.append(
                {**common, "column": column, "role": role, "model": model, "label": label}
                | {"width": size, "height": size, "psnr": value, "file": file}
            )
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


def detailed_crop(hr: Pixels, size: int) -> tuple[int, int]:
    """Return (x, y) of the square crop with the most detail, both multiples of 4.

    Detail is the sum of absolute differences between neighbouring grey values.
    """
    grey = cv2.cvtColor(hr, cv2.COLOR_RGB2GRAY).astype(np.float64)
    detail = np.zeros_like(grey)
    detail[:, 1:] += np.abs(np.diff(grey, axis=1))
    detail[1:, :] += np.abs(np.diff(grey, axis=0))
    total = np.pad(detail, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    sums = sums[::4, ::4]
    top, left = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return int(left) * 4, int(top) * 4


def _read_psnr(
    evaluations: Iterable[Path | str], context: Context, test_set: str, kind: str
) -> dict[tuple[str, str], float]:
    """Return (model, image) -> PSNR of bicubic and of every model's first seed."""
    remedy = "evaluate the run again with reflash evaluate"
    runs = {f"{model}/seed{context.seeds[0]}": model for model in context.models}
    runs[BICUBIC] = BICUBIC
    values = {}
    for path in evaluations:
        table = read_table(path, ("run", "set", "kind", "image", "psnr"), remedy)
        table = table[
            table["run"].isin(list(runs)) & (table["set"] == test_set) & (table["kind"] == kind)
        ]
        for run, image, value in zip(table["run"], table["image"], table["psnr"], strict=True):
            values[runs[run], str(image)] = float(value)
    return values


def _by_stem(folder: Path | str) -> dict[str, Path]:
    return {path.stem: path for path in list_images(folder)}


def _find(images: dict[str, Path], stem: str, folder: Path | str) -> Path:
    if stem not in images:
        raise ReflashError(
            f"{Path(folder) / stem}.png: no such image; make it with reflash upscale"
        )
    return images[stem]


def _shrink(image: Pixels) -> Pixels:
    factor = max(image.shape[:2]) / THUMBNAIL
    if factor <= 1:
        return image
    height, width = (max(1, round(side / factor)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _caption(
    context: Context, settings: VisualComparison, test_set: str, frame: pd.DataFrame
) -> str:
    count = frame["row"].nunique()
    return " ".join(
        [
            f"{count} image{'s' if count != 1 else ''} of {test_set}, degradation "
            f"{kind_label(settings.kind)}: the crop with the most detail, of {settings.size} "
            "pixels at most; LR enlarged without interpolation.",
            "Below: PSNR of the whole image in dB (8-bit RGB, border of "
            f"{context.crop} pixels left out), best bold.",
            f"Seed {context.seeds[0]}.",
            scale_sentence(context),
        ]
    )


def _alt(frame: pd.DataFrame) -> str:
    labels = list(dict.fromkeys(frame.loc[frame["role"] != "image", "label"]))
    best = frame.loc[frame.dropna(subset="psnr").groupby("row")["psnr"].idxmax()]
    ends = [f"{row['image']}: {row['label']} ({row['psnr']:.2f} dB)" for _, row in best.iterrows()]
    return f"Crops side by side: {listing(labels)}. Highest PSNR: {'; '.join(ends)}."


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw the whole image and its crops in cells of one size; many models take more lines."""
    frame = drawing.frame
    cells = int(frame["column"].max()) + 1
    lines = -(-cells // MOST_CELLS)
    per_line = -(-cells // lines)
    width, size = two_columns(style), small(style)
    side = (width - 2 * MARGIN - GAP * (per_line - 1)) / per_line
    line_height = 1.25 * size / 72
    names = {
        int(one["column"]): wrap(str(one["label"]), side - 0.02, size)
        for one in frame[frame["role"] != "image"].to_dict("records")
    }
    heads = [
        max(text.count("\n") + 1 for at, text in names.items() if at // per_line == line)
        * line_height
        + 0.03
        for line in range(lines)
    ]
    foot = line_height + 0.05
    examples = [rows.to_dict("records") for _, rows in frame.groupby("row", sort=False)]
    repeats = len(examples) if lines > 1 else 1
    figure = new_figure(
        width,
        2 * MARGIN + len(examples) * lines * (side + foot) + repeats * sum(heads),
    )
    figure.set_layout_engine("none")
    top = figure.get_figheight() - MARGIN
    for number, example in enumerate(examples):
        best = max(round(one["psnr"], 2) for one in example if one["psnr"] == one["psnr"])
        for line in range(lines):
            named = lines > 1 or number == 0
            top -= heads[line] if named else 0.0
            for one in example[line * per_line : (line + 1) * per_line]:
                left = MARGIN + (int(one["column"]) - line * per_line) * (side + GAP)
                middle = left + side / 2
                below = top - side - 0.02
                if one["role"] == "image":
                    below = _whole(figure, drawing, one, left, top, side, style) - 0.02
                    _text(figure, middle, below, _shorten(str(one["label"])), size, "top")
                    continue
                _picture(figure, (left, top - side, side, side), drawing, one)
                if named:
                    _text(figure, middle, top + 0.02, names[int(one["column"])], size, "bottom")
                if one["psnr"] == one["psnr"]:
                    bold = round(one["psnr"], 2) == best
                    _text(figure, middle, below, f"{one['psnr']:.2f} dB", size, "top", bold)
            top -= side + foot
    return figure


def _shorten(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"


def _picture(
    figure: Figure, box: tuple[float, float, float, float], drawing: Drawing, one: Cell
) -> Axes:
    """Show a file in ``box``: left, bottom, width, height in inches."""
    width, height = figure.get_size_inches()
    left, bottom, wide, high = box
    axes = figure.add_axes((left / width, bottom / height, wide / width, high / height))
    axes.imshow(
        drawing.images[str(one["file"])],
        interpolation="nearest" if one["role"] != "image" else "antialiased",
        extent=(0, float(one["width"]), float(one["height"]), 0),
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes


def _whole(
    figure: Figure,
    drawing: Drawing,
    one: Cell,
    left: float,
    top: float,
    side: float,
    style: FigureStyle,
) -> float:
    """Show the whole image with its crop framed in a square cell; return where it ends below."""
    scale = side / max(one["width"], one["height"])
    w, h = one["width"] * scale, one["height"] * scale
    axes = _picture(figure, (left + (side - w) / 2, top - h, w, h), drawing, one)
    for color, linewidth in (("white", 2.2), (ACCENT[style.palette], 1.1)):
        axes.add_patch(
            Rectangle(
                (one["x"], one["y"]),
                one["size"],
                one["size"],
                fill=False,
                edgecolor=color,
                linewidth=linewidth,
            )
        )
    return top - h


def _text(
    figure: Figure, x: float, y: float, text: str, size: float, at: str, bold: bool = False
) -> None:
    """Write centred text at a place in inches."""
    width, height = figure.get_size_inches()
    figure.text(
        x / width,
        y / height,
        text,
        ha="center",
        va=at,
        fontsize=size,
        fontweight="bold" if bold else "normal",
        linespacing=1.1,
    )
