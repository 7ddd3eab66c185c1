"""The numbers that claims are tested on: pairs of models, and arrays of (seeds, images)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from reflash.degradations.settings import KINDS
from reflash.models.names import (
    TASKS,
    baseline_of,
    dropout_of,
    regularisers_of,
    setting_of,
)
from reflash.paper.analyses import read_analysis
from reflash.paper.anatomy import BAND_METRICS, band_parts
from reflash.paper.claims.bootstrap import Array, Estimate, estimate, generator, interval
from reflash.paper.logs import logged_models
from reflash.paper.regularisers import CONTROLS, best_validated, family_of
from reflash.paper.scores import KINDS_OF, ColumnMissingError, read_images, read_values, same_images
from reflash.study.artefacts import Claims
from reflash.study.context import Context
from reflash.study.inputs import Inputs

Pair = tuple[str, str]
"""A model and the one that is taken off."""

OUTSIDE = ("conv_hr", "last_conv")
"""Places after the body of a network."""


class Data:
    """What one study has for testing claims.

    Parameters
    ----------
    context
        The models and seeds.
    settings
        Which models stand for what, and the resampling.
    inputs
        The files there are.
    """

    def __init__(self, context: Context, settings: Claims, inputs: Inputs) -> None:
        self.context = context
        self.settings = settings
        self.inputs = inputs
        self._psnr: dict[str, dict[str, Array]] = {}

    @cached_property
    def families(self) -> list[str]:
        """Network and setting of the models, e.g. srresnet/multi, in order; no other tasks."""
        models = [m for m in self.context.models if setting_of(m) not in TASKS]
        return list(dict.fromkeys(map(family_of, models)))

    def body_pairs(self, family: str) -> list[Pair]:
        """Return the network without dropout, with each that has dropout only inside the body."""
        pairs = []
        for model in self._of(family):
            layers, baseline = dropout_of(model), baseline_of(model)
            inside = bool(layers) and all(layer.where not in OUTSIDE for layer in layers)
            if inside and baseline in self.context.models:
                pairs.append((str(baseline), model))
        return pairs

    @cached_property
    def last_conv_pairs(self) -> dict[str, Pair]:
        """See ``last_conv_pairs``: of super-resolution."""
        pairs = last_conv_pairs(self.context.models, self.settings)
        return {family: pair for family, pair in pairs.items() if family in self.families}

    @cached_property
    def task_pairs(self) -> dict[str, Pair]:
        """See ``last_conv_pairs``: of other tasks."""
        pairs = last_conv_pairs(self.context.models, self.settings)
        return {family: pair for family, pair in pairs.items() if family not in self.families}

    def psnr_of(
        self, kinds: Sequence[str], model: str, test_sets: Sequence[str] | None = None
    ) -> Array:
        """Return (seeds, images) PSNR in dB of a model, mean over some kinds; None: every set."""
        sets = self.context.test_sets if test_sets is None else tuple(test_sets)
        only = self.context.model_copy(update={"models": (model,), "test_sets": sets})
        return read_images(self.inputs.evaluations, only, "psnr", kinds)[model]

    @cached_property
    def rivals(self) -> dict[tuple[str, str], Pair]:
        """By family and kind, another regulariser with the paper's dropout of that family.

        Of each kind the strength that validates best; none of those that ``unrivalled`` names.
        """
        models = tuple(m for m in self._others if m not in self.unrivalled)
        only = self.context.model_copy(update={"models": models})
        chosen = best_validated(self.inputs.logs, only) if models else {}
        return {key: (model, self.last_conv_pairs[key[0]][0]) for key, model in chosen.items()}

    @cached_property
    def unrivalled(self) -> dict[str, str]:
        """Models with other regularisers that cannot be compared with dropout: what is missing."""
        logged = logged_models(self.inputs.logs, self.context)
        missing = {model: "logs" for model in self._others if model not in logged}
        families = self.last_conv_pairs
        return missing | {m: "dropout" for m in self._others if family_of(m) not in families}

    @property
    def _others(self) -> list[str]:
        """Models of super-resolution with other regularisers, controls apart, without dropout."""
        return [
            m
            for m in self.context.models
            if family_of(m) in self.families
            and not dropout_of(m)
            and any(one.name not in CONTROLS for one in regularisers_of(m))
        ]

    def dimension_pairs(self, family: str) -> list[Pair]:
        """Return the models with channel dropout, each with the same but element dropout.

        Those before the last convolution, or all where there are none.
        """
        pairs = []
        for model in self._of(family):
            layers = dropout_of(model)
            if layers and all(layer.dimension == "channel" for layer in layers):
                twin = f"{family}/{str(layers).replace('-channel-', '-element-')}"
                if twin in self.context.models:
                    pairs.append((model, twin))
        last = [p for p in pairs if [layer.where for layer in dropout_of(p[0])] == ["last_conv"]]
        return last or pairs

    def psnr(self, model: str) -> Array:
        """Return (seeds, images) PSNR in dB of a model on what its setting is for."""
        setting = setting_of(model)
        if setting not in self._psnr:
            family = [m for m in self.context.models if setting_of(m) == setting]
            only = self.context.model_copy(update={"models": tuple(family)})
            self._psnr[setting] = read_images(
                self.inputs.evaluations, only, "psnr", KINDS_OF[setting]
            )
        return self._psnr[setting][model]

    def gain_parts(self, pair: Pair) -> Array | None:
        """Return (seeds, images, bands) parts in dB of a gain, mean over the eight degradations.

        None where the evaluations have no PSNR of the bands.
        """
        only = self.context.model_copy(update={"models": pair})
        try:
            bands = read_values(self.inputs.evaluations, only, BAND_METRICS, KINDS)
        except ColumnMissingError:  # evaluated without these metrics
            return None
        own, other = (bands[model] for model in pair)
        return np.asarray(band_parts(own, other).mean(axis=2))

    def analysis(
        self, name: str, command: str, keys: Sequence[str], values: Sequence[str], run: str = "run"
    ) -> pd.DataFrame:
        """Read an analysis of the models of which every seed is there, at the chosen layer.

        Returns
        -------
        pandas.DataFrame
            Columns model, seed, keys, values; without rows where there is no file.
        """
        paths = getattr(self.inputs, name)
        if not paths:
            return pd.DataFrame(columns=["model", "seed", *keys, *values])
        table = read_analysis(paths, self.context, command, keys, values, run, every=False)
        if "layer" in keys:
            table = table[table["layer"] == self.settings.layer]
        seeds = table.groupby("model")["seed"].nunique()
        whole = seeds.index[seeds == len(self.context.seeds)]
        return table[table["model"].isin(whole)]

    def analysed_pairs(self, table: pd.DataFrame) -> list[Pair]:
        """Return the pairs for dropout before the last convolution that ``table`` has."""
        models = set(table["model"])
        return [pair for pair in self.last_conv_pairs.values() if models.issuperset(pair)]

    def by_image(self, table: pd.DataFrame, value: str, model: str) -> Array:
        """Return (seeds, images) of a column that has one row per seed and image."""
        images = same_images(table)
        rows = table[table["model"] == model].pivot(index="seed", columns="image", values=value)
        return rows.loc[list(self.context.seeds), images].to_numpy(np.float64)

    def estimate(self, differences: Array, comparisons: int = 1) -> Estimate:
        """Return the mean of paired differences (seeds, images); see ``bootstrap.estimate``."""
        return estimate(differences, self.settings, comparisons)

    def estimate_of(self, per_seed: Callable[[Array], Array], units: int) -> Estimate:
        """Return a statistic under weights of its units (see ``bootstrap.interval``)."""
        claims, seeds = self.settings, len(self.context.seeds)
        rng = generator(claims)
        return interval(per_seed, seeds, units, claims.resamples, claims.confidence, rng)

    def _of(self, family: str) -> list[str]:
        """Return a family's models that have dropout alone, or nothing."""
        of_family = [m for m in self.context.models if m.startswith(f"{family}/")]
        return [m for m in of_family if not regularisers_of(m)]


def last_conv_pairs(models: Sequence[str], claims: Claims) -> dict[str, Pair]:
    """Return by family the model for dropout before the last convolution, with the one without.

    Of those with channel dropout there alone, the one whose probability is nearest to the chosen
    one (the smaller of two); families without such a pair are left out.
    """
    pairs = {}
    for family in dict.fromkeys(map(family_of, models)):
        wanted = claims.last_conv.get(family, 0.5)
        found = {}
        for model in models:
            where = [(layer.where, layer.dimension) for layer in dropout_of(model)]
            alone = model.startswith(f"{family}/") and not regularisers_of(model)
            if alone and where == [("last_conv", "channel")]:
                found[model] = dropout_of(model)[0].p
        baseline = f"{family}/none"
        if found and baseline in models:
            best = min(found, key=lambda m: (round(abs(found[m] - wanted), 9), found[m]))
            pairs[family] = best, baseline
    return pairs
