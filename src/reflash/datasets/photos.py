"""The photographs that ship inside scikit-image and scikit-learn, for tests without a download.

Only files that lie in the installed wheels are used, never those that these packages would fetch
on demand; neither package is imported. The licences are those the packages state.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from reflash.core.errors import ReflashError


class Photo(NamedTuple):
    """One photograph and where it comes from."""

    module: str
    file: str
    """Path inside the module's folder."""
    licence: str
    credit: str


PHOTOS: dict[str, Photo] = {
    "astronaut": Photo("skimage", "data/astronaut.png", "public domain", "NASA"),
    "brick": Photo("skimage", "data/brick.png", "CC0", "CC0Textures, Bricks25 (grey)"),
    "camera": Photo("skimage", "data/camera.png", "CC0", "Lav Varshney (grey)"),
    "chelsea": Photo("skimage", "data/chelsea.png", "CC0", "Stefan van der Walt"),
    "china": Photo("sklearn", "datasets/images/china.jpg", "CC BY 2.0", "danielbuechele, Flickr"),
    "coffee": Photo("skimage", "data/coffee.png", "CC0", "Rachel Michetti, Pikolo Espresso Bar"),
    "flower": Photo("sklearn", "datasets/images/flower.jpg", "CC BY 2.0", "vultilion, Flickr"),
    "rocket": Photo("skimage", "data/rocket.jpg", "public domain", "SpaceX"),
}
"""The sample photographs by name."""

_TESTED = {"skimage": "scikit-image 0.26.0", "sklearn": "scikit-learn 1.9.1"}


def sample_photos() -> dict[str, Path]:
    """Return the path of each sample photograph by name, sorted by name.

    Raises
    ------
    ReflashError
        A package is not installed, or its version does not hold one of the files.
    """
    return {name: _find(photo) for name, photo in sorted(PHOTOS.items())}


def _find(photo: Photo) -> Path:
    tested = _TESTED[photo.module]
    package = tested.split()[0]
    spec = find_spec(photo.module)
    if spec is None or not spec.submodule_search_locations:
        raise ReflashError(f"{package}: not installed; install {tested} for the sample photographs")
    path = Path(spec.submodule_search_locations[0]) / photo.file
    if not path.is_file():
        try:
            installed = version(package)
        except PackageNotFoundError:
            installed = "of unknown version"
        raise ReflashError(
            f"{path}: not part of the installed {package} {installed}; install {tested}, "
            "with which this was tested"
        )
    return path
