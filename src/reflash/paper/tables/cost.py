"""Table: time and memory of a training iteration with dropout against without."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reflash.models.names import place_label
from reflash.paper.costs import read_cost
from reflash.paper.tables.layout import EMPTY, Column, Layout, Row, number, plain_row, section
from reflash.study.artefacts import Cost
from reflash.study.context import Context, sentences

NAME = "cost"


def gather(context: Context, settings: Cost, cost: Path | str) -> pd.DataFrame:
    """Read the benchmark and compare every line with no dropout (see ``read_cost``)."""
    return read_cost(cost)


def arrange(frame: pd.DataFrame, context: Context, settings: Cost) -> Layout:
    """Arrange the frame of ``gather`` as it is printed: a block per network and device."""
    rows: list[Row] = []
    for (network, device), block in frame.groupby(["network", "device"], sort=False):
        place = f"{network} on {device}: {block['workload'].iloc[0]}"
        rows.append(section(place))
        for one in block.to_dict("records"):
            dropped = one["where"] != "none"
            extra = f"{number(100 * one['extra'], 100 * one['extra_error'], 1, sign=True)} %"
            texts = [
                place_label(one["where"]),
                one["dimension"] if dropped else "",
                f"{one['p']:g}" if dropped else "",
                number(one["ms_per_iteration"], one["ms_std"], 1),
                extra if dropped else EMPTY,
                number(one["peak_mib"], digits=0),
                number(one["extra_mib"], digits=0, sign=True),
            ]
            rows.append(plain_row(*map(str, texts)))
    columns = [Column(name=name, numeric=False) for name in ("where", "dimension", "p")]
    columns += [
        Column(name="ms / iteration", group="time"),
        Column(name="extra", group="time"),
        Column(name="peak MiB", group="memory"),
        Column(name="extra MiB", group="memory"),
    ]
    caption = sentences(
        "One training iteration (forward, backward, step) with dropout against the same "
        "network without, by `reflash bench cost` with the networks and batches named: a "
        "measurement of record, not of this run. ± is one standard deviation of an iteration "
        "and the standard error of the extra, which is of unrounded times of rounds in which "
        "both were measured. At test time dropout is off and costs nothing.",
        "Of other regularisers p is the strength (docs/regularisers.md).",
        "The paper leaves the cost open; there is no value to compare with.",
    )
    return Layout(
        name=NAME,
        title="What dropout costs",
        caption=caption,
        columns=tuple(columns),
        rows=tuple(rows),
    )
