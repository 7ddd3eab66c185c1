"""What a study at a scale consists of: models, runs, and the settings of every stage.

A *model* is network/setting/dropout (``srresnet/multi/last_conv-channel-p0.7``); a *run* is a
model with a seed (``srresnet/multi/last_conv-channel-p0.7/seed0``). Both names are stable and are
the paths of their results, so that artefacts which need the same run share it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any

from reflash.core.errors import ReflashError
from reflash.datasets.manifest import MANIFEST
from reflash.datasets.registry import ManualSource, registry
from reflash.datasets.settings import (
    DatasetTestSettings,
    DatasetTrainingSettings,
    DeadLeavesSettings,
    TestSetSettings,
)
from reflash.degradations.settings import KINDS, BenchmarkSettings, SecondOrderSettings
from reflash.models.names import (
    BICUBIC,
    describe_model,
    expand_models,
    network_of,
    parse_model,
)
from reflash.models.placement import place, tap_names
from reflash.study.artefacts import Artefact
from reflash.study.config import VALIDATION, Resolved, evidence_of
from reflash.study.context import Context
from reflash.study.inputs import option as input_option
from reflash.training.settings import PairSettings, PoolSettings, RunSettings

RAW = "data/raw"
"""Folder of named datasets, shared by all scales."""


def check_models(resolved: Resolved, name: str) -> None:
    """Check every model the study names against the networks of the scale.

    Raises
    ------
    ReflashError
        A model cannot be parsed, its network is not in the scale, or it is labelled but unknown.
    """
    networks = resolved.scale.networks
    plan = Plan(resolved)
    try:
        models = plan.models
        labels = [parse_model(label).id for label in resolved.study.labels if label != BICUBIC]
    except ReflashError as error:
        raise ReflashError(f"{name}: {error}") from error
    for model in models:
        network = parse_model(model).network
        if network not in networks:
            near = difflib.get_close_matches(network, networks, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(networks)}"
            raise ReflashError(
                f"{name}: model {model!r}: scale {resolved.scale_name} has no network "
                f"{network!r}; {hint}"
            )
        try:
            place(networks[network], parse_model(model).dropout)
        except ReflashError as error:
            raise ReflashError(f"{name}: model {model!r}: {error}") from error
    for label in labels:
        if label not in models:
            raise ReflashError(f"{name}: labels: {label!r} is not a model of the study; remove it")
    _check_layers(Plan(resolved), name)


def _check_layers(plan: Plan, name: str) -> None:
    """Check that the layers to analyse are there in every network that is analysed."""
    analysis, study = plan.scale.analysis, plan.study
    wanted = {
        ("points", "analysis.layers"): analysis.layers,
        ("chi", "analysis.layers"): analysis.layers,
        ("sensitivity", "analysis.sensitivity_layer"): (analysis.sensitivity_layer,),
        ("ablation", "figures.channel_ablation.layers"): plan.ablated_layers,
        ("masking", "tables.claims.layer"): (plan.masked_layer,),
    }
    for kind in ("tables", "figures"):
        for artefact, settings in plan.artefacts(kind).items():
            for (need, key), layers in wanted.items():
                models = plan.shown_models(kind, artefact, need) if need in settings.inputs else ()
                for network in dict.fromkeys(model.split("/")[0] for model in models):
                    taps = tap_names(plan.scale.networks[network])
                    for layer in layers:
                        if layer not in taps:
                            raise ReflashError(
                                f"{name}: {key}: {network} at scale {plan.resolved.scale_name} "
                                f"has no layer {layer!r}; it has {', '.join(taps)}"
                            )
    clusters, claims = study.figures.degradation_clusters, study.tables.claims
    shown = {"figures.degradation_clusters": clusters.layer} if clusters else {}
    if claims and {"points", "chi"} & set(plan.claim_needs):
        shown["tables.claims"] = claims.layer
    for artefact, layer in shown.items():
        if layer not in analysis.layers:
            raise ReflashError(
                f"{name}: {artefact}.layer: {layer!r} is not among analysis.layers of "
                f"scale {plan.resolved.scale_name}; use one of {', '.join(analysis.layers)}"
            )


class Plan:
    """Everything the workflow needs to know about one configuration."""

    def __init__(self, resolved: Resolved) -> None:
        self.resolved = resolved
        self.study = resolved.study
        self.scale = resolved.scale
        self.config = resolved.config

    @property
    def name(self) -> str:
        """Folder of the artefacts below results/ and figures/."""
        scale, study = self.resolved.scale_name, self.resolved.study_name
        return scale if study == "paper" else f"{scale}/{study}"

    def artefacts(self, kind: str) -> dict[str, Any]:
        """Return name -> settings of the declared ``tables`` or ``figures``."""
        declared = getattr(self.study, kind)
        chosen = {name: getattr(declared, name) for name in type(declared).model_fields}
        return {name: settings for name, settings in chosen.items() if settings is not None}

    def artefact_models(self, name: str, kind: str) -> tuple[str, ...]:
        """Return the models a table or figure shows, in order."""
        settings = self.artefacts(kind)[name]
        if not isinstance(settings, Artefact):
            return ()
        return expand_models(settings.models or self.study.models)

    def artefact_runs(self, name: str, kind: str) -> list[str]:
        """Return the runs a table or figure shows, model by model."""
        return [run for model in self.artefact_models(name, kind) for run in self.runs(model)]

    @property
    def test_sets(self) -> tuple[str, ...]:
        """Names of the test sets, in order."""
        return tuple(self.scale.test_sets)

    @property
    def analysis_set(self) -> str:
        """The test set whose images are analysed."""
        return self.scale.analysis.set or self.test_sets[0]

    @property
    def representation_set(self) -> str:
        """The test set whose images' deep representations are compared."""
        return self.scale.analysis.representation_set or self.analysis_set

    @property
    def ablated_layers(self) -> tuple[str, ...]:
        """The layers whose channels are removed one at a time."""
        figure, claims = self.study.figures.channel_ablation, self.study.tables.claims
        layers = (*(figure.layers if figure else ()), *([claims.layer] if claims else ()))
        return tuple(dict.fromkeys(layers)) or ("last",)

    @property
    def masked_layer(self) -> str:
        """The layer whose channels are masked one after another."""
        claims = self.study.tables.claims
        return claims.layer if claims else "last"

    def analysis_settings(self, *names: str) -> dict[str, Any]:
        """Return the settings of the analyses that are called ``names``, as one analysis uses."""
        return self.scale.analysis.model_dump(mode="json", include=set(names))

    def shown_set(self, kind: str, name: str) -> str | None:
        """Return the test set that an artefact of one set shows, None for one of all sets."""
        settings = self.artefacts(kind)[name]
        if "set" not in type(settings).model_fields:
            return None
        return settings.set or self.test_sets[0]

    def shown_models(self, kind: str, name: str, need: str) -> tuple[str, ...]:
        """Return the models whose files an artefact gets as its input ``need``.

        Those it shows; but the claims take analyses of the models that others show them of,
        so that a claim about all runs does not have all runs analysed.
        """
        models = self.artefact_models(name, kind)
        if (kind, name) != ("tables", "claims") or need == "evaluations":
            return models
        analysed = {
            model
            for other_kind in ("tables", "figures")
            for other, settings in self.artefacts(other_kind).items()
            if need in settings.inputs
            for model in self.artefact_models(other, other_kind)
        }
        return tuple(model for model in models if model in analysed)

    def shown_runs(self, kind: str, name: str, need: str) -> list[str]:
        """Return the runs whose files an artefact gets as its input ``need``."""
        return [r for model in self.shown_models(kind, name, need) for r in self.runs(model)]

    @property
    def claim_needs(self) -> tuple[str, ...]:
        """Inputs of the claims that this study has; empty where it declares no claims."""
        claims = self.study.tables.claims
        if claims is None:
            return ()
        used = [n for n in claims.used if n != "cost" and self.shown_models("tables", "claims", n)]
        cost = ["cost"] if self.study.tables.cost else []
        return (*claims.tested_on, *used, *cost)

    @staticmethod
    def option(need: str) -> str:
        """Return the command-line option (without dashes) that gives an input."""
        return input_option(need).removeprefix("--")

    def context(self, models: Iterable[str]) -> Context:
        """Return what the captions of an artefact that shows ``models`` need to know."""
        models = tuple(models)
        labels = {m: describe_model(m, self.study.labels) for m in (BICUBIC, *models)}
        evidence, fraction = evidence_of(self.scale, map(network_of, models))
        return Context(
            study=self.resolved.study_name,
            title=self.study.title,
            scale=self.resolved.scale_name,
            description=self.scale.description,
            evidence=evidence,
            fraction=fraction,
            seeds=self.scale.seeds,
            models=models,
            labels=labels,
            test_sets=self.test_sets,
            crop=self.scale.evaluation.crop,
            analysis_set=self.analysis_set,
            analysis_kind="clean",
            analysis_crop=self.scale.analysis.crop,
            analysis_border=self.scale.analysis.border,
            sensitivity_layer=self.scale.analysis.sensitivity_layer,
            sensitivity_dimension=self.scale.analysis.sensitivity_dimension,
            sensitivity_rescale=self.scale.analysis.sensitivity_rescale,
            representation_set=self.representation_set,
            representation_crop=self.scale.analysis.representation_crop,
        )

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Every model that some artefact needs, the study's own first."""
        names = list(expand_models(self.study.models))
        for kind in ("tables", "figures"):
            for artefact in self.artefacts(kind):
                names += self.artefact_models(artefact, kind)
        return tuple(dict.fromkeys(names))

    def runs(self, model: str) -> list[str]:
        """Return the runs of ``model``, one per seed."""
        return [f"{model}/seed{seed}" for seed in self.scale.seeds]

    def check_datasets(self, data: str, runs: str) -> None:
        """Check, before any work, that datasets still to be fetched can be fetched.

        Parameters
        ----------
        data, runs
            Folders of the scale's images and runs; what is made of a dataset already needs it no
            more.

        Raises
        ------
        ReflashError
            A folder of images or the mirror is not there; or, without a mirror, a set is never
            downloaded, or its terms are not accepted.
        """
        mirror = self.config.mirror or os.environ.get("REFLASH_MIRROR")
        needed: list[str] = []
        own: dict[str, Any] = {}
        for name in (*self.test_sets, VALIDATION):
            if not Path(data, "test", name, "hr", MANIFEST).is_file():
                needed += self.raw_manifest(name)
                own[name] = self.image_set(name)
        weights = f"{self.scale.evaluation.weights}.safetensors"
        if not all(Path(runs, run, weights).is_file() for run in self.all_runs):
            needed += self.training_manifests
            own["training_images"] = self.scale.training_images
        for name, images in own.items():
            folder = getattr(images, "folder", None)
            if folder is not None and not Path(folder).is_dir():
                raise ReflashError(f"{folder}: no such folder (images of {name}); mend its path")
        if not Path(data, "real", MANIFEST).is_file():
            needed += self.picture_manifest
        missing = [Path(path).parent.name for path in needed if not Path(path).is_file()]
        if missing and mirror:
            if "://" not in mirror and not Path(mirror).exists():
                raise ReflashError(f"{mirror}: no such folder; give the folder of a mirror")
            return
        for name in dict.fromkeys(missing):
            if all(isinstance(source, ManualSource) for source in registry()[name].sources):
                raise ReflashError(
                    f"{name}: is never downloaded; give the folder that holds it, "
                    f"--config mirror=FOLDER (docs/data.md), or leave it out of the scale, "
                    f"overrides='{{test_sets: {{{name}: null}}}}'"
                )
        closed = [name for name in dict.fromkeys(missing) if registry()[name].accept_terms]
        if closed and not (self.config.accept_terms or os.environ.get("REFLASH_ACCEPT_TERMS")):
            raise ReflashError(
                f"{', '.join(closed)}: read their terms (reflash data list) and accept them, "
                "--config accept_terms=true, or give a folder that holds them, mirror=FOLDER"
            )

    def check_published(self, runs: str) -> None:
        """Check that the weights and logs of every run lie below ``runs``.

        Raises
        ------
        ReflashError
            A file is missing; the message names it and how to restore it.
        """
        for run in self.all_runs:
            for file in (f"{self.scale.evaluation.weights}.safetensors", "log.csv"):
                if not Path(runs, run, file).is_file():
                    raise ReflashError(
                        f"{runs}/{run}/{file}: not there, but weights are `published`; restore "
                        f"them with make restore SCALE={self.resolved.scale_name}"
                    )

    @property
    def all_runs(self) -> list[str]:
        """Every run of the study."""
        return [run for model in self.models for run in self.runs(model)]

    def run_settings(self, run: str) -> RunSettings:
        """Return what ``reflash train`` needs for ``run``."""
        name, seed = run.rsplit("/seed", 1)
        model = parse_model(name)
        if model.network not in self.scale.networks:
            raise ReflashError(
                f"run {run!r}: scale {self.resolved.scale_name} has no network {model.network!r}"
            )
        sub_image, step = self.sub_images
        return RunSettings(
            id=run,
            network=self.scale.networks[model.network],
            dropout=model.dropout,
            setting=model.setting,
            seed=int(seed),
            pairs=self._pairs,
            degradation=self._degradation(model.setting),
            training=self.scale.training,
            sub_image=sub_image,
            step=step,
        )

    @property
    def sub_images(self) -> tuple[int | None, int]:
        """Side and step of the sub-images that windows are taken from."""
        images = self.scale.training_images
        return getattr(images, "sub_image", None), getattr(images, "step", 240)

    @property
    def may_leak(self) -> bool:
        """Whether training images could hold test images: not if they are synthesised."""
        return not isinstance(self.scale.training_images, DeadLeavesSettings)

    @property
    def training_manifests(self) -> list[str]:
        """The manifests of the named datasets that training images are taken from."""
        images = self.scale.training_images
        if isinstance(images, DatasetTrainingSettings):
            return [f"{RAW}/{name}/{MANIFEST}" for name in images.names]
        return []

    def pairs_source(self, run: str, data: str) -> str:
        """Return the file that stands for what ``run`` is trained on: a pool or the cache."""
        if self.scale.pairs.synthesis == "pool":
            return f"{data}/train/pairs/{run.split('/')[1]}/pool.json"
        return f"{data}/train/cache/cache.json"

    def image_set(self, name: str) -> TestSetSettings:
        """Return where the HR images of test set ``name`` (or of ``validation``) come from."""
        if name == VALIDATION:
            return self.scale.validation_set
        return self.scale.test_sets[name]

    def raw_manifest(self, name: str) -> list[str]:
        """Return the manifest of the named dataset behind a test set, if there is one."""
        settings = self.image_set(name)
        if isinstance(settings, DatasetTestSettings):
            return [f"{RAW}/{settings.name}/{MANIFEST}"]
        return []

    def own_images(self, name: str) -> list[str]:
        """Return the images of the user's own folder behind ``name``, if there is one.

        ``name`` is a test set, ``validation``, ``training`` or ``pictures``. As inputs of a rule
        they make another image in the folder rerun it.
        """
        if name == "pictures":
            shown = self.study.figures.real_world
            chosen = shown.pictures if shown and shown.pictures not in registry() else None
        else:
            images = self.scale.training_images if name == "training" else self.image_set(name)
            chosen = getattr(images, "folder", None)
        if chosen is None or not Path(chosen).is_dir():
            return []
        from reflash.datasets.images import list_images

        try:
            return [str(path) for path in list_images(chosen)]
        except ReflashError:  # an empty folder: the rule's command says so
            return []

    def mod(self, name: str) -> int:
        """Return what the sides of a set's HR images are multiples of."""
        return 4 if name == VALIDATION else self.scale.benchmark.mod

    @property
    def pictures_option(self) -> str:
        """Option of ``reflash data pictures`` that says which real pictures are shown."""
        shown = self.study.figures.real_world
        return f"--pictures {quote(shown.pictures)}" if shown and shown.pictures else ""

    @property
    def picture_count(self) -> int:
        """How many real pictures are shown."""
        shown = self.study.figures.real_world
        return shown.examples if shown else 1

    @property
    def picture_manifest(self) -> list[str]:
        """Return the manifest of the named dataset that the real pictures are from, if any."""
        shown = self.study.figures.real_world
        named = shown and shown.pictures in registry()
        return [f"{RAW}/{shown.pictures}/{MANIFEST}"] if shown and named else []

    @property
    def example_count(self) -> int:
        """How many images per degradation the visual comparison needs upscaled."""
        shown = self.study.figures.visual_comparison
        return shown.examples if shown else 1

    @property
    def kinds(self) -> tuple[str, ...]:
        """The eight test degradations."""
        return KINDS

    def benchmark_settings(self, kind: str) -> BenchmarkSettings:
        """Return the settings that degradation ``kind`` depends on; the others at their default.

        A change of the noise level thus leaves the kinds without noise as they are.
        """
        chosen, default = self.scale.benchmark, BenchmarkSettings()
        unused = []
        if "noise" not in kind:
            unused += ["noise_sigma", "noise_rounding", "seed"]
        if kind != "noise":
            unused += ["noise_only_sigma"]
        if "blur" not in kind:
            unused += ["blur_size", "blur_sigma"]
        if "jpeg" not in kind:
            unused += ["jpeg_quality"]
        return chosen.model_copy(update={name: getattr(default, name) for name in unused})

    @property
    def _pairs(self) -> PairSettings:
        """What decides the pairs; keys of the other way of synthesis are at their default."""
        pairs, default = self.scale.pairs, PairSettings()
        unused = "shuffle_pool" if pairs.synthesis == "pool" else "count"
        return pairs.model_copy(update={unused: getattr(default, unused)})

    def _degradation(self, setting: str) -> SecondOrderSettings:
        """Return what decides the pairs of a setting, keys of the other one at their default."""
        chosen, default = self.scale.degradation, SecondOrderSettings()
        if setting == "single":
            return default.model_copy(update={"bicubic": chosen.bicubic})
        return chosen.model_copy(update={"bicubic": default.bicubic})

    def pool_settings(self, setting: str) -> PoolSettings:
        """Return what ``reflash pairs`` needs for the pool of ``setting``."""
        sub_image, step = self.sub_images
        return PoolSettings(
            setting=setting,
            pairs=self._pairs,
            degradation=self._degradation(setting),
            sub_image=sub_image,
            step=step,
        )


def load_plan(path: Path | str = "config/config.yaml") -> Plan:
    """Return the plan of a config.yaml."""
    from reflash.study.config import load_file

    return Plan(load_file(path))
