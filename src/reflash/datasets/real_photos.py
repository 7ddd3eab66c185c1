"""LR photographs without HR counterpart, as the real-world figure enlarges them."""

from __future__ import annotations

from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.files import require_folder
from reflash.datasets.folder import filling
from reflash.datasets.images import list_images, read_rgba
from reflash.datasets.manifest import MANIFEST, read_manifest
from reflash.datasets.photos import sample_photos
from reflash.datasets.registry import registry


def prepare_real_photos(
    photos: str | None, dst: Path | str, limit: int, raw: Path | str = "data/raw"
) -> Path:
    """Write the first ``limit`` photos by name as RGB PNG to ``dst``; return their manifest.

    Parameters
    ----------
    photos
        A folder, the name of a dataset in ``raw`` (RealSRSet), or None: the photographs that ship
        with scikit-image and scikit-learn, which are compressed and noisy as photographs are.
    dst
        The folder to fill; it holds exactly these photos afterwards.

    Raises
    ------
    ReflashError
        The folder or dataset is not there, or a photograph is unreadable.
    """
    if photos is None:
        paths = list(sample_photos().values())
    elif photos in registry():
        folder = Path(raw) / photos
        if not (folder / MANIFEST).is_file():
            raise ReflashError(
                f"{folder}: the dataset {photos} is not there; run: reflash data fetch {photos}"
            )
        paths = [folder / entry.file for entry in read_manifest(folder)]
    else:
        paths = list_images(require_folder(photos, "name a folder of photos or a dataset"))
    with filling(dst) as filler:
        for path in paths[:limit]:
            filler.add(path.stem, read_rgba(path)[0])
    return Path(dst) / MANIFEST
