"""What a network is and where it drops, as data: no torch is imported here.

A dropout is written as one short text, the same in a config, in a run's id and in a file name::

    none                                      no dropout
    last_conv-channel-p0.7                    whole channels, before the last convolution
    b8-element-p0.2                           single values, after the 8th of 16 blocks
    quarter-channel-p0.1                      three in each block of the last quarter
    b4-channel-p0.1+last_conv-channel-p0.1    several at once, in the order of the network
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from reflash.core.errors import ReflashError
from reflash.core.settings import Settings

Dimension = Literal["channel", "element"]

BLOCKS = 16
"""Blocks of the paper's SRResNet; ``b1`` to ``b16`` count in sixteenths of any network."""

DROPOUT_BLOCKS = {"all": 0, "half": 8, "quarter": 12}
"""Places that make dropout residual blocks: how many of 16 blocks stay plain before them."""

PLACES = "b1 to b16 (the paper's are b4, b8, b12, b16), conv_hr, last_conv, quarter, half, all"

_PLACE = r"(?:b(?:[1-9]|1[0-6])|conv_hr|last_conv|quarter|half|all)"
_MODULE = r"(?!b\d+-|b\d+$)[A-Za-z_]\w*(?:\.\w+)*"
_LAYER = rf"(?:{_PLACE}|{_MODULE})" + r"-(?:channel|element)-p0?\.\d+"
_EXAMPLE = "write none, or PLACE-DIMENSION-pP such as last_conv-channel-p0.7, joined by +"


class SRResNetSettings(Settings):
    """The SRResNet without batch normalisation that the paper trains (BasicSR's MSRResNet)."""

    name: Literal["srresnet"] = "srresnet"
    """Which network: this one is SRResNet."""
    features: int = Field(64, ge=1)
    """Channels between the convolutions."""
    blocks: int = Field(16, ge=1)
    """Residual blocks of two convolutions."""
    global_residual: bool = True
    """Add the bilinearly upsampled input to the output."""
    first_upconv_init: Literal["authors", "basicsr"] = "authors"
    """Start of the first up-convolution: PyTorch's default (authors) or Kaiming x 0.1 (basicsr)."""
    scale: Literal[1, 2, 3, 4] = 4
    """How many times larger the output is on each side; 1: no up-sampling (other tasks)."""


class RRDBSettings(Settings):
    """The RRDB network of ESRGAN and Real-ESRGAN."""

    name: Literal["rrdb"] = "rrdb"
    """Which network: this one is RRDB."""
    features: int = Field(64, ge=1)
    """Channels between the blocks."""
    blocks: int = Field(23, ge=1)
    """Residual-in-residual dense blocks."""
    growth: int = Field(32, ge=1)
    """Channels that each convolution inside a dense block adds."""
    scale: Literal[1, 4] = 4
    """How many times larger the output is on each side; 1: no up-sampling (other tasks)."""


StagedSettings = SRResNetSettings | RRDBSettings
"""A network of ours."""

_FACTORY = r"^[^:]+:[A-Za-z_]\w*$"


class FactorySettings(Settings):
    """A network of one's own, trained here: made by a function of a Python file or module."""

    name: Literal["factory"] = "factory"
    """Which network: this one is the user's own."""
    factory: str = Field(pattern=_FACTORY)
    """What makes it: FILE.py:FUNCTION or MODULE:FUNCTION, returning a torch.nn.Module from
    (B, 3, h, w) to (B, 3, 4h, 4w) in [0, 1]."""
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the function."""
    last_conv: str | None = None
    """Module that a model's last_conv drops before; null: the last convolution with 3 outputs."""
    code: str = ""
    """Hash of the file, filled in when a run is planned: another file is another network."""
    scale: Literal[4] = 4
    """How many times larger the output is on each side."""


class ExternalSettings(Settings):
    """A network with weights from elsewhere, which is evaluated and analysed but not trained."""

    weights: str | None = None
    """Weights file (.pth, .pt or .safetensors), however it is wrapped."""
    key: Literal["params", "params_ema"] | None = None
    """Which weights of the file; null: raw ones (params) if it has both."""
    label: str | None = None
    """Name shown; null: the name it has in the study."""
    factory: str | None = Field(None, pattern=_FACTORY)
    """What makes the network, FILE.py:FUNCTION or MODULE:FUNCTION; null: the architecture is
    found from the weights (ours, then those that spandrel knows)."""
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the factory."""
    multiple: int = Field(1, ge=1)
    """What the sides of its input must be multiples of; images are padded, results cropped."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.weights is None and self.factory is None:
            raise ValueError("weights: missing; name a weights file, or a factory")
        return self

    @property
    def text(self) -> str:
        """What options named --weights take: the file alone where that says all."""
        given = self.model_dump(mode="json", exclude_defaults=True, exclude={"label"})
        if set(given) == {"weights"}:
            return str(self.weights)
        return json.dumps(given, sort_keys=True)


def _named_by_factory(value: object) -> object:
    """Let ``factory: FILE:FUNCTION`` alone say which form of settings it is."""
    if isinstance(value, Mapping) and "factory" in value and "name" not in value:
        return {"name": "factory", **value}
    return value


