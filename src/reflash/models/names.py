"""Names of models: network/setting/dropout, e.g. srresnet/multi/last_conv-channel-p0.7.

The third part may name other regularisers, each with its strength, instead of dropout or beside
it: ``weight_decay-0.01``, ``last_conv-channel-p0.5+mixup-0.2`` (`reflash.training.regularisers`).
A network with weights from elsewhere is ``external/NAME``; it is not trained here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from reflash.core.errors import ReflashError
from reflash.models.settings import Dropout, parse_dropout

TASKS = ("denoise", "dejpeg", "deblur")
"""Settings of other tasks than super-resolution, whose networks keep the size of images."""

SETTINGS = ("single", "multi", *TASKS)
"""What a model can be trained for."""

BICUBIC = "bicubic"
"""Name of the baseline that is not trained."""

MOST_MODELS = 10_000
"""How many models one pattern may stand for."""

EXTERNAL = "external"
"""First part of the names of models whose weights come from elsewhere; also their setting."""


_STRENGTH = re.compile(r"([A-Za-z_]\w*)-(\d+\.?\d*|\.\d+)")
"""A regulariser in a name; one of dropout's layers has three parts, or a p before its number."""


class Strength(NamedTuple):
    """A regulariser other than dropout, and how strong it is."""

    name: str
    strength: float

    def __str__(self) -> str:
        return f"{self.name}-{Decimal(repr(self.strength)).normalize():f}"


@dataclass(frozen=True)
class Model:
    """A network trained for a setting with dropout somewhere, another regulariser, or nothing."""

    network: str
    setting: str
    dropout: Dropout
    regularisers: tuple[Strength, ...] = ()

    @property
    def id(self) -> str:
        """Its name, e.g. srresnet/multi/last_conv-channel-p0.7."""
        if self.setting == EXTERNAL:
            return self.network
        return f"{self.network}/{self.setting}/{self.regularisation}"

    @property
    def regularisation(self) -> str:
        """The third part of its name: dropout in the order of the network, then the others."""
        parts = [str(self.dropout)] if self.dropout or not self.regularisers else []
        return "+".join([*parts, *map(str, self.regularisers)])


def expand_braces(pattern: str) -> list[str]:
    """Expand ``{a,b}`` in order as a shell does; nested braces are not supported.

    Raises
    ------
    ReflashError
        The pattern stands for more than ``MOST_MODELS`` names.

    Examples
    --------
    >>> expand_braces("x/{a,b}-p{1,2}")
    ['x/a-p1', 'x/a-p2', 'x/b-p1', 'x/b-p2']
    """
    found = re.search(r"\{([^{}]*)\}", pattern)
    if not found:
        return [pattern]
    head, tail = pattern[: found.start()], pattern[found.end() :]
    options, rests = found.group(1).split(","), expand_braces(tail)
    if len(options) * len(rests) > MOST_MODELS:
        raise ReflashError(f"model {pattern!r}: stands for more than {MOST_MODELS:,} models")
    return [head + option.strip() + rest for option in options for rest in rests]


@cache
def parse_model(name: str) -> Model:
    """Parse ``network/setting/dropout``, or ``external/NAME``, whose network is that name.

    Raises
    ------
    ReflashError
        The name does not have three parts, or its setting or dropout is not known.
    """
    parts = name.split("/")
    if parts[0] == EXTERNAL:
        if len(parts) != 2 or not parts[1]:
            raise ReflashError(f"model {name!r}: give external/NAME, a name of the key external")
        return Model(name, EXTERNAL, parse_dropout("none"))
    if len(parts) != 3 or not all(parts):
        raise ReflashError(
            f"model {name!r}: give network/setting/dropout, e.g. srresnet/multi/none"
        )
    network, setting, regularisation = parts
    if setting not in SETTINGS:
        known = f"{', '.join(SETTINGS[:-1])} or {SETTINGS[-1]}"
        raise ReflashError(f"model {name!r}: setting {setting!r} is not {known}")
    try:
        return Model(network, setting, *_regularisation(regularisation))
    except ReflashError as error:
        raise ReflashError(f"model {name!r}: {error}") from error


