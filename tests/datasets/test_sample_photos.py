"""The sample photographs come out of the installed packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import sklearn.datasets

from reflash.core.errors import ReflashError
from reflash.datasets import photos
from reflash.datasets.images import read_rgb
from reflash.datasets.photos import PHOTOS, sample_photos


def test_they_are_those_that_the_packages_show() -> None:
    found = {name: read_rgb(path) for name, path in sample_photos().items()}
    assert list(found) == sorted(PHOTOS)
    assert 6 <= len(found) <= 10
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        np.testing.assert_array_equal(found[name], getattr(skimage.data, name)())
    for name in ("camera", "brick"):
        grey = getattr(skimage.data, name)()
        np.testing.assert_array_equal(found[name], np.dstack([grey] * 3))
    for name in ("china", "flower"):
        np.testing.assert_array_equal(
            found[name], sklearn.datasets.load_sample_image(f"{name}.jpg")
        )


def test_they_are_large_enough_for_any_scale() -> None:
    for path in sample_photos().values():
        assert min(read_rgb(path).shape[:2]) >= 300


def test_every_photo_states_its_licence() -> None:
    for photo in PHOTOS.values():
        assert photo.licence in {"CC0", "CC BY 2.0", "public domain"}
        assert photo.credit


def test_finding_them_imports_neither_package() -> None:
    code = (
        "import sys; from reflash.datasets.sources import sample_photos; sample_photos();"
        "print([m for m in ('skimage', 'sklearn', 'scipy', 'torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_file_names_the_tested_version(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = PHOTOS["coffee"]._replace(file="data/moved.png")
    monkeypatch.setitem(PHOTOS, "coffee", moved)
    with pytest.raises(
        ReflashError,
        match=r"moved\.png: not part of the installed scikit-image [\d.]+; install scikit-image 0",
    ):
        sample_photos()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "find_spec", lambda name: None)
    with pytest.raises(ReflashError, match="scikit-image: not installed; install scikit-image 0"):
        sample_photos()


def test_the_paths_lie_inside_the_packages() -> None:
    for name, path in sample_photos().items():
        package = Path(sys.modules[PHOTOS[name].module].__file__ or "").parent
        assert path == package / PHOTOS[name].file
