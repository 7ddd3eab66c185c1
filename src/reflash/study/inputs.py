"""The files that tables, figures and claims are made from; each uses some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reflash.core.errors import ReflashError
from reflash.models.settings import NetworkSettings


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
    sensitivity: Sequence[Path] = ()
    """``sensitivity.csv`` of ``reflash sensitivity``."""
    cost: Path | None = None
    """``cost.csv``, the benchmark of training iterations with and without dropout."""
    real: Path | None = None
    """Folder of LR pictures without HR pictures."""
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
                raise ReflashError(f"{what}: needs {need}; give {option(need)}")
        return {need: getattr(self, need) for need in needs}


def option(need: str) -> str:
    """Return the option of the command line that gives an input: ``--evaluation``."""
    singular = {"evaluations": "evaluation", "logs": "log"}
    return f"--{singular.get(need, need).replace('_', '-')}"
