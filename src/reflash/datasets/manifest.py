"""What a folder of images holds: names, sizes and pixel hashes, in ``manifest.csv``.

Images are identified by their decoded pixels, never by their file bytes: mirrors of the public
test sets hold the same images in differently compressed files.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reflash.core.errors import ReflashError
from reflash.core.files import require_file, write_text
from reflash.datasets.images import (
    EXTENSIONS,
    Pixels,
    list_images,
    read_bytes,
    read_rgb,
    true_suffix,
)
from reflash.datasets.parallel import ordered_map

MANIFEST = "manifest.csv"
_COLUMNS = ("name", "file", "width", "height", "sha256_rgb8")


class Entry(NamedTuple):
    """One image of a manifest."""

    name: str
    """The file name without its suffix."""
    file: str
    """The file name; empty where a manifest leaves the format open."""
    width: int
    height: int
    sha256_rgb8: str
    """``pixel_hash`` of the image."""


def pixel_hash(rgb: Pixels) -> str:
    """SHA-256 (hexadecimal) of the bytes of ``rgb``, (H, W, 3) uint8, row by row."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"expected (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    return hashlib.sha256(np.ascontiguousarray(rgb).data).hexdigest()


def describe(file: str, rgb: Pixels) -> Entry:
    """Return the manifest entry of the image ``rgb`` stored as ``file``."""
    return Entry(Path(file).stem, file, rgb.shape[1], rgb.shape[0], pixel_hash(rgb))


def write_manifest(
    folder: Path | str, files: Iterable[str | tuple[str, Pixels] | Entry] | None = None
) -> Path:
    """Write ``folder/manifest.csv``, sorted by name, and return its path.

    Parameters
    ----------
    folder
        Where the images lie.
    files
        The file names in ``folder`` to enter, each alone (it is then decoded), with its pixels
        ``(file, rgb)``, or as a finished entry. By default every image of the folder.

    Equal images under equal names give an equal file, byte for byte.
    """
    folder = Path(folder)
    if files is None:
        files = [path.name for path in list_images(folder)]
    entries = []
    for item in files:
        if isinstance(item, Entry):
            entries.append(item)
        elif isinstance(item, str):
            entries.append(describe(item, read_rgb(folder / item)))
        else:
            entries.append(describe(*item))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(sorted(entries))
    write_text(folder / MANIFEST, text.getvalue())
    return folder / MANIFEST


def join_tables(files: Iterable[Path | str], out: Path | str) -> None:
    """Write CSV tables with the same columns as one, each row behind its file's path (``source``).

    Raises
    ------
    ReflashError
        A file is missing or no table, or its columns are not those of the first.
    """
    columns: list[str] = []
    rows: list[list[str]] = []
    for path in map(Path, files):
        require_file(path, "run the step that makes it")
        try:
            with path.open(newline="", encoding="utf-8") as file:
                head, *body = csv.reader(file)
        except (ValueError, csv.Error) as error:
            raise ReflashError(f"{path}: not a CSV table; delete it and run again") from error
        columns = columns or head
        if head != columns:
            raise ReflashError(f"{path}: columns {', '.join(head)}, not {', '.join(columns)}")
        rows += [[path.as_posix(), *row] for row in body]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["source", *columns], *rows])
    write_text(out, text.getvalue())


def read_manifest(path: Path | str) -> list[Entry]:
    """Read a manifest: a CSV file, or the ``manifest.csv`` of a folder.

    Further columns are ignored and the column ``file`` may be missing (a manifest of a public
    set leaves the file format open).

    Raises
    ------
    ReflashError
        The file is missing or is not a manifest.
    """
    path = Path(path)
    if path.is_dir():
        path = path / MANIFEST
    require_file(path, "run the step that prepares this folder again")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            entries = [
                Entry(
                    row["name"],
                    row.get("file") or "",
                    int(row["width"]),
                    int(row["height"]),
                    row["sha256_rgb8"],
                )
                for row in csv.DictReader(file)
            ]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ReflashError(f"{path}: not a manifest of images; delete it and run again") from error
    names = [entry.name for entry in entries]
    if not names or len(set(names)) != len(names) or any(len(e.sha256_rgb8) != 64 for e in entries):
        raise ReflashError(f"{path}: not a manifest of images; delete it and run again")
    return entries


def check_image(entry: Entry, path: Path) -> str | None:
    """Compare the image file ``path`` with ``entry``: one line that says what is wrong, or None."""
    try:
        rgb = read_rgb(path)
    except ReflashError as error:
        return str(error)
    if rgb.shape[:2] != (entry.height, entry.width):
        return (
            f"{path}: is {rgb.shape[1]}x{rgb.shape[0]} pixels, "
            f"should be {entry.width}x{entry.height}; get this file again"
        )
    if pixel_hash(rgb) != entry.sha256_rgb8:
        return f"{path}: its pixels differ from the manifest's{disguise(path)}; get this file again"
    return None


def disguise(path: Path, suffix: str | None = None) -> str:
    """Return a remark for messages where the file's name is that of another format.

    ``suffix`` is what fits the content; by default it is found out.
    """
    suffix = suffix or true_suffix(path, read_bytes(path)[:16])
    same = suffix == path.suffix.lower()
    return "" if same else f" (it is a {suffix[1:].upper()} file named {path.suffix})"


def check_folder(folder: Path | str, manifest: Sequence[Entry] | None = None) -> list[str]:
    """Compare the images of ``folder`` with ``manifest`` (by default the folder's own).

    An entry without ``file`` matches an image of that name in any format. Returns one line for
    each file that is missing, unreadable, of another size, changed, or not in the manifest; an
    empty list means that the folder holds exactly what the manifest says.
    """
    folder = Path(folder)
    if manifest is None:
        manifest = read_manifest(folder)
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not path.name.startswith(".") and path.suffix.lower() in EXTENSIONS and path.is_file():
            found.setdefault(path.stem, []).append(path)
    pairs: list[tuple[Entry, Path | None]] = []
    for entry in manifest:
        candidates = found.get(entry.name, [])
        match = [path for path in candidates if path.name == entry.file or not entry.file]
        pairs.append((entry, match[0] if match else None))
        if match:
            candidates.remove(match[0])

    def check(pair: tuple[Entry, Path | None]) -> str | None:
        entry, path = pair
        if path is None:
            return f"{folder / (entry.file or entry.name)}: missing; get this file again"
        return check_image(entry, path)

    problems = [problem for problem in ordered_map(check, pairs) if problem]
    extra = sorted(path for paths in found.values() for path in paths)
    problems.extend(f"{path}: not in the manifest; move it elsewhere" for path in extra)
    return problems
