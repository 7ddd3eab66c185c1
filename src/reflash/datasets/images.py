"""Reading any image file as 8-bit RGB, writing PNG, listing a folder of images.

Two readers, because a dataset and a user's photograph want different things:

* ``read_rgb`` gives the colours exactly as stored: alpha is dropped without compositing and the
  EXIF orientation is ignored, so that the pixel hash of a dataset image never depends on metadata.
* ``read_rgba`` gives what an image viewer shows: EXIF orientation applied, alpha kept apart.

No colour profile is applied by either. Files of several images give their first, and say so.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import cv2
import numpy as np

from reflash.core.errors import ReflashError, printable
from reflash.core.failures import Failures
from reflash.core.files import atomic
from reflash.core.progress import say
from reflash.datasets.decoding import (
    HEIC,
    MAX_PIXELS,
    Decoded,
    Pixels,
    decode,
    has_avif,
    has_heif,
    suffixes_of,
    upright,
)

__all__ = [
    "EXTENSIONS",
    "MAX_PIXELS",
    "Listing",
    "Pixels",
    "centre_crop",
    "decode_rgb",
    "find_images",
    "good_images",
    "image_name",
    "is_image_name",
    "list_images",
    "mod_crop",
    "read_bytes",
    "read_rgb",
    "read_rgba",
    "true_suffix",
    "write_png",
]

EXTENSIONS = (
    frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
    | (frozenset({".avif"}) if has_avif() else frozenset())
    | (HEIC if has_heif() else frozenset())
)
"""What counts as an image in a folder, compared in lower case."""

_OWN_FILES = frozenset({"manifest.csv", "SHA256SUMS"})

_PNG_COMPRESSION = 2  # zlib level: within 2 % of the default level's size in half its time


def read_rgb(path: Path | str) -> Pixels:
    """Read an image file as 8-bit RGB, colours as stored.

    Grey is repeated in three channels, a palette is looked up, CMYK is converted by Pillow's
    formula, 16-bit values are scaled to 8 bit by rounding ``value / 257``. Alpha is dropped, not
    composited, and the EXIF orientation is ignored: a dataset is hashed and used as stored. (The
    orientation of a TIFF belongs to its decoding and is always applied.)

    Returns
    -------
    (H, W, 3) uint8, C-contiguous and writable.

    Raises
    ------
    ReflashError
        The file is missing, truncated, not an image, of more than 8 or 16 bits per channel, or
        larger than ``MAX_PIXELS``.
    """
    return decode_rgb(path, read_bytes(path))


def read_bytes(path: Path | str) -> bytes:
    """Return the content of an image file.

    Raises
    ------
    ReflashError
        The file is missing or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ReflashError(f"{path}: cannot be read ({reason}); check the path") from error


def _decode(path: Path, data: bytes) -> Decoded:
    if ".tif" in suffixes_of(data):
        from reflash.datasets.tiff import decode_tiff  # tifffile is slow to import

        decoded = decode_tiff(path, data)
    else:
        decoded = decode(path, data)
    if decoded.frames > 1:
        say(printable(f"{path}: the first of its {decoded.frames} images is taken"))
    return decoded


def decode_rgb(path: Path | str, data: bytes) -> Pixels:
    """Decode the content ``data`` of an image file as ``read_rgb`` does; ``path`` names it."""
    return _decode(Path(path), data).rgb


def true_suffix(path: Path | str, data: bytes) -> str:
    """Return the suffix, in lower case, that fits the content ``data`` of the image file ``path``.

    That of ``path``, unless the content begins as another of the formats in ``EXTENSIONS`` does.
    """
    suffix, fits = Path(path).suffix.lower(), suffixes_of(data)
    return suffix if suffix in fits or not fits else fits[0]


def read_rgba(path: Path | str) -> tuple[Pixels, Pixels | None]:
    """Read an image file upright, as 8-bit RGB and 8-bit alpha.

    Like ``read_rgb``, but the EXIF orientation is applied and transparency is returned.

    Returns
    -------
    rgb : (H, W, 3) uint8
    alpha : (H, W) uint8, or None where the file stores no transparency.
    """
    rgb, alpha, orientation, _ = _decode(Path(path), read_bytes(path))
    return upright(rgb, orientation), None if alpha is None else upright(alpha, orientation)


