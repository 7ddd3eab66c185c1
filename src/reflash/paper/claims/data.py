"""The numbers that claims are tested on: pairs of models, and arrays of (seeds, images)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reflash.core.keys import numpy_generator
from reflash.degradations.settings import KINDS
from reflash.models.names import baseline_of, dropout_of, network_of, setting_of
from reflash.models.settings import DropoutLayer
from reflash.paper.analyses import read_runs, same_images
from reflash.paper.claims.bootstrap import Estimate, interval, paired_interval
from reflash.paper.scores import read_images
from reflash.study.artefacts import Claims
from reflash.study.context import Context
from reflash.study.inputs import Inputs

Array = NDArray[np.float64]

Pair = tuple[str, str]
"""A model and the one it is compared with."""

OUTSIDE = ("conv_hr", "last_conv")
"""Places after the body of a network."""

KINDS_OF = {"single": ("clean",), "multi": KINDS}
"""What models of a setting are tested on: what they were trained for."""


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
        """Network and setting of the models, e.g. srresnet/multi, in order."""
        names = (f"{network_of(m)}/{setting_of(m)}" for m in self.context.models)
        return list(dict.fromkeys(names))

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

    def body_pairs(self, family: str) -> list[Pair]:
        """Return the models with dropout only inside the body, each with the one without."""
        pairs = []
        for model in self._of(family):
            layers, baseline = dropout_of(model), baseline_of(model)
            inside = bool(layers) and all(layer.where not in OUTSIDE for layer in layers)
            if inside and baseline in self.context.models:
                pairs.append((model, str(baseline)))
        return pairs

    def last_conv_pair(self, family: str) -> Pair | None:
        """Return the model that stands for dropout before the last convolution, and its baseline.

        Of those with channel dropout there alone, the one whose probability is nearest to the
        chosen one (the smaller of two).
        """
        wanted = self.settings.last_conv.get(family, 0.5)
        found: dict[str, DropoutLayer] = {}
        for model in self._of(family):
            layers = dropout_of(model)
            if len(layers) == 1 and (layers[0].where, layers[0].dimension) == (
                "last_conv",
                "channel",
            ):
                found[model] = layers[0]
        baseline = f"{family}/none"
        if not found or baseline not in self.context.models:
            return None
        best = min(found, key=lambda m: (round(abs(found[m].p - wanted), 9), found[m].p))
        return best, baseline

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

    def analysis(
        self, name: str, command: str, keys: Sequence[str], values: Sequence[str]
    ) -> pd.DataFrame | None:
        """Read an analysis of some or all models; None where there is no file of it."""
        paths = getattr(self.inputs, name)
        return read_runs(paths, self.context, command, keys, values) if paths else None

    def complete(self, table: pd.DataFrame | None, model: str) -> bool:
        """Whether ``table`` has every seed of a model."""
        if table is None:
            return False
        found = set(table.loc[table["model"] == model, "seed"])
        return set(self.context.seeds) <= found

    def by_image(self, table: pd.DataFrame, value: str, model: str) -> Array:
        """Return (seeds, images) of a column that has one row per seed and image."""
        images = same_images(table)
        rows = table[table["model"] == model].pivot(index="seed", columns="image", values=value)
        return rows.loc[list(self.context.seeds), images].to_numpy(np.float64)

    def estimate(self, differences: Array, *key: str) -> Estimate:
        """Return the mean of paired differences (seeds, images) and its interval."""
        return paired_interval(differences, *self._resampling(*key))

    def estimate_of(self, per_seed: Callable[[Array], Array], units: int, *key: str) -> Estimate:
        """Return a statistic under weights of its units (see ``bootstrap.interval``)."""
        return interval(per_seed, len(self.context.seeds), units, *self._resampling(*key))

    def _resampling(self, *key: str) -> tuple[int, float, np.random.Generator]:
        settings = self.settings
        rng = numpy_generator(settings.seed, "claims", *key)
        return settings.resamples, settings.confidence, rng

    def _of(self, family: str) -> list[str]:
        return [m for m in self.context.models if m.startswith(f"{family}/")]
