"""Finding a table by name, importing its module only, and making it from its inputs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from reflash.errors import ReflashError
from reflash.paper.context import Context
from reflash.paper.tables.layout import write_table
from reflash.settings import Settings

TABLES = ("multi_degradation", "dropout_grid")
"""Names of the tables; each is a module of this package with ``gather`` and ``arrange``."""


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
    name: str,
    context: Context,
    settings: Settings,
    evaluations: Iterable[Path | str],
    stem: Path | str,
) -> None:
    """Gather the table ``name`` from evaluations and write it to ``stem`` with four suffixes."""
    module = table_module(name)
    frame = module.gather(context, settings, evaluations)
    write_table(frame, stem, module.arrange(frame, context))
