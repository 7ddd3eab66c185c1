"""What the figures of positions and probabilities share: choosing models, averaging, drawing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from reflash.core.errors import ReflashError
from reflash.degradations.settings import KINDS
from reflash.models.names import dropout_of, network_of, setting_of
from reflash.models.settings import DROPOUT_BLOCKS, DropoutLayer
from reflash.paper.figures.style import looks
from reflash.paper.scores import MEAN, gains, over_seeds, read_scores
from reflash.study.artefacts import FigureStyle
from reflash.study.context import Context

MEASURED = {"single": "clean", "multi": MEAN}
"""What models of a setting are tested on: what they were trained for."""

KINDS_OF = {"single": ("clean",), "multi": KINDS}

DIMENSIONS = ("channel", "element")


def chosen_models(
    context: Context, network: str, setting: str, wanted: Callable[[DropoutLayer], bool]
) -> dict[str, DropoutLayer]:
    """Return the models of a network and setting with one dropout layer that is ``wanted``."""
    chosen = {}
    for model in context.models:
        layers = dropout_of(model)
        own = (network_of(model), setting_of(model)) == (network, setting)
        if own and len(layers) == 1 and wanted(layers[0]):
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
        The test set is not one of the scale, the network without dropout is not among the models,
        or a run was not evaluated.
    """
    name = test_set or context.test_sets[0]
    if name not in context.test_sets:
        raise ReflashError(
            f"figures.{figure}.set: {name!r} is not a test set of scale {context.scale}; "
            f"use one of {', '.join(context.test_sets)}"
        )
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


def draw_lines(
    axes: Axes,
    rows: pd.DataFrame,
    at: Callable[[pd.DataFrame], Sequence[float]],
    style: FigureStyle,
) -> list[tuple[Artist, str]]:
    """Draw PSNR of channel and element dropout, and a line across for no dropout.

    Every marker has the shape and colour of its model; those of element dropout are open.

    Parameters
    ----------
    axes
        Where.
    rows
        As ``measure`` returns for one setting.
    at
        From some of the rows to their places on the x axis.

    Returns
    -------
    list of (handle, label)
        What the legend says.
    """
    look = looks(list(rows["model"]), style)
    plain = rows[rows["place"] == "none"].iloc[0]
    baseline = look[plain["model"]]
    if plain["std"] == plain["std"] and plain["std"] > 0:
        low, high = plain["value"] - plain["std"], plain["value"] + plain["std"]
        axes.axhspan(low, high, color=baseline.edge, alpha=0.12, linewidth=0)
    line = axes.axhline(
        plain["value"], color=baseline.edge, linestyle="--", label=plain["model"], zorder=1.5
    )
    legend: list[tuple[Artist, str]] = []
    for dimension in DIMENSIONS:
        of_dimension = rows[rows["dimension"] == dimension]
        if of_dimension.empty:
            continue
        x = pd.Series(at(of_dimension), index=of_dimension.index)
        of_dimension = of_dimension.loc[x.sort_values(kind="stable").index]
        x = x.sort_values(kind="stable")
        stroke: Literal["-", "-."] = "-" if dimension == "channel" else "-."
        for _, part in of_dimension.groupby(of_dimension["place"].isin(list(DROPOUT_BLOCKS))):
            axes.plot(
                x[part.index],
                part["value"],
                color=baseline.edge,
                linestyle=stroke,
                linewidth=1.0,
                label=dimension,
            )
        for place, row in zip(x, of_dimension.to_dict("records"), strict=True):
            own = look[str(row["model"])]
            axes.errorbar(
                [place],
                [row["value"]],
                yerr=[row["std"]] if row["std"] == row["std"] else None,
                color=own.edge,
                elinewidth=0.8,
                capsize=1.8,
                marker=own.marker,
                markersize=5,
                markerfacecolor=own.color if dimension == "channel" else "white",
                markeredgecolor=own.edge,
                markeredgewidth=0.9,
                linestyle="none",
                zorder=3,
                label=str(row["model"]),
            )
        handle = Line2D(
            [],
            [],
            color=baseline.edge,
            linestyle=stroke,
            linewidth=1.0,
            marker="o",
            markersize=4.5,
            markerfacecolor=baseline.edge if dimension == "channel" else "white",
            markeredgecolor=baseline.edge,
        )
        legend.append((handle, f"{dimension}-wise"))
    return [*legend, (line, "no dropout")]


def kinds_phrase(setting: str) -> str:
    """Say what the PSNR of a setting is measured on."""
    if setting == "single":
        return "clean (bicubic) images"
    return f"the mean of the {len(KINDS)} degradations"


def alt_values(rows: pd.DataFrame, name: Callable[[dict[Hashable, Any]], str]) -> str:
    """List the values for who cannot see them: ``b4 channel 24.11, …; no dropout 25.00 dB``."""
    records = rows[rows["place"] != "none"].to_dict("records")
    parts = [f"{name(r)} {r['dimension']} {r['value']:.2f}" for r in records]
    plain = rows.loc[rows["place"] == "none", "value"].iloc[0]
    return f"{', '.join(parts)}; no dropout {plain:.2f} dB"
