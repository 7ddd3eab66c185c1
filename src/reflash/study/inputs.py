"""Which files tables, figures and claims are made from: declared once, used by rule and reader.

An artefact's settings (:mod:`reflash.study.artefacts`) name what it reads, such as
``evaluations``. ``files_read`` turns the names into files, which are the inputs of its rule;
``read_inputs`` hands the same files to the command that makes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from reflash.core.errors import ReflashError
from reflash.models.names import BICUBIC
from reflash.models.settings import NetworkSettings
from reflash.study.config import VALIDATION
from reflash.study.files import ANALYSES, COST
from reflash.study.plan import Plan

Kind = Literal["tables", "figures", "claims"]

FOLDERS = ("hr", "lr", "real")
"""Inputs that are one folder of images; its manifest stands for it."""

PER_MODEL = ("maps", "features", "sr")
"""Inputs that are a folder for each model, of the first seed."""


@dataclass(frozen=True)
class Inputs:
    """Files that artefacts are gathered from, by the names that their settings ask for.

    Of every analysis there is one CSV per run, whose column ``run`` says which (``model`` in
    ``sensitivity``); folders are given by model and are those of the first seed.
    """

    evaluations: Sequence[Path] = ()
    """CSVs of ``reflash evaluate``."""
    logs: Sequence[Path] = ()
    """Training logs."""
    hr: Path | None = None
    """Folder of HR images."""
    lr: Path | None = None
    """Folder of LR images."""
    sr: Mapping[str, Path] = field(default_factory=dict)
    """Folder of SR images for each model (and for bicubic)."""
    network: NetworkSettings | None = None
    """The network that is described."""
    saliency: Sequence[Path] = ()
    """``saliency.csv`` of ``reflash saliency``."""
    concentration: Sequence[Path] = ()
    """``concentration.csv`` of ``reflash saliency``."""
    maps: Mapping[str, Path] = field(default_factory=dict)
    """Folder of ``IMAGE.npz`` (``reflash saliency --arrays``) for each model."""
    features: Mapping[str, Path] = field(default_factory=dict)
    """Folder of ``IMAGE.npz`` with feature maps (``reflash saliency --arrays``) for each model."""
    ablation: Sequence[Path] = ()
    """``ablation.csv`` of ``reflash ablate``."""
    masking: Sequence[Path] = ()
    """``masking.csv`` of ``reflash mask``."""
    masking_area: Sequence[Path] = ()
    """``masking_area.csv`` of ``reflash mask``."""
    points: Sequence[Path] = ()
    """``points.csv`` of ``reflash represent``."""
    chi: Sequence[Path] = ()
    """``chi.csv`` of ``reflash represent``."""
    paired: Sequence[Path] = ()
    """``paired.csv`` of ``reflash represent``."""
    sensitivity: Sequence[Path] = ()
    """``sensitivity.csv`` of ``reflash sensitivity``."""
    seal: Sequence[Path] = ()
    """``reflash evaluate`` on the degradations of Set14_SE."""
    cost: Path | None = None
    """``cost.csv``, the benchmark of training iterations with and without dropout."""
    real: Path | None = None
    """Folder of LR photographs without HR counterpart."""
    claims: Path | None = None
    """``claims.json`` of ``reflash claims``."""

    def required(self, needs: Sequence[str], what: str) -> dict[str, Any]:
        """Return the inputs called ``needs``.

        Raises
        ------
        ReflashError
            One is not given; the message begins with ``what``.
        """
        for need in needs:
            if not getattr(self, need):
                raise ReflashError(f"{what}: needs {need}, and the study has none of it")
        return {need: getattr(self, need) for need in needs}


def files_read(plan: Plan, kind: Kind, name: str = "claims") -> dict[str, list[str]]:
    """Return the files that a table, a figure or the claims read, by the names of its needs."""
    return {
        need: _files(plan, kind, name, need)
        for need in _needs(plan, kind, name)
        if need != "network"
    }


def read_inputs(plan: Plan, kind: Kind, name: str = "claims", root: Path | str = ".") -> Inputs:
    """Return the files of ``files_read`` below ``root``, as the maker of the artefact takes them.

    Raises
    ------
    ReflashError
        A file is missing; the message says which, and that the workflow makes it.
    """
    root, values = Path(root), dict[str, Any]()
    for need, files in files_read(plan, kind, name).items():
        paths = [root / file for file in files]
        for path in paths:
            if not path.is_file():
                raise ReflashError(f"{path}: missing; make it with the workflow (snakemake {path})")
        if need in FOLDERS:
            values[need] = paths[0].parent
        elif need in PER_MODEL:
            models = plan.shown_models(*_shown(kind, name), need)
            models = (BICUBIC, *models) if need == "sr" else models
            folders = [p.parent if need == "sr" else p.parent / need for p in paths]
            values[need] = dict(zip(models, folders, strict=True))
        else:
            values[need] = paths[0] if need in ("cost", "claims") else paths
    if kind != "claims" and "network" in _needs(plan, kind, name):
        values["network"] = plan.scale.networks[plan.artefacts(kind)[name].network]
    return Inputs(**values)


def evaluation_files(plan: Plan) -> list[str]:
    """Return the evaluations of all runs and of bicubic on all test sets."""
    runs = (*plan.baselines, *plan.all_runs)
    return [plan.files.evaluation(run, name) for run in runs for name in plan.test_sets]


def needed_files(plan: Plan) -> list[str]:
    """Return every file that the study's artefacts are made from, runs and images included."""
    files = plan.files
    needed = [
        file
        for kind in ("tables", "figures")
        for name in plan.artefacts(kind)
        for read in files_read(plan, kind, name).values()
        for file in read
    ]
    needed += [file for read in files_read(plan, "claims").values() for file in read]
    needed += evaluation_files(plan)
    needed += [files.lr(name, kind) for name in plan.test_sets for kind in plan.kinds]
    needed += [files.hr(name) for name in plan.test_sets]
    needed += [] if plan.released else [files.hr(VALIDATION)]
    for run in plan.trained_runs:
        needed += [files.weights(run, plan.scale.evaluation.weights), files.training_log(run)]
        if plan.config.weights == "trained":
            needed.append(plan.training_source(run))
    return list(dict.fromkeys(needed))


