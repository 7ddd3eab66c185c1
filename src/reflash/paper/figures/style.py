"""How figures look: page widths, text, legends; the rest is in ``reflash.mplstyle``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib import style as mpl_style
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.textpath import text_to_path

from reflash.core.errors import ReflashError
from reflash.study.artefacts import FigureStyle

STYLE_FILE = Path(__file__).with_name("reflash.mplstyle")

GUTTER = 0.2
"""Inches between the two columns of a page."""

SMALLEST = 6.5
"""Smallest text in points, whatever the font size."""

INK = "#222222"
"""Colour of text and axes, as in ``reflash.mplstyle``."""

NOTE = "#555555"
"""Colour of notes below a figure."""

ACCENT = {"okabe_ito": "#D55E00", "tableau_colorblind": "#C85200"}
"""Colour of what a drawing points out."""


def shade(color: str, amount: float) -> str:
    """Mix ``color`` with white (amount up to 1) or black (down to -1).

    >>> shade("#808080", 1.0), shade("#808080", -1.0)
    ('#ffffff', '#000000')
    """
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
    """Draw and save with this project's settings, whatever matplotlibrc the user has.

    Raises
    ------
    ReflashError
        The font is not installed.
    """
    try:
        font_manager.findfont(style.font_family, fallback_to_default=False)
    except ValueError as error:
        raise ReflashError(
            f"style.font_family: {style.font_family!r} is not installed; install it or use "
            "DejaVu Sans"
        ) from error
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl_style.use(STYLE_FILE)
        mpl.rcParams.update(
            {
                "font.family": [style.font_family, "DejaVu Sans"],
                "font.size": style.font_size,
                "xtick.labelsize": small(style),
                "ytick.labelsize": small(style),
                "legend.fontsize": small(style),
            }
        )
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches that is laid out when it is drawn."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def fit_height(figure: Figure) -> None:
    """Cut the height of a figure of images to what is drawn in it; the width stays.

    Images keep their aspect, so that the width decides how large they are.
    """
    figure.draw_without_rendering()
    panels = figure.get_tightbbox(bbox_extra_artists=figure.axes).height
    others = [*figure.legends, *figure.texts]
    figure.set_figheight(
        panels + sum(o.get_window_extent().height / figure.dpi + 0.06 for o in others) + 0.06
    )


def text_width(text: str, size: float) -> float:
    """Return the width of one line of ``text`` in inches."""
    if not text.strip():
        return 0.0
    font = font_manager.FontProperties(size=size)
    return text_to_path.get_text_width_height_descent(text, font, "$" in text)[0] / 72


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


def note_below(figure: Figure, text: str, style: FigureStyle) -> None:
    """Write what the symbols of a figure mean below it, so that it explains itself."""
    size = small(style)
    note = wrap(text, figure.get_figwidth() - 0.1, size)
    figure.supxlabel(note, fontsize=size, color=NOTE)


def legend_above(
    figure: Figure, handles: Sequence[Artist], labels: Sequence[str], style: FigureStyle
) -> Legend:
    """Put a legend above the axes, in as many columns as fit, read row by row."""
    width, size = figure.get_figwidth(), small(style)
    labels = [wrap(label, width - 4 * size / 72, size) for label in labels]
    rows = 1
    while True:
        columns = -(-len(labels) // rows)
        order = _row_major(len(labels), columns)
        legend = figure.legend(
            [handles[i] for i in order],
            [labels[i] for i in order],
            loc="outside upper center",
            ncols=columns,
            borderaxespad=0.2,
            borderpad=0.1,
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return legend
        legend.remove()
        rows += 1


def _row_major(count: int, columns: int) -> list[int]:
    """Return the order in which matplotlib, filling columns, shows entries row by row."""
    rows = -(-count // columns)
    full = count - columns * (rows - 1)
    order = []
    for column in range(columns):
        height = rows if column < full else rows - 1
        order += [row * columns + column for row in range(height)]
    return order
