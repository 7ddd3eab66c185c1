"""Checks before any work: models, layers, and whether images and weights can be had."""

from __future__ import annotations

import difflib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reflash.core.errors import ReflashError
from reflash.datasets.download import address_parts
from reflash.datasets.public_weights import is_kept
from reflash.datasets.registry import ManualSource, registry
from reflash.degradations.settings import KINDS
from reflash.models.names import (
    BICUBIC,
    TASKS,
    is_external,
    network_of,
    parse_model,
    regularisers_of,
)
from reflash.models.placement import layer_names, place
from reflash.models.settings import FactorySettings
from reflash.study.config import VALIDATION, load
from reflash.study.files import raw
from reflash.study.plan import Plan
from reflash.study.reading import read_yaml
from reflash.training.settings import regulariser_names


def load_plan(values: dict[str, Any], folder: Path | str = "config") -> Plan:
    """Return the plan of a configuration whose models and layers are all there.

    Parameters
    ----------
    values
        Keys of ``config.yaml``, as Snakemake holds them.
    folder
        The folder that holds ``study/`` and ``scale/``.

    Raises
    ------
    ReflashError
        Anything unknown, missing or impossible, naming file and key.
    """
    plan = Plan(load(values, folder))
    name = str(Path(folder) / "study" / f"{plan.resolved.study_name}.yaml")
    check_models(plan, name)
    check_shown(plan, name)
    check_layers(plan, name)
    check_metrics(plan, name)
    check_external(plan, name)
    return plan


def check_tensorboard(plan: Plan) -> None:
    """Check that TensorBoard is installed if curves are to be written for it.

    Raises
    ------
    ReflashError
        It is not.
    """
    if plan.scale.training.tensorboard and find_spec("tensorboard") is None:
        raise ReflashError(
            "training.tensorboard: TensorBoard is not installed; run: "
            "pip install 'reflash[tensorboard]', or remove the key"
        )


def load_plan_file(path: Path | str = "config/config.yaml") -> Plan:
    """Return the checked plan of a config.yaml, with the study and scale files beside it."""
    return load_plan(read_yaml(Path(path)), Path(path).parent)


def check_models(plan: Plan, name: str) -> None:
    """Check every model the study names against the networks of the scale.

    Raises
    ------
    ReflashError
        A model cannot be parsed, its network is not in the scale, or it is labelled but unknown;
        the message begins with ``name``, the study's file.
    """
    networks, scale = plan.scale.networks, plan.resolved.scale_name
    for kind in plan.scale.training.validation.kinds:
        if kind not in KINDS:
            raise ReflashError(
                f"scale {scale}: training.validation.kinds: {kind} is of other tasks, which are "
                f"validated on kinds of their own; name some of {', '.join(KINDS)}"
            )
    try:
        models = plan.models
        if not models:
            raise ReflashError(
                "models: the authors released none of them (weights: released); use study=main"
            )
        labels = [parse_model(label).id for label in plan.study.labels if label != BICUBIC]
    except ReflashError as error:
        raise ReflashError(f"{name}: {error}") from error
    externals = plan.study.external
    for model in models:
        network = parse_model(model).network
        if is_external(model):
            known = [f"external/{one}" for one in externals]
            if model not in known:
                hint = f"use one of {', '.join(known)}" if known else "add it"
                raise ReflashError(f"{name}: model {model!r}: not under the key external; {hint}")
            continue
        if network not in networks:
            near = difflib.get_close_matches(network, networks, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(networks)}"
            hint += "" if near else ", or name yours (docs/external.md)"
            raise ReflashError(
                f"{name}: model {model!r}: scale {scale} has no network {network!r}; {hint}"
            )
        try:
            place(networks[network], parse_model(model).dropout)
            if parse_model(model).setting in TASKS and not hasattr(networks[network], "features"):
                raise ReflashError("other tasks take srresnet and rrdb; leave it out")
            check_regularisers(plan, model)
        except ReflashError as error:
            raise ReflashError(f"{name}: model {model!r}: {error}") from error
    placed = plan.artefacts("figures").get("dropout_placements")
    if placed and placed.network not in networks:
        raise ReflashError(
            f"{name}: figures.dropout_placements.network: scale {scale} has no network "
            f"{placed.network!r}; use one of {', '.join(networks)}, or set the figure to null"
        )
    for label in labels:
        if label not in models and not plan.released:
            raise ReflashError(f"{name}: labels: {label!r} is not a model of the study; remove it")


