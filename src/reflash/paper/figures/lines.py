"""What figures of lines share: averaging over seeds, drawing means with intervals, panels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reflash.paper.figures.looks import Look
from reflash.paper.figures.style import legend_above, new_figure, one_column, two_columns
from reflash.study.artefacts import FigureStyle

PSNR_SPAN = 0.5
"""Smallest span of a PSNR axis in dB: 0.05 dB, the smallest difference that matters to the
claims, then takes a tenth of it, and noise does not look like a trend."""

PSNR_AXIS = f"The PSNR axis spans at least {PSNR_SPAN} dB and need not contain 0."
"""Sentence for captions."""

PER_ROW = 3
"""Panels beside each other at most."""

Note = Callable[[dict[Hashable, Any]], str]


def over_seeds(table: pd.DataFrame, value: str, by: str) -> pd.DataFrame:
    """Average over whatever tells rows of one seed apart, then over seeds.

    Parameters
    ----------
    table
        Columns seed, ``by`` and ``value``.
    value
        What is averaged.
    by
        What tells the means apart.

    Returns
    -------
    pandas.DataFrame
        Columns ``by`` (sorted), value, std (over seeds, n - 1; empty for one seed), seeds.

    >>> table = pd.DataFrame({"seed": [0, 0, 1], "rank": 1, "psnr": [1.0, 3.0, 4.0]})
    >>> over_seeds(table, "psnr", "rank")[["value", "seeds"]].values.tolist()
    [[3.0, 2.0]]
    """
    per_seed = table.groupby([by, "seed"])[value].mean()
    result = per_seed.groupby(by).agg(["mean", "std", "size"]).reset_index()
    return result.set_axis([by, "value", "std", "seeds"], axis="columns")


def over_runs(table: pd.DataFrame, value: str) -> tuple[float, float]:
    """Return the mean over images and seeds, and the standard deviation over seeds."""
    whole = over_seeds(table.assign(all=0), value, "all").iloc[0]
    return float(whole["value"]), float(whole["std"])


def ranked(table: pd.DataFrame, value: str, largest: bool) -> pd.DataFrame:
    """Sort the channels of every image of one model, and average rank by rank.

    Parameters
    ----------
    table
        Columns seed, image, channel and ``value``, for one layer.
    value
        What is sorted.
    largest
        Whether the largest comes first.

    Returns
    -------
    pandas.DataFrame
        Columns rank (from 1), value, std and seeds as in ``over_seeds``, images, channels.
    """
    ordered = table.sort_values(value, ascending=not largest, kind="stable")
    rank = ordered.groupby(["seed", "image"]).cumcount() + 1
    result = over_seeds(ordered.assign(rank=rank), value, "rank")
    return result.assign(images=table["image"].nunique(), channels=len(result))


def in_front(part: pd.DataFrame, **columns: str) -> pd.DataFrame:
    """Return ``part`` with constant columns before its own."""
    return part.assign(**columns)[[*columns, *part.columns]]


def intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """Repeat every row at both ends of its interval, ``value`` - std and ``value`` + std.

    seaborn estimates an interval from samples, and the means here are known already: of these
    three it draws the median and the whole range (``interval``), exactly value and ± std.
    """
    known = frame[frame["std"].notna()]
    ends = [known.assign(value=known["value"] + sign * known["std"]) for sign in (-1, 1)]
    return pd.concat([frame, *ends], ignore_index=True)


def interval(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what makes seaborn draw ``intervals``; nothing but the mean for one seed."""
    return {
        "estimator": "median",
        "errorbar": ("pi", 100) if frame["std"].notna().any() else None,
    }


