"""Getting a named dataset from a folder, every image verified by its pixels."""

from __future__ import annotations

from pathlib import Path

from reflash.datasets.folder import filling
from reflash.datasets.images import list_images, read_rgb
from reflash.datasets.manifest import MANIFEST, Entry, check_folder, describe
from reflash.datasets.registry import Dataset, find, shipped_manifests
from reflash.errors import ReflashError
from reflash.files import require_folder


def fetch(name: str, source: Path | str, dst: Path | str = "data/raw") -> Path:
    """Copy the dataset ``name`` from the folder ``source`` to ``dst/name``; return its manifest.

    ``source`` holds the images themselves, or is a mirror with a folder of the dataset's name,
    at its top or in ``test``, ``validation`` or ``train``. Images are recognised by their pixels
    and stored under the names of the shipped manifest, in their own format; other files of the
    folder are left out. Where no manifest is shipped all images are taken if their number fits.

    Raises
    ------
    ReflashError
        The dataset or folder is unknown, or an image is missing, changed or unreadable; nothing
        is written then.
    """
    dataset = find(name)
    source = require_folder(source, "give the folder of a mirror or of the images")
    folder = _locate(name, source)
    found = _describe(folder, dataset)
    manifests = shipped_manifests(name)
    if manifests:
        chosen, problems = _best_match(folder, name, found)
    else:
        chosen, problems = [(entry.name, entry) for entry in found], _count(folder, name, found)
    if problems:
        more = f" ({len(problems) - 1} more like this)" if len(problems) > 1 else ""
        raise ReflashError(problems[0] + more)
    target = Path(dst) / name
    if target.resolve() == folder.resolve():
        raise ReflashError(f"{folder}: is where {name} would be copied to; choose another folder")
    with filling(target) as filler:
        for new_name, entry in chosen:
            filler.copy(new_name, folder / entry.file, entry)
    return target / MANIFEST


def verify(name: str, raw: Path | str = "data/raw") -> list[str]:
    """Check the dataset in ``raw/name`` and return one line for each problem.

    The images are compared with the folder's own manifest and with the shipped one, if any.

    Raises
    ------
    ReflashError
        The dataset is unknown or not there.
    """
    dataset = find(name)
    folder = require_folder(Path(raw) / name, f"run: reflash data fetch {name}")
    problems = check_folder(folder)
    if problems:
        return problems
    found = _describe(folder, dataset)
    if shipped_manifests(name):
        return _best_match(folder, name, found)[1]
    return _count(folder, name, found)


def _locate(name: str, source: Path) -> Path:
    for place in (name, f"test/{name}", f"validation/{name}", f"train/{name}"):
        if (source / place).is_dir():
            return source / place
    try:
        list_images(source)
    except ReflashError as error:
        raise ReflashError(
            f"{source}: holds neither images nor a folder {name}; "
            "give the folder of a mirror or of the images"
        ) from error
    return source


def _describe(folder: Path, dataset: Dataset) -> list[Entry]:
    """Describe every image of ``folder`` but the excluded ones."""
    paths = [path for path in list_images(folder) if path.stem not in dataset.exclude]
    return [describe(path.name, read_rgb(path)) for path in paths]


def _count(folder: Path, name: str, found: list[Entry]) -> list[str]:
    wanted = find(name).images
    if len(found) == wanted:
        return []
    return [f"{folder}: holds {len(found)} images, {name} has {wanted}; get the whole set"]


def _best_match(
    folder: Path, name: str, found: list[Entry]
) -> tuple[list[tuple[str, Entry]], list[str]]:
    """Match the images with the shipped manifest that fits best.

    Returns the (name, image) pairs that fit and one line for each image that does not.
    """
    matches = [
        _match(folder, manifest, wanted, found)
        for manifest, wanted in shipped_manifests(name).items()
    ]
    return min(matches, key=lambda match: len(match[1]))


def _match(
    folder: Path, manifest: str, wanted: list[Entry], found: list[Entry]
) -> tuple[list[tuple[str, Entry]], list[str]]:
    by_pixels = {entry.sha256_rgb8: entry for entry in found}
    by_name = {entry.name: entry for entry in found}
    pairs, problems = [], []
    for entry in wanted:
        namesake = by_name.get(entry.name)
        same = by_pixels.get(entry.sha256_rgb8)
        if namesake and namesake.sha256_rgb8 == entry.sha256_rgb8:
            pairs.append((entry.name, namesake))
        elif same:
            pairs.append((entry.name, same))
        elif not namesake:
            problems.append(
                f"{folder / entry.name}: missing, and no other image there has the pixels that "
                f"the manifest {manifest} states; get this file again"
            )
        elif (namesake.width, namesake.height) != (entry.width, entry.height):
            problems.append(
                f"{folder / namesake.file}: is {namesake.width}x{namesake.height} pixels, the "
                f"manifest {manifest} states {entry.width}x{entry.height}; get this file again"
            )
        else:
            problems.append(
                f"{folder / namesake.file}: its pixels differ from those that the manifest "
                f"{manifest} states; get this file again"
            )
    return pairs, problems