def check_shown(plan: Plan, name: str) -> None:
    """Check that a table or figure shows a model where it names some, or compares pairs.

    Raises
    ------
    ReflashError
        It shows none; the message begins with ``name``, the study's file.
    """
    for kind in ("tables", "figures"):
        declared = getattr(plan.study, kind)
        for artefact in type(declared).model_fields:
            settings = getattr(declared, artefact)
            shown = settings is None or artefact in plan.artefacts(kind)
            if shown or plan.released or not (settings.models or settings.of_pairs):
                continue
            what = {True: " of other tasks", False: " of super-resolution", None: ""}
            trained = "" if settings.shows_external else " that are trained here"
            pairs = ", and one of them beside its baseline" if settings.of_pairs else ""
            raise ReflashError(
                f"{name}: {kind}.{artefact} shows none of its models; name models"
                f"{what[settings.of_tasks]}{trained}{pairs}, or set it to null"
            )


def check_regularisers(plan: Plan, model: str) -> None:
    """Check that a model's regularisers exist and take their strengths.

    Raises
    ------
    ReflashError
        The name is neither ours nor the scale's, or the run cannot have the regulariser.
    """
    known = sorted({*regulariser_names(), *plan.scale.regularisers})
    for one in regularisers_of(model):
        if one.name not in known:
            raise ReflashError(
                f"regulariser {one.name!r}: not known; use one of {', '.join(known)}, or add it "
                f"under regularisers in config/scale/{plan.resolved.scale_name}.yaml"
            )
    if regularisers_of(model):
        from reflash.training.regulariser import open_regularisers  # imports torch

        open_regularisers(plan.run_settings(f"{model}/seed{plan.scale.seeds[0]}"))


def check_layers(plan: Plan, name: str) -> None:
    """Check that the layers to analyse exist in every network that is analysed.

    Raises
    ------
    ReflashError
        One does not; the message begins with ``name``, the study's file.
    """
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
                for network in dict.fromkeys(map(network_of, models)):
                    # What layers a network of others has is seen when it is opened.
                    settings_of = plan.scale.networks.get(network)
                    if settings_of is None or isinstance(settings_of, FactorySettings):
                        continue
                    # "body" is the last block, whatever its number.
                    body = ("body",) if key == "analysis.layers" else ()
                    known = (*layer_names(settings_of), *body)
                    for layer in layers:
                        if layer not in known:
                            raise ReflashError(
                                f"{name}: {key}: {network} at scale {plan.resolved.scale_name} "
                                f"has no layer {layer!r}; it has {', '.join(known)}"
                            )
    clusters, claims = study.figures.degradation_clusters, study.tables.claims
    shown = {"figures.degradation_clusters": clusters.layer} if clusters else {}
    if claims and {"points", "chi"} & set(plan.claim_needs):
        shown["tables.claims"] = claims.layer
    if regularisers := plan.artefacts("tables").get("regularisers"):
        shown["tables.regularisers"] = regularisers.layer
    for artefact, layer in shown.items():
        if layer not in analysis.layers:
            raise ReflashError(
                f"{name}: {artefact}.layer: {layer!r} is not among analysis.layers of "
                f"scale {plan.resolved.scale_name}; use one of {', '.join(analysis.layers)}"
            )


def check_metrics(plan: Plan, name: str) -> None:
    """Check that images are evaluated in every metric that a table or figure shows.

    Raises
    ------
    ReflashError
        One is missing; the message begins with ``name``, the study's file.
    """
    measured = plan.scale.evaluation.metrics
    for kind in ("tables", "figures"):
        for artefact, settings in plan.artefacts(kind).items():
            if "evaluations" not in (*settings.inputs, *getattr(settings, "tested_on", ())):
                continue
            metric = getattr(settings, "metric", None)
            for needed in (metric,) if metric else settings.metrics:
                if needed not in measured:
                    raise ReflashError(
                        f"{name}: {kind}.{artefact} shows {needed}, which is not among "
                        f"evaluation.metrics of scale {plan.resolved.scale_name}; add it there, or "
                        f"set {artefact} to null"
                    )


