"""One look per model, the same in every figure.

The colour says network and training setting; shade and marker, hatch or line say the dropout:
a network without dropout is pale and dashed, marker and hatch name the place, line and dots in
the hatch the dimension; a later place, channels and a larger p are darker. Nothing here depends
on which other models a figure shows, except that no two models look alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from matplotlib.colors import to_rgb

from reflash.models.names import BICUBIC, dropout_of, regularisers_of
from reflash.paper.figures.style import shade
from reflash.paper.regularisers import family_of
from reflash.study.artefacts import FigureStyle

HUE = {"okabe_ito": "#0072B2", "tableau_colorblind": "#006BA4"}
"""The first colour of a palette, of what shows one network or one thing."""

_HUES = {
    "okabe_ito": (HUE["okabe_ito"], "#D55E00", "#009E73", "#CC79A7", "#E69F00"),
    "tableau_colorblind": (HUE["tableau_colorblind"], "#C85200", "#595959", "#5F9ED1", "#FF800E"),
}
_MORE_HUES = ("#882255", "#999933", "#332288", "#44AA99")  # of Paul Tol, told apart from both
_FAMILIES = ("srresnet/multi", "rrdb/multi", "srresnet/single", "rrdb/single")
_GREY = "#8C8C8C"

_PLACES = {
    # place: (marker, hatch, how much paler than the last convolution)
    "last_conv": ("o", "////", 0.0),
    "conv_hr": ("P", "++++", 0.0),
    "b4": ("^", "\\\\\\\\", 0.45),
    "b8": ("s", "----", 0.35),
    "b12": ("D", "||||", 0.25),
    "b16": ("v", "xxxx", 0.15),
    "quarter": ("<", "....", 0.2),
    "half": (">", "oo", 0.3),
    "all": ("X", "**", 0.4),
}
_OTHER = ("*", "//\\\\", 0.0)
_SPARE = tuple(zip("d*pH8h", ("//", "\\\\", "xx", "||", "--", "++"), strict=True))
_SPARE_SHADES = (0.0, -0.3, 0.3, -0.45)
_NEAR = 0.2  # in every channel of RGB in [0, 1]


@dataclass(frozen=True)
class Look:
    """How one model is drawn."""

    color: str
    """Fill of bars and markers."""
    edge: str
    """Outline of bars and markers."""
    hatch: str
    """Hatching of bars; empty without dropout."""
    marker: str
    """Marker of lines."""
    line: str
    """Line style."""
    filled: bool
    """Whether markers are filled."""

    @property
    def stroke(self) -> str:
        """Colour of lines: that of the outline where the fill is too pale for a line."""
        return self.color if self.filled else self.edge


def looks(models: Sequence[str], style: FigureStyle) -> dict[str, Look]:
    """Return the look of every model; it is the same unless a model before it looks alike.

    >>> looks(["srresnet/multi/none"], FigureStyle())["srresnet/multi/none"].line
    '--'
    """
    hues = _HUES[style.palette] + _MORE_HUES
    others = [f for f in dict.fromkeys(map(_family, models)) if f not in _FAMILIES and f]
    hue = dict(zip((*_FAMILIES, *others), (hues * (len(others) + 1)), strict=False))
    result: dict[str, Look] = {}
    for model in models:
        first = _look(model, hue.get(_family(model), _GREY))
        for look in (first, *_variants(first)):
            near = [other for one, other in result.items() if _family(one) == _family(model)]
            if look not in result.values() and not any(_alike(look, other) for other in near):
                break
        result[model] = look
    return result


def _alike(one: Look, other: Look) -> bool:
    """Whether two looks of a network and setting are hard to tell apart, as lines or as bars."""
    colors = zip(to_rgb(one.color), to_rgb(other.color), strict=True)
    if max(abs(a - b) for a, b in colors) >= _NEAR:
        return False
    same_line = (one.marker, one.line) == (other.marker, other.line)
    return same_line or one.hatch == other.hatch


def _family(model: str) -> str:
    return "" if model == BICUBIC else family_of(model)


def _look(model: str, hue: str) -> Look:
    if model == BICUBIC:
        return Look(shade(_GREY, 0.35), shade(_GREY, -0.2), "", "o", ":", False)
    layers = dropout_of(model)
    edge = shade(hue, -0.35)
    if not layers and not regularisers_of(model):
        return Look(shade(hue, 0.65), edge, "", "o", "--", False)
    if not layers:
        return Look(shade(hue, _OTHER[2]), edge, _OTHER[1], _OTHER[0], "-", True)
    p = sum(layer.p for layer in layers) / len(layers)
    element = all(layer.dimension == "element" for layer in layers)
    marker, hatch, paler = _PLACES.get(layers[0].where if len(layers) == 1 else "", _OTHER)
    color = shade(hue, max(-0.4, paler + 0.3 * element + 0.5 * (0.5 - p)))
    hatch = hatch[: len(hatch) // 2] + ".." if element else hatch
    return Look(color, edge, hatch, marker, "-." if element else "-", True)


def _variants(look: Look) -> Iterator[Look]:
    for change in _SPARE_SHADES:
        for marker, hatch in _SPARE:
            yield replace(look, color=shade(look.color, change), marker=marker, hatch=hatch)
