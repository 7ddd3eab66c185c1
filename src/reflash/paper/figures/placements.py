"""What the figures of positions and probabilities share: choosing models, averaging, drawing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from reflash.core.errors import ReflashError
from reflash.degradations.settings import KINDS
from reflash.models.names import dropout_of, network_of, regularisers_of, setting_of
from reflash.models.settings import DROPOUT_BLOCKS, DropoutLayer
from reflash.paper.figures.lines import (
    PSNR_SPAN,
    interval,
    intervals,
    seeds_phrase,
    settle,
    span_at_least,
)
from reflash.paper.figures.looks import looks
from reflash.paper.scores import KINDS_OF, MEAN, gains, over_seeds, read_scores
from reflash.study.artefacts import FigureStyle
from reflash.study.context import Context

MEASURED = {"single": "clean", "multi": MEAN}
"""What models of a setting are tested on: what they were trained for."""


def chosen_models(
    context: Context, network: str, setting: str, wanted: Callable[[DropoutLayer], bool]
) -> dict[str, DropoutLayer]:
    """Return the models of a network and setting with one dropout layer that is ``wanted``."""
    chosen = {}
    for model in context.models:
        layers = dropout_of(model)
        own = (network_of(model), setting_of(model)) == (network, setting)
        if own and not regularisers_of(model) and len(layers) == 1 and wanted(layers[0]):
            chosen[model] = layers[0]
    return chosen


def measure(
    context: Context,
    figure: str,
    setting: str,
    test_set: str | None,
    models: Sequence[str],
    baseline: str,
    evaluations: Iterable[Path | str],
) -> pd.DataFrame:
    """Average PSNR over images, kinds and seeds.

    Returns
    -------
    pandas.DataFrame
        A row per model, the one without dropout first: setting, kind, set, place, dimension, p,
        model, label, value and std over seeds (dB), gain and gain_std over no dropout, seeds,
        images.

    Raises
    ------
    ReflashError
        The network without dropout is not among the models, or a run was not evaluated.
    """
    name = test_set or context.test_sets[0]
    if baseline not in context.models:
        raise ReflashError(
            f"figures.{figure}.models: {baseline} is missing, the line that others are compared "
            "with; add it"
        )
    only = context.model_copy(update={"test_sets": (name,), "models": (baseline, *models)})
    scores = read_scores(evaluations, only, "psnr", KINDS_OF[setting], bicubic=False)
    means, kind = over_seeds(scores), MEASURED[setting]
    rows = []
    for model in (baseline, *models):
        own = means[name, model, kind]
        gain = over_seeds(gains(scores, model, baseline))[name, model, kind]
        layers = dropout_of(model)
        rows.append(
            {
                "setting": setting,
                "kind": kind,
                "set": name,
                "place": layers[0].where if layers else "none",
                "dimension": layers[0].dimension if layers else "",
                "p": layers[0].p if layers else float("nan"),
                "model": model,
                "label": context.label(model),
                "value": own.mean,
                "std": own.std,
                "gain": gain.mean,
                "gain_std": gain.std,
                "seeds": own.seeds,
                "images": own.images,
            }
        )
    return pd.DataFrame(rows)


def draw_dimensions(
    axes: Axes, rows: pd.DataFrame, x: str, style: FigureStyle
) -> dict[str, Artist]:
    """Draw PSNR of channel and element dropout with ± std, and a line across for no dropout.

    Dropout inside blocks is not joined with single layers.

    Parameters
    ----------
    axes
        Where.
    rows
        As ``measure`` returns for one setting, and a column ``x``.
    x
        Column on the x axis.
    style
        Palette.

    Returns
    -------
    dict of str to Artist
        What the legend says, with the line of each.
    """
    plain = rows[rows["place"] == "none"].iloc[0]
    color = looks([plain["model"]], style)[plain["model"]].edge
    if plain["std"] > 0:
        low, high = plain["value"] - plain["std"], plain["value"] + plain["std"]
        axes.axhspan(low, high, color=color, alpha=0.12, linewidth=0)
    legend: dict[str, Artist] = {}
    for (dimension, _), part in rows[rows["place"] != "none"].groupby(
        ["dimension", rows["place"].isin(DROPOUT_BLOCKS)]
    ):
        drawn = len(axes.lines)
        sns.lineplot(
            intervals(part),
            x=x,
            y="value",
            color=color,
            linestyle="-" if dimension == "channel" else "-.",
            linewidth=1.0,
            marker="o",
            markersize=4.5,
            markerfacecolor=color if dimension == "channel" else "white",
            markeredgecolor=color,
            markeredgewidth=0.9,
            err_style="bars",
            err_kws={"elinewidth": 0.8, "capsize": 1.8},
            legend=False,
            ax=axes,
            **interval(part),
        )
        line = axes.lines[drawn]
        line.set_label(dimension)
        legend.setdefault(f"{dimension}-wise", line)
    legend["no dropout"] = axes.axhline(
        plain["value"], color=color, linestyle="--", label="no dropout", zorder=1.5
    )
    axes.set_ylabel(f"PSNR (dB), {seeds_phrase(rows)}")
    settle(axes)
    axes.margins(y=0.12)
    span_at_least(axes, PSNR_SPAN)
    return legend


def kinds_phrase(setting: str) -> str:
    """Say what the PSNR of a setting is measured on."""
    if setting == "single":
        return "clean (bicubic) images"
    return f"the mean of the {len(KINDS)} degradations"


def alt_values(rows: pd.DataFrame, name: Callable[[dict[Hashable, Any]], str]) -> str:
    """List the values for alt text: ``b4 channel 24.11, …; no dropout 25.00 dB``."""
    records = rows[rows["place"] != "none"].to_dict("records")
    parts = [f"{name(r)} {r['dimension']} {r['value']:.2f}" for r in records]
    plain = rows.loc[rows["place"] == "none", "value"].iloc[0]
    return f"{', '.join(parts)}; no dropout {plain:.2f} dB"
