"""The weights that come with this package, for `reflash upscale` without any of your own."""

from __future__ import annotations

import json
from pathlib import Path

from reflash.core.errors import ReflashError

NAME = "upscale.safetensors"
"""File name of the weights; ``upscale.json`` beside it says what they are (key ``description``)."""

FOLDERS = (
    Path(__file__).with_name("weights"),
    Path(__file__).parents[3] / "results/record/weights",
)
"""Where they may lie: in the package, or among the recorded results of a clone."""


def shipped_weights(folders: tuple[Path, ...] = FOLDERS) -> tuple[Path, str]:
    """Return the weights that come with reflash, and what they are in a sentence.

    Raises
    ------
    ReflashError
        None come with this version, or nothing says what they are.
    """
    for folder in folders:
        weights = folder / NAME
        if not weights.is_file():
            continue
        about = weights.with_suffix(".json")
        try:
            return weights, str(json.loads(about.read_text(encoding="utf-8"))["description"])
        except (OSError, ValueError, KeyError) as error:
            raise ReflashError(
                f"{about}: does not say what {weights.name} is; restore it, or give --weights"
            ) from error
    raise ReflashError(
        "--weights: none come with this version of reflash; give a file (reflash weights fetch "
        "gets public ones), or bicubic"
    )