def write_png(path: Path | str, image: Pixels) -> None:
    """Write (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA uint8 as PNG, whole or not at all.

    The same array gives the same bytes with the same OpenCV.

    Raises
    ------
    ValueError
        ``image`` is not uint8, empty, or of another shape.
    """
    if image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"expected a non-empty uint8 array, got {image.dtype} {image.shape}")
    if image.ndim == 2:
        stored = image
    elif image.ndim == 3 and image.shape[2] in (3, 4):
        code = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        stored = cv2.cvtColor(np.ascontiguousarray(image), code).astype(np.uint8, copy=False)
    else:
        raise ValueError(f"expected (H, W), (H, W, 3) or (H, W, 4), got {image.shape}")
    _, encoded = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_COMPRESSION])
    with atomic(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def mod_crop(image: Pixels, mod: int, name: str = "image") -> Pixels:
    """Crop ``image`` (H, W, ...) at the bottom and right to multiples of ``mod``; a view.

    Raises
    ------
    ReflashError
        A side is smaller than ``mod``; the message begins with ``name``.
    """
    height, width = image.shape[:2]
    if height < mod or width < mod:
        raise ReflashError(
            f"{name}: {width}x{height} pixels are too few for a crop to multiples of {mod}; "
            f"use images of at least {mod}x{mod}"
        )
    return image[: height - height % mod, : width - width % mod]


def centre_crop(image: Pixels, height: int | None, width: int | None = None) -> Pixels:
    """Cut ``image`` (H, W, ...) to its centre, or less where it is smaller; a view.

    Parameters
    ----------
    height, width
        Size in pixels; by default ``width`` is ``height``. None: all of it.

    Examples
    --------
    >>> centre_crop(np.arange(25, dtype=np.uint8).reshape(5, 5), 3, 1).tolist()
    [[7], [12], [17]]
    """
    if height is None:
        return image
    sides = (height, height if width is None else width)
    (top, h), (left, w) = (
        (max(0, (length - side) // 2), side)
        for length, side in zip(image.shape[:2], sides, strict=True)
    )
    return image[top : top + h, left : left + w]


class Listing(NamedTuple):
    """What a folder of images holds."""

    images: list[Path]
    """Files to read, sorted by name without suffix."""
    problems: list[str]
    """One line for each image that cannot be taken: a broken link, no file, a bad name, ..."""
    left_out: Counter[str]
    """How many other things there are, by what they are."""

    def note(self) -> str:
        """Say what was left out and why; empty where nothing was."""
        total = sum(self.left_out.values())
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.left_out.items()))
        return f"{total} left out ({kinds})" if total else ""


def list_images(folder: Path | str, recursive: bool = False, tell: bool = False) -> list[Path]:
    """List the image files of ``folder`` (see ``EXTENSIONS``), sorted by name without suffix.

    Hidden files are ignored. The name without suffix identifies an image everywhere in this
    project, so it must be unique.

    Parameters
    ----------
    folder
    recursive
        Also those of its subfolders; these are named ``sub/NAME``.
    tell
        Say on standard error how many other things were left out, and why.

    Raises
    ------
    ReflashError
        The folder is missing or holds no image; two files differ only in their suffix; or an image
        cannot be read as a file (a link to nowhere, a name that is not UTF-8, ...).
    """
    listing = find_images(folder, recursive)
    if tell and (note := listing.note()):
        say(printable(f"{folder}: {note}"))
    if listing.problems:
        raise ReflashError("; ".join(listing.problems))
    return listing.images


def good_images(folder: Path | str, failures: Failures, recursive: bool = False) -> list[Path]:
    """List the images of ``folder`` as ``list_images`` does, for a run that does the good ones.

    What cannot be taken as an image is added to ``failures``, what was left out is told.

    Raises
    ------
    ReflashError
        The folder is missing or holds no image at all.
    """
    listing = find_images(folder, recursive)
    failures.add(listing.problems)
    if note := listing.note():
        say(printable(f"{folder}: {note}"))
    return listing.images


def find_images(folder: Path | str, recursive: bool = False) -> Listing:
    """Look through ``folder`` as ``list_images`` does, but leave it to the caller what to do.

    Raises
    ------
    ReflashError
        The folder is missing or holds no image at all.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ReflashError(f"{folder}: no such folder; name a folder that holds images")
    listing = Listing([], [], Counter())
    named: dict[Path, Path] = {}
    for path in _walk(folder, recursive, listing):
        name = path.relative_to(folder).with_suffix("")
        problem = _problem(path, str(name))
        if not problem and name in named:
            problem = f"has the same name as {named[name].name}; rename or remove one"
        if problem:
            listing.problems.append(str(ReflashError(f"{path}: {problem}")))
        else:
            named[name] = path
    listing.images.extend(named[name] for name in sorted(named, key=str))
    if not listing.images and not listing.problems:
        kinds = ", ".join(sorted(suffix[1:] for suffix in EXTENSIONS))
        note = f" ({listing.note()})" if listing.note() else ""
        raise ReflashError(f"{folder}: holds no image{note}; put images there ({kinds})")
    return listing


def image_name(path: PurePath) -> str:
    r"""Return what an image is called: its file name without suffix, in composed Unicode (NFC).

    Some systems store an accented letter as one character, others as two.

    >>> image_name(PurePath("hr/mu\u0308nchen.png")) == "m\u00fcnchen"
    True
    """
    return unicodedata.normalize("NFC", path.stem)


def is_image_name(path: PurePath) -> bool:
    """Tell whether a file is an image by its name; hidden ones are not."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def _walk(folder: Path, recursive: bool, listing: Listing) -> Iterator[Path]:
    """Yield everything named as an image, noting the rest in ``listing``."""
    seen: set[tuple[int, int]] = set()
    folders = [folder]
    while folders:
        here = folders.pop(0)
        state = here.stat()
        if (state.st_dev, state.st_ino) in seen:  # a link back to a folder above
            continue
        seen.add((state.st_dev, state.st_ino))
        try:
            inside = sorted(here.iterdir())
        except OSError as error:
            if here == folder:
                raise
            reason = (error.strerror or str(error)).lower()
            listing.problems.append(f"{printable(str(here))}: cannot be read ({reason})")
            continue
        for path in inside:
            if path.name.startswith(".") or path.name in _OWN_FILES:
                continue
            if path.is_dir():
                if recursive:
                    folders.append(path)
                else:
                    listing.left_out["subfolder (see --recursive)"] += 1
            elif is_image_name(path):
                yield path
            else:
                listing.left_out[_other(path.suffix.lower())] += 1


def _other(suffix: str) -> str:
    if suffix in HEIC:
        return f"{suffix} (needs pip install 'reflash[heic]')"
    return printable(suffix) or "without suffix"


def _problem(path: Path, name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    if path.is_file():
        return ""
    if path.is_symlink():
        target = path.readlink()
        return f"is a link to {target}, which is not there; restore that or remove the link"
    return "is not a file; remove it"
