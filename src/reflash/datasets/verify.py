"""Proving that a fetched dataset is what it should be, file by file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reflash.core.files import require_folder, write_text
from reflash.datasets.manifest import MANIFEST, Entry, disguise, read_manifest
from reflash.datasets.matching import Found, best_match, image_files, scan, take_all
from reflash.datasets.registry import find, shipped_manifests

SUMS = "SHA256SUMS"
"""Hashes of the files themselves, beside the manifest of their pixels (see ``sha256sum -c``)."""


def verify(name: str, raw: Path | str = "data/raw") -> list[str]:
    """Check the dataset in ``raw/name`` and return one line for each problem.

    Every file is compared with the folder's own manifest (pixels) and ``SHA256SUMS`` (bytes), and
    the whole with the shipped manifest, if there is one. A line says which file is missing,
    truncated or damaged, of another size, changed (in its pixels, or only in its bytes), or not
    part of the set.

    Raises
    ------
    ReflashError
        The dataset is unknown or not there.
    """
    dataset = find(name)
    folder = require_folder(Path(raw) / name, f"run: reflash data fetch {name}")
    if not (folder / MANIFEST).is_file():
        return [
            f"{folder / MANIFEST}: missing, the set is not whole; run: reflash data fetch {name}"
        ]
    found = scan(image_files(folder, deep=dataset.folders))
    problems = compare(folder, read_manifest(folder), found)
    manifests = shipped_manifests(name)
    if manifests and not problems:
        problems = best_match(manifests, found, folder).problems
    elif not problems:
        problems = take_all(name, dataset.images, found, folder).problems
    named, sums = tuple(problems), read_sums(folder)
    for item in found:
        wanted = sums.get(item.path.relative_to(folder).as_posix(), item.sha256_file)
        if item.sha256_file != wanted and not any(p.startswith(f"{item.path}:") for p in named):
            remark = "its bytes changed, though not its pixels; get this file again"
            problems.append(f"{item.path}: {remark}")
    return problems


def compare(folder: Path, manifest: Sequence[Entry], found: Sequence[Found]) -> list[str]:
    """Compare the files ``found`` in ``folder`` with its manifest, by file name."""
    there = {item.path.relative_to(folder).as_posix(): item for item in found}
    problems = []
    for wanted in manifest:
        item = there.pop(wanted.file, None)
        if item is None:
            problems.append(f"{folder / wanted.file}: missing; get this file again")
        elif problem := _difference(wanted, item):
            problems.append(problem)
    extra = (f"{folder / name}: not in the manifest; move it elsewhere" for name in sorted(there))
    return [*problems, *extra]


def _difference(wanted: Entry, item: Found) -> str:
    path, entry = item.path, item.entry
    if entry is None:
        return item.problem
    if (entry.width, entry.height) != (wanted.width, wanted.height):
        return (
            f"{path}: is {entry.width}x{entry.height} pixels, "
            f"should be {wanted.width}x{wanted.height}; get this file again"
        )
    if entry.sha256_rgb8 != wanted.sha256_rgb8:
        remark = disguise(path, item.suffix)
        return f"{path}: its pixels differ from the manifest's{remark}; get this file again"
    return ""


def write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write the hashes of files (by name) in the format of the command sha256sum."""
    write_text(folder / SUMS, "".join(f"{sums[file]}  {file}\n" for file in sorted(sums)))


def read_sums(folder: Path) -> dict[str, str]:
    """Read what ``write_sums`` wrote; nothing where there is no such file."""
    if not (folder / SUMS).is_file():
        return {}
    lines = (folder / SUMS).read_text("utf-8").splitlines()
    return {line[66:]: line[:64] for line in lines if line[64:66] == "  "}
