"""Everything that changes what a trained network's weights are.

What does not (device, threads, how often state is saved, a time budget) is an option of
``reflash train`` instead, so that it can change without retraining.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from reflash.core.settings import SCALE, Settings
from reflash.degradations.settings import KINDS, Kind, SecondOrderSettings, checked_level
from reflash.models.settings import Dropout, NetworkSettings

Setting = Literal["single", "multi", "denoise", "dejpeg", "deblur"]
TaskKind = Annotated[
    str,
    Field(pattern=r"^(gaussian|poisson|jpeg|blur)[0-9]+$"),
    AfterValidator(checked_level),
]
Decay = Annotated[float, Field(ge=0, lt=1)]


class PairSettings(Settings):
    """What the network sees: how HR windows become (LR, HR) training pairs."""

    synthesis: Literal["online", "pool"] = "online"
    """Synthesise pairs while training (as released), or once into a pool that all runs read."""
    window: Annotated[int, Field(ge=16)] = 400
    """Side of the HR window that is degraded before the patch is cropped (released 400 pixels)."""
    patch: Annotated[int, Field(ge=16)] = 128
    """Side of the HR patch the network is trained on, in pixels; a multiple of the scale."""
    crops: Annotated[int, Field(ge=1)] = 1
    """Patches cut from one degraded window (released 1)."""
    flips: Literal["none", "horizontal", "all"] = "horizontal"
    """Augmentation: horizontal flips (released), or flips and transposition."""
    shuffle_pool: Annotated[int, Field(ge=0)] = 16
    """Pairs held back per group of the degradation and shuffled with new ones (released 16)."""
    count: Annotated[int, Field(ge=1)] = 4096
    """Pairs in the pool (synthesis: pool only)."""

    @model_validator(mode="after")
    def _consistent(self) -> PairSettings:
        if self.patch > self.window:
            raise ValueError(f"patch {self.patch} is larger than window {self.window}; lower patch")
        if self.patch % 4 or self.window % 4:
            raise ValueError("patch and window must be multiples of 4, the scale")
        return self


class CosineRestarts(Settings):
    """Cosine annealing with restarts: every period starts again at the full rate."""

    kind: Literal["cosine_restarts"]
    periods: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (
        250_000,
        500_000,
    )
    """Lengths of the periods in iterations; the released lengths stop the second one half-way."""
    eta_min: Annotated[float, Field(ge=0)] = 0.0
    """Lowest rate of a period."""


class Cosine(Settings):
    """One cosine from the full rate to ``eta_min`` over the whole training."""

    kind: Literal["cosine"]
    eta_min: Annotated[float, Field(ge=0)] = 0.0
    """Rate at the last iteration."""


Schedule = Annotated[CosineRestarts | Cosine, Field(discriminator="kind")]


class ValidationSettings(Settings):
    """The PSNR curve drawn while training (EMA weights, as the released validation)."""

    every: Annotated[int, Field(ge=1)] = 5000
    """Iterations between two validations."""
    kinds: Annotated[tuple[Kind | TaskKind, ...], Field(min_length=1)] = (
        "clean",
        "blur_noise_jpeg",
    )
    """Test degradations the validation images go through (always sigma 20, mod 4)."""
    images: Annotated[int, Field(ge=1)] = 5
    """Number of validation images, the first of the set in order of name."""
    crop: Annotated[int, Field(ge=48)] | None = None
    """Side of the centre crop taken of each image, in pixels; null takes whole images."""


class TrainingSettings(Settings):
    """The optimisation: L1 loss, Adam, schedule, averaging (released values by default)."""

    iterations: Annotated[int, Field(ge=1)] = 500_000
    """Optimiser steps."""
    batch: Annotated[int, Field(ge=1)] = 16
    """Pairs per step (released: 2 GPUs x 8)."""
    lr: Annotated[float, Field(gt=0)] = 2e-4
    """Adam's full learning rate."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Adam's decay rates."""
    schedule: Schedule = CosineRestarts(kind="cosine_restarts")
    """Learning-rate schedule."""
    ema: Decay = 0.999
    """Decay of the exponential moving average of the weights."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """Arithmetic of the network; bf16 is autocast over fp32 master weights, auto is bf16 where the
    device has instructions for it and fp32 elsewhere. The record says which it was."""
    validation: ValidationSettings = ValidationSettings()
    """The validation curve."""
    tensorboard: Annotated[bool, Field(exclude=True)] = False
    """Write the curves of runs to results/SCALE/tensorboard while they are trained. It is left out
    of what identifies a run: switching it trains nothing again."""


def _check_scale(key: str, scale: int, wanted: int) -> None:
    if scale != wanted:
        raise ValueError(f"{key}: {scale}, where it must be {wanted}")


class PoolSettings(Settings):
    """One pool of training pairs: a setting's synthesis, shared by every run that reads it."""

    setting: Setting
    """Degradation of the training pairs: single (bicubic), multi (second order), or a task's."""
    pairs: PairSettings
    """Window, patch and number of pairs."""
    degradation: SecondOrderSettings
    """The second-order degradation (setting multi)."""
    sub_image: Annotated[int, Field(ge=1)] | None = None
    """Side of the overlapping sub-images windows are taken from; null: the whole image."""
    step: Annotated[int, Field(ge=1)] = 240
    """Distance between two sub-images."""
    seed: int = 0
    """Seed of the pool."""

    @model_validator(mode="after")
    def _of_one_scale(self) -> PoolSettings:
        _check_scale("degradation.scale", self.degradation.scale, SCALE)
        return self


