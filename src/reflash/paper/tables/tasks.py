"""Table: other tasks, with dropout and without, in and out of distribution."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reflash.degradations.tasks import TASKS
from reflash.models.names import baseline_of, network_of, setting_of
from reflash.paper.claims.bootstrap import estimate, interval_name
from reflash.paper.scores import metric_sentence, read_values
from reflash.paper.tables.layout import Cell, Column, Layout, Row, interval_ends, number, section
from reflash.study.artefacts import Tasks
from reflash.study.context import Context, listing, scale_sentence, seeds_sentence, sentences

NAME = "tasks"
WHERE = {"inside": "in distribution", "outside": "out of distribution"}


def gather(context: Context, settings: Tasks, evaluations: Sequence[Path | str]) -> pd.DataFrame:
    """Average the evaluations of the models of every task.

    Returns
    -------
    pandas.DataFrame
        A row per model and kind, and per model and ``inside`` or ``outside``, the mean of its
        kinds: task, network, model, label, kind, where (inside or outside), psnr (dB, mean over
        seeds and images of all test sets), gain, low, high over the same without dropout
        (interval: paired bootstrap; empty without), seeds, images.

    Raises
    ------
    ReflashError
        A file is missing, or a run was not evaluated.
    """
    lines = []
    for name in dict.fromkeys(map(setting_of, context.models)):
        task = TASKS[name]
        models = tuple(m for m in context.models if setting_of(m) == name)
        only = context.model_copy(update={"models": models})
        measured = read_values(evaluations, only, ("psnr",), task.kinds)
        inside = len(task.inside)
        for model in models:
            own, base = measured[model][..., 0], baseline_of(model)
            key = {"task": name, "network": network_of(model), "model": model}
            key |= {"label": context.label(model)}
            parts: dict[str, tuple[str, slice]] = {
                kind: ("inside" if at < inside else "outside", slice(at, at + 1))
                for at, kind in enumerate(task.kinds)
            }
            parts |= {
                "inside": ("inside", slice(inside)),
                "outside": ("outside", slice(inside, None)),
            }
            for kind, (where, chosen) in parts.items():
                psnr = own[..., chosen].mean(2)
                line: dict[str, object] = {**key, "kind": kind, "where": where}
                line |= {"psnr": float(psnr.mean()), "gain": None, "low": None, "high": None}
                if base in measured:
                    difference = psnr - measured[base][..., chosen, 0].mean(2)
                    found = estimate(difference, context.claims)
                    line |= {"gain": found.effect, "low": found.low, "high": found.high}
                lines.append(line | {"seeds": psnr.shape[0], "images": psnr.shape[1]})
    return pd.DataFrame(lines).astype({"gain": float, "low": float, "high": float})


def arrange(frame: pd.DataFrame, context: Context, settings: Tasks) -> Layout:
    """Arrange the frame of ``gather``: a block for each task, a row for each model."""
    rows: list[Row] = []
    for name, of_task in frame.groupby("task", sort=False):
        task = TASKS[str(name)]
        heading = f"{task.title}: in {', '.join(task.inside)}; out {', '.join(task.outside)}"
        rows.append(section(heading))
        for _, group in of_task.groupby("model", sort=False):
            lines = {line["kind"]: line for line in group.to_dict("records")}
            cells = [Cell(text=str(group["label"].iloc[0]))]
            for where in WHERE:
                cells += [Cell(text=number(lines[where]["psnr"])), Cell(text=_gain(lines[where]))]
            rows.append(Row(cells=tuple(cells)))
    columns = [Column(name="model", numeric=False)]
    for where in WHERE.values():
        columns += [Column(name="PSNR", group=where), Column(name="gain", group=where)]
    trained = [
        f"{TASKS[name].title}: "
        + " or ".join(f"{o} {a:g} to {b:g}" for o, (a, b) in TASKS[name].trained.items())
        for name in dict.fromkeys(frame["task"])
    ]
    caption = sentences(
        metric_sentence("psnr", context),
        "Networks without up-sampling, each trained for one task; means over the kinds named "
        f"and {frame['images'].iloc[0]} images. In distribution: levels within the range "
        f"trained ({'; '.join(trained)}); out of it: beyond.",
        "Gain: over the same network without dropout; in brackets the "
        f"{interval_name(context.claims.confidence)}, paired bootstrap over seeds and images "
        "(one seed: images only).",
        f"The paper leaves {listing([task.title for task in TASKS.values()])} open.",
        seeds_sentence(context, ""),
        scale_sentence(context),
    )
    title = "Other tasks: dropout in and out of distribution"
    return Layout(name=NAME, title=title, caption=caption, columns=tuple(columns), rows=tuple(rows))


def _gain(line: dict[Hashable, Any]) -> str:
    return f"{number(line['gain'], sign=True)} {interval_ends(line['low'], line['high'])}".rstrip()
