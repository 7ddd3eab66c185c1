"""Which LR image belongs to which HR image, and reading one beside the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.failures import Failures
from reflash.datasets.images import Pixels, find_images, good_images, image_name, read_rgb
from reflash.evaluation.upscalers import SCALE


def match_images(
    hr_folder: Path | str, lr_folders: Mapping[str, Path | str], failures: Failures
) -> list[tuple[Path, dict[str, Path]]]:
    """Find the LR image of every HR image in every LR folder.

    ``NAME.*`` belongs to ``NAME.*`` or ``NAMEx4.*`` (names as `image_name` gives them); further
    LR images are not looked at.

    Parameters
    ----------
    hr_folder, lr_folders
        See `reflash.evaluation.evaluate.evaluate`.
    failures : Failures
        Gets what stands in the HR folder but cannot be taken for an image.

    Returns
    -------
    list of (path, dict of kind to path)
        In the order of the HR images' names. Where there is no LR image the path is that of
        the file which is missing.

    Raises
    ------
    ReflashError
        No LR folder is given, or a folder is missing or empty.
    """
    if not lr_folders:
        raise ReflashError(f"{hr_folder}: no LR folder to compare with; name at least one")
    found = {
        kind: {image_name(path): path for path in find_images(folder).images}
        for kind, folder in lr_folders.items()
    }
    pairs = []
    for hr_path in good_images(hr_folder, failures):
        name = image_name(hr_path)
        lr_paths = {
            kind: of_kind.get(name)
            or of_kind.get(f"{name}x{SCALE}")
            or Path(lr_folders[kind]) / f"{hr_path.stem}.png"
            for kind, of_kind in found.items()
        }
        pairs.append((hr_path, lr_paths))
    return pairs


def read_lr(lr_path: Path, hr_path: Path, hr: Pixels, scale: int) -> Pixels:
    """Read the LR image of ``hr`` (scale * h, scale * w, 3) uint8, read from ``hr_path``.

    Returns
    -------
    (h, w, 3) uint8

    Raises
    ------
    ReflashError
        There is no such file, it cannot be read, or its size does not fit.
    """
    if not lr_path.is_file():
        raise ReflashError(
            f"{lr_path}: no LR image for {hr_path}; "
            "make it with reflash degrade, or remove the HR image"
        )
    lr = read_rgb(lr_path)
    height, width = lr.shape[:2]
    if hr.shape[:2] != (scale * height, scale * width):
        raise ReflashError(
            f"{hr_path}: {hr.shape[1]}x{hr.shape[0]} pixels are not {scale} times {lr_path} "
            f"({width}x{height}); crop HR images to multiples of {scale} and make LR from those"
        )
    return lr
