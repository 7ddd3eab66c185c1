"""Finding a figure by name, importing its module only."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from reflash.core.errors import ReflashError
from reflash.study.artefacts import Figures

FIGURES = tuple(Figures.model_fields)
"""Names of the figures: the declared ones, each a module of this package."""


def figure_module(name: str) -> ModuleType:
    """Import and return the module of the figure ``name``; see the package for what is in it.

    Raises
    ------
    ReflashError
        There is no such figure.
    """
    if name not in FIGURES:
        raise ReflashError(f"figure {name!r}: no such figure; there are: {', '.join(FIGURES)}")
    return import_module(f"reflash.paper.figures.{name}")
