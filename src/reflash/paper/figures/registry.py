"""Finding a figure by name, importing its module only."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from reflash.core.errors import ReflashError

FIGURES = (
    "teaser_bars",
    "dropout_placements",
    "positions_single",
    "positions_multi",
    "probability",
    "training_curves",
    "visual_comparison",
    "feature_maps",
    "saliency_maps",
    "saliency_distribution",
    "channel_ablation",
    "progressive_masking",
    "degradation_clusters",
    "feature_drop_sensitivity",
    "real_world",
)
"""Names of the figures; each is a module of this package with ``gather`` and ``draw``."""


def figure_module(name: str) -> ModuleType:
    """Import and return the module of the figure ``name``.

    Raises
    ------
    ReflashError
        There is no such figure.
    """
    if name not in FIGURES:
        raise ReflashError(f"figure {name!r}: no such figure; there are: {', '.join(FIGURES)}")
    return import_module(f"reflash.paper.figures.{name}")
