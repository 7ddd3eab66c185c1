"""What figures of sorted channels share: averaging rank by rank, and the panels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reflash.paper.figures.style import (
    Look,
    legend_above,
    looks,
    new_figure,
    one_column,
    two_columns,
)
from reflash.study.artefacts import FigureStyle


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
        Columns rank (from 1), value (mean over images and seeds), std (over seeds, of the mean
        over images; n - 1), seeds, images, channels.
    """
    ordered = table.sort_values(value, ascending=not largest, kind="stable")
    rank = ordered.groupby(["seed", "image"]).cumcount() + 1
    per_seed = ordered.assign(rank=rank).groupby(["rank", "seed"])[value].mean()
    result = per_seed.groupby("rank").agg(["mean", "std", "size"]).reset_index()
    result.columns = pd.Index(["rank", "value", "std", "seeds"])
    result["images"] = table["image"].nunique()
    result["channels"] = len(result)
    return result


def over_runs(table: pd.DataFrame, value: str) -> tuple[float, float]:
    """Return the mean over images and seeds, and the standard deviation over seeds."""
    per_seed = table.groupby("seed")[value].mean()
    return float(per_seed.mean()), float(per_seed.std())


def draw_ranked(
    frame: pd.DataFrame,
    style: FigureStyle,
    ylabel: str,
    note: Callable[[dict[Hashable, Any]], str],
    title: Callable[[str], str],
) -> Figure:
    """Draw a panel per layer and in it a line per model, with a note for each beside its mark.

    The ``gid`` of every axes is its layer, the label of every line its model.
    """
    layers = list(dict.fromkeys(frame["layer"]))
    models = list(dict.fromkeys(frame["model"]))
    look = looks(models, style)
    wide = len(layers) > 1
    columns = min(len(layers), 3)
    rows = -(-len(layers) // columns)
    figure = new_figure(two_columns(style) if wide else one_column(style), 0.3 + 2.1 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(layers) :]:
        axes.remove()
    legend: dict[str, Artist] = {}
    for layer, axes in zip(layers, panels, strict=False):
        of_layer = frame[frame["layer"] == layer]
        axes.set_gid(layer)
        lines, notes = [], []
        for model in models:
            of_model = of_layer[of_layer["model"] == model]
            lines.append(draw_line(axes, of_model, look[model], model))
            notes.append(note(of_model.iloc[0].to_dict()))
        legend.update(zip(models, lines, strict=True))
        write_notes(axes, lines, notes)
        axes.set_xlabel("Rank of the channel")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_ylabel(ylabel)
        axes.set_xlim(0.5, of_layer["rank"].max() + 0.5)
        axes.grid(axis="y")
        if wide:
            axes.set_title(title(layer))
    labels = [str(frame.loc[frame["model"] == model, "label"].iloc[0]) for model in models]
    legend_above(figure, [legend[model] for model in models], labels, style)
    return figure


def draw_line(axes: Axes, rows: pd.DataFrame, own: Look, model: str, x: str = "rank") -> Artist:
    """Draw ``value`` against ``x`` and a band of one standard deviation where there are seeds."""
    at, value = rows[x].to_numpy(), rows["value"].to_numpy()
    color = own.color if own.filled else own.edge
    if rows["std"].notna().any():
        std = rows["std"].fillna(0).to_numpy()
        axes.fill_between(at, value - std, value + std, color=color, alpha=0.2, linewidth=0)
    (line,) = axes.plot(
        at,
        value,
        color=color,
        linestyle=own.line,
        marker=own.marker,
        markerfacecolor=own.color if own.filled else "white",
        markeredgecolor=own.edge,
        markeredgewidth=0.6,
        markevery=max(1, len(at) // 10),
        label=model,
    )
    return line


def write_notes(axes: Axes, lines: Sequence[Artist], notes: Sequence[str]) -> None:
    """Write a note beside each line's own mark: where there is most room, or below if many."""
    if len(notes) <= 2:
        axes.legend(lines, notes, loc="best", handlelength=2.2, borderaxespad=0.2)
        return
    below: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.26), "ncols": 2}
    axes.legend(lines, notes, handlelength=2.2, borderaxespad=0, **below)
