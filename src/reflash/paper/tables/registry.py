"""Finding a table by name, importing its module only, and making it from its inputs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from reflash.core.errors import ReflashError
from reflash.core.files import read_csv, require_file
from reflash.paper.tables.layout import Layout, write_layout, write_table
from reflash.study.artefacts import Artefact, Tables
from reflash.study.context import (
    Context,
    evidence_sentence,
    records_sentence,
    seeds_sentence,
    sentences,
)
from reflash.study.inputs import Inputs

TABLES = tuple(Tables.model_fields)
"""Names of the tables: the declared ones, each a module with ``gather`` and ``arrange``."""


_TEXTS = ("mark", "against", "dimension", "missing", "paper_evidence")
"""Columns of text, although a CSV in which they are empty does not show it."""


def table_module(name: str) -> ModuleType:
    """Import and return the module of the table ``name``.

    Raises
    ------
    ReflashError
        There is no such table.
    """
    if name not in TABLES:
        raise ReflashError(f"table {name!r}: no such table; there are: {', '.join(TABLES)}")
    return import_module(f"reflash.paper.tables.{name}")


def make_table(
    name: str, context: Context, settings: Any, inputs: Inputs, stem: Path | str
) -> None:
    """Gather the table ``name`` and write ``stem`` with .csv, .md, .tex and .json.

    Raises
    ------
    ReflashError
        An input that the table needs is not given, missing or unusable.
    """
    module = table_module(name)
    given = inputs.required(settings.inputs, f"table {name}")
    frame = module.gather(context, settings, **given)
    write_table(frame, stem, _arranged(module, frame, context, settings))


def print_again(
    name: str, csv: Path | str, context: Context, settings: Any, stem: Path | str
) -> None:
    """Lay out a table from its own CSV: write ``stem`` with .md, .tex and .json.

    Parameters
    ----------
    csv
        ``NAME.csv`` as ``make_table`` wrote it; rows may have been taken out.
    settings
        Decimals, columns and caption may differ from those it was made with, the metric not.

    Raises
    ------
    ReflashError
        The file is not a CSV of this table and metric.
    """
    module = table_module(name)
    remedy = f"make it with reflash table {name}"
    csv = require_file(csv, remedy)
    frame = read_csv(csv)
    metric = getattr(settings, "metric", None)
    if metric and metric not in {*frame.columns, *frame.get("metric", [])}:
        raise ReflashError(f"{csv}: shows no {metric}; make a table of it without --from")
    for column in frame.columns:
        if column in _TEXTS or not is_numeric_dtype(frame[column]):
            frame[column] = frame[column].astype(object).fillna("")
    try:
        if hasattr(module, "mark"):
            frame = module.mark(frame.assign(mark=""), settings)
        layout = _arranged(module, frame, context, settings)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ReflashError(f"{csv}: not a CSV of table {name} ({error!r}); {remedy}") from error
    write_layout(Path(stem), layout)


def _arranged(module: ModuleType, frame: pd.DataFrame, context: Context, settings: Any) -> Layout:
    layout: Layout = module.arrange(frame, context, settings)
    if getattr(settings, "caption", "full") == "full":
        return layout
    gains = any(row.kind == "gain" for row in layout.rows) or "gain" in {
        column.name for column in layout.columns
    }
    printed = "".join(cell.text for row in layout.rows for cell in row.cells)
    parts = (
        "Gains are of unrounded values." if gains else "",
        seeds_sentence(context, "± is" if "±" in printed else "")
        if isinstance(settings, Artefact)
        else "",
        evidence_sentence(context),
        records_sentence(context),
    )
    return layout.model_copy(update={"caption": sentences(*parts)})
