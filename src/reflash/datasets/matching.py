"""Which image files are the images of a dataset: recognised by their pixels, not their names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from reflash.core.errors import ReflashError
from reflash.core.progress import track
from reflash.datasets.images import decode_rgb, is_image_name, read_bytes, true_suffix
from reflash.datasets.manifest import Entry, describe, disguise
from reflash.datasets.parallel import ordered_map


class Found(NamedTuple):
    """An image file and what is in it."""

    path: Path
    entry: Entry | None
    """Its description, or None where it cannot be read."""
    problem: str
    """Why it cannot be read, in one line; empty where it can."""
    suffix: str
    """The suffix that fits its content."""
    sha256_file: str
    """SHA-256 of its bytes; empty where it cannot be read."""
    bytes: int


class Match(NamedTuple):
    """How well image files fit a manifest."""

    pairs: list[tuple[str, Found]]
    """Name in the manifest and file, for each image that is there."""
    problems: list[str]
    """One line for each that is not."""
    missing: list[Entry]
    """The entries of the manifest that no file fits."""


def image_files(folder: Path, deep: bool = False) -> list[Path]:
    """Return the files of ``folder`` that are named as images, hidden ones left out.

    With ``deep``, those of its subfolders too. A folder that does not exist has none.
    """
    if not folder.is_dir():
        return []
    paths = folder.rglob("*") if deep else folder.iterdir()
    return sorted(path for path in paths if is_image_name(path) and path.is_file())


def scan(paths: Sequence[Path]) -> list[Found]:
    """Decode and hash image files, several at a time; a damaged one does not stop it."""
    return list(track(ordered_map(_look, paths), "verifying images", len(paths)))


def _look(path: Path) -> Found:
    data = b""
    try:
        data = read_bytes(path)
        entry = describe(path.name, decode_rgb(path, data))
    except ReflashError as error:
        return Found(path, None, str(error), path.suffix.lower(), "", len(data))
    digest = hashlib.sha256(data).hexdigest()
    return Found(path, entry, "", true_suffix(path, data), digest, len(data))


def best_match(
    manifests: Mapping[str, Sequence[Entry]], found: Sequence[Found], where: Path | str
) -> Match:
    """Match image files with the manifest that fits best; ``where`` says where they are."""
    matches = [_match(name, wanted, found, where) for name, wanted in manifests.items()]
    return min(matches, key=lambda match: len(match.problems))


def take_all(name: str, images: int, found: Sequence[Found], where: Path | str) -> Match:
    """Take all image files, of a dataset without manifest, if they can be read and are ``images``.

    There is nothing to compare their pixels with.
    """
    problems = [item.problem for item in found if item.problem]
    pairs = [(item.entry.name, item) for item in found if item.entry]
    doubles = len(pairs) - len({name for name, _ in pairs})
    if doubles:
        problems.append(f"{where}: has images of the same name; rename or remove one of each")
    elif not problems and len(pairs) != images:
        problems.append(
            f"{where}: holds {len(pairs)} images, {name} has {images}; get the whole set"
        )
    return Match(pairs, problems, [])


def _match(name: str, wanted: Sequence[Entry], found: Sequence[Found], where: Path | str) -> Match:
    by_pixels = {item.entry.sha256_rgb8: item for item in found if item.entry}
    by_name: dict[str, list[Found]] = {}
    for item in found:
        by_name.setdefault(item.path.stem, []).append(item)
    match = Match([], [], [])
    for entry in wanted:
        namesakes = by_name.get(entry.name, [])
        same = [n for n in namesakes if n.entry and n.entry.sha256_rgb8 == entry.sha256_rgb8]
        if same or entry.sha256_rgb8 in by_pixels:
            match.pairs.append((entry.name, same[0] if same else by_pixels[entry.sha256_rgb8]))
        else:
            match.missing.append(entry)
            match.problems.append(_problem(name, entry, namesakes, where))
    return match


def _problem(manifest: str, wanted: Entry, namesakes: Sequence[Found], where: Path | str) -> str:
    if not namesakes:
        return (
            f"{where}/{wanted.name}: missing, and no other image there has the pixels that the "
            f"manifest {manifest} states; get this file again"
        )
    path, entry, problem, suffix = namesakes[0][:4]
    if entry is None:
        return problem
    if (entry.width, entry.height) != (wanted.width, wanted.height):
        return (
            f"{path}: is {entry.width}x{entry.height} pixels, the manifest {manifest} states "
            f"{wanted.width}x{wanted.height}; get this file again"
        )
    return (
        f"{path}: its pixels differ from those that the manifest {manifest} states"
        f"{disguise(path, suffix)}; get this file again"
    )
