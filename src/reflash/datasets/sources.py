"""From settings to folders of HR images: what training and evaluation start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.failures import Failures
from reflash.core.progress import track
from reflash.datasets.dead_leaves import dead_leaves
from reflash.datasets.folder import filling
from reflash.datasets.images import Pixels, centre_crop, list_images, mod_crop, read_rgb
from reflash.datasets.manifest import (
    MANIFEST,
    Entry,
    check_image,
    describe,
    pixel_hash,
    read_manifest,
)
from reflash.datasets.photos import sample_photos
from reflash.datasets.registry import find
from reflash.datasets.settings import (
    DatasetTestSettings,
    DeadLeavesSettings,
    FolderTestSettings,
    FolderTrainingSettings,
    TestSetSettings,
    TrainingImagesSettings,
)


def prepare_training_images(
    settings: TrainingImagesSettings, dst: Path | str, raw: Path | str = "data/raw"
) -> Path:
    """Write the training images of ``settings`` as PNG to ``dst`` and return its manifest.

    Parameters
    ----------
    settings
        Which images.
    dst
        The folder to fill; it holds exactly these images afterwards. A run that was killed is
        repeated as a whole.
    raw
        Where named datasets lie, each in a folder of its name.

    Raises
    ------
    ReflashError
        A dataset is not there; or, after all others were done, the files that are not what they
        should be. There is then no manifest.
    """
    dst, failures = Path(dst), Failures()
    images: list[tuple[str, Path, Entry | None]]
    if isinstance(settings, DeadLeavesSettings):
        with filling(dst) as filler:
            for i in range(settings.count):
                size = settings.size
                image = dead_leaves(size, size, settings, settings.seed, i)
                filler.add(f"leaves{i:05d}", image)
        return dst / MANIFEST
    if isinstance(settings, FolderTrainingSettings):
        images = _own_images(settings, dst)
    else:
        several = len(settings.names) > 1
        images = [
            (f"{name}_{entry.name}" if several else entry.name, path, entry)
            for name in settings.names
            for path, entry in _dataset_images(name, Path(raw), dst)
        ]
    with filling(dst) as filler:
        for name, path, entry in track(images, "gathering images"):
            with failures.caught(path.name):
                rgb = _read(path, entry)
                if _is_plain_png(path):
                    filler.copy(name, path, describe(path.name, rgb))
                else:
                    filler.add(name, rgb)
        failures.check(dst, len(images), "gathered")
    return dst / MANIFEST


def prepare_test_set(
    settings: TestSetSettings, dst: Path | str, mod: int = 12, raw: Path | str = "data/raw"
) -> Path:
    """Write the HR images of a test set as PNG to ``dst`` and return its manifest.

    The first ``settings.limit`` images by name are taken; each is first cut to the central
    ``settings.crop`` x ``settings.crop`` pixels, if set (as far as it is larger), and then at the
    bottom and right to multiples of ``mod`` (12 in the public copies of the test sets, so that
    scales 2, 3 and 4 all fit).

    Raises
    ------
    ReflashError
        A dataset or folder is not there; or, after all others were done, the images that are
        unreadable or smaller than ``mod``. There is then no manifest.
    """
    dst, failures = Path(dst), Failures()
    images: list[tuple[str, Path, Entry | None]]
    if isinstance(settings, DatasetTestSettings):
        images = [(e.name, path, e) for path, e in _dataset_images(settings.name, Path(raw), dst)]
    elif isinstance(settings, FolderTestSettings):
        images = _own_images(settings, dst)
    else:
        images = [(name, path, None) for name, path in sample_photos().items()]
    images = images[: settings.limit]
    with filling(dst) as filler:
        for name, path, entry in track(images, "gathering images"):
            with failures.caught(path.name):
                rgb = _read(path, entry)
                filler.add(name, mod_crop(centre_crop(rgb, settings.crop), mod, str(path)))
        failures.check(dst, len(images), "gathered")
    return dst / MANIFEST


def _read(path: Path, entry: Entry | None) -> Pixels:
    """Read an image and, where an entry says what it is, make sure of it."""
    rgb = read_rgb(path)
    if entry is not None and pixel_hash(rgb) != entry.sha256_rgb8:
        raise ReflashError(check_image(entry, path) or f"{path}: changed while it was read")
    return rgb


def _own_images(
    settings: FolderTestSettings | FolderTrainingSettings, dst: Path
) -> list[tuple[str, Path, Entry | None]]:
    """Return name and path of each image of the user's folder; ``sub/NAME`` is called sub_NAME."""
    folder = settings.folder
    _keep_apart(folder, dst)
    named: dict[str, Path] = {}
    for path in list_images(folder, settings.recursive, tell=True):
        name = "_".join(path.relative_to(folder).with_suffix("").parts)
        if name in named:
            raise ReflashError(f"{path}: would have the same name as {named[name]}; rename one")
        named[name] = path
    return [(name, path, None) for name, path in named.items()]


def _dataset_images(name: str, raw: Path, dst: Path) -> Iterator[tuple[Path, Entry]]:
    """Yield path and entry of each image of a named dataset but the excluded ones."""
    folder, dataset = raw / name, find(name)
    if not (folder / MANIFEST).is_file():
        raise ReflashError(
            f"{folder}: the dataset {name} is not there; run: reflash data fetch {name}"
        )
    _keep_apart(folder, dst)
    for entry in read_manifest(folder):
        if entry.name not in dataset.exclude:
            yield folder / entry.file, entry


def _keep_apart(folder: Path, dst: Path) -> None:
    if folder.resolve() == dst.resolve():
        raise ReflashError(f"{dst}: is also where the images come from; choose another folder")


def _is_plain_png(path: Path) -> bool:
    """Tell whether a file is an 8-bit RGB PNG, whose bytes can be copied as they are."""
    with path.open("rb") as file:
        head = file.read(26)
    return head.startswith(b"\x89PNG") and head[24:26] == b"\x08\x02"