def _shown(kind: Kind, name: str) -> tuple[str, str]:
    """Return the artefact whose models count: the claims are declared by their table."""
    return ("tables", "claims") if kind == "claims" else (kind, name)


def _needs(plan: Plan, kind: Kind, name: str) -> tuple[str, ...]:
    if kind == "claims":
        return plan.claim_needs
    needs: tuple[str, ...] = plan.artefacts(kind)[name].inputs
    return needs


def _files(plan: Plan, kind: Kind, name: str, need: str) -> list[str]:
    files, shown_as = plan.files, _shown(kind, name)
    settings, test_set = plan.artefacts(shown_as[0])[shown_as[1]], plan.shown_set(*shown_as)
    runs = plan.shown_runs(*shown_as, need)
    first = [f"{m}/seed{plan.scale.seeds[0]}" for m in plan.shown_models(*shown_as, need)]
    if need == "evaluations":
        sets = [test_set] if test_set else plan.test_sets
        return [files.evaluation(run, one) for run in (*plan.baselines, *runs) for one in sets]
    if need == "logs":
        return [files.training_log(run) for run in runs]
    if need in ANALYSES:
        shown = (BICUBIC, *runs) if need == "seal" else runs
        return [files.analysis(run, need) for run in shown]
    if need in ("maps", "features"):
        return [files.analysis(run, "saliency") for run in first]
    if need == "sr" and test_set is None:
        return [files.upscaled_real(run) for run in (BICUBIC, *first)]
    assert need in ("sr", "hr", "lr", "real", "cost", "claims"), need
    if need in ("real", "cost", "claims"):
        return [{"real": files.real, "cost": COST, "claims": files.claims}[need]]
    assert test_set is not None
    if need == "sr":
        return [files.upscaled(run, test_set, settings.kind) for run in (BICUBIC, *first)]
    return [files.hr(test_set) if need == "hr" else files.lr(test_set, settings.kind)]
