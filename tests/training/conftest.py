from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reflash.datasets.cache import ImageCache, build_cache
from reflash.datasets.images import write_png
from reflash.datasets.manifest import write_manifest


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory, photo_like: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for i in range(3):
        write_png(folder / f"{i}.png", np.roll(photo_like, 17 * i, axis=1))
    write_manifest(folder)
    return folder


@pytest.fixture(scope="session")
def cache(image_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ImageCache:
    return ImageCache.open(build_cache(image_folder, tmp_path_factory.mktemp("cache")))