NetworkSettings = Annotated[
    Annotated[StagedSettings | FactorySettings, Field(discriminator="name")],
    BeforeValidator(_named_by_factory),
]


def check_probability(p: float) -> float:
    """Return ``p`` if it is a dropout probability, above 0 and below 1; raise ValueError if not."""
    if p == 0:
        raise ValueError("dropout with p = 0 drops nothing; say none instead")
    if not 0 < p < 1:
        raise ValueError(f"p is {p:g} but must lie above 0 and below 1")
    return float(p)


class DropoutLayer(Settings):
    """Dropout at one place of a network (or, for quarter, half and all, in several blocks)."""

    where: str
    """The place: b1 to b16, conv_hr, last_conv, quarter, half or all; in a network of one's own
    last_conv, or the dotted name of a module, before which it then is."""
    dimension: Dimension
    """What is dropped together: a whole channel of an image, or each element by itself."""
    p: float
    """Probability of being dropped, above 0 and below 1."""

    @field_validator("where")
    @classmethod
    def _known_place(cls, where: str) -> str:
        if not re.fullmatch(f"{_PLACE}|{_MODULE}", where):
            raise ValueError(f"no place is called '{where}'; places are {PLACES}")
        return where

    @field_validator("p")
    @classmethod
    def _probability(cls, p: float) -> float:
        return check_probability(p)

    def __str__(self) -> str:
        return f"{self.where}-{self.dimension}-p{Decimal(repr(self.p)):f}"

    @property
    def sixteenth(self) -> int | None:
        """K for a place ``bK``, None for the other places."""
        return int(self.where[1:]) if re.fullmatch(r"b\d+", self.where) else None

    @property
    def is_module(self) -> bool:
        """Whether the place is none of ours, so the name of a module in a network of one's own."""
        return not re.fullmatch(_PLACE, self.where)

    def network_order(self) -> tuple[int, int, str]:
        """Sort key: the block the layer acts in (of 16), and in the block before after it.

        Modules of other networks, whose order is not known, come first, by name.
        """
        if self.is_module:
            return 0, 0, self.where
        if self.where in DROPOUT_BLOCKS:
            return DROPOUT_BLOCKS[self.where] + 1, 0, ""
        if self.sixteenth is not None:
            return self.sixteenth, 1, ""
        return BLOCKS + 1, ("conv_hr", "last_conv").index(self.where), ""


class Dropout(tuple[DropoutLayer, ...]):
    """All dropout of a network: layers in the order of the network; empty for none.

    ``str()`` gives the canonical text and ``parse_dropout`` reads it back. A settings model may
    have a field of this type; it takes the text and is written as the text.

    Raises
    ------
    ValueError
        A place is given twice, or two of quarter, half and all, which overlap.
    """

    __slots__ = ()

    def __new__(cls, layers: Iterable[DropoutLayer] = ()) -> Self:
        """Sort and check ``layers``."""
        layers = sorted(layers, key=DropoutLayer.network_order)
        places = [layer.where for layer in layers]
        for first, second in pairwise(places):
            if first == second:
                raise ValueError(f"dropout at {first} is given twice; keep one")
        kinds = [place for place in places if place in DROPOUT_BLOCKS]
        if len(kinds) > 1:
            raise ValueError(f"{' and '.join(kinds)} overlap; keep one of them")
        return super().__new__(cls, layers)

    def __str__(self) -> str:
        return "+".join(map(str, self)) or "none"

    def __repr__(self) -> str:
        return f"Dropout({str(self)!r})"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validated, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: Any) -> JsonSchemaValue:
        return {"type": "string", "pattern": rf"^(none|{_LAYER}(\+{_LAYER})*)$"}

    @classmethod
    def _validated(cls, value: object) -> Dropout:
        if isinstance(value, Dropout):
            return value
        if isinstance(value, str):
            return _parsed(value)
        raise ValueError(f"a dropout is a text, not {value!r}; {_EXAMPLE}")


NO_DROPOUT = Dropout()
"""The baseline."""


def parse_dropout(text: str) -> Dropout:
    """Read a dropout from its text, in any order of layers and with any spelling of p.

    Raises
    ------
    ReflashError
        The text names no such place or dimension, a p outside (0, 1), or a place twice.
    """
    try:
        return _parsed(text)
    except ValueError as error:
        raise ReflashError(str(error)) from error


def _parsed(text: str) -> Dropout:
    """``parse_dropout`` with the ValueErrors that pydantic collects."""
    try:
        return Dropout(() if text == "none" else map(_parsed_layer, text.split("+")))
    except ValueError as error:
        raise ValueError(f"dropout '{text}': {error}") from error


def _parsed_layer(text: str) -> DropoutLayer:
    parts = text.split("-")
    if len(parts) != 3 or not re.fullmatch(r"p(\d+\.?\d*|\.\d+)", parts[2]):
        raise ValueError(f"'{text}' is not understood; {_EXAMPLE}")
    where, dimension, p = parts
    if dimension not in ("channel", "element"):
        raise ValueError(f"no dimension is called '{dimension}'; dimensions are channel, element")
    try:
        return DropoutLayer(where=where, dimension=dimension, p=float(p[1:]))
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
