"""How figures look: sizes, fonts, and one look per model that is the same in every figure.

The colour says network and training setting; shade and marker, hatch or line say the dropout:
a network without dropout is pale and dashed, marker and hatch name the place, line and dots in
the hatch the dimension; a later place and a larger p are darker. Nothing here depends on which
other models a figure shows, except that two models never look the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.textpath import TextPath

from reflash.models.names import BICUBIC, dropout_of, network_of, setting_of
from reflash.study.artefacts import FigureStyle

GUTTER = 0.2
"""Inches between the two columns of a page."""

SMALLEST = 6.5
"""Smallest text in points, whatever the font size."""

INK = "#222222"
"""Colour of text and axes."""

ACCENT = {"okabe_ito": "#D55E00", "tableau_colorblind": "#C85200"}
"""Colour of what a drawing points out."""

_HUES = {
    "okabe_ito": ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    "tableau_colorblind": ("#006BA4", "#C85200", "#595959", "#5F9ED1", "#FF800E", "#898989"),
}
_FAMILIES = ("srresnet/multi", "rrdb/multi", "srresnet/single", "rrdb/single")
_GREY = "#8C8C8C"

_MARKERS = {
    "last_conv": "o",
    "conv_hr": "P",
    "b4": "^",
    "b8": "s",
    "b12": "D",
    "b16": "v",
    "quarter": "<",
    "half": ">",
    "all": "X",
}
_HATCHES = {
    "last_conv": "////",
    "conv_hr": "++++",
    "b4": "\\\\\\\\",
    "b8": "----",
    "b12": "||||",
    "b16": "xxxx",
    "quarter": "....",
    "half": "oo",
    "all": "**",
}
_PALER = {
    "b4": 0.45,
    "b8": 0.35,
    "b12": 0.25,
    "b16": 0.15,
    "quarter": 0.2,
    "half": 0.3,
    "all": 0.4,
}
_SPARE = tuple(zip("hpdH8*", ("//", "\\\\", "xx", "||", "--", "++"), strict=True))
_SPARE_SHADES = (0.0, -0.3, 0.3, -0.45)


@dataclass(frozen=True)
class Look:
    """How one model is drawn."""

    color: str
    """Fill of bars and colour of lines."""
    edge: str
    """Outline of bars."""
    hatch: str
    """Hatching of bars; empty without dropout."""
    marker: str
    """Marker of lines."""
    line: str
    """Line style."""
    filled: bool
    """Whether markers are filled."""


def looks(models: Sequence[str], style: FigureStyle) -> dict[str, Look]:
    """Return the look of every model; a model looks the same whatever else is shown."""
    hues = _HUES[style.palette]
    others = [f for f in dict.fromkeys(map(_family, models)) if f not in _FAMILIES and f]
    hue = dict(zip((*_FAMILIES, *others), (hues * (len(others) + 1)), strict=False))
    result: dict[str, Look] = {}
    taken: set[tuple[str, ...]] = set()
    for model in models:
        first = _look(model, hue.get(_family(model), _GREY))
        for look in (first, *_variants(first)):
            keys = {("line", look.color, look.marker, look.line), ("bar", look.color, look.hatch)}
            if not keys & taken:
                break
        taken |= keys
        result[model] = look
    return result


def _family(model: str) -> str:
    return "" if model == BICUBIC else f"{network_of(model)}/{setting_of(model)}"


def _look(model: str, hue: str) -> Look:
    if model == BICUBIC:
        return Look(shade(_GREY, 0.35), shade(_GREY, -0.2), "", "", ":", False)
    layers = dropout_of(model)
    edge = shade(hue, -0.35)
    if not layers:
        return Look(shade(hue, 0.65), edge, "", "o", "--", False)
    p = sum(layer.p for layer in layers) / len(layers)
    element = all(layer.dimension == "element" for layer in layers)
    place = layers[0].where if len(layers) == 1 else ""
    color = shade(hue, max(-0.4, _PALER.get(place, 0.0) + 0.5 * (0.5 - p)))
    hatch = _HATCHES.get(place, "//\\\\")
    return Look(
        color,
        edge,
        hatch[: len(hatch) // 2] + ".." if element else hatch,
        _MARKERS.get(place, "*"),
        "-." if element else "-",
        True,
    )


def _variants(look: Look) -> Iterator[Look]:
    for change in _SPARE_SHADES:
        for marker, hatch in _SPARE:
            yield replace(look, color=shade(look.color, change), marker=marker, hatch=hatch)


def shade(color: str, amount: float) -> str:
    """Mix ``color`` with white (amount up to 1) or black (down to -1)."""
    target = 1.0 if amount > 0 else 0.0
    weight = abs(amount)
    red, green, blue = ((1 - weight) * c + weight * target for c in to_rgb(color))
    return to_hex((red, green, blue))


def small(style: FigureStyle) -> float:
    """Return the size of tick labels and notes in points."""
    return max(SMALLEST, style.font_size - 1)


def one_column(style: FigureStyle) -> float:
    """Return the width of a one-column figure in inches."""
    return style.width


def two_columns(style: FigureStyle) -> float:
    """Return the width of a figure over both columns in inches."""
    return 2 * style.width + GUTTER


@contextmanager
def rc(style: FigureStyle) -> Iterator[None]:
    """Draw and save with this project's settings, whatever matplotlibrc the user has."""
    settings: Any = {
        "font.family": ["DejaVu Sans"],
        "font.size": style.font_size,
        "axes.labelsize": style.font_size,
        "axes.titlesize": style.font_size,
        "xtick.labelsize": small(style),
        "ytick.labelsize": small(style),
        "legend.fontsize": small(style),
        "legend.frameon": False,
        "legend.handlelength": 1.8,
        "legend.columnspacing": 1.4,
        "legend.handletextpad": 0.5,
        "legend.labelspacing": 0.35,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.formatter.useoffset": False,
        "axes.linewidth": 0.7,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.5,
        "axes.axisbelow": True,
        "hatch.linewidth": 0.6,
        "lines.linewidth": 1.2,
        "lines.markersize": 3.5,
        "figure.constrained_layout.h_pad": 0.03,
        "figure.constrained_layout.w_pad": 0.03,
        "pdf.fonttype": 42,
        "pdf.compression": 9,
        "text.usetex": False,
        "figure.dpi": 100,
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches that is laid out when it is drawn."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def inch_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Return axes without ticks and frame at a place in inches, to show a picture in."""
    wide, high = figure.get_size_inches()
    axes = figure.add_axes((left / wide, bottom / high, width / wide, height / high))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes


def inch_text(
    figure: Figure,
    x: float,
    y: float,
    text: str,
    size: float,
    vertical: str = "top",
    horizontal: str = "center",
    bold: bool = False,
) -> None:
    """Write text at a place in inches."""
    wide, high = figure.get_size_inches()
    figure.text(
        x / wide,
        y / high,
        text,
        ha=horizontal,
        va=vertical,
        fontsize=size,
        fontweight="bold" if bold else "normal",
        linespacing=1.1,
    )


def text_width(text: str, size: float) -> float:
    """Return the width of one line of ``text`` in inches."""
    if not text.strip():
        return 0.0
    return float(TextPath((0, 0), text, size=size).get_extents().width) / 72


def wrap(text: str, width: float, size: float) -> str:
    """Break ``text`` at spaces so that no line is wider than ``width`` inches, if it can be.

    ``p = 0.7`` stays together.
    """
    lines: list[str] = []
    for word in text.replace(" = ", "\u00a0=\u00a0").split(" "):
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def legend_above(
    figure: Figure, handles: Sequence[Artist], labels: Sequence[str], style: FigureStyle
) -> Legend:
    """Put a legend above the axes, in as many columns as fit, read row by row."""
    size = small(style)
    width = figure.get_figwidth()
    handle = 2.4 * size / 72
    gap = 1.4 * size / 72
    labels = [wrap(label, width - handle - 0.15, size) for label in labels]
    widths = [max(text_width(line, size) for line in lab.split("\n")) + handle for lab in labels]
    columns = len(labels)
    while columns > 1 and _row_width(widths, columns) + gap * (columns - 1) > width - 0.15:
        columns -= 1
    rows = -(-len(labels) // columns)
    columns = -(-len(labels) // rows)
    order = _row_major(len(labels), columns)
    return figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="outside upper center",
        ncols=columns,
        borderaxespad=0.2,
        borderpad=0.1,
    )


def _row_width(widths: Sequence[float], columns: int) -> float:
    """Width of a legend of ``columns`` columns without gaps: each as wide as its widest entry."""
    return sum(max(widths[c::columns]) for c in range(columns))


def _row_major(count: int, columns: int) -> list[int]:
    """Return the order in which matplotlib, filling columns, shows entries row by row."""
    rows = -(-count // columns)
    full = count - columns * (rows - 1)
    order = []
    for column in range(columns):
        height = rows if column < full else rows - 1
        order += [row * columns + column for row in range(height)]
    return order


def thousands(axes: Axes) -> None:
    """Label the x axis in thousands where it is long: 5k, 100k."""
    if axes.get_xlim()[1] >= 10_000:
        formatter = ticker.FuncFormatter(lambda x, _: f"{x / 1000:g}k" if x else "0")
        axes.xaxis.set_major_formatter(formatter)


def spread(values: Iterable[float]) -> tuple[float, float]:
    """Return the smallest and largest of the values that are numbers."""
    known = [v for v in values if v == v and abs(v) != float("inf")]
    return (min(known), max(known)) if known else (0.0, 1.0)
