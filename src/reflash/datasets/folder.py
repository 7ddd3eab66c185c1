"""Filling a folder with images so that a kill at any moment leaves nothing that looks finished."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.files import atomic, write_text
from reflash.datasets.images import Pixels, is_image_name, write_png
from reflash.datasets.manifest import MANIFEST, Entry, describe, read_manifest, write_manifest

_MARK = ".written-by-reflash"


class Filler:
    """Writes images into the folder of ``filling`` and remembers what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[Entry] = []

    def add(self, name: str, rgb: Pixels) -> None:
        """Write ``rgb`` (H, W, 3) uint8 as ``name``.png."""
        write_png(self.folder / f"{name}.png", rgb)
        self.entries.append(describe(f"{name}.png", rgb))

    def copy(
        self,
        name: str,
        source: Path,
        entry: Entry,
        suffix: str | None = None,
        link: bool = False,
    ) -> None:
        """Copy the file ``source``, whose content ``entry`` describes, as ``name``.

        ``suffix`` is the new file's; by default that of ``source``, in lower case. With ``link``
        it is no copy but a hard link, where the file system can do that. A file that is in its
        place already stays as it is.
        """
        file = f"{name}{suffix or source.suffix.lower()}"
        target = self.folder / file
        if source.absolute() != target.absolute():
            with atomic(target) as temporary:
                if not (link and _linked(source, temporary)):
                    shutil.copyfile(source, temporary)
        self.entries.append(entry._replace(name=name, file=file))


@contextmanager
def filling(folder: Path | str) -> Iterator[Filler]:
    """Fill ``folder`` with exactly the images given to the filler, and a manifest written last.

    The old manifest goes first, so a folder that was left half filled has none; the next run
    replaces what is there and removes what it did not write itself.

    Raises
    ------
    ReflashError
        ``folder`` holds images that were not written here: they are not touched.
    """
    folder = Path(folder)
    require_own(folder)
    write_text(folder / _MARK, "Images that reflash did not write are removed from this folder.\n")
    (folder / MANIFEST).unlink(missing_ok=True)
    filler = Filler(folder)
    yield filler
    written = {entry.file for entry in filler.entries}
    for path in _files(folder):
        if path.name not in written and is_image_name(path):
            path.unlink()
    write_manifest(folder, filler.entries)


def require_own(folder: Path) -> None:
    """Raise where ``folder`` is a file, or holds images that were not written by ``filling``."""
    if folder.exists() and not folder.is_dir():
        raise ReflashError(f"{folder}: is a file; choose another folder")
    images = [path.name for path in _files(folder) if is_image_name(path)]
    if images and not (folder / _MARK).is_file() and not _lists_all(folder, images):
        raise ReflashError(f"{folder}: holds images of another origin; choose another folder")


def _lists_all(folder: Path, images: list[str]) -> bool:
    """Whether the folder's manifest lists all ``images``."""
    try:
        listed = {entry.file for entry in read_manifest(folder)}
    except ReflashError:
        return False
    return listed.issuperset(images)


def _linked(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    return True


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
