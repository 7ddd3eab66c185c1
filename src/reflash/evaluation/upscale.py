"""Enlarging a user's own pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reflash.core.errors import ReflashError
from reflash.core.files import atomic, require_folder
from reflash.datasets.images import list_images, read_rgba, write_png
from reflash.datasets.manifest import write_manifest
from reflash.evaluation.baseline import bicubic_upscale
from reflash.evaluation.upscalers import Upscaler, open_upscaler

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
    console: Console | None = None,
    limit: int | None = None,
    manifest: bool = False,
) -> list[Path]:
    """Enlarge a picture, or every picture of a folder, by the factor of the network (four).

    Pictures of any size, colour mode and orientation are read as a viewer shows them. The result
    has 8-bit RGB colours without a colour profile; transparency is enlarged with bicubic
    interpolation. A picture that cannot be done does not keep the others of its folder from being
    done.

    Parameters
    ----------
    source : path
        An image file, or a folder of which the image files are taken, subfolders not.
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
    console : rich.console.Console, optional
        Where to report: a progress bar on a terminal, else a line per picture. By default
        standard error.
    limit : int, optional
        Only so many pictures of a folder, the first by name.
    manifest : bool
        Also write ``manifest.csv`` with the pixel hashes of a folder's results.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ReflashError
        Nothing to read, a destination that would overwrite the source or whose format is not
        known or cannot hold transparency, unreadable weights; or, after all others were done, the
        pictures that could not be.
    """
    source, destination = Path(source), Path(destination)
    console = console or Console(stderr=True)
    jobs = _plan(source, destination)[:limit]
    upscaler = open_upscaler(weights, key, tile, device=device)
    if not source.is_dir():
        with _reporting(console, 1) as report:
            report(_upscale_file(upscaler, *jobs[0]))
        return [jobs[0][1]]
    written, failed = [], []
    with _reporting(console, len(jobs)) as report:
        for path, out in jobs:
            try:
                report(_upscale_file(upscaler, path, out))
                written.append(out)
            except ReflashError as error:
                report(f"error: {error}")
                failed.append(path.name)
    if failed:
        raise ReflashError(
            f"{source}: {len(failed)} of {len(jobs)} images could not be upscaled "
            f"({', '.join(failed)}); mend or remove them and run again"
        )
    if manifest:
        write_manifest(destination, [path.name for path in written])
    return written


def _plan(source: Path, destination: Path) -> list[tuple[Path, Path]]:
    """Return (source file, destination file) pairs after checking that they make sense."""
    if source.is_dir():
        if destination.exists():
            require_folder(destination, "the source is a folder, so name a folder to write to")
            if destination.samefile(source):
                raise ReflashError(
                    f"{destination}: is the source folder, whose images would be overwritten; "
                    "name another folder"
                )
        return [(path, destination / f"{path.stem}.png") for path in list_images(source)]
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


def _upscale_file(upscaler: Upscaler, source: Path, destination: Path) -> str:
    """Enlarge one picture and return a line that says so."""
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
    sr = upscaler(rgb)
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
    with atomic(path) as temporary:
        try:
            Image.fromarray(image).save(temporary, **_SAVE_OPTIONS[suffix])
        except (ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ReflashError(
                f"{path}: {suffix[1:]} cannot hold {image.shape[1]}x{image.shape[0]} pixels; "
                "use png"
            ) from error


@contextmanager
def _reporting(console: Console, total: int) -> Iterator[Callable[[str], None]]:
    """Yield a function that reports one finished picture, with a progress bar on a terminal."""
    done = 0

    def line(text: str) -> None:
        nonlocal done
        done += 1
        prefix = f"[{done}/{total}] " if total > 1 else ""
        console.print(prefix + text, markup=False, highlight=False, soft_wrap=True)

    if not console.is_terminal or total == 1:
        yield line
        return
    columns = (TextColumn("upscaling"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("upscaling", total=total)

        def advance(text: str) -> None:
            line(text)
            progress.advance(task)

        yield advance
