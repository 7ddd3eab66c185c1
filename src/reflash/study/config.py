"""The configuration: which study at which scale, read from YAML and checked before any work.

``load`` resolves ``config/config.yaml`` (or a mapping, as Snakemake holds it) with the study and
scale files it names. Each stage's settings model lives beside its code; this module composes them
and turns every mistake into one line that names file, key and remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from reflash.core.errors import ReflashError
from reflash.core.settings import Settings
from reflash.datasets.settings import TestSetSettings, TrainingImagesSettings
from reflash.degradations.settings import BenchmarkSettings, SecondOrderSettings
from reflash.evaluation.settings import EvaluationSettings
from reflash.evaluation.upscalers import SCALE
from reflash.interpretation.settings import AnalysisSettings
from reflash.models.settings import NetworkSettings, RRDBSettings, SRResNetSettings
from reflash.study.artefacts import Figures, FigureStyle, Tables
from reflash.study.context import Evidence, listing
from reflash.training.settings import PairSettings, TrainingSettings

VALIDATION = "validation"
"""Name of the image set behind the validation curve, prepared like a test set."""


class Scale(Settings):
    """How big: networks, data, training and evaluation (config/scale/NAME.yaml)."""

    description: str
    """One sentence that is printed on every artefact made at this scale."""
    evidence: Evidence
    """What results say about the paper: `none`; `fraction`, the paper's networks at a fraction of
    its training (the share is computed); or `paper`, its protocol (less training: `fraction`)."""
    networks: dict[str, NetworkSettings]
    """The networks a model may name, with their sizes."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
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
    validation_set: TestSetSettings
    """Images of the validation curve."""
    test_sets: Annotated[dict[str, TestSetSettings], Field(min_length=1)]
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
    sizes: dict[str, bool] = {}
    for network in dict.fromkeys(networks):
        settings = scale.networks.get(network)
        if settings is None or settings.name not in PAPER_NETWORKS:
            continue
        name, paper = PAPER_NETWORKS[settings.name]
        sizes[name] = sizes.get(name, True) and all(
            getattr(settings, size, 0) >= getattr(paper, size, 0)
            for size in ("features", "blocks", "growth")
        )
    smaller = [name for name, whole in sizes.items() if not whole]
    if scale.evidence == "none" or (scale.evidence == "paper" and share >= 1 and not smaller):
        return scale.evidence, ""
    whole = [name for name in sizes if name not in smaller]
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
    """Models, as network/setting/dropout; braces expand: srresnet/multi/{none,b8-channel-p0.2}."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Names shown for models; a model without one is described by its settings."""
    tables: Tables = Tables()
    """Tables to make."""
    figures: Figures = Figures()
    """Figures to draw."""


class Config(Settings):
    """The choices of one invocation (config/config.yaml, or --config KEY=VALUE of Snakemake)."""

    study: str = "paper"
    """Name of a file in config/study."""
    scale: str = "demo"
    """Name of a file in config/scale."""
    weights: Literal["trained", "published"] = "trained"
    """Where weights come from: trained by this pipeline, or restored (`make restore`)."""
    mirror: str | None = None
    """Folder or URL to take named datasets from; null: their own sources."""
    accept_terms: bool = False
    """Whether the terms of datasets without redistribution rights are accepted."""
    overrides: Mapping[str, Any] = Field(default_factory=dict)
    """Keys of the scale file to replace, e.g. {training: {iterations: 100}}."""
    style: FigureStyle = FigureStyle()
    """How figures look."""


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


