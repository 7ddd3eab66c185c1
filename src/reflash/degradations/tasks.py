"""Other tasks than super-resolution: degradations that keep the size, trained to a level.

A task says what its training pairs go through, and which test kinds lie within that (in
distribution) and beyond it (out of distribution). A kind is an operator and its level:
``gaussian25`` (noise of standard deviation 25 of 255), ``poisson2`` (twice the noise of photons
counted in grey levels), ``jpeg10`` (quality, Pillow, 4:2:0), ``blur3`` (Gaussian, sigma in
pixels). All work on 8-bit images, one by one, and round; training and tests share them. The levels
are this project's choice: the paper leaves other tasks open.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from reflash.core.errors import ReflashError
from reflash.core.keys import KeyPart, numpy_generator
from reflash.core.settings import SCALE
from reflash.datasets.images import Pixels


@dataclass(frozen=True)
class Task:
    """One task: its training pairs and its tests."""

    title: str
    trained: Mapping[str, tuple[float, float]]
    """Operator -> range of its level; one of them is drawn for each window, then its level."""
    inside: tuple[str, ...]
    """Test kinds in distribution."""
    outside: tuple[str, ...]
    """Test kinds out of distribution: the same operators beyond the range trained."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """All test kinds, those in distribution first."""
        return self.inside + self.outside


TASKS = {
    "denoise": Task(
        "denoising",
        {"gaussian": (5, 30), "poisson": (0.5, 2)},
        inside=("gaussian15", "gaussian25", "poisson1"),
        outside=("gaussian40", "gaussian60", "poisson4"),
    ),
    "dejpeg": Task(
        "JPEG artefact removal",
        {"jpeg": (40, 90)},
        inside=("jpeg50", "jpeg80"),
        outside=("jpeg10", "jpeg20"),
    ),
    "deblur": Task(
        "deblurring",
        {"blur": (0.5, 2.5)},
        inside=("blur1", "blur2"),
        outside=("blur3", "blur4"),
    ),
}
"""The tasks by the setting of their models."""

KIND = re.compile(r"(gaussian|poisson|jpeg|blur)(\d+)")
"""A test kind of a task: operator and level."""


def factor_of(setting: str) -> int:
    """Return HR sides over LR sides of a training setting.

    >>> factor_of("multi"), factor_of("denoise")
    (4, 1)
    """
    return 1 if setting in TASKS else SCALE


def is_task_kind(kind: str) -> bool:
    """Return whether a test kind keeps the size of images.

    >>> is_task_kind("jpeg10"), is_task_kind("jpeg")
    (True, False)
    """
    return KIND.fullmatch(kind) is not None


def degrade_to(image: Pixels, kind: str, seed: int, name: str) -> Pixels:
    """Degrade an image as a test kind of a task says.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    kind : str
        Operator and level, e.g. gaussian25.
    seed : int
    name : str
        Noise is a function of seed, kind, name and size alone.

    Returns
    -------
    (H, W, 3) uint8 RGB

    Raises
    ------
    ReflashError
        There is no such kind.

    Examples
    --------
    >>> degrade_to(np.full((8, 8, 3), 100, np.uint8), "gaussian25", 0, "a")[0, 0]
    array([ 56, 116,  73], dtype=uint8)
    """
    match = KIND.fullmatch(kind)
    if match is None:
        known = ", ".join(kind for task in TASKS.values() for kind in task.kinds)
        raise ReflashError(f"{kind}: no such degradation; choose one such as {known}")
    operator, level = match.groups()
    return OPERATORS[operator](image, float(level), numpy_generator(seed, kind, name))


def degrade_window(window: Pixels, setting: str, *key: KeyPart) -> Pixels:
    """Degrade a training window of a task: an operator and a level of its range, keyed.

    Parameters
    ----------
    window : (H, W, 3) uint8 RGB
    setting : str
        A task.
    key
        Key of all that is drawn.

    Returns
    -------
    (H, W, 3) uint8 RGB
    """
    rng = numpy_generator(*key, setting)
    trained = TASKS[setting].trained
    operator = list(trained)[rng.integers(len(trained))]
    return OPERATORS[operator](window, rng.uniform(*trained[operator]), rng)


def _gaussian(image: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    return _rounded(image + sigma * rng.standard_normal(image.shape))


def _poisson(image: Pixels, scale: float, rng: np.random.Generator) -> Pixels:
    return _rounded(image + scale * (rng.poisson(image) - image.astype(np.float64)))


def _jpeg(image: Pixels, quality: float, rng: np.random.Generator) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=round(quality))
    with Image.open(buffer) as decoded:
        return np.array(decoded.convert("RGB"))


def _blur(image: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    size = 2 * int(np.ceil(4 * sigma)) + 1
    return np.asarray(cv2.GaussianBlur(image, (size, size), sigma), np.uint8)


def _rounded(values: np.ndarray) -> Pixels:
    return np.rint(values).clip(0, 255).astype(np.uint8)


OPERATORS: dict[str, Callable[[Pixels, float, np.random.Generator], Pixels]] = {
    "gaussian": _gaussian,
    "poisson": _poisson,
    "jpeg": _jpeg,
    "blur": _blur,
}
"""From an image and a level to the degraded image."""
