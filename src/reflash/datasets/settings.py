"""Where images come from: the training images and the test sets of a scale.

Both are unions told apart by ``source``, so that each source has exactly the keys it needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from reflash.core.errors import ReflashError
from reflash.core.settings import Settings
from reflash.datasets.registry import Dataset, find


def _trainable(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError(f"{', '.join(names)}: one is given twice; keep it once")
    for name in names:
        split = _known(name).split
        if split != "train":
            raise ValueError(
                f"{name} is not meant for training ({split}); use source: folder if you do mean it"
            )
    return names


def _has_hr(name: str) -> str:
    if _known(name).split == "real":
        raise ValueError(f"{name} has no HR images to degrade and compare with")
    if _known(name).folders:
        raise ValueError(f"{name} is one set in several degradations; use table seal")
    return name


def _known(name: str) -> Dataset:
    try:
        return find(name)
    except ReflashError as error:
        raise ValueError(str(error)) from error


class _TrainingImages(Settings):
    sub_image: Annotated[int, Field(ge=32)] | None = 480
    """Side of the sub-images that training windows are drawn from; null takes whole images."""
    step: Annotated[int, Field(ge=1)] = 240
    """Distance between neighbouring sub-images, in pixels."""


class DeadLeavesSettings(_TrainingImages):
    """Synthesise training images: no download, natural-image statistics."""

    source: Literal["dead_leaves"] = "dead_leaves"
    """Synthesise dead-leaves images."""
    count: Annotated[int, Field(ge=1)] = 48
    """How many images."""
    size: Annotated[int, Field(ge=32, le=4096)] = 256
    """Height and width in pixels."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of all images; an image depends on it and on its own number only."""
    r_min: Annotated[float, Field(ge=0.5, le=16)] = 1.0
    """Smallest leaf radius in pixels."""
    r_max: Annotated[float, Field(ge=8, le=4096)] = 128.0
    """Largest leaf radius in pixels."""
    texture: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Strength of shading, noise and stripes inside the leaves; 0 gives flat leaves."""
    blur: Annotated[float, Field(ge=0, le=2)] = 0.3
    """Sigma in pixels of the final blur, as of a lens and sensor."""
    sub_image: Annotated[int, Field(ge=32)] | None = None
    """Side of the sub-images that training windows are drawn from; null takes whole images."""

    @model_validator(mode="after")
    def _radii_in_order(self) -> DeadLeavesSettings:
        if self.r_max < 4 * self.r_min:
            raise ValueError("r_max must be at least 4 x r_min")
        return self


class DatasetTrainingSettings(_TrainingImages):
    """Train on named datasets, as released (DIV2K)."""

    source: Literal["dataset"] = "dataset"
    """Use datasets that `reflash data list` knows."""
    names: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_trainable)] = (
        "DIV2K_train",
    )
    """Their names."""


class FolderTrainingSettings(_TrainingImages):
    """Train on a folder of your own images."""

    source: Literal["folder"] = "folder"
    """Use the images of a folder."""
    folder: Path
    """The folder."""
    recursive: bool = False
    """Take the images of its subfolders, too."""


TrainingImagesSettings: TypeAlias = Annotated[
    DeadLeavesSettings | DatasetTrainingSettings | FolderTrainingSettings,
    Field(discriminator="source"),
]
"""Where the HR training images come from."""


class _TestSet(Settings):
    limit: Annotated[int, Field(ge=1)] | None = None
    """Take only the first so many images by name; null takes all."""
    crop: Annotated[int, Field(ge=16)] | None = None
    """Keep only the centre of each image, at most so many pixels wide and high."""


class SamplePhotosSettings(_TestSet):
    """Test on the photographs that ship inside scikit-image and scikit-learn."""

    source: Literal["sample_photos"] = "sample_photos"
    """Use the sample photographs; nothing is downloaded."""


class FolderTestSettings(_TestSet):
    """Test on a folder of your own images."""

    source: Literal["folder"] = "folder"
    """Use the images of a folder as HR images."""
    folder: Path
    """The folder."""
    recursive: bool = False
    """Take the images of its subfolders, too."""


class DatasetTestSettings(_TestSet):
    """Test on a named dataset."""

    source: Literal["dataset"] = "dataset"
    """Use a dataset that `reflash data list` knows."""
    name: Annotated[str, AfterValidator(_has_hr)]
    """Its name, e.g. Set5."""


TestSetSettings: TypeAlias = Annotated[
    SamplePhotosSettings | FolderTestSettings | DatasetTestSettings,
    Field(discriminator="source"),
]
"""Where the HR images of a test set come from."""
