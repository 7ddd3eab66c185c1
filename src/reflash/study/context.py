"""What an artefact must know about the study and scale it was made at, to say so in its caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from reflash.core.settings import Settings
from reflash.models.names import BICUBIC, is_external, runs_of
from reflash.study.artefacts import Claims

Evidence = Literal["none", "fraction", "paper"]
"""What results say about the paper: nothing, something (its networks, a fraction of its training),
or what its own protocol says."""


class Context(Settings):
    """The study, the scale and the models one artefact shows; handed over as JSON."""

    study: str
    """Name of the study, the file in config/study."""
    title: str
    """Title of the study."""
    scale: str
    """Name of the scale, the file in config/scale."""
    description: str
    """The scale's one sentence about itself."""
    evidence: Evidence
    """What a result at this scale says about the paper's claims."""
    fraction: str = ""
    """For evidence ``fraction``: which networks, and how much of the paper's training they had."""
    smaller: tuple[str, ...] = ()
    """Networks that are the paper's in kind, but narrower or shallower."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    """Seeds every model was trained with."""
    released: bool = False
    """Whether the weights are those that the authors released."""
    models: tuple[str, ...] = ()
    """Models the artefact shows, in order, without bicubic: network/setting/dropout."""
    labels: Mapping[str, str] = {}
    """Name shown for each model and for bicubic; one without is shown by its own name."""
    test_sets: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the test sets, in order."""
    crop: Annotated[int, Field(ge=0)] = 4
    """Width in HR pixels of the border left out of PSNR and SSIM."""
    analysis_set: str = ""
    """Test set whose images the analyses of trained networks saw; empty: not said."""
    analysis_kind: str = ""
    """Degradation of the LR images they saw; empty: not said."""
    analysis_crop: int | None = None
    """Side in LR pixels of the centre crop they saw; None: whole images."""
    sensitivity_layer: str = "last"
    """Layer whose features are dropped at test time."""
    sensitivity_dimension: Literal["channel", "element"] = "channel"
    """What is dropped together there."""
    sensitivity_rescale: bool = False
    """Whether what is left is scaled up."""
    representation_set: str = ""
    """Test set whose images' deep representations are compared; empty: not said."""
    representation_crop: int | None = None
    """Side in LR pixels of their centre crop; None: the largest that all images have."""
    analysis_border: Annotated[int, Field(ge=0)] = 0
    """Border in HR pixels left out of the PSNR of analyses."""

    sharpened: bool = True
    """Whether training targets of the multi setting are USM-sharpened."""
    claims: Claims = Claims()
    """How an artefact that ``estimates`` makes its intervals, and which dropout is the paper's."""
    not_recorded: tuple[str, ...] = ()
    """Runs whose weights are not those of their record."""
    arithmetic: tuple[str, ...] = ()
    """What the runs were trained in, such as bf16 and fp32, where their records say so."""

    def label(self, model: str) -> str:
        """Return the name shown for ``model``."""
        return self.labels.get(model, "Bicubic" if model == BICUBIC else model)

    def network_label(self, network: str, setting: str) -> str:
        """Return the name shown for a network where its setting is named beside it."""
        return self.label(f"{network}/{setting}/none").removesuffix(f" ({setting})")

    @property
    def runs(self) -> tuple[str, ...]:
        """Every run of the models, one per seed; of external models one."""
        return tuple(run for model in self.models for run in runs_of(model, self.seeds))


def scale_sentence(context: Context) -> str:
    """Say which scale this is, and what its results say about the paper."""
    description = context.description.strip().rstrip(".")
    return sentences(
        f"Scale {context.scale}: {description}.",
        evidence_sentence(context),
        records_sentence(context),
    )


def records_sentence(context: Context) -> str:
    """Warn of weights that are not those of their record, and of runs trained in different ways."""
    runs, ways = context.not_recorded, context.arithmetic
    foreign = f"not the weights that were trained here, by their record: {first(runs, 3)}"
    return sentences(
        f"Warning: {foreign}." if runs else "",
        f"Warning: some runs were trained in {' and others in '.join(ways)}."
        if len(ways) > 1
        else "",
    )


def evidence_sentence(context: Context) -> str:
    """Return what every artefact of a scale below the paper's carries; at the paper's, nothing.

    "Demo scale: no evidence about the paper." or "Partial evidence: the paper's SRResNet, 0.15 %
    of its training in iterations x batch x patch area."
    """
    if context.evidence == "none":
        scale = context.scale[:1].upper() + context.scale[1:]
        return f"{scale} scale: no evidence about the paper."
    return f"Partial evidence: {context.fraction}." if context.evidence == "fraction" else ""


def seeds_sentence(context: Context, spread: str = "± is") -> str:
    """Say how many seeds there are, and what shows their spread; ``spread`` empty: nothing does."""
    if context.released:
        return "The authors' released weights: one training of each model."
    seeds, elsewhere = context.seeds, [is_external(model) for model in context.models]
    if elsewhere and all(elsewhere):
        return "Weights from elsewhere: one training of each model."
    if len(seeds) == 1:
        return f"One seed ({seeds[0]})."
    of = " of what was trained here" if any(elsewhere) else ""
    shown = f"; {spread} one standard deviation (n - 1)" if spread else ""
    return f"Mean over {len(seeds)} seeds ({', '.join(map(str, seeds))}){of}{shown}."


def sets_phrase(images: Mapping[str, int]) -> str:
    """Return ``Set5 (5 images), Set14 (14 images)``."""
    return ", ".join(
        f"{name} ({count} image{'s' if count != 1 else ''})" for name, count in images.items()
    )


def images_phrase(context: Context, names: Sequence[str]) -> str:
    """Return what an analysis saw: ``5 images of Set5 (clean, whole)``."""
    text = names[0] if len(names) == 1 else f"{len(names)} images"
    if context.analysis_set:
        text += f" of {context.analysis_set}"
    how = [kind_label(context.analysis_kind)] if context.analysis_kind else []
    return f"{text} ({', '.join([*how, crop_phrase(context.analysis_crop)])})"


def crop_phrase(side: int | None, otherwise: str = "whole") -> str:
    """Return which part of each image was analysed."""
    return otherwise if side is None else f"the middle {side}x{side} LR pixels"


def border_phrase(context: Context) -> str:
    """Return what of an image the PSNR of analyses leaves out."""
    border = context.analysis_border
    return f"border of {border} pixels left out" if border else "no border left out"


def kind_label(kind: str) -> str:
    """Return the name shown for a degradation: ``blur_jpeg`` becomes ``blur+jpeg``."""
    return kind.replace("_", "+")


def sentences(*parts: str) -> str:
    """Join the sentences of a caption, leaving out empty ones.

    >>> sentences("One seed (0).", "", "Scale demo.")
    'One seed (0). Scale demo.'
    """
    return " ".join(part for part in parts if part)


def first(words: Sequence[str], most: int) -> str:
    """Return the first words and how many there are beside: ``a, b and 3 more``."""
    shown, others = ", ".join(words[:most]), len(words) - most
    return f"{shown} and {others} more" if others > 0 else shown


def listing(words: Sequence[str]) -> str:
    """Join words as a sentence does: ``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
