"""Settings of both degradations; the defaults are the released configs and test protocol."""

from __future__ import annotations

import math
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from reflash.core.settings import SCALE, Settings


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the lower bound {bounds[0]} exceeds the upper bound {bounds[1]}")
    return bounds


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError(f"a kernel size is odd, {size} is not")
    return size


Probability = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Angle = Annotated[float, Field(ge=-math.pi, le=math.pi)]
Cutoff = Annotated[float, Field(gt=0, le=math.pi)]
Quality = Annotated[float, Field(ge=1, lt=100)]
KernelSize = Annotated[int, Field(ge=1, le=21), AfterValidator(_odd)]

SigmaRange = Annotated[tuple[Positive, Positive], AfterValidator(_ordered)]
PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(_ordered)]
NonNegativeRange = Annotated[tuple[NonNegative, NonNegative], AfterValidator(_ordered)]
AngleRange = Annotated[tuple[Angle, Angle], AfterValidator(_ordered)]
CutoffRange = Annotated[tuple[Cutoff, Cutoff], AfterValidator(_ordered)]
QualityRange = Annotated[tuple[Quality, Quality], AfterValidator(_ordered)]
SizeRange = Annotated[tuple[KernelSize, KernelSize], AfterValidator(_ordered)]


class KernelSettings(Settings):
    """How the blur kernel of one image is drawn."""

    size: SizeRange = (7, 21)
    """Smallest and largest kernel size in pixels; every odd size between them is equally likely."""
    sinc: Probability = 0.1
    """Probability of a sinc (ringing) filter instead of one of the six families below."""
    sinc_cutoff_small: CutoffRange = (math.pi / 3, math.pi)
    """Cut-off of sinc filters smaller than 13 pixels, in radians per pixel."""
    sinc_cutoff_large: CutoffRange = (math.pi / 5, math.pi)
    """Cut-off of sinc filters of 13 pixels and more, in radians per pixel."""
    iso: Probability = 0.45
    """Share of isotropic Gaussians among the kernels that are not sinc filters."""
    aniso: Probability = 0.25
    """Share of anisotropic Gaussians."""
    generalised_iso: Probability = 0.12
    """Share of isotropic generalised Gaussians."""
    generalised_aniso: Probability = 0.03
    """Share of anisotropic generalised Gaussians."""
    plateau_iso: Probability = 0.12
    """Share of isotropic plateau kernels."""
    plateau_aniso: Probability = 0.03
    """Share of anisotropic plateau kernels."""
    sigma: SigmaRange = (0.2, 3.0)
    """Standard deviation along each axis, in pixels."""
    rotation: AngleRange = (-math.pi, math.pi)
    """Rotation of anisotropic kernels, in radians."""
    beta_generalised: PositiveRange = (0.5, 4.0)
    """Exponent of generalised Gaussians; half the draws lie below 1 and half above."""
    beta_plateau: PositiveRange = (1.0, 2.0)
    """Exponent of plateau kernels; half the draws lie below 1 (here: are 1) and half above."""

    @property
    def families(self) -> tuple[float, ...]:
        """Shares of the six families, in the order of ``kernels.KERNEL_KINDS``."""
        return (
            self.iso,
            self.aniso,
            self.generalised_iso,
            self.generalised_aniso,
            self.plateau_iso,
            self.plateau_aniso,
        )

    @model_validator(mode="after")
    def _check(self) -> KernelSettings:
        if not math.isclose(sum(self.families), 1, abs_tol=1e-6):
            raise ValueError(f"the shares of the six families sum to {sum(self.families):g}, not 1")
        for name in ("beta_generalised", "beta_plateau"):
            low, high = getattr(self, name)
            if not low <= 1 <= high:
                raise ValueError(f"{name} must hold 1 between its bounds, ({low:g}, {high:g}) not")
        return self


class SecondKernelSettings(KernelSettings):
    """How the blur kernel of the second order is drawn: the first order's, but weaker."""

    sigma: SigmaRange = (0.2, 1.5)
    """Standard deviation along each axis, in pixels."""


Bicubic = Literal["matlab", "pil"]
"""Whose antialiased bicubic down-sampling: they differ at borders and in rounding."""


class OrderSettings(Settings):
    """The first of the two rounds of blur, resize, noise and JPEG."""

    blur: Probability = 1.0
    """Probability that a group of images is blurred at all."""
    kernel: KernelSettings = KernelSettings()
    """Blur kernels."""
    resize_up: Probability = 0.2
    """Probability of enlarging."""
    resize_down: Probability = 0.7
    """Probability of shrinking."""
    resize_keep: Probability = 0.1
    """Probability of keeping the size."""
    resize_factor: PositiveRange = (0.15, 1.5)
    """Smallest factor when shrinking and largest when enlarging (of the HR size)."""
    gaussian: Probability = 0.5
    """Probability that the noise of a group is Gaussian; it is Poisson otherwise."""
    noise_sigma: NonNegativeRange = (1.0, 30.0)
    """Standard deviation of Gaussian noise, in grey levels of 255."""
    poisson_scale: NonNegativeRange = (0.05, 3.0)
    """Factor on Poisson noise."""
    grey: Probability = 0.4
    """Probability that an image's noise is the same in its three channels."""
    jpeg_quality: QualityRange = (30.0, 95.0)
    """JPEG quality, a real number."""

    @model_validator(mode="after")
    def _check(self) -> OrderSettings:
        total = self.resize_up + self.resize_down + self.resize_keep
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"resize_up, resize_down and resize_keep sum to {total:g}, not 1")
        if not self.resize_factor[0] <= 1 <= self.resize_factor[1]:
            raise ValueError(
                f"resize_factor must hold 1 between its bounds, not {self.resize_factor}"
            )
        return self