def draw_lines(
    axes: Axes, frame: pd.DataFrame, x: str, look: Mapping[str, Look]
) -> dict[str, Line2D]:
    """Draw ``value`` against ``x``, a line per model and a band of ± std; return the lines."""
    models = [str(model) for model in frame["model"].unique()]
    sns.lineplot(
        intervals(frame),
        x=x,
        y="value",
        hue="model",
        style="model",
        hue_order=models,
        style_order=models,
        palette={model: look[model].stroke for model in models},
        markers={model: look[model].marker for model in models},
        dashes=dict.fromkeys(models, ""),
        err_kws={"alpha": 0.2, "linewidth": 0},
        legend=False,
        ax=axes,
        **interval(frame),
    )
    lines = dict(zip(models, axes.lines, strict=True))
    for model, line in lines.items():
        own, count = look[model], int((frame["model"] == model).sum())
        every = max(1, count // 10)
        line.set(
            label=model,
            linestyle=own.line,
            markerfacecolor=own.color if own.filled else "white",
            markeredgecolor=own.edge,
            markeredgewidth=0.6,
            markevery=((count - 1) % every, every),
            zorder=2 if own.line == "-" else 2.1,  # broken lines show on top of solid ones
        )
    settle(axes)
    return lines


def settle(axes: Axes) -> None:
    """Choose ticks that do not depend on the size of the axes, which the layout changes."""
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.grid(axis="y")


def draw_panels(
    frame: pd.DataFrame,
    style: FigureStyle,
    panel: str,
    x: str,
    look: Mapping[str, Look],
    note: Note | None = None,
    sharey: bool = False,
) -> Figure:
    """Draw a panel for each value of a column, with a line per model.

    Parameters
    ----------
    frame
        Columns model, label, ``panel``, ``x``, value, std.
    style
        Size and font.
    panel, x
        Column that tells panels apart, whose value is the ``gid`` of the axes; column on the x
        axis.
    look
        Of every model.
    note
        What is written beside each line's own mark, from the first row of the line.
    sharey
        Whether the panels have one y axis.
    """
    names = list(dict.fromkeys(frame[panel]))
    columns = min(len(names), PER_ROW)
    rows = -(-len(names) // columns)
    many = note is not None and frame["model"].nunique() > 2
    width = two_columns(style) if columns > 1 else one_column(style)
    figure = new_figure(width, 0.3 + (2.35 if many else 2.05) * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=sharey).ravel()
    for axes in panels[len(names) :]:
        axes.remove()
    legend: dict[str, Line2D] = {}
    for name, axes in zip(names, panels, strict=False):
        of_panel = frame[frame[panel] == name]
        axes.set_gid(name)
        lines = draw_lines(axes, of_panel, x, look)
        legend |= lines
        if note is not None:
            first = of_panel.drop_duplicates("model").to_dict("records")
            write_notes(axes, lines, [note(row) for row in first])
    labels = frame.drop_duplicates("model").set_index("model")["label"]
    legend_above(figure, list(legend.values()), [str(labels[model]) for model in legend], style)
    return figure


def write_notes(axes: Axes, lines: Mapping[str, Line2D], notes: list[str]) -> None:
    """Write a note beside each line's own mark: where there is most room, or below if many."""
    if len(notes) <= 2:
        axes.legend(list(lines.values()), notes, loc="best", handlelength=2.2, borderaxespad=0.2)
        return
    axes.legend(
        list(lines.values()),
        notes,
        handlelength=2.2,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=4.5,  # in font sizes: below tick labels and axis label
        ncols=2,
    )


def span_at_least(axes: Axes, span: float) -> None:
    """Widen the y axis on both sides until it spans ``span``, so that noise is not magnified."""
    low, high = axes.get_ylim()
    missing = span - (high - low)
    if missing > 0:
        axes.set_ylim(low - missing / 2, high + missing / 2)


def whole_numbers(axes: Axes) -> None:
    """Label the x axis at whole numbers, in thousands where it is long: 5k, 100k."""
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    if axes.get_xlim()[1] >= 10_000:
        axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x else "0")


def seeds_phrase(frame: pd.DataFrame) -> str:
    """Say in the figure what a point is: ``one seed`` or ``3 seeds``.

    >>> seeds_phrase(pd.DataFrame({"seeds": [1, 1]}))
    'one seed'
    """
    seeds = int(frame["seeds"].max())
    return "one seed" if seeds == 1 else f"{seeds} seeds"
