"""Windows read on the host and gathered by index arithmetic are the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reflash.datasets.cache import ImageCache, build_cache
from reflash.datasets.images import write_png
from reflash.datasets.manifest import write_manifest
from reflash.training.settings import PairSettings
from reflash.training.windows import WindowSampler, bytes_on, fits, gather_windows, to_tensor


@pytest.fixture(scope="module")
def odd_cache(tmp_path_factory: pytest.TempPathFactory) -> ImageCache:
    """Images of several sizes, some smaller than a window, one a single row."""
    folder = tmp_path_factory.mktemp("odd")
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate([(70, 90), (31, 50), (64, 20), (1, 40)]):
        write_png(folder / f"{i}.png", rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    write_manifest(folder)
    return ImageCache.open(build_cache(folder, tmp_path_factory.mktemp("odd cache")))


@pytest.mark.parametrize("flips", ["none", "horizontal", "all"])
@pytest.mark.parametrize("sub_image", [None, 48])
def test_gathered_windows_equal_those_of_the_host(
    odd_cache: ImageCache, flips: str, sub_image: int | None
) -> None:
    settings = PairSettings.model_validate({"window": 48, "patch": 16, "flips": flips})
    sampler = WindowSampler(odd_cache, settings, sub_image, 24)
    pixels = torch.from_numpy(np.array(odd_cache.pixels))
    seen = np.zeros(3)
    for key in range(12):
        places = sampler.places(6, "windows", key)
        seen = seen + places[:, -3:].sum(0)
        gathered = gather_windows(pixels, torch.from_numpy(places), 48)
        assert torch.equal(gathered, to_tensor(sampler.windows(6, "windows", key)))
    assert (seen > 0).tolist() == [flips != "none", flips == "all", flips == "all"]


def test_copies_of_memory_mapped_bytes_are_whole(odd_cache: ImageCache) -> None:
    copy = bytes_on(odd_cache.pixels, torch.device("cpu"))
    assert np.array_equal(copy.numpy(), odd_cache.pixels)


def test_nothing_is_kept_on_a_cpu() -> None:
    assert not fits(1, torch.device("cpu"))
