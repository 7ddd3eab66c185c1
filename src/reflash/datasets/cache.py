"""All training images decoded once, in one memory-mapped file of bytes.

``build_cache`` writes ``images.u8`` (the pixels of all images one after another), ``index.csv``
(name, height, width, offset) and last ``cache.json`` (the key of the content); a cache without a
fitting ``cache.json`` is not one. ``ImageCache`` reads it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reflash.core.errors import ReflashError
from reflash.core.files import atomic, remove_leftovers, write_json, write_text
from reflash.core.lock import only_one
from reflash.core.progress import track
from reflash.datasets.images import Pixels, read_rgb
from reflash.datasets.manifest import Entry, check_image, pixel_hash, read_manifest
from reflash.datasets.parallel import ordered_map
from reflash.datasets.space import require_space

_LAYOUT = "reflash image cache 1"
_PIXELS, _INDEX, _KEY = "images.u8", "index.csv", "cache.json"


class Region(NamedTuple):
    """A rectangle of an image that windows are drawn from."""

    image: int
    """Number of the image in the cache."""
    y: int
    x: int
    h: int
    w: int


def build_cache(folder: Path | str, dst: Path | str, workers: int | None = None) -> Path:
    """Decode the images of ``folder/manifest.csv`` into a cache in ``dst`` and return ``dst``.

    ``workers`` threads (by default one per core) decode; only a few images at a time are in
    memory. The disk need is said on stderr and checked first. A cache of the same content is left
    as it is. Processes that build the same cache at the same time wait for the first; one that was
    killed leaves nothing that would be taken for a cache.

    Raises
    ------
    ReflashError
        An image is missing, unreadable or not what the manifest says, or there is not enough
        free disk space.
    """
    folder, dst = Path(folder), Path(dst)
    entries = read_manifest(folder)
    key = _content_key(entries)
    dst.mkdir(parents=True, exist_ok=True)
    with only_one(dst / ".lock", f"{dst}: another process is building this cache; waiting"):
        if _stored_key(dst) == key:
            return dst
        (dst / _KEY).unlink(missing_ok=True)
        remove_leftovers(dst.absolute())  # before space is counted
        need = sum(3 * entry.height * entry.width for entry in entries)
        require_space(dst, need, f"cache of {len(entries)} images")

        def read(entry: Entry) -> Pixels:
            path = folder / entry.file
            rgb = read_rgb(path)
            if pixel_hash(rgb) != entry.sha256_rgb8:
                raise ReflashError(check_image(entry, path) or f"{path}: changed while it was read")
            return rgb

        offset, rows = 0, []
        with atomic(dst / _PIXELS) as temporary, temporary.open("wb") as file:
            images = track(ordered_map(read, entries, workers), "decoding", len(entries))
            for entry, rgb in zip(entries, images, strict=True):
                file.write(rgb.data)
                rows.append((entry.name, entry.height, entry.width, offset))
                offset += rgb.nbytes
        index = io.StringIO()
        writer = csv.writer(index, lineterminator="\n")
        writer.writerow(("name", "height", "width", "offset"))
        writer.writerows(rows)
        write_text(dst / _INDEX, index.getvalue())
        write_json(dst / _KEY, {"key": key, "bytes": offset, "images": len(rows)})
    return dst


class ImageCache:
    """Read access to a cache: ``len(cache)`` images, none of them copied into memory.

    Attributes
    ----------
    folder : Path
    key : str
        Hash of names, sizes and pixels of all images.
    names : list of str
    sizes : list of (height, width)
    offsets : list of int
        Where each image begins in ``pixels``.
    pixels : (N,) uint8 memory map
        All images, one after another, (H, W, 3) row by row.
    """

    def __init__(self, folder: Path) -> None:
        stored = _stored_key(folder)
        if stored is None:
            raise ReflashError(f"{folder}: not a finished image cache; build it again")
        self.folder, self.key = folder, stored
        with (folder / _INDEX).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.names = [row["name"] for row in rows]
        self.sizes = [(int(row["height"]), int(row["width"])) for row in rows]
        self.offsets = [int(row["offset"]) for row in rows]
        self.pixels = np.memmap(folder / _PIXELS, np.uint8, mode="r")

    @classmethod
    def open(cls, folder: Path | str) -> ImageCache:
        """Open the cache that ``build_cache`` wrote to ``folder``."""
        return cls(Path(folder))

    def __reduce__(self) -> tuple[type[ImageCache], tuple[Path]]:
        """Pickle the path, not the pixels."""
        return ImageCache, (self.folder,)

    def __len__(self) -> int:
        return len(self.names)

    def image(self, i: int) -> Pixels:
        """Return image ``i`` as a read-only view (H, W, 3) uint8."""
        (height, width), offset = self.sizes[i], self.offsets[i]
        return self.pixels[offset : offset + 3 * height * width].reshape(height, width, 3)

    def regions(self, sub_image: int | None = 480, step: int = 240) -> list[Region]:
        """List the sub-images of every image, as BasicSR's extract_subimages cuts them.

        Squares of side ``sub_image`` every ``step`` pixels, and one more at the right and bottom
        border where the grid leaves a rest. Along a side shorter than ``sub_image`` there is one
        position that takes all of it. With None each image is one region.
        """
        found = []
        for i, (height, width) in enumerate(self.sizes):
            h, w = (min(side, sub_image or side) for side in (height, width))
            found += [
                Region(i, y, x, h, w)
                for y in _positions(height, h, step)
                for x in _positions(width, w, step)
            ]
        return found

    def crop(self, region: Region, y: int, x: int, h: int, w: int) -> Pixels:
        """Return the window (h, w, 3) of ``region`` whose top left corner is (y, x) in it.

        Where the window reaches beyond the region, below or to the right, the region is continued
        by reflection without repeating the border (OpenCV's BORDER_REFLECT_101), as Real-ESRGAN
        pads images smaller than its crop. Read-only where no continuation is needed.
        """
        area = self.image(region.image)[
            region.y : region.y + region.h, region.x : region.x + region.w
        ]
        if y + h <= region.h and x + w <= region.w:
            return area[y : y + h, x : x + w]
        rows = _reflect(np.arange(y, y + h), region.h)
        columns = _reflect(np.arange(x, x + w), region.w)
        return area[rows[:, None], columns]


def _positions(length: int, crop: int, step: int) -> list[int]:
    """Return every ``step``-th start of a crop in ``length``, and the last possible one."""
    positions = list(range(0, length - crop + 1, step))
    if positions[-1] + crop < length:
        positions.append(length - crop)
    return positions


def _reflect(index: np.ndarray, length: int) -> np.ndarray:
    """Map indices beyond ``length`` back by reflection about the first and last element."""
    if length == 1:
        return np.zeros_like(index)
    index = index % (2 * length - 2)
    return np.minimum(index, 2 * length - 2 - index)


def _content_key(entries: list[Entry]) -> str:
    text = "\n".join([_LAYOUT, *(",".join(map(str, entry)) for entry in entries)])
    return hashlib.sha256(text.encode()).hexdigest()


def _stored_key(folder: Path) -> str | None:
    """Return the key of a complete cache, or None."""
    try:
        stored = json.loads((folder / _KEY).read_text(encoding="utf-8"))
        complete = (folder / _PIXELS).stat().st_size == stored["bytes"]
        return str(stored["key"]) if complete and (folder / _INDEX).is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
