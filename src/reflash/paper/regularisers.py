"""Comparing regularisers: by network, each with several strengths, beside dropout and none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reflash.models.names import dropout_of, network_of, place_label, regularisers_of, setting_of
from reflash.paper.logs import read_logs
from reflash.study.context import Context

CONTROLS = ("second_view",)
"""Regularisers that are there to explain another one; they are no rivals of dropout."""


def family_of(model: str) -> str:
    """Return network and setting, e.g. ``srresnet/multi``."""
    return f"{network_of(model)}/{setting_of(model)}"


def kind_of(model: str) -> str:
    """Return how a model is regularised, whatever the strength.

    >>> kind_of("srresnet/multi/last_conv-channel-p0.7+weight_decay-0.01")
    'last-conv channel dropout + weight decay'
    >>> kind_of("srresnet/multi/none")
    'none'
    """
    parts = [f"{place_label(one.where)} {one.dimension} dropout" for one in dropout_of(model)]
    parts += [one.name.replace("_", " ") for one in regularisers_of(model)]
    return " + ".join(parts) or "none"


def strength_of(model: str) -> str:
    """Return the strengths of a model's regularisers as text.

    >>> strength_of("srresnet/multi/last_conv-channel-p0.7+weight_decay-0.01")
    '0.7 + 0.01'
    """
    strengths = [one.p for one in dropout_of(model)]
    strengths += [one.strength for one in regularisers_of(model)]
    return " + ".join(f"{strength:g}" for strength in strengths)


def best_validated(logs: Iterable[Path | str], context: Context) -> dict[tuple[str, str], str]:
    """Return, of every family and kind, the model with the highest validation PSNR at its end.

    A strength is so chosen by the validation images, not by the mean over all test images (at most
    scales the five of Set5, which are among these). Averaged weights, mean over seeds and over the
    kinds validated; of equal ones the first.

    Raises
    ------
    ReflashError
        A run of the context has no log (see ``read_logs``).
    """
    tables = read_logs(logs, context)
    best: dict[tuple[str, str], tuple[float, str]] = {}
    for model in context.models:
        ends = [float(tables[f"{model}/seed{s}"]["psnr"].iloc[-1]) for s in context.seeds]
        key, score = (family_of(model), kind_of(model)), sum(ends) / len(ends)
        if key not in best or score > best[key][0]:
            best[key] = score, model
    return {key: model for key, (_, model) in best.items()}
