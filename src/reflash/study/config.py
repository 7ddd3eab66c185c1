"""The configuration: which study at which scale, read from YAML and checked before any work.

``load`` resolves ``config/config.yaml`` (or a mapping, as Snakemake holds it) with the study and
scale files it names. Each stage's settings model lives beside its code; this module composes them
and turns every mistake into one line that names file, key and remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, Field, model_validator

from reflash.core.errors import ReflashError
from reflash.core.settings import SCALE, Settings
from reflash.datasets.settings import TestSetSettings, TrainingImagesSettings
from reflash.degradations.settings import BenchmarkSettings, SecondOrderSettings
from reflash.evaluation.settings import EvaluationSettings
from reflash.interpretation.settings import AnalysisSettings
from reflash.models.names import EXTERNAL
from reflash.models.settings import (
    ExternalSettings,
    NetworkSettings,
    RRDBSettings,
    SRResNetSettings,
)
from reflash.study.artefacts import Figures, FigureStyle, Place, Tables
from reflash.study.context import Evidence, listing
from reflash.study.files import TAKEN
from reflash.study.reading import TAGS, read_yaml, validate
from reflash.training.settings import (
    OwnRegulariser,
    PairSettings,
    TrainingSettings,
    regulariser_names,
)

VALIDATION = "validation"
"""Name of the image set behind the validation curve, prepared like a test set."""


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", name):
        raise ValueError(
            f"{name!r} is also the name of a folder; use letters, digits, dots, dashes, underscores"
        )
    return name


def _each_once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"{list(seeds)}; give each seed once, and none below 0")
    return seeds


Seeds = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_each_once)]
FolderName = Annotated[str, AfterValidator(_folder_name)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]


def _own_name(name: str) -> str:
    if name in regulariser_names():
        raise ValueError(f"{name!r} is a regulariser of the project; take another name")
    if name in (EXTERNAL, "none", *get_args(Place)) or re.fullmatch(r"b\d+", name):
        raise ValueError(f"{name!r} means something else in a model's name; take another")
    return name


OwnName = Annotated[Identifier, AfterValidator(_own_name)]


class Scale(Settings):
    """How big: networks, data, training and evaluation (config/scale/NAME.yaml)."""

    description: str
    """One sentence that is printed on every artefact made at this scale."""
    evidence: Evidence
    """What results say about the paper: `none`; `fraction`, the paper's networks at a fraction of
    its training (the share is computed); or `paper`, its protocol (less training: `fraction`)."""
    networks: dict[FolderName, NetworkSettings]
    """The networks a model may name, with their sizes."""
    study: FolderName = "paper"
    """The study that is made where none is named, a file of config/study."""
    regularisers: Mapping[OwnName, OwnRegulariser] = Field(default_factory=dict)
    """Regularisers of your own by the name that models call them, NAME-STRENGTH."""
    seeds: Seeds = (0,)
    """Seeds; every model is trained once per seed."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of one training job."""
    training_images: TrainingImagesSettings
    """Where the HR training images come from."""
    degradation: SecondOrderSettings = SecondOrderSettings()
    """The second-order degradation of the multi setting."""
    pairs: PairSettings = PairSettings()
    """How training pairs are made."""
    training: TrainingSettings = TrainingSettings()
    """The optimisation."""
    runs_per_job: dict[FolderName, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Runs of a network that a job trains at once, where the machine has one GPU or by the Slurm
    profile; of networks not named, one."""
    validation_set: TestSetSettings
    """Images of the validation curve."""
    test_sets: Annotated[dict[FolderName, TestSetSettings], Field(min_length=1)]
    """The test sets by name; the first is the one figures show."""
    benchmark: BenchmarkSettings = BenchmarkSettings()
    """The eight test degradations."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """Which weights are evaluated and how."""
    analysis: AnalysisSettings = AnalysisSettings()
    """Interpretation of the trained networks."""


PAPER_TRAINING = 500_000 * 16 * 128**2
"""HR pixels that the released protocol trains one network on: iterations x batch x patch area."""

PAPER_NETWORKS: dict[str, tuple[str, NetworkSettings]] = {
    "srresnet": ("SRResNet", SRResNetSettings(features=64, blocks=16)),
    "rrdb": ("RRDB", RRDBSettings(features=64, blocks=23, growth=32)),
}
"""The paper's networks by architecture, with their names."""


RELEASED = (
    "srresnet/multi/none",
    "srresnet/multi/last_conv-channel-p0.7",
    "rrdb/multi/none",
    "rrdb/multi/last_conv-channel-p0.5",
)
"""Models whose weights the authors released (their dropout probabilities are inferred)."""


def smaller_networks(scale: Scale, networks: Iterable[str]) -> list[str]:
    """Return which of some networks are the paper's in kind, but narrower or shallower here."""

    def smaller(name: str) -> bool:
        settings = scale.networks.get(name)
        if settings is None or settings.name not in PAPER_NETWORKS:
            return False
        _, paper = PAPER_NETWORKS[settings.name]
        sizes = ("features", "blocks", "growth")
        return any(getattr(settings, size, 0) < getattr(paper, size, 0) for size in sizes)

    return [name for name in dict.fromkeys(networks) if smaller(name)]


def evidence_of(scale: Scale, networks: Iterable[str]) -> tuple[Evidence, str]:
    """Return what results of some networks of a scale say about the paper.

    Parameters
    ----------
    scale
        What it declares counts, but less than the paper's training, or a network narrower or
        shallower than the paper's, is never more than ``fraction``.
    networks
        Names of the scale's networks that are shown; none: networks are not spoken of.

    Returns
    -------
    evidence : "none", "fraction" or "paper"
    sentence : str
        For ``fraction`` what was trained and how long, for example "the paper's SRResNet, 4 % of
        its training in iterations x batch x patch area"; else empty.
    """
    share = scale.training.iterations * scale.training.batch * scale.pairs.patch**2 / PAPER_TRAINING
    settings = {name: scale.networks[name] for name in networks if name in scale.networks}
    kinds = {name: one.name for name, one in settings.items() if one.name in PAPER_NETWORKS}
    names = {name: PAPER_NETWORKS[kind][0] for name, kind in kinds.items()}
    smaller = list(dict.fromkeys(names[name] for name in smaller_networks(scale, names)))
    if scale.evidence == "none" or (scale.evidence == "paper" and share >= 1 and not smaller):
        return scale.evidence, ""
    whole = [name for name in dict.fromkeys(names.values()) if name not in smaller]
    per_cent = f"{100 * share:.2g}" if share < 0.1 else f"{int(100 * share)}"
    owner = "the paper's" if not whole else "its" if len(whole) == 1 else "their"
    words = [f"the paper's {listing(whole)}"] if whole else []
    words.append(f"{per_cent} % of {owner} training in iterations x batch x patch area")
    ends = [f"{listing(smaller)} smaller than the paper's"] if smaller else []
    return "fraction", "; ".join([", ".join(words), *ends])


class Study(Settings):
    """What is compared and shown (config/study/NAME.yaml)."""

    title: str
    """Title of the report."""
    models: Annotated[tuple[str, ...], Field(min_length=1)]
    """Models, as network/setting/dropout; braces expand: srresnet/multi/{none,b8-channel-p0.2}.
    External networks are external/NAME."""
    external: Mapping[FolderName, ExternalSettings] = Field(default_factory=dict)
    """Networks with weights from elsewhere by name; the model NAME is called external/NAME."""
    seeds: Seeds | None = None
    """Seeds of this study; null: those of the scale. Overrides of the scale go before both."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Names shown for models; a model without one is described by its settings."""
    tables: Tables = Tables()
    """Tables to make."""
    figures: Figures = Figures()
    """Figures to draw."""


class Config(Settings):
    """The choices of one invocation (config/config.yaml, or --config KEY=VALUE of Snakemake)."""

    study: FolderName | None = None
    """Name of a file in config/study; null: the one that the scale names."""
    scale: FolderName = "demo"
    """Name of a file in config/scale."""
    weights: Literal["trained", "published", "released"] = "trained"
    """Where weights come from: trained by this pipeline, restored (`make restore`), or the
    authors' files (`reflash weights import`): then models they never released are left out."""
    mirror: str | None = None
    """Folder or URL to take named datasets from; null: their own sources."""
    accept_terms: bool = False
    """Whether the terms of datasets without redistribution rights are accepted."""
    overrides: Mapping[str, Any] = Field(default_factory=dict)
    """Keys of the scale file to replace, e.g. {training: {iterations: 100}}."""
    style: FigureStyle = FigureStyle()
    """How figures look."""
    protect_hours: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Hours of finished training that a change may not replace unasked: planning stops instead."""
    replace: bool = False
    """Whether finished runs may be trained again although their hours exceed protect_hours."""


class Resolved(BaseModel):
    """A configuration with the study and scale it names."""

    config: Config
    study: Study
    scale: Scale
    study_name: str
    scale_name: str

    @model_validator(mode="after")
    def _consistent(self) -> Resolved:
        scale = self.scale
        where = f"config/scale/{self.scale_name}.yaml"
        factors: dict[str, int] = {
            f"networks.{name}": network.scale for name, network in scale.networks.items()
        }
        factors |= {"degradation": scale.degradation.scale, "benchmark": scale.benchmark.scale}
        for name, factor in factors.items():
            if factor != SCALE:
                raise ReflashError(
                    f"{where}: {name}.scale: {factor}, but training and tests are made for "
                    f"{SCALE}; leave it out"
                )
        names = {"scale": self.scale_name}
        if self.study_name != scale.study:
            names["study"] = self.study_name
        for kind, name in names.items():
            if name in TAKEN[kind]:
                raise ReflashError(
                    f"config/{kind}/{name}.yaml: {name} is the name of another folder where its "
                    "results would lie; rename the file"
                )
        if EXTERNAL in scale.networks:
            raise ReflashError(
                f"{where}: networks.{EXTERNAL}: the name of networks from elsewhere; take another"
            )
        if VALIDATION in scale.test_sets:
            raise ReflashError(
                f"{where}: test_sets.{VALIDATION}: the name of the validation images; take another"
            )
        for name in ("set", "representation_set"):
            chosen = getattr(scale.analysis, name)
            if chosen and chosen not in scale.test_sets:
                raise ReflashError(
                    f"{where}: analysis.{name}: {chosen!r} is no test set of this scale; use one "
                    f"of {', '.join(scale.test_sets)}"
                )
        for name in Figures.model_fields:
            chosen = getattr(getattr(self.study.figures, name), "set", None)
            if chosen and chosen not in scale.test_sets:
                raise ReflashError(
                    f"config/study/{self.study_name}.yaml: figures.{name}: test set {chosen!r} "
                    f"is not one of scale {self.scale_name}; use one of "
                    f"{', '.join(scale.test_sets)}"
                )
        return self


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes`` laid over it, mapping by mapping.

    A mapping whose ``source``, ``kind`` or ``name`` (the key that chooses its form) changes
    replaces the old one whole, because the other keys belong to the old form. A value of
    ``null`` for an entry removes it.
    """
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if value is None and isinstance(old, Mapping):
            del merged[key]
        elif isinstance(value, Mapping) and isinstance(old, Mapping):
            other_form = any(tag in value and tag in old and value[tag] != old[tag] for tag in TAGS)
            merged[key] = dict(value) if other_form else merge(old, value)
        else:
            merged[key] = value
    return merged


def _with_nulls(value: Any) -> Any:
    """Turn the text ``null`` into None: Snakemake's --config hands it over as text."""
    if isinstance(value, Mapping):
        return {key: _with_nulls(item) for key, item in value.items()}
    return None if value == "null" else value


def read_scale(folder: Path, name: str) -> dict[str, Any]:
    """Read config/scale/NAME.yaml, laid over the scale it ``extends``."""
    seen: list[str] = []
    layers: list[dict[str, Any]] = []
    next_name: str | None = name
    while next_name is not None:
        if next_name in seen:
            raise ReflashError(f"{folder / name}.yaml: extends itself through {' -> '.join(seen)}")
        seen.append(next_name)
        layer = read_yaml(folder / f"{next_name}.yaml")
        parent = layer.pop("extends", None)
        if parent is not None and not isinstance(parent, str):
            raise ReflashError(f"{folder / next_name}.yaml: extends: give the name of one scale")
        layers.append(layer)
        next_name = parent
    resolved: dict[str, Any] = {}
    for layer in reversed(layers):
        resolved = merge(resolved, layer)
    return resolved


def load(values: Mapping[str, Any], folder: Path | str = "config") -> Resolved:
    """Resolve the choices ``values`` (the content of config.yaml) with the files they name.

    Parameters
    ----------
    values
        Keys of :class:`Config`.
    folder
        The folder that holds ``study/`` and ``scale/``.

    Raises
    ------
    ReflashError
        Anything unknown, missing, of a wrong type or out of range, naming file and key.
    """
    folder = Path(folder)
    config = validate(Config, values, str(folder / "config.yaml"))
    scale_file = folder / "scale" / f"{config.scale}.yaml"
    scale_values = read_scale(folder / "scale", config.scale)
    if config.weights == "released":  # the authors' networks, each trained once
        scale_values |= {"networks": {name: one for name, (_, one) in PAPER_NETWORKS.items()}}
        scale_values |= {"seeds": [0]}
        if "seeds" in config.overrides:
            raise ReflashError(
                f"{folder / 'config.yaml'}: overrides.seeds: the authors' networks were trained "
                "once each (weights: released); leave it out"
            )
    name = str(scale_file)
    if config.overrides:
        scale_values = merge(scale_values, _with_nulls(config.overrides))
        name += " with overrides"
    scale = validate(Scale, scale_values, name)
    study_name = config.study or scale.study
    study_file = folder / "study" / f"{study_name}.yaml"
    study = validate(Study, read_yaml(study_file), str(study_file))
    if study.seeds and config.weights != "released" and "seeds" not in config.overrides:
        scale = scale.model_copy(update={"seeds": study.seeds})
    return Resolved(
        config=config,
        study=study,
        scale=scale,
        study_name=study_name,
        scale_name=config.scale,
    )
