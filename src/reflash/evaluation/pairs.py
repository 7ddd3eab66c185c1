"""Which LR image belongs to which HR image, and reading one beside the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.failures import Failures
from reflash.core.settings import SCALE
from reflash.datasets.images import Pixels, find_images, good_images, image_name, read_rgb


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
            f"({width}x{height}); "
            + (
                f"crop HR images to multiples of {scale} and make LR from those"
                if scale > 1
                else "these networks keep the size of images: make LR with reflash degrade"
            )
        )
    return lr


def set_name(hr: Path | str) -> str:
    """Return what a folder of HR images is called: its name, or its parent's if it is ``hr``.

    >>> set_name("/data/Set5/hr"), set_name("/data/photos")
    ('Set5', 'photos')
    """
    folder = Path(hr).resolve()
    return folder.parent.name if folder.name.lower() == "hr" else folder.name


def match_upscaled(
    hr_folder: Path | str, sr_folders: Mapping[str, Path | str], failures: Failures
) -> list[tuple[Path, dict[str, Path]]]:
    """Find the SR image of every HR image in every folder of SR images.

    Beside the names of `match_images`, ``NAME_*.*`` is taken where it is the only one, as
    programs write it (``baby_out.png``, ``baby_SwinIR.png``).

    Raises
    ------
    ReflashError
        A folder is missing or empty, or a name could be that of several images.
    """
    pairs = match_images(hr_folder, sr_folders, failures)
    names = [image_name(path) for path, _ in pairs]
    for kind, folder in sr_folders.items():
        found = {image_name(path): path for path in find_images(folder).images}
        taken = {image_name(of_kind[kind]) for _, of_kind in pairs if of_kind[kind].is_file()}
        for name, (_, of_kind) in zip(names, pairs, strict=True):
            if of_kind[kind].is_file():
                continue
            # The longest name counts: img_1_out.png is of img_1, not of img.
            longer = tuple(f"{other}_" for other in names if other.startswith(f"{name}_"))
            fits = [
                other
                for other in found
                if other.startswith(f"{name}_")
                and other not in taken
                and not (longer and other.startswith(longer))
            ]
            if len(fits) > 1:
                raise ReflashError(
                    f"{folder}: {', '.join(fits[:3])} could all be {name} of {hr_folder}; "
                    "keep one result of each image in a folder"
                )
            if fits:
                of_kind[kind] = found[fits[0]]
    return pairs


def read_upscaled(sr_path: Path, hr_path: Path, hr: Pixels) -> Pixels:
    """Read the SR image of ``hr`` (H, W, 3) uint8, read from ``hr_path``.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ReflashError
        There is no such file, it cannot be read, or its size is another.
    """
    if not sr_path.is_file():
        raise ReflashError(f"{sr_path}: no SR image for {hr_path}; add it, or remove the HR image")
    sr = read_rgb(sr_path)
    if sr.shape != hr.shape:
        raise ReflashError(
            f"{sr_path}: {sr.shape[1]}x{sr.shape[0]} pixels, but {hr_path} has "
            f"{hr.shape[1]}x{hr.shape[0]}; upscale the LR images of these HR images"
        )
    return sr