class SecondOrderStageSettings(OrderSettings):
    """The second round: as the first, but weaker, and not always blurred."""

    blur: Probability = 0.8
    """Probability that a group of images is blurred a second time."""
    kernel: SecondKernelSettings = SecondKernelSettings()
    """Blur kernels."""
    resize_up: Probability = 0.3
    """Probability of enlarging."""
    resize_down: Probability = 0.4
    """Probability of shrinking."""
    resize_keep: Probability = 0.3
    """Probability of keeping the size."""
    resize_factor: PositiveRange = (0.3, 1.2)
    """Smallest factor when shrinking and largest when enlarging (of the LR size)."""
    noise_sigma: NonNegativeRange = (1.0, 25.0)
    """Standard deviation of Gaussian noise, in grey levels of 255."""
    poisson_scale: NonNegativeRange = (0.05, 2.5)
    """Factor on Poisson noise."""


class FinalSettings(Settings):
    """The last steps: to the LR size with a sinc filter, and JPEG, in either order."""

    sinc: Probability = 0.8
    """Probability that an image gets a final sinc filter."""
    sinc_size: SizeRange = (7, 21)
    """Smallest and largest size of the filter; every odd size between them is equally likely."""
    sinc_cutoff: CutoffRange = (math.pi / 3, math.pi)
    """Cut-off of the filter, in radians per pixel."""
    jpeg_last: Probability = 0.5
    """Probability that JPEG comes after resizing and sinc filter, not before."""


class SecondOrderSettings(Settings):
    """The random degradation of training pairs (Real-ESRGAN's, with the authors' ranges)."""

    scale: int = Field(default=SCALE, ge=1)
    """Ratio of HR to LR size."""
    usm: bool = True
    """Sharpen HR images (unsharp mask); the sharpened image is degraded and is the target."""
    draws: Literal["batch", "image"] = "batch"
    """Who shares resize factor and mode, noise kind and step order: a group of images or nobody."""
    group: int = Field(default=8, ge=1)
    """Images that share those draws (the released training had 2 GPUs with 8 images each)."""
    bicubic: Bicubic = "matlab"
    """Down-sampling of the single-degradation setting: as MATLAB's imresize, or as Pillow."""
    first: OrderSettings = OrderSettings()
    """First round of blur, resize, noise and JPEG."""
    second: SecondOrderStageSettings = SecondOrderStageSettings()
    """Second round of blur, resize, noise and JPEG."""
    final: FinalSettings = FinalSettings()
    """Resizing to the LR size with the final sinc filter."""


Kind = Literal[
    "clean",
    "blur",
    "noise",
    "jpeg",
    "blur_noise",
    "blur_jpeg",
    "noise_jpeg",
    "blur_noise_jpeg",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The eight test degradations, in the order of tables."""

LEVELS = {"gaussian": (1, 255), "poisson": (1, 255), "jpeg": (1, 100), "blur": (1, 100)}
"""Lowest and highest level of a test kind of other tasks, by operator."""


def checked_level(kind: str) -> str:
    """Return a test kind of another task, operator and level, whose level makes sense.

    Raises
    ------
    ValueError
        It does not.
    """
    operator = kind.rstrip("0123456789")
    low, high = LEVELS[operator]
    level = kind.removeprefix(operator)
    if level[0] == "0" or len(level) > 3 or not low <= int(level) <= high:
        raise ValueError(f"{kind}: the level of {operator} is a whole number from {low} to {high}")
    return kind


class BenchmarkSettings(Settings):
    """The degradations of the test sets."""

    scale: int = Field(default=SCALE, ge=1)
    """Ratio of HR to LR size."""
    mod: int = Field(default=12, ge=1)
    """HR images are cropped to a multiple of this size first."""
    bicubic: Bicubic = "pil"
    """Down-sampling: as Pillow (the authors' script) or as MATLAB's imresize."""
    blur_size: Annotated[int, Field(ge=1), AfterValidator(_odd)] = 21
    """Size of the Gaussian blur in pixels, odd."""
    blur_sigma: float = Field(default=2.0, gt=0)
    """Standard deviation of the Gaussian blur, in HR pixels."""
    noise_sigma: float = Field(default=20.0, ge=0)
    """Standard deviation of the noise, in grey levels of 255.

    The authors' script used 40 for the noise-only kind until 2024-07-25: ``noise_only_sigma``.
    """
    noise_only_sigma: float | None = Field(default=None, ge=0)
    """Standard deviation for the kind ``noise`` alone; null: ``noise_sigma``."""
    noise_rounding: Literal["truncate", "round"] = "truncate"
    """How noisy values become 8-bit: the authors truncate, which darkens by half a level."""
    jpeg_quality: int = Field(default=50, ge=1, le=100)
    """JPEG quality."""
    seed: int = Field(default=0, ge=0)
    """Seed of the noise; each image and kind has noise of its own."""

    @model_validator(mode="after")
    def _check(self) -> BenchmarkSettings:
        if self.mod % self.scale:
            raise ValueError(f"mod {self.mod} is not a multiple of scale {self.scale}")
        return self
