"""What a study at a scale consists of: models, runs, artefacts, and the settings of every stage.

A *model* is network/setting/dropout (``srresnet/multi/last_conv-channel-p0.7``); a *run* is a
model with a seed (``srresnet/multi/last_conv-channel-p0.7/seed0``). Both names are stable and are
the paths of their results, so that artefacts which need the same run share it. Where things lie
is known to :mod:`reflash.study.files`, what an artefact reads to :mod:`reflash.study.inputs`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any

from reflash.core.errors import ReflashError
from reflash.datasets.public_weights import PublicWeights, file_origin, weights_registry
from reflash.datasets.registry import registry
from reflash.datasets.settings import (
    DatasetTestSettings,
    DatasetTrainingSettings,
    DeadLeavesSettings,
    TestSetSettings,
)
from reflash.degradations.settings import KINDS, BenchmarkSettings, SecondOrderSettings
from reflash.degradations.tasks import TASKS, is_task_kind
from reflash.models.names import (
    BICUBIC,
    EXTERNAL,
    Strength,
    baseline_of,
    describe_model,
    expand_models,
    is_external,
    network_of,
    parse_model,
    runs_of,
    setting_of,
)
from reflash.models.settings import ExternalSettings, FactorySettings, NetworkSettings
from reflash.study.artefacts import Artefact
from reflash.study.config import RELEASED, VALIDATION, Resolved, evidence_of, smaller_networks
from reflash.study.context import Context
from reflash.study.files import Files, public_weights
from reflash.training.settings import (
    OwnRegulariser,
    PairSettings,
    PoolSettings,
    RegulariserSettings,
    RunSettings,
    TrainingSettings,
)

SAME_JOB = {"paired": "chi"}
"""Analyses that no artefact shows by themselves: they are made where another one is."""


class Plan:
    """Everything the workflow needs to know about one configuration."""

    def __init__(self, resolved: Resolved) -> None:
        self.resolved = resolved
        self.study = resolved.study
        self.scale = resolved.scale
        self.config = resolved.config
        self.released = resolved.config.weights == "released"
        """Whether weights are those that the authors released."""
        other = None if resolved.study_name == self.scale.study else resolved.study_name
        self.files = Files(resolved.scale_name, other, self.released)

    def artefacts(self, kind: str) -> dict[str, Any]:
        """Return name -> settings of the declared ``tables`` or ``figures`` that show a model."""
        return self._artefacts[kind]

    @cached_property
    def _artefacts(self) -> dict[str, dict[str, Any]]:
        artefacts = {}
        for kind in ("tables", "figures"):
            declared = getattr(self.study, kind)
            chosen = {name: getattr(declared, name) for name in type(declared).model_fields}
            artefacts[kind] = {
                name: settings
                for name, settings in chosen.items()
                if settings is not None
                and (not isinstance(settings, Artefact) or self._models_shown(settings))
            }
        return artefacts

    def artefact(self, kind: str, name: str) -> Any:
        """Return the settings of one declared table or figure.

        Raises
        ------
        ReflashError
            The study declares none of that name.
        """
        declared = self.artefacts(kind)
        if name not in declared:
            raise ReflashError(
                f"{kind[:-1]} {name!r}: not in study {self.resolved.study_name}; "
                f"it has {', '.join(declared)}"
            )
        return declared[name]

    @property
    def main_labels(self) -> dict[str, str]:
        """Names shown of bicubic and of the models of the main comparison."""
        table = self.study.tables.multi_degradation
        models = self._available((table and table.models) or self.study.models)
        labels = self._labels(models)
        return labels if self.baselines else {m: n for m, n in labels.items() if m != BICUBIC}

    def _labels(self, models: Iterable[str]) -> dict[str, str]:
        files = {public_weights(name): one.label for name, one in weights_registry().items()}
        given = {
            f"{EXTERNAL}/{name}": one.label or files.get(one.weights or "")
            for name, one in self.study.external.items()
        }
        known = {name: label for name, label in given.items() if label}
        own = self.study.labels
        labels = {m: describe_model(m, known | dict(own)) for m in (BICUBIC, *models)}
        # Settings do not name the setting, nor a file of weights which of its keys is meant.
        often = {label for label, count in Counter(labels.values()).items() if count > 1}
        apart = {m: m.split("/")[1] for m in models if labels[m] in often and m not in own}
        return labels | {model: f"{labels[model]} ({part})" for model, part in apart.items()}

    def described_network(self, name: str) -> str:
        """Return the settings of the network that a figure draws; empty for other figures."""
        settings = self.artefacts("figures")[name]
        if "network" not in settings.inputs:
            return ""
        return self.scale.networks[settings.network].model_dump_json()

    def artefact_models(self, name: str, kind: str) -> tuple[str, ...]:
        """Return the models a table or figure shows, in order."""
        settings = self.artefacts(kind)[name]
        return self._models_shown(settings) if isinstance(settings, Artefact) else ()

    def _models_shown(self, settings: Artefact) -> tuple[str, ...]:
        if self.released and not settings.of_released:
            return ()
        models = self._available(settings.models or self.study.models)
        shown = [m for m in models if settings.shows_external or not is_external(m)]
        of_tasks = settings.of_tasks
        shown = [m for m in shown if of_tasks in (None, setting_of(m) in TASKS)]
        if settings.of_pairs and not any(baseline_of(m) in shown for m in shown):
            return ()
        return tuple(shown)

    def _available(self, patterns: Iterable[str]) -> tuple[str, ...]:
        """Return the models that patterns name; of the authors' weights, those they released."""
        models = expand_models(patterns)
        return tuple(m for m in models if not self.released or is_external(m) or m in RELEASED)

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

    @property
    def evaluation_settings(self) -> dict[str, Any]:
        """Settings of ``reflash evaluate``; which weights is said by the file that it is given."""
        return self.scale.evaluation.model_dump(mode="json", exclude={"weights"})

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
            if SAME_JOB.get(need, need) in settings.inputs
            for model in self.artefact_models(other, other_kind)
        }
        return tuple(model for model in models if model in analysed)

    def shown_runs(self, kind: str, name: str, need: str) -> list[str]:
        """Return the runs whose files an artefact gets as its input ``need``."""
        return [r for model in self.shown_models(kind, name, need) for r in self.runs(model)]

    @property
    def claim_needs(self) -> tuple[str, ...]:
        """Inputs of the claims that this study has; empty where it declares no claims."""
        claims = self.artefacts("tables").get("claims")
        if claims is None:
            return ()
        used = [n for n in claims.used if n != "cost" and self.shown_models("tables", "claims", n)]
        cost = ["cost"] if self.study.tables.cost else []
        return (*claims.tested_on, *used, *cost)

    def context(self, models: Iterable[str]) -> Context:
        """Return what the captions of an artefact that shows ``models`` need to know."""
        models = tuple(models)
        labels = self._labels(models)
        networks = [network_of(model) for model in models]
        evidence, fraction = evidence_of(self.scale, networks)
        description = self.scale.description
        if self.released:
            evidence, fraction = ("none" if evidence == "none" else "paper"), ""
            description = (
                "the authors' released weights on this scale's test images; models they did not "
                "release are left out, as are training curves"
            )
        return Context(
            study=self.resolved.study_name,
            title=self.study.title,
            scale=self.resolved.scale_name,
            description=description,
            evidence=evidence,
            fraction=fraction,
            smaller=() if self.released else tuple(smaller_networks(self.scale, networks)),
            seeds=self.scale.seeds,
            released=self.released,
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
            sharpened=self.scale.degradation.usm,
        )

    def artefact_context(self, kind: str, name: str) -> Context:
        """Return the context of a table or figure, with the study's claims where it estimates."""
        context = self.context(self.artefact_models(name, kind))
        settings, claims = self.artefacts(kind)[name], self.study.tables.claims
        if claims is None or not (isinstance(settings, Artefact) and settings.estimates):
            return context
        return context.model_copy(update={"claims": claims})

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Every model that some artefact needs, the study's own first."""
        names = list(self._available(self.study.models))
        for kind in ("tables", "figures"):
            for artefact in self.artefacts(kind):
                names += self.artefact_models(artefact, kind)
        return tuple(dict.fromkeys(names))

    def runs(self, model: str) -> list[str]:
        """Return the runs of ``model``, one per seed; of an external model one."""
        return runs_of(model, self.scale.seeds)

    @property
    def all_runs(self) -> list[str]:
        """Every run of the study."""
        return [run for model in self.models for run in self.runs(model)]

    @property
    def trained_runs(self) -> list[str]:
        """Every run of the study that is trained here."""
        return [run for run in self.all_runs if not self.released and not is_external(run)]

    @property
    def released_runs(self) -> list[str]:
        """Every run of the study whose weights the authors released."""
        return [run for run in self.all_runs if self.released and not is_external(run)]

    @cached_property
    def batches(self) -> dict[str, tuple[str, ...]]:
        """The batch of every run trained here: runs that see the same pairs, ``runs_per_job`` each.

        One job may train a batch (network, setting and seed are the same).
        """
        alike: dict[tuple[str, str, str], list[str]] = {}
        for run in self.trained_runs:
            network, setting, _, seed = run.split("/")
            alike.setdefault((network, setting, seed), []).append(run)
        found: dict[str, tuple[str, ...]] = {}
        for (network, _, _), runs in alike.items():
            size = self.scale.runs_per_job.get(network, 1)
            for first in range(0, len(runs), size):
                batch = tuple(runs[first : first + size])
                found.update(dict.fromkeys(batch, batch))
        return found

    def external(self, run: str) -> ExternalSettings | None:
        """Return where the network of a run comes from; None for one that is trained here."""
        if not is_external(run):
            return None
        name = run.split("/")[1]
        if name not in self.study.external:
            raise ReflashError(
                f"run {run!r}: study {self.resolved.study_name} has no external network {name!r}"
            )
        return self.study.external[name]

    def public_weights(self, run: str) -> PublicWeights | None:
        """Return the public weights that a run is of; the workflow fetches them."""
        external = self.external(run)
        files = {public_weights(name): one for name, one in weights_registry().items()}
        return files.get((external and external.weights) or "")

    def weights_file(self, run: str) -> str | None:
        """Return the weights that a run is evaluated with; None where a factory needs none."""
        external = self.external(run)
        if external is None:
            return self.files.weights(run, self.scale.evaluation.weights)
        return external.weights

    def weights_text(self, run: str) -> str | None:
        """Return what options named --weights take; a factory is named, as no file may name one."""
        file, network = self.weights_file(run), self.scale.networks.get(network_of(run))
        if external := self.external(run):
            return external.text
        if isinstance(network, FactorySettings):
            named = network.model_dump(include={"factory", "arguments"})
            return ExternalSettings.model_validate({"weights": file, **named}).text
        return file

    def origins(self, root: Path | str = ".") -> list[tuple[str, str, str]]:
        """Return model, file and its SHA-256 of every weights file that was not trained here."""
        found = []
        for run in self.all_runs:
            file = None if run in self.trained_runs else self.weights_file(run)
            if file is not None:
                name, sha256 = file_origin(Path(root, file))
                model = run.rpartition("/")[0]
                found.append((self._labels([model])[model], name, sha256))
        return found

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
            network=self._network(model.network, model.setting),
            dropout=model.dropout,
            regularisers=tuple(map(self._regulariser, model.regularisers)),
            setting=model.setting,
            seed=int(seed),
            pairs=self._pairs,
            degradation=self._degradation(model.setting),
            training=self._training(model.setting),
            sub_image=sub_image,
            step=step,
        )

    def _training(self, setting: str) -> TrainingSettings:
        """Return the optimisation; a task validates on its kinds in distribution."""
        training = self.scale.training
        if setting not in TASKS:
            return training
        validation = training.validation.model_copy(update={"kinds": TASKS[setting].inside})
        return training.model_copy(update={"validation": validation})

    def _network(self, name: str, setting: str) -> NetworkSettings:
        """Return a network of the scale; one of the user's own with the hash of its code."""
        network = self.scale.networks[name]
        if setting in TASKS:
            return network.model_copy(update={"scale": 1})
        if isinstance(network, FactorySettings):
            from reflash.models.factory import factory_code  # imports torch

            return network.model_copy(update={"code": factory_code(network.factory)})
        return network

    def _regulariser(self, one: Strength) -> RegulariserSettings:
        """Return a regulariser of the scale, or of ours, with the hash of its code."""
        from reflash.models.factory import factory_code  # imports torch

        ours = OwnRegulariser(factory=f"reflash.training.regularisers.{one.name}:build")
        chosen = self.scale.regularisers.get(one.name, ours)
        return RegulariserSettings(
            name=one.name,
            strength=one.strength,
            factory=chosen.factory,
            arguments=chosen.arguments,
            code=factory_code(chosen.factory),
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

    def image_set(self, name: str) -> TestSetSettings:
        """Return where the HR images of test set ``name`` (or of ``validation``) come from."""
        if name == VALIDATION:
            return self.scale.validation_set
        return self.scale.test_sets[name]

    def mod(self, name: str) -> int:
        """Return what the sides of a set's HR images are multiples of."""
        return 4 if name == VALIDATION else self.scale.benchmark.mod

    @property
    def seal_datasets(self) -> list[str]:
        """Names of the datasets that SEAL's degradations take, if an artefact shows them."""
        declared = (one for kind in ("tables", "figures") for one in self.artefacts(kind).values())
        return ["Set14", "Set14_SE"] if any("seal" in one.inputs for one in declared) else []

    @property
    def photos_option(self) -> str:
        """Option of ``reflash data real-photos`` that says which real photographs are shown."""
        shown = self.study.figures.real_world
        return f"--photos {quote(shown.photos)}" if shown and shown.photos else ""

    @property
    def tiles_option(self) -> str:
        """Options of ``reflash upscale`` that cut images into the tiles of the evaluation."""
        chosen = self.scale.evaluation.model_dump(include={"tile", "overlap"}, exclude_none=True)
        return " ".join(f"--{name} {value}" for name, value in chosen.items())

    @property
    def photo_count(self) -> int:
        """How many real photographs are shown."""
        shown = self.study.figures.real_world
        return shown.examples if shown else 1

    @property
    def example_count(self) -> int:
        """How many images per degradation the visual comparison needs upscaled."""
        shown = self.study.figures.visual_comparison
        return shown.examples if shown else 1

    @property
    def kinds(self) -> tuple[str, ...]:
        """The test degradations of all models: the eight, and those of other tasks."""
        settings = dict.fromkeys(map(setting_of, self.models))
        tasks = [kind for name in settings if name in TASKS for kind in TASKS[name].kinds]
        return tuple(dict.fromkeys([*(KINDS if self.baselines else ()), *tasks]))

    @property
    def baselines(self) -> tuple[str, ...]:
        """Bicubic, where a model enlarges images."""
        enlarges = any(setting_of(model) not in TASKS for model in self.models)
        return (BICUBIC,) if enlarges else ()

    def kinds_of(self, run: str) -> tuple[str, ...]:
        """Return the test degradations of a run (or bicubic): those of its task, or the eight."""
        task = TASKS.get(setting_of(run))
        return task.kinds if task else KINDS

    def image_list(self, run: str, test_set: str) -> str:
        """Return the list of a test set's images that a run is evaluated on."""
        setting = setting_of(run)
        return self.files.images(test_set, setting if setting in TASKS else "")

    def benchmark_settings(self, kind: str) -> BenchmarkSettings:
        """Return the settings that degradation ``kind`` depends on; the others at their default.

        A change of the noise level thus leaves the kinds without noise as they are.
        """
        chosen, default = self.scale.benchmark, BenchmarkSettings()
        unused = []
        if is_task_kind(kind):
            return default.model_copy(update={"mod": chosen.mod, "seed": chosen.seed})
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
        """Return what decides the pairs of a setting, keys of the others at their default."""
        chosen, default = self.scale.degradation, SecondOrderSettings()
        if setting in TASKS:
            return default.model_copy(update={"group": chosen.group})
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

    def training_source(self, run: str) -> str:
        """Return the file that stands for what ``run`` is trained on: a pool or the cache."""
        if self.scale.pairs.synthesis == "pool":
            return self.files.pool(run.split("/")[1])
        return self.files.cache

    @property
    def training_datasets(self) -> list[str]:
        """Names of the datasets that training images are taken from."""
        images = self.scale.training_images
        return list(images.names) if isinstance(images, DatasetTrainingSettings) else []

    def dataset_of(self, name: str) -> list[str]:
        """Return the name of the dataset behind a test set (or ``validation``), if there is one."""
        settings = self.image_set(name)
        return [settings.name] if isinstance(settings, DatasetTestSettings) else []

    @property
    def real_dataset(self) -> list[str]:
        """Name of the dataset that the real photographs are from, if there is one."""
        shown = self.study.figures.real_world
        return [shown.photos] if shown and shown.photos in registry() else []

    def own_images(self, name: str) -> tuple[Path | None, bool]:
        """Return the user's own folder behind a set of images, and whether its subfolders count.

        ``name`` is ``training``, ``real``, ``validation`` or that of a test set.
        """
        if name == "real":
            shown = self.study.figures.real_world
            photos = shown.photos if shown else None
            return None if photos is None or photos in registry() else Path(photos), False
        images = self.scale.training_images if name == "training" else self.image_set(name)
        return getattr(images, "folder", None), getattr(images, "recursive", False)
