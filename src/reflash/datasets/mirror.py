"""Where a mirror may keep a dataset: this project's own layout and those of other projects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from reflash.datasets.matching import image_files
from reflash.datasets.registry import ArchiveSource, Dataset, GithubSource

_PARTS = ("test", "train", "validation", "valid", "benchmark")
_INSIDE = ("", "GTmod12", "GTmod4", "HR", "original", "image_SRF_4")
_SELF_EX_SR = "_HR"  # image_SRF_4/img_001_SRF_4_HR.png lies beside ..._LR.png


def folder_places(name: str, dataset: Dataset, source: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield folders of the mirror ``source`` that may hold the dataset, with their image files.

    Known are this project's layout (``test/NAME``, ``train/NAME``, ``NAME``), BasicSR's
    (``NAME/GTmod12``), SelfExSR's (``NAME/image_SRF_4/*_HR.png``), EDSR's
    (``benchmark/NAME/HR``), a clone of the repository or the unpacked archive that the dataset
    comes from, and a folder that is one of these sets itself.
    """
    known = {alias.casefold() for alias in (name, *dataset.aliases)}
    homes = []
    for parent in (source, *(source / part for part in _PARTS)):
        if parent.is_dir():
            homes += [p for p in sorted(parent.iterdir()) if p.name.casefold() in known]
    for origin in dataset.sources:
        inner = _inner_folder(origin)
        if inner:
            homes += [source / inner, source / name / inner, source / PurePosixPath(inner).name]
    seen = set()
    for home in homes if homes and dataset.folders else (*homes, source):
        for inside in _INSIDE:
            place = home / inside
            if place.resolve() in seen:
                continue
            seen.add(place.resolve())
            files = image_files(place, deep=dataset.folders)
            if inside == "image_SRF_4":
                files = [path for path in files if path.stem.endswith(_SELF_EX_SR)]
            if files:
                yield place, files


def _inner_folder(origin: object) -> str | None:
    if isinstance(origin, GithubSource):
        return origin.path
    return origin.folder if isinstance(origin, ArchiveSource) else None


def address_patterns(name: str, dataset: Dataset, base: str) -> Iterator[str]:
    """Yield the addresses below ``base`` where the images may lie, with ``{name}`` in them."""
    part = {"validation": "validation", "train": "train"}.get(dataset.split, "test")
    base = base.rstrip("/")
    for suffix in (".png", ".jpg", ".bmp"):
        for alias in (name, *dataset.aliases):
            for place in (f"{part}/{alias}", alias):
                yield f"{base}/{place}/{{name}}{suffix}"
            for place in (f"{alias}/GTmod12", f"{alias}/GTmod4", f"{alias}/HR"):
                yield f"{base}/{place}/{{name}}{suffix}"
            yield f"{base}/benchmark/{alias}/HR/{{name}}{suffix}"
            yield f"{base}/{alias}/image_SRF_4/{{name}}_SRF_4_HR{suffix}"
        yield f"{base}/{{name}}{suffix}"
