"""What can be chosen about an evaluation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from reflash.core.settings import Settings

Metric = Literal[
    "psnr", "ssim", "psnr_y", "ssim_y", "psnr_low", "psnr_middle", "psnr_high", "psnr_usm"
]


def no_value_twice(values: tuple[object, ...]) -> tuple[object, ...]:
    """Refuse a setting that lists a value twice."""
    if len(set(values)) != len(values):
        raise ValueError("names a value twice; list each one once")
    return values


class EvaluationSettings(Settings):
    """How test images are upscaled and compared; the defaults are the released test protocol."""

    weights: Literal["params", "params_ema"] = "params"
    """Which weights of a file are judged: raw (what the released test protocol takes by BasicSR's
    default) or their average."""
    crop: Annotated[int, Field(ge=0)] = 4
    """Width in HR pixels of the border left out of PSNR and SSIM."""
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1), AfterValidator(no_value_twice)] = (
        "psnr",
        "ssim",
        "psnr_y",
        "ssim_y",
        "psnr_low",
        "psnr_middle",
        "psnr_high",
        "psnr_usm",
    )
    """Columns of the table: on RGB (psnr, ssim), on the BT.601 luma (psnr_y, ssim_y), of the error
    in one band of frequencies (psnr_low, _middle, _high), against the HR image sharpened as
    training targets are (psnr_usm)."""
    tile: Annotated[int, Field(ge=0)] | None = None
    """Side in LR pixels of an inference tile; 0 = whole image, null = whole if it is small."""
    overlap: Annotated[int, Field(ge=0)] | None = None
    """LR pixels of context around a tile; null = from the network's receptive field."""


SEAL = EvaluationSettings(crop=0, metrics=("psnr_y", "ssim_y"))
"""SEAL's convention: luma, no border cropped (inferred: plain bicubic gives its published mean)."""