class _UniqueKeys(yaml.SafeLoader):
    """A YAML loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """Parse ``text`` as one YAML mapping; errors name ``name`` and the line."""
    try:
        value = yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ReflashError(f"{name}{where}: {problem}; mend the YAML") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ReflashError(f"{name}: holds {type(value).__name__}, not keys and values")
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping from ``path``."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        others = sorted(p.stem for p in path.parent.glob("*.yaml"))
        have = f"; there are: {', '.join(others)}" if others else ""
        raise ReflashError(f"{path}: no such file{have}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ReflashError(f"{path}: cannot be read as text ({error}); mend the file") from error
    return parse_yaml(text, str(path))


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
            other_form = any(
                tag in value and tag in old and value[tag] != old[tag]
                for tag in ("source", "kind", "name")
            )
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


def validate(model: Any, values: Mapping[str, Any], name: str) -> Any:
    """Return ``values`` as ``model``; the first mistake becomes one line naming ``name`` and key.

    ``model`` is a settings model or a union of several, told apart by one of their keys.
    """
    adapter = TypeAdapter(model)
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        raise ReflashError(_explain(adapter.json_schema(), error, name)) from error


def _explain(schema: dict[str, Any], error: ValidationError, name: str) -> str:
    first, *rest = error.errors()
    key = ".".join(str(part) for part in first["loc"]) or "(whole file)"
    if first["type"] == "extra_forbidden":
        unknown = str(first["loc"][-1])
        known = _known_keys(schema, first["loc"][:-1])
        near = difflib.get_close_matches(unknown, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        line = f"{name}: {key}: unknown key; {hint}"
    elif first["type"] == "missing":
        line = f"{name}: {key}: missing; add it (config/README.md lists every key)"
    else:
        message = first["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        shown = "" if isinstance(first["input"], dict | BaseModel) else f", not {first['input']!r}"
        line = f"{name}: {key}: {message}{shown if first['type'] != 'value_error' else ''}"
        if ";" not in line:
            line += "; see config/README.md"
    return line + (f" (and {len(rest)} more)" if rest else "")


def _known_keys(schema: dict[str, Any], path: tuple[int | str, ...]) -> list[str]:
    """Names of the keys allowed at ``path`` (empty where it cannot be told)."""
    node: dict[str, Any] = schema
    for part in path:
        options = [_deref(schema, option) for option in _alternatives(schema, node)]
        tagged = [o for o in options if _tag_matches(o, part)]
        if tagged:
            node = tagged[0]
            continue
        children = [
            o.get("properties", {}).get(str(part)) or o.get("additionalProperties") for o in options
        ]
        found = [child for child in children if isinstance(child, dict)]
        if not found:
            return []
        node = found[0]
    names: list[str] = []
    for option in _alternatives(schema, node):
        names += _deref(schema, option).get("properties", {})
    return names


def _deref(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return node


def _alternatives(schema: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    node = _deref(schema, node)
    options = node.get("anyOf") or node.get("oneOf")
    return [_deref(schema, o) for o in options] if options else [node]


def _tag_matches(node: dict[str, Any], tag: int | str) -> bool:
    """Whether ``node`` is the alternative a discriminator value ``tag`` chooses."""
    return any(
        tag == field.get("const")
        for name, field in node.get("properties", {}).items()
        if name in ("source", "kind", "name")
    )


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
    from reflash.study.plan import check_models

    folder = Path(folder)
    config = validate(Config, values, str(folder / "config.yaml"))
    scale_file = folder / "scale" / f"{config.scale}.yaml"
    study_file = folder / "study" / f"{config.study}.yaml"
    scale_values = read_scale(folder / "scale", config.scale)
    name = str(scale_file)
    if config.overrides:
        scale_values = merge(scale_values, _with_nulls(config.overrides))
        name += " with overrides"
    resolved = Resolved(
        config=config,
        study=validate(Study, read_yaml(study_file), str(study_file)),
        scale=validate(Scale, scale_values, name),
        study_name=config.study,
        scale_name=config.scale,
    )
    check_models(resolved, str(study_file))
    return resolved


def load_file(path: Path | str = "config/config.yaml") -> Resolved:
    """Resolve a config.yaml with the study and scale files beside it."""
    return load(read_yaml(Path(path)), Path(path).parent)


SCHEMAS: dict[str, type[Settings]] = {"config": Config, "study": Study, "scale": Scale}


def json_schema() -> dict[str, Any]:
    """JSON schema of the three kinds of file under config/, for editors and checks."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "reflash configuration",
        **{name: model.model_json_schema() for name, model in SCHEMAS.items()},
    }