class OwnRegulariser(Settings):
    """A regulariser of one's own, or one of ours with other arguments, under a name of its own."""

    factory: Annotated[str, Field(pattern=r"^[^:]+:[A-Za-z_]\w*$")]
    """What makes it, FILE.py:FUNCTION or MODULE:FUNCTION: called with the strength in a model's
    name, it returns a reflash.training.regulariser.Regulariser."""
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the function, beside the strength."""


def regulariser_names() -> list[str]:
    """Return the names of our own regularisers, a file each."""
    folder = Path(__file__).with_name("regularisers")
    return sorted(path.stem for path in folder.glob("[a-z]*.py"))


class RegulariserSettings(OwnRegulariser):
    """A regulariser of one run."""

    name: str
    """What models call it."""
    strength: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """How strong it is: what the number means is the regulariser's."""
    code: str = ""
    """Hash of the factory's file: another file is another regulariser."""


class RunSettings(Settings):
    """One run: everything that ``reflash train --config`` needs to know."""

    id: str
    """Stable readable name, e.g. srresnet/multi/last_conv-channel-p0.7/seed0."""
    network: NetworkSettings
    """Architecture and its size."""
    dropout: Dropout
    """Where dropout sits, e.g. last_conv-channel-p0.7, or none."""
    regularisers: tuple[RegulariserSettings, ...] = ()
    """Regularisers other than dropout."""
    setting: Setting
    """Degradation of the training pairs: single (bicubic), multi (second order), or a task's."""
    seed: Annotated[int, Field(ge=0)]
    """Seed of the initial weights, the data stream and the dropout masks."""
    pairs: PairSettings = PairSettings()
    """What the network sees."""
    degradation: SecondOrderSettings = SecondOrderSettings()
    """The second-order degradation (setting multi, pairs online)."""
    training: TrainingSettings = TrainingSettings()
    """The optimisation."""
    sub_image: Annotated[int, Field(ge=1)] | None = 480
    """Side of the overlapping sub-images windows are taken from; null: the whole image."""
    step: Annotated[int, Field(ge=1)] = 240
    """Distance between two sub-images."""

    @model_validator(mode="after")
    def _of_one_setting(self) -> RunSettings:
        of_task = self.setting not in ("single", "multi")
        _check_scale("network.scale", self.network.scale, 1 if of_task else SCALE)
        _check_scale("degradation.scale", self.degradation.scale, SCALE)
        for kind in self.training.validation.kinds:
            if (kind not in KINDS) != of_task:
                raise ValueError(
                    f"training.validation.kinds: {kind} is of "
                    f"{'super-resolution' if of_task else 'other tasks'}, and the setting is "
                    f"{self.setting}; name kinds of its own"
                )
        return self

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a run's regularisers where it has none: runs of before stay what they are."""
        values: dict[str, Any] = handler(self)
        if not self.regularisers:
            values.pop("regularisers", None)
        return values