def check_external(plan: Plan, name: str) -> None:
    """Check that the files of networks from elsewhere, and of the user's own, are there.

    Raises
    ------
    ReflashError
        One is missing; the message begins with ``name``, the study's file.
    """
    shown = {run: plan.external(run) for run in plan.all_runs}
    for run, external in shown.items():
        if external is None:
            continue
        key = f"{name}: external.{run.split('/')[1]}"
        fetched = external.weights is None or plan.public_weights(run) is not None
        if not fetched and not Path(str(external.weights)).is_file():
            raise ReflashError(f"{key}.weights: {external.weights}: no such file; correct its path")
        _check_factory(external.factory, f"{key}.factory")
    for network in dict.fromkeys(network_of(run) for run in plan.trained_runs):
        settings = plan.scale.networks[network]
        if isinstance(settings, FactorySettings):
            scale = plan.resolved.scale_name
            _check_factory(settings.factory, f"scale {scale}: networks.{network}.factory")


def _check_factory(factory: str | None, key: str) -> None:
    if factory is None:
        return
    from reflash.models.factory import factory_code  # imports torch

    try:
        factory_code(factory)
    except ReflashError as error:
        raise ReflashError(f"{key}: {error}") from error


def check_images(plan: Plan) -> None:
    """Check, before any work, that images still to be made or fetched can be had.

    What is made of a dataset already needs it no more.

    Raises
    ------
    ReflashError
        A folder of images or the mirror is missing; or, without a mirror, a set is never
        downloaded, or its terms are not accepted.
    """
    files, mirror = plan.files, plan.config.mirror or os.environ.get("REFLASH_MIRROR")
    weights = plan.scale.evaluation.weights
    users: dict[str, list[str]] = {}  # what is still to be made, and the datasets it takes
    for name in (*plan.test_sets, *([] if plan.released else [VALIDATION])):
        if not Path(files.hr(name)).is_file():
            users[name] = plan.dataset_of(name)
    if not all(Path(files.weights(run, weights)).is_file() for run in plan.trained_runs):
        users["training"] = plan.training_datasets
    if not Path(files.real).is_file():
        users["real"] = plan.real_dataset
    if plan.seal_datasets:
        users["Set14_SE"] = plan.seal_datasets
    for name in users:
        folder = None if name == "Set14_SE" else plan.own_images(name)[0]
        if folder is not None and not folder.is_dir():
            what = "training images" if name == "training" else f"images of {name}"
            raise ReflashError(f"{folder}: no such folder ({what}); correct its path")
    missing = [
        dataset
        for datasets in users.values()
        for dataset in datasets
        if not Path(raw(dataset)).is_file()
    ]
    if missing and mirror:
        if "://" in mirror:
            address_parts(mirror)
        elif not Path(mirror).exists():
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
    if closed and not (plan.config.accept_terms or os.environ.get("REFLASH_ACCEPT_TERMS")):
        raise ReflashError(
            f"{', '.join(closed)}: read their terms (reflash data list) and accept them, "
            "--config accept_terms=true, or give a folder that holds them, mirror=FOLDER"
        )


def check_released(plan: Plan) -> None:
    """Check that the authors' weights were imported, and are what their record says.

    Raises
    ------
    ReflashError
        A file is missing or was changed; the message names it and what to do.
    """
    for run in plan.released_runs:
        path = Path(plan.files.weights(run, plan.scale.evaluation.weights))
        remedy = f"reflash weights import FILE {run.rpartition('/')[0]} (docs/released.md)"
        if not path.is_file():
            raise ReflashError(f"{path}: missing, but weights are `released`; run: {remedy}")
        if not is_kept(path):
            raise ReflashError(f"{path}: is not what was imported, by its record; run: {remedy}")


def check_published(plan: Plan) -> None:
    """Check that the weights and logs of every run are here.

    Raises
    ------
    ReflashError
        A file is missing; the message names it and how to restore it.
    """
    for run in plan.trained_runs:
        weights = plan.files.weights(run, plan.scale.evaluation.weights)
        for file in (weights, plan.files.training_log(run)):
            if not Path(file).is_file():
                raise ReflashError(
                    f"{file}: missing, but weights are `published`; restore them with "
                    f"make restore SCALE={plan.resolved.scale_name}"
                )
