"""Figure: where the dropout layers sit, drawn from the network's own description.

A row per placement shows the network from left to right; below, a plain block and a block with
dropout are opened up. Nothing about a network is known here but what
`reflash.models.describe` says.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch, Polygon, Rectangle
from matplotlib.path import Path as Outline

from reflash.core.errors import ReflashError
from reflash.models.describe import Stage, describe
from reflash.models.names import place_label
from reflash.models.settings import NetworkSettings, parse_dropout
from reflash.paper.figures.drawing import Drawing
from reflash.paper.figures.style import (
    ACCENT,
    INK,
    new_figure,
    shade,
    small,
    text_width,
    two_columns,
)
from reflash.study.artefacts import DropoutPlacements, FigureStyle
from reflash.study.context import Context, scale_sentence

NAME = "dropout_placements"

PITCH, KEY, OPENED = 0.33, 0.24, 1.02
"""Heights in inches: of a row, of the key above, of the opened blocks below."""

CONV, BLOCK, UPSAMPLE = "#D9D9D9", "#F2F2F2", "#C9DDEB"
"""Fill of the shapes."""

_WIDTHS = {"conv": 0.62, "upsample": 0.85, "block": 1.0, "add": 0.55}
_SPACE = 0.28


def gather(context: Context, settings: DropoutPlacements, network: NetworkSettings) -> Drawing:
    """Describe the network with dropout at each placement.

    The frame has a row per stage: placement, order, depth (0, or deeper inside a block), block
    (name of the block it is in), name, kind (conv, activation, upsample, dropout, add, block),
    source (of an add: its second summand).

    Raises
    ------
    ReflashError
        A placement is not one of the network.
    """
    rows = []
    for placement in settings.placements:
        try:
            stages = describe(network, parse_dropout(f"{placement}-channel-p0.5"))
        except ReflashError as error:
            raise ReflashError(
                f"figures.{NAME}.placements: {placement!r} cannot be drawn in {network.name}: "
                f"{error}"
            ) from error
        for order, (depth, block, stage) in enumerate(_walk(stages)):
            rows.append(
                {
                    "placement": placement,
                    "order": order,
                    "depth": depth,
                    "block": block,
                    "name": stage.name,
                    "kind": stage.kind,
                    "source": stage.source or "",
                }
            )
    frame = pd.DataFrame(rows)
    blocks = int(((frame["placement"] == settings.placements[0]) & _is_block(frame)).sum())
    title = {"srresnet": "SRResNet", "rrdb": "RRDB"}[network.name]
    return Drawing(
        name=NAME,
        frame=frame,
        title=f"Dropout placements in {title}",
        caption=(
            f"{title} with {blocks} blocks, a row per placement, drawn from the layers of the "
            "network that is trained; activations are drawn in the opened blocks only. "
            f"bK: after K/16 of the blocks. {scale_sentence(context)}"
        ),
        alt=_alt(frame),
    )


def _walk(
    stages: list[Stage] | tuple[Stage, ...], depth: int = 0, block: str = ""
) -> Iterator[tuple[int, str, Stage]]:
    """Yield every stage with its depth and the block around it, blocks before their parts."""
    for stage in stages:
        yield depth, block, stage
        yield from _walk(stage.parts, depth + 1, stage.name)


def _is_block(frame: pd.DataFrame) -> pd.Series:
    return (frame["kind"] == "block") & (frame["depth"] == 0)


def _alt(frame: pd.DataFrame) -> str:
    parts = []
    for placement, rows in frame.groupby("placement", sort=False):
        drops = rows[rows["kind"] == "dropout"]
        outside = int((drops["depth"] == 0).sum())
        inside = drops.loc[drops["depth"] > 0, "block"].nunique()
        where = f"three layers in each of {inside} blocks" if inside else f"{outside} layer"
        parts.append(f"{place_label(str(placement))}: {where}")
    return (
        f"Block diagram of the network, one row per placement. Dropout layers: {'; '.join(parts)}."
    )


def draw(drawing: Drawing, style: FigureStyle) -> Figure:
    """Draw the rows, and the opened blocks below them where some have dropout inside."""
    frame = drawing.frame
    placements = list(dict.fromkeys(frame["placement"]))
    width = two_columns(style)
    opened = _opened(frame)
    figure = new_figure(width, KEY + PITCH * len(placements) + (OPENED if opened else 0.05))
    figure.set_layout_engine("none")
    height = figure.get_figheight()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.set_axis_off()
    _draw_key(axes, height - KEY / 2, width, style)
    labels = {placement: place_label(placement) for placement in placements}
    left = 0.25 + max(text_width(label, style.font_size) for label in labels.values())
    for number, placement in enumerate(placements):
        y = height - KEY - PITCH * (number + 0.62)
        axes.text(0.05, y, labels[placement], ha="left", va="center", fontsize=style.font_size)
        rows = frame[frame["placement"] == placement]
        _draw_network(axes, rows, left, width - 0.05, y, style)
    if opened:
        _draw_opened(axes, opened, width, style)
    return figure


def _draw_key(axes: Axes, y: float, width: float, style: FigureStyle) -> None:
    """Say what the shapes stand for."""
    size = small(style)
    names = ("convolution", "block", "up-sampling convolution", "addition", "dropout layer")
    shapes = (0.12, 0.18, 0.18, 0.12, 0.03)
    needs = [s + 0.06 + text_width(n, size) for s, n in zip(shapes, names, strict=True)]
    gap = max(0.05, (width - 0.1 - sum(needs)) / (len(names) - 1))
    x = 0.05
    for name, wide, need in zip(names, shapes, needs, strict=True):
        if name == "addition":
            _add(axes, x + wide / 2, y, wide / 2)
        elif name == "dropout layer":
            _dropout(axes, x + wide / 2, y, 0.18, style)
        elif name == "up-sampling convolution":
            _wedge(axes, x, y, wide)
        else:
            _box(axes, x, y, wide, 0.15, CONV if name == "convolution" else BLOCK)
        axes.text(x + wide + 0.06, y - 0.004, name, ha="left", va="center", fontsize=size)
        x += need + gap


def _draw_network(
    axes: Axes, rows: pd.DataFrame, left: float, right: float, y: float, style: FigureStyle
) -> None:
    """Draw the stages outside blocks on one line, stretched to the width there is."""
    stages = rows[(rows["depth"] == 0) & (rows["kind"] != "activation")]
    inside = rows[(rows["depth"] > 0) & (rows["kind"] == "dropout")]["block"].value_counts()
    # A dropout takes no room of its own, so that the networks of all rows stand in line.
    fixed = stages[stages["kind"] != "dropout"]
    unit = (right - left) / (sum(_WIDTHS[kind] + _SPACE for kind in fixed["kind"]) + _SPACE)
    space = _SPACE * unit
    axes.plot([left, right], [y, y], color=INK, linewidth=0.6, zorder=1)
    x = left + space
    ends: dict[str, float] = {}
    number = 0
    for stage in stages.to_dict("records"):
        kind, name = stage["kind"], str(stage["name"])
        if kind == "dropout":
            _dropout(axes, x - space / 2, y, 0.23, style)
            continue
        wide = _WIDTHS[kind] * unit
        if kind == "block":
            number += 1
            _block(axes, x, y, wide, str(number), int(inside.get(name, 0)), style)
        elif kind == "add":
            radius = min(wide, 0.13) / 2
            start = ends.get(str(stage["source"]), left) + 0.02
            _add(axes, x + wide / 2, y, radius)
            _skip(axes, start, x + wide / 2, y, 0.135, radius)
        elif kind == "upsample":
            _wedge(axes, x, y, wide)
        else:
            _box(axes, x, y, wide, 0.17, CONV)
        x += wide + space
        ends[name] = x - space


def _block(
    axes: Axes, x: float, y: float, wide: float, text: str, drops: int, style: FigureStyle
) -> None:
    accent = ACCENT[style.palette]
    _box(axes, x, y, wide, 0.17, shade(accent, 0.8) if drops else BLOCK)
    for index in range(drops):
        at = x + wide * (0.69 + index * 0.1)
        axes.add_patch(
            Rectangle((at, y - 0.085), wide * 0.06, 0.17, color=accent, linewidth=0, zorder=4)
        )
    middle = x + wide * (0.37 if drops else 0.5)
    axes.text(middle, y - 0.004, text, ha="center", va="center", fontsize=small(style), zorder=5)


def _dropout(axes: Axes, x: float, y: float, high: float, style: FigureStyle) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x - 0.012, y - high / 2),
            0.024,
            high,
            boxstyle="round,pad=0,rounding_size=0.01",
            facecolor=ACCENT[style.palette],
            edgecolor="none",
            zorder=6,
            gid="dropout",
        )
    )


def _box(axes: Axes, x: float, y: float, wide: float, high: float, color: str) -> None:
    axes.add_patch(
        Rectangle(
            (x, y - high / 2), wide, high, facecolor=color, edgecolor=INK, linewidth=0.5, zorder=3
        )
    )


def _wedge(axes: Axes, x: float, y: float, wide: float) -> None:
    corners = [(x, y - 0.06), (x, y + 0.06), (x + wide, y + 0.1), (x + wide, y - 0.1)]
    axes.add_patch(Polygon(corners, facecolor=UPSAMPLE, edgecolor=INK, linewidth=0.5, zorder=3))


def _add(axes: Axes, x: float, y: float, radius: float) -> None:
    axes.add_patch(
        Circle((x, y), radius, facecolor="white", edgecolor=INK, linewidth=0.6, zorder=5)
    )
    for dx, dy in ((radius * 0.6, 0), (0, radius * 0.6)):
        axes.plot([x - dx, x + dx], [y - dy, y + dy], color=INK, linewidth=0.6, zorder=6)


def _skip(axes: Axes, start: float, end: float, y: float, rise: float, radius: float) -> None:
    """Draw a line that leaves the path at ``start`` and comes back into an addition at ``end``."""
    points = [(start, y), (start, y + rise), (end, y + rise), (end, y + radius)]
    axes.add_patch(PathPatch(Outline(points), fill=False, edgecolor=INK, linewidth=0.6, zorder=1))


def _opened(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return a plain block and one with dropout inside, with the steps of each."""
    found: dict[bool, pd.DataFrame] = {}
    for _, rows in frame[frame["depth"] == 1].groupby(["placement", "block"], sort=False):
        found.setdefault(bool((rows["kind"] == "dropout").any()), rows)
    if True not in found:
        return []
    named = [("residual block", found.get(False)), ("dropout residual block", found[True])]
    return [(name, rows) for name, rows in named if rows is not None]


