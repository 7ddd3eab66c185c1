"""The files of a figure: what it was drawn from, how, and the drawing itself.

``NAME.csv`` holds everything that is drawn (and the folder ``NAME/`` the images, if any),
``NAME.json`` title, caption and settings. From these two alone ``redraw`` makes ``NAME.pdf`` and
``NAME.png`` again, with the same bytes on the same versions: a figure is always drawn from the CSV
as it was read back, never from memory.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from reflash.core.errors import ReflashError
from reflash.core.files import atomic, read_csv, require_file, with_ending, write_csv, write_json
from reflash.datasets.images import Pixels, read_rgb, write_png
from reflash.paper.figures.registry import figure_module
from reflash.paper.figures.style import rc
from reflash.study.artefacts import FigureStyle
from reflash.study.context import Context
from reflash.study.inputs import Inputs

_REMEDY = "regenerate it with reflash figure"


@dataclass(frozen=True)
class Drawing:
    """What one figure shows."""

    name: str
    """Name of the figure, which chooses the module that draws it."""
    frame: pd.DataFrame
    """Everything that is drawn, one element a row."""
    title: str
    """One line; not printed inside the figure."""
    caption: str
    """What is shown, and at which scale it was made."""
    alt: str
    """Alt text for screen readers."""
    options: dict[str, Any] = field(default_factory=dict)
    """What else the drawing needs: axis label, order of models."""
    images: dict[str, Pixels] = field(default_factory=dict)
    """Images by the file name the frame gives them: (H, W, 3) uint8 RGB."""


def make_figure(
    name: str, context: Context, settings: Any, inputs: Inputs, style: FigureStyle, stem: Path | str
) -> None:
    """Gather the figure ``name`` and write it with ``write_figure``.

    Raises
    ------
    ReflashError
        An input that the figure needs is not given, missing or unusable.
    """
    given = inputs.required(settings.inputs, f"figure {name}")
    write_figure(figure_module(name).gather(context, settings, **given), stem, style)


def write_figure(drawing: Drawing, stem: Path | str, style: FigureStyle) -> None:
    """Write ``stem`` with .csv, .json, .pdf and .png, and the folder ``stem/`` with images.

    Raises
    ------
    ReflashError
        The folder cannot be written.
    """
    stem = Path(stem)
    csv = with_ending(stem, ".csv")
    for file, image in drawing.images.items():
        write_png(stem / file, image)
    _remove_others(stem, set(drawing.images))
    write_csv(csv, drawing.frame, float_format=None)
    write_json(
        with_ending(stem, ".json"),
        {
            "name": drawing.name,
            "title": drawing.title,
            "caption": drawing.caption,
            "alt": drawing.alt,
            "options": drawing.options,
            "style": style.model_dump(mode="json"),
        },
        ascii=False,
    )
    redraw(csv, stem)


def redraw(csv: Path | str, out_stem: Path | str, style: FigureStyle | None = None) -> None:
    """Draw a figure again from its CSV and the JSON (and images) beside it.

    Parameters
    ----------
    csv
        ``NAME.csv`` as ``write_figure`` left it.
    out_stem
        ``.pdf`` and ``.png`` are written to this path.
    style
        How it looks; by default as it was drawn.

    Raises
    ------
    ReflashError
        A file is missing or not one that ``write_figure`` wrote.
    """
    drawing, own_style = read_drawing(csv)
    style = style or own_style
    with rc(style):
        figure = figure_module(drawing.name).draw(drawing, style)
        save(figure, Path(out_stem), drawing.title, style)


def read_drawing(csv: Path | str) -> tuple[Drawing, FigureStyle]:
    """Read back what ``write_figure`` wrote: the drawing and the style it had."""
    csv = require_file(csv, _REMEDY)
    path = require_file(csv.with_suffix(".json"), _REMEDY)
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        style = FigureStyle.model_validate(meta["style"])
        parts = {key: meta[key] for key in ("name", "title", "caption", "alt", "options")}
    except (ValueError, KeyError, TypeError) as error:
        raise ReflashError(f"{path}: does not describe a figure ({error!r}); {_REMEDY}") from error
    try:
        frame = read_csv(csv)
    except ReflashError as error:
        raise ReflashError(f"{error}; {_REMEDY}") from error
    if frame.empty:
        raise ReflashError(f"{csv}: has no rows; {_REMEDY}")
    for column in frame.columns:
        if not is_numeric_dtype(frame[column]):
            frame[column] = frame[column].fillna("")
    folder = csv.with_suffix("")
    files = list(frame["file"].dropna().unique()) if "file" in frame else []
    images = {str(file): read_rgb(folder / str(file)) for file in files}
    return Drawing(frame=frame, images=images, **parts), style


def save(figure: Figure, stem: Path, title: str, style: FigureStyle) -> None:
    """Write PDF and PNG; neither holds a date, so the same figure gives the same bytes."""
    metadata = {"Title": title, "Creator": "reflash", "Producer": None, "CreationDate": None}
    options: dict[str, dict[str, Any]] = {
        "pdf": {"metadata": metadata},
        "png": {"metadata": {"Software": None}, "dpi": style.dpi},
    }
    for kind, given in options.items():
        drawn = io.BytesIO()  # where the disk is full, matplotlib fails with errors of its own
        figure.savefig(drawn, format=kind, **given)
        with atomic(with_ending(stem, f".{kind}")) as temporary:
            temporary.write_bytes(drawn.getvalue())


def _remove_others(folder: Path, keep: set[str]) -> None:
    """Remove images of an earlier drawing."""
    for path in folder.glob("*.png") if folder.is_dir() else ():
        if path.name not in keep:
            path.unlink()