INTRODUCTION = """# Configuration

This page is generated (`make docs`); a test keeps it in step with the code.

- `config.yaml` chooses a study, a scale and how figures look. Each of its keys can be given on the
  command line: `snakemake --cores all --config scale=hour`.
- `study/NAME.yaml` says what is compared: models, tables, figures. A study of your own needs a
  title and the names of its models; every table and figure is made for it by default.
- `scale/NAME.yaml` says how big: networks, images, training, test sets. `extends: OTHER` takes
  every key that is not given from another scale; `null` removes an entry.
- `overrides` replaces keys of the scale for one invocation:
  `--config 'overrides={training: {iterations: 100}}'`.

A model is named `network/setting/dropout`, where dropout is `none` or places joined by `+`, each
`PLACE-DIMENSION-pP`: PLACE is `b1` … `b16`, `conv_hr`, `last_conv`, `quarter`, `half` or `all`;
DIMENSION is `channel` or `element`; P lies in (0, 1). Example:
`srresnet/multi/last_conv-channel-p0.7`.
`config/schema.json` holds the same as a JSON schema for editors.
"""


def readme() -> str:
    """Return config/README.md: an introduction and every key of the three kinds of file."""
    parts = [INTRODUCTION]
    for name, model in SCHEMAS.items():
        title = "config.yaml" if name == "config" else f"{name}/*.yaml"
        rows = "\n".join(_rows(model.model_json_schema()))
        parts.append(
            f"## {title}\n\n{(model.__doc__ or '').strip()}\n\n"
            f"| key | type | default | meaning |\n|---|---|---|---|\n{rows}"
        )
    return "\n".join(f"{part.rstrip()}\n" for part in parts)


def _rows(
    schema: dict[str, Any], node: dict[str, Any] | None = None, prefix: str = "", form: str = ""
) -> list[str]:
    rows: list[str] = []
    node = _deref(schema, node if node is not None else schema)
    required = node.get("required", [])
    for name, field in node.get("properties", {}).items():
        if "const" in field:
            continue
        key = f"{prefix}{name}"
        options = [o for o in _alternatives(schema, field) if o.get("type") != "null"]
        nested = [o for o in options if "properties" in o]
        mapping = field.get("additionalProperties")
        default = "required" if name in required else f"`{_show(field.get('default', {}))}`"
        text = str(field.get("description", "")).replace("\n", " ").replace("|", "\\|")
        if isinstance(mapping, dict):
            rows.append(f"| `{key}`{form} | mapping | {default} | {text} |")
            nested = [o for o in _alternatives(schema, mapping) if "properties" in o]
            key += ".NAME"
        elif nested:
            rows.append(
                f"| `{key}`{form} | {_forms(nested)} | {'' if nested else default} | {text} |"
            )
        else:
            rows.append(f"| `{key}`{form} | {_type(schema, options)} | {default} | {text} |")
        for option in nested:
            tag = _tag(option)
            rows += _rows(schema, option, f"{key}.", f" ({tag})" if tag else "")
    return rows


def _forms(options: list[dict[str, Any]]) -> str:
    tags = [_tag(option) for option in options]
    return "one of " + ", ".join(t for t in tags if t) if len(options) > 1 else "keys below"


def _tag(option: dict[str, Any]) -> str:
    for name in ("source", "kind", "name"):
        const = option.get("properties", {}).get(name, {}).get("const")
        if const:
            return f"{name}: {const}"
    return ""


def _type(schema: dict[str, Any], options: list[dict[str, Any]]) -> str:
    names = []
    for option in options:
        if "enum" in option:
            names.append(" \\| ".join(f"`{v}`" for v in option["enum"]))
        elif option.get("type") == "array":
            items = option.get("items") or {}
            inner = _type(schema, _alternatives(schema, items)) if items else ""
            if not inner and option.get("prefixItems"):
                inner = _type(schema, [_deref(schema, option["prefixItems"][0])])
            names.append(f"list of {inner}")
        else:
            names.append(str(option.get("type", "any")))
    return " \\| ".join(dict.fromkeys(names))


def _show(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("...").strip().replace("|", "\\|")