def _draw_opened(
    axes: Axes, opened: list[tuple[str, pd.DataFrame]], width: float, style: FigureStyle
) -> None:
    room = {"conv": 0.36, "activation": 0.36, "add": 0.16, "dropout": 0.34}
    gap = 0.14
    needs = [sum(room[k] + gap for k in rows["kind"]) + 2 * gap for _, rows in opened]
    free = width - 0.1 - sum(needs)
    x = 0.05
    y = 0.36
    for (name, rows), need in zip(opened, needs, strict=True):
        left = x
        axes.text(left, y + 0.45, name, ha="left", va="center", fontsize=style.font_size)
        axes.plot([left, left + need], [y, y], color=INK, linewidth=0.6, zorder=1)
        at = left + 1.5 * gap
        for step in rows.to_dict("records"):
            kind = step["kind"]
            wide = room[kind]
            if kind == "add":
                _add(axes, at + wide / 2, y, 0.08)
                _skip(axes, left + gap / 2, at + wide / 2, y, 0.27, 0.08)
            elif kind == "dropout":
                _dropout(axes, at + wide / 2, y, 0.3, style)
                axes.text(
                    at + wide / 2,
                    y - 0.2,
                    "dropout",
                    ha="center",
                    va="top",
                    fontsize=small(style),
                    color=shade(ACCENT[style.palette], -0.2),
                )
            else:
                _box(axes, at, y, wide, 0.24, CONV if kind == "conv" else "white")
                text = "conv" if kind == "conv" else "act"
                axes.text(
                    at + wide / 2,
                    y - 0.01,
                    text,
                    ha="center",
                    va="center",
                    fontsize=small(style),
                    zorder=5,
                )
            at += wide + gap
        x += need + max(free, 0.2)
