from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reflash.core.errors import ReflashError
from reflash.datasets.images import list_images, read_rgb, write_png
from reflash.datasets.manifest import write_manifest
from reflash.datasets.photos import sample_photos
from reflash.datasets.real_photos import prepare_real_photos


def test_own_folder_first_by_name(tmp_path: Path) -> None:
    images = {name: np.full((5, 7, 3), i, np.uint8) for i, name in enumerate("cab")}
    for name, image in images.items():
        write_png(tmp_path / "own" / f"{name}.png", image)
    manifest = prepare_real_photos(str(tmp_path / "own"), tmp_path / "out", limit=2)
    assert manifest.is_file()
    assert [path.stem for path in list_images(tmp_path / "out")] == ["a", "b"]
    np.testing.assert_array_equal(read_rgb(tmp_path / "out/b.png"), images["b"])


def test_sample_photos_by_default(tmp_path: Path) -> None:
    prepare_real_photos(None, tmp_path / "out", limit=1)
    (written,) = list_images(tmp_path / "out")
    np.testing.assert_array_equal(read_rgb(written), read_rgb(sample_photos()[written.stem]))


def test_a_dataset_by_name(tmp_path: Path) -> None:
    with pytest.raises(ReflashError, match="run: reflash data fetch RealSRSet"):
        prepare_real_photos("RealSRSet", tmp_path / "out", 3, tmp_path / "raw")
    write_png(tmp_path / "raw/RealSRSet/x.png", np.zeros((4, 4, 3), np.uint8))
    write_manifest(tmp_path / "raw/RealSRSet")
    prepare_real_photos("RealSRSet", tmp_path / "out", 3, tmp_path / "raw")
    assert [path.name for path in list_images(tmp_path / "out")] == ["x.png"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReflashError, match="nowhere: no such folder"):
        prepare_real_photos(str(tmp_path / "nowhere"), tmp_path / "out", 3)
