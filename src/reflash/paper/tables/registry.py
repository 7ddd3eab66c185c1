"""Finding a table by name, importing its module only, and making it from its inputs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from reflash.core.errors import ReflashError
from reflash.paper.tables.layout import write_table
from reflash.study.artefacts import Tables
from reflash.study.context import Context
from reflash.study.inputs import Inputs

TABLES = tuple(Tables.model_fields)
"""Names of the tables: the declared ones, each a module with ``gather`` and ``arrange``."""


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
    write_table(frame, stem, module.arrange(frame, context, settings))
