"""Upscaling a user's own images."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reflash.core.errors import ReflashError, StopError
from reflash.core.failures import Failures
from reflash.core.files import atomic, require_folder
from reflash.core.progress import say, track
from reflash.datasets.images import good_images, read_rgba, write_png
from reflash.datasets.manifest import MANIFEST, write_manifest
from reflash.evaluation.upscalers import Upscaler, bicubic_upscale, open_upscaler

_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"lossless": True},
    ".tif": {"compression": "tiff_lzw"},
    ".tiff": {"compression": "tiff_lzw"},
    ".bmp": {},
}
_OPAQUE_FORMATS = (".jpg", ".jpeg", ".bmp")


def upscale_path(
    source: Path | str,
    destination: Path | str,
    weights: Path | str,
    tile: int | None = None,
    device: str = "auto",
    key: Literal["params", "params_ema"] | None = None,
    limit: int | None = None,
    manifest: bool = False,
    overwrite: bool = False,
    recursive: bool = False,
    overlap: int | None = None,
) -> list[Path]:
    """Upscale an image, or every image of a folder, by the factor of the network (four).

    Images of any size and colour mode are read, and upright; colours are taken as sRGB, whatever
    profile a file names. The result has 8-bit RGB colours without a colour profile; transparency
    is upscaled with bicubic interpolation. An image that cannot be done does not keep the others
    of its folder from being done.

    Parameters
    ----------
    source : path
        An image file, or a folder of which the image files are taken.
    destination : path
        For a file: the file to write (the suffix says the format: png, jpg, webp, tif, bmp), or a
        folder. For a folder: the folder to write ``NAME.png`` to.
    weights : path or str
        A weights file, or the word ``bicubic``.
    tile : int, optional
        Side of a tile in pixels of the source; see `reflash.evaluation.inference.upscale_tensor`.
    device : str
        ``auto``, ``cpu``, ``cuda``, ...
    key : {"params", "params_ema"}, optional
        Which weights of the file; by default what it holds, raw ones if both.
    limit : int, optional
        Only so many images of a folder, the first by name.
    manifest : bool
        Once all images of a folder are done, write ``manifest.csv`` with their pixel hashes.
    overwrite : bool
        Replace files that exist.
    recursive : bool
        Also the images of a folder's subfolders, to subfolders of the same names.
    overlap : int, optional
        Pixels of the source around a tile that it is computed with; see ``tile``.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ReflashError
        Nothing to read, a destination that exists, is the source, or whose format is not known or
        cannot hold transparency, unreadable weights, an output that is not finite; or, after all
        others were done, the images that could not be.
    """
    source, destination = Path(source), Path(destination)
    failures = Failures()
    if manifest and not source.is_dir():
        raise ReflashError(f"{source}: --manifest lists a folder's images; name a folder")
    jobs = _plan(source, destination, recursive, failures)[:limit]
    total = len(jobs) + len(failures.errors)
    if not overwrite:
        _refuse_existing([out for _, out in jobs])
    upscaler = open_upscaler(weights, key, tile, overlap, device)
    written: list[Path] = []
    if manifest:
        (destination / MANIFEST).unlink(missing_ok=True)
    for path, out in track(jobs, "upscaling") if source.is_dir() else jobs:
        with failures.caught(path.name):
            line = _upscale_file(upscaler, path, out)
            written.append(out)
            if not source.is_dir():
                say(line)
    failures.check(source, total, "upscaled")
    if manifest:
        write_manifest(destination, [str(path.relative_to(destination)) for path in written])
    if source.is_dir():
        say(f"{source}: {len(written)} images upscaled to {destination}")
    return written


def _plan(
    source: Path, destination: Path, recursive: bool, failures: Failures
) -> list[tuple[Path, Path]]:
    """Return (source file, destination file) pairs after checking that they make sense."""
    if source.is_dir():
        if destination.exists():
            require_folder(destination, "the source is a folder, so name a folder to write to")
            if destination.samefile(source):
                raise ReflashError(
                    f"{destination}: is the source folder, whose images would be overwritten; "
                    "name another folder"
                )
        images = good_images(source, failures, recursive)
        return [
            (path, destination / path.relative_to(source).with_name(f"{path.stem}.png"))
            for path in images
        ]
    if not source.exists():
        raise ReflashError(f"{source}: no such file or folder; name an image or a folder of images")
    if destination.is_dir() or not destination.suffix:
        destination = destination / f"{source.stem}.png"
    if destination.suffix.lower() not in _SAVE_OPTIONS:
        known = ", ".join(suffix[1:] for suffix in _SAVE_OPTIONS)
        raise ReflashError(
            f"{destination}: cannot write images as {destination.suffix[1:]}; use one of {known}"
        )
    if destination.exists() and destination.samefile(source):
        raise ReflashError(
            f"{destination}: is the source and would be overwritten; name another file"
        )
    return [(source, destination)]


def _refuse_existing(files: list[Path]) -> None:
    existing = [path for path in files if path.exists()]
    if existing:
        others = f" (and {len(existing) - 1} others)" if len(existing) > 1 else ""
        raise ReflashError(
            f"{existing[0]}: exists already{others}; "
            "name another place, or replace with --overwrite"
        )


def _upscale_file(upscaler: Upscaler, source: Path, destination: Path) -> str:
    """Upscale one image and return a line that says so."""
    start = time.perf_counter()
    rgb, alpha = read_rgba(source)
    suffix = destination.suffix.lower()
    if alpha is not None and suffix in _OPAQUE_FORMATS:
        if alpha.min() < 255:
            raise ReflashError(
                f"{destination}: {suffix[1:]} cannot hold the transparency of {source}; "
                "use png, webp or tif"
            )
        alpha = None
    try:
        sr = upscaler(rgb)
    except StopError as error:
        raise StopError(f"{error} (for the image {source})") from error
    if alpha is not None:
        sr = np.dstack([sr, bicubic_upscale(alpha, sr.shape[0] // rgb.shape[0])])
    _save(destination, sr)
    return (
        f"{source} ({rgb.shape[1]}x{rgb.shape[0]}) -> {destination} ({sr.shape[1]}x{sr.shape[0]}) "
        f"in {time.perf_counter() - start:.1f} s"
    )


def _save(path: Path, image: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) or (H, W, 4) uint8 in the format of the path's suffix."""
    suffix = path.suffix.lower()
    if suffix == ".png":
        write_png(path, image)
        return
    encoded = io.BytesIO()
    try:
        kind = Image.registered_extensions()[suffix]
        Image.fromarray(image).save(encoded, kind, **_SAVE_OPTIONS[suffix])
    except (ValueError, OSError) as error:
        raise ReflashError(
            f"{path}: {suffix[1:]} cannot hold {image.shape[1]}x{image.shape[0]} pixels; use png"
        ) from error
    with atomic(path) as temporary:
        temporary.write_bytes(encoded.getvalue())