def _regularisation(text: str) -> tuple[Dropout, tuple[Strength, ...]]:
    """Divide the third part of a name into dropout and other regularisers, those by name."""
    parts = text.split("+")
    found = [match for part in parts if (match := _STRENGTH.fullmatch(part))]
    names = [match[1] for match in found]
    for name in names:
        if names.count(name) > 1:
            raise ReflashError(f"regulariser {name} is given twice; keep one")
    dropout = [part for part in parts if not _STRENGTH.fullmatch(part)]
    strengths = sorted(Strength(match[1], float(match[2])) for match in found)
    if found and "none" in dropout:
        raise ReflashError(f"{text!r}: none beside a regulariser; leave none out")
    if not dropout:
        return parse_dropout("none"), tuple(strengths)
    for part in dropout:
        if part != "none" and not re.fullmatch(r"[^-]+-[^-]+-p[^-]*", part):
            raise ReflashError(
                f"{part!r} is not understood; write none, PLACE-DIMENSION-pP such as "
                "last_conv-channel-p0.7, or NAME-STRENGTH of a regulariser such as mixup-0.2, "
                "joined by +"
            )
    return parse_dropout("+".join(dropout)), tuple(strengths)


def expand_models(patterns: Iterable[str]) -> tuple[str, ...]:
    """Expand and parse model patterns to canonical model names, each once, in order."""
    names = [parse_model(m).id for pattern in patterns for m in expand_braces(pattern)]
    return tuple(dict.fromkeys(names))


def describe_model(name: str, labels: Mapping[str, str] | None = None) -> str:
    """Return a label for figures and tables: the study's, or one made from the settings."""
    if labels and name in labels:
        return labels[name]
    if name == BICUBIC:
        return "Bicubic"
    if is_external(name):
        return name.partition("/")[2]
    model = parse_model(name)
    network = {"srresnet": "SRResNet", "rrdb": "RRDB"}.get(model.network, model.network)
    if model.setting in TASKS:
        network = f"{network} ({model.setting})"
    layers = [
        f"{place_label(layer.where)} {layer.dimension} p = {layer.p:g}" for layer in model.dropout
    ]
    others = [f"{one.name.replace('_', ' ')} {one.strength:g}" for one in model.regularisers]
    return " + ".join([network, *layers, *others])


def place_label(place: str) -> str:
    """Return the paper's name for a place of dropout.

    >>> [place_label(place) for place in ("b8", "last_conv", "quarter", "all")]
    ['b8', 'last-conv', 'last quarter', 'all blocks']
    """
    blocks = {"quarter": "last quarter", "half": "last half", "all": "all blocks"}
    return blocks.get(place, place.replace("_", "-"))


def is_external(model: str) -> bool:
    """Return whether a model's weights come from elsewhere.

    >>> is_external("external/x4plus"), is_external("srresnet/multi/none")
    (True, False)
    """
    return model.startswith(f"{EXTERNAL}/")


def runs_of(model: str, seeds: Sequence[int]) -> list[str]:
    """Return the runs of a model: one per seed, of an external one one, under the first seed.

    >>> runs_of("srresnet/multi/none", (0, 1))
    ['srresnet/multi/none/seed0', 'srresnet/multi/none/seed1']
    >>> runs_of("external/x4plus", (0, 1))
    ['external/x4plus/seed0']
    """
    return [f"{model}/seed{seed}" for seed in (seeds[:1] if is_external(model) else seeds)]


def network_of(model: str) -> str:
    """Return the network of ``network/setting/dropout``; of bicubic and external models, all."""
    return model if is_external(model) else model.split("/", 1)[0]


def setting_of(model: str) -> str:
    """Return the training setting of ``network/setting/dropout``; of bicubic, nothing.

    >>> setting_of("srresnet/multi/none"), setting_of("external/x4plus")
    ('multi', 'external')
    """
    return EXTERNAL if is_external(model) else "" if model == BICUBIC else model.split("/")[1]


def dropout_of(model: str) -> Dropout:
    """Return the dropout of ``network/setting/dropout``; of other models, none."""
    return parse_dropout("none") if _as_it_is(model) else parse_model(model).dropout


def regularisers_of(model: str) -> tuple[Strength, ...]:
    """Return the regularisers other than dropout.

    >>> regularisers_of("srresnet/multi/weight_decay-0.01")
    (Strength(name='weight_decay', strength=0.01),)
    >>> regularisers_of("srresnet/multi/last_conv-channel-p0.7"), regularisers_of("bicubic")
    ((), ())
    """
    return () if _as_it_is(model) else parse_model(model).regularisers


def baseline_of(model: str) -> str | None:
    """Return the same network and setting without dropout and other regularisers; of it, None."""
    if not dropout_of(model) and not regularisers_of(model):
        return None
    network, setting, _ = model.split("/", 2)
    return f"{network}/{setting}/none"


def _as_it_is(model: str) -> bool:
    return model == BICUBIC or is_external(model)
