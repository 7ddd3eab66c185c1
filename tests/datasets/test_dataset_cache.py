"""The cache holds the decoded images and cuts them as the released protocol does."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import time
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflash.core.errors import ReflashError
from reflash.datasets import cache as cache_module
from reflash.datasets.cache import ImageCache, Region, build_cache
from reflash.datasets.images import read_rgb, write_png
from reflash.datasets.manifest import write_manifest
from reflash.datasets.space import human

SIZES = [(40, 56), (9, 130), (64, 64), (1, 5)]


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Four images and their manifest."""
    for i, (height, width) in enumerate(SIZES):
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        write_png(tmp_path / "hr" / f"im{i}.png", image)
    write_manifest(tmp_path / "hr")
    return tmp_path / "hr"


@pytest.fixture
def cache(folder: Path) -> ImageCache:
    return ImageCache.open(build_cache(folder, folder.parent / "cache"))


def test_images_equal_the_decoded_files(folder: Path, cache: ImageCache) -> None:
    assert len(cache) == 4
    assert cache.names == ["im0", "im1", "im2", "im3"]
    assert cache.sizes == SIZES
    for i, name in enumerate(cache.names):
        np.testing.assert_array_equal(cache.image(i), read_rgb(folder / f"{name}.png"))
    assert cache.pixels.size == sum(3 * h * w for h, w in SIZES)


def test_images_are_views_that_cannot_be_written(cache: ImageCache) -> None:
    assert np.shares_memory(cache.image(0), cache.pixels)
    with pytest.raises(ValueError, match="read-only"):
        cache.image(0)[0, 0, 0] = 1


def test_pickle_holds_the_path_only(cache: ImageCache) -> None:
    data = pickle.dumps(cache)
    assert len(data) < 500
    np.testing.assert_array_equal(pickle.loads(data).image(2), cache.image(2))


def extract_subimages(height: int, width: int, crop: int, step: int) -> list[tuple[int, int]]:
    """Return the corners that BasicSR's extract_subimages visits, written from its description."""

    def starts(length: int) -> list[int]:
        space = np.arange(0, length - crop + 1, step)
        if length - (space[-1] + crop) > 0:
            space = np.append(space, length - crop)
        return space.tolist()

    return [(y, x) for y in starts(height) for x in starts(width)]


def grid(sizes: list[tuple[int, int]], sub_image: int | None, step: int) -> list[Region]:
    cache = object.__new__(ImageCache)
    cache.sizes = sizes
    return cache.regions(sub_image, step)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(480, 2100), st.integers(480, 2100)), max_size=3),
    st.integers(60, 500),
)
def test_sub_images_are_those_of_the_released_protocol(
    sizes: list[tuple[int, int]], step: int
) -> None:
    expected = [
        (i, y, x, 480, 480)
        for i, size in enumerate(sizes)
        for y, x in extract_subimages(*size, 480, step)
    ]
    assert grid(sizes, 480, step) == expected


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        (1356, 2040, 5, 8),
        (1404, 2040, 5, 8),
        (2040, 1356, 8, 5),
        (480, 480, 1, 1),
        (720, 721, 2, 3),
    ],
)
def test_counts_for_sizes_as_in_div2k(height: int, width: int, rows: int, columns: int) -> None:
    regions = grid([(height, width)], 480, 240)
    assert len(regions) == rows * columns
    assert {(r.y + r.h, r.x + r.w) for r in regions} >= {(height, width)}


def test_small_images_are_taken_whole(cache: ImageCache) -> None:
    whole = [Region(i, 0, 0, h, w) for i, (h, w) in enumerate(SIZES)]
    assert cache.regions(None) == whole
    assert cache.regions(480, 240) == whole
    assert cache.regions(64, 33) == [
        whole[0],
        Region(1, 0, 0, 9, 64),
        Region(1, 0, 33, 9, 64),
        Region(1, 0, 66, 9, 64),
        whole[2],
        whole[3],
    ]


@settings(deadline=None)
@given(st.data())
def test_regions_cover_every_pixel(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    side = data.draw(st.integers(1, 30))
    seen = np.zeros((height, width), bool)
    for r in grid([(height, width)], side, data.draw(st.integers(1, side))):
        assert r.h == min(side, height)
        assert r.w == min(side, width)
        seen[r.y : r.y + r.h, r.x : r.x + r.w] = True
    assert seen.all()


def test_a_window_inside_is_a_view(cache: ImageCache) -> None:
    region = Region(0, 3, 5, 30, 40)
    window = cache.crop(region, 2, 7, 10, 12)
    np.testing.assert_array_equal(window, cache.image(0)[5:15, 12:24])
    assert np.shares_memory(window, cache.pixels)


@pytest.mark.parametrize(
    "region", [Region(0, 3, 5, 30, 40), Region(1, 0, 10, 9, 3), Region(3, 0, 0, 1, 5)]
)
def test_a_window_beyond_is_continued_as_opencv_does(cache: ImageCache, region: Region) -> None:
    area = cache.image(region.image)[region.y : region.y + region.h, region.x : region.x + region.w]
    padded = cv2.copyMakeBorder(
        np.ascontiguousarray(area), 0, 50 - region.h, 0, 60 - region.w, cv2.BORDER_REFLECT_101
    )
    np.testing.assert_array_equal(cache.crop(region, 0, 0, 50, 60), padded)
    np.testing.assert_array_equal(cache.crop(region, 0, 2, 50, 58), padded[:, 2:])


def test_the_same_content_is_not_decoded_again(
    folder: Path, cache: ImageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "read_rgb", lambda path: pytest.fail(f"decoded {path}"))
    build_cache(folder, cache.folder)
    assert ImageCache.open(cache.folder).key == cache.key


def test_other_content_replaces_the_cache(folder: Path, cache: ImageCache) -> None:
    write_png(folder / "im2.png", np.full((7, 7, 3), 9, np.uint8))
    write_manifest(folder)
    other = ImageCache.open(build_cache(folder, cache.folder))
    assert other.key != cache.key
    assert other.sizes[2] == (7, 7)
    assert (other.image(2) == 9).all()


def test_an_image_that_is_not_the_manifests_stops_it(folder: Path, tmp_path: Path) -> None:
    rgb = read_rgb(folder / "im1.png")
    rgb[0, 0, 0] ^= 1
    write_png(folder / "im1.png", rgb)
    with pytest.raises(ReflashError, match=r"im1\.png: its pixels differ from the manifest's"):
        build_cache(folder, tmp_path / "new")
    with pytest.raises(ReflashError, match="not a finished image cache; build it again"):
        ImageCache.open(tmp_path / "new")


@pytest.mark.parametrize("damage", ["key", "pixels", "index", "json"])
def test_an_unfinished_cache_is_none_and_is_healed(
    folder: Path, cache: ImageCache, damage: str
) -> None:
    dst = cache.folder
    if damage == "pixels":
        (dst / "images.u8").write_bytes(b"123")
    elif damage == "json":
        (dst / "cache.json").write_text('{"key": ')
    else:
        (dst / {"key": "cache.json", "index": "index.csv"}[damage]).unlink()
    with pytest.raises(ReflashError, match="not a finished image cache; build it again"):
        ImageCache.open(dst)
    healed = ImageCache.open(build_cache(folder, dst))
    np.testing.assert_array_equal(
        healed.pixels, np.concatenate([read_rgb(folder / f"im{i}.png").ravel() for i in range(4)])
    )


def test_a_killed_build_is_repeated_and_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys, reflash.datasets.cache as c\n"
        "read = c.read_rgb\n"
        "c.read_rgb = lambda p: os.kill(os.getpid(), 9) if p.stem == 'im2' else read(p)\n"
        "c.build_cache(*sys.argv[1:], workers=1)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, folder, tmp_path / "c"], check=False)
    assert killed.returncode == -9
    assert list((tmp_path / "c").glob(".images.u8.*"))
    build_cache(folder, tmp_path / "c")
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == ["cache.json", "images.u8", "index.csv"]


def test_a_second_process_waits_for_the_first(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time, reflash.datasets.cache as c\n"
        "read = c.read_rgb\n"
        "c.read_rgb = lambda p: (print(flush=True), time.sleep(0.15), read(p))[2]\n"
        "c.build_cache(*sys.argv[1:], workers=1)\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "c")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        first.stdout.readline()  # it holds the lock and decodes
        start = time.perf_counter()
        build_cache(folder, tmp_path / "c")
        waited = time.perf_counter() - start
    assert first.returncode == 0
    assert waited > 0.3


def test_the_disk_need_is_said_and_checked_first(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    need = sum(3 * h * w for h, w in SIZES)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=need - 1))
    monkeypatch.setattr(cache_module, "read_rgb", lambda path: pytest.fail(f"decoded {path}"))
    with pytest.raises(ReflashError, match=r"cache of 4 images takes 2.\.. kB of disk and"):
        build_cache(folder, tmp_path / "c")
    monkeypatch.undo()
    build_cache(folder, tmp_path / "c")
    assert capsys.readouterr().err.startswith(f"cache of 4 images: needs {human(need)} of disk, ")


def test_a_disk_that_fills_up_leaves_no_cache_and_the_next_run_heals(
    tmp_path: Path, full_disk: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        image = rng.integers(0, 256, (180, 200, 3), dtype=np.uint8)
        write_png(tmp_path / "hr" / f"im{i}.png", image)
    write_manifest(tmp_path / "hr")
    monkeypatch.setattr(cache_module, "require_space", lambda *arguments: None)
    with pytest.raises(ReflashError, match=r"images\.u8: the disk is full; free some space"):
        build_cache(tmp_path / "hr", full_disk / "c")
    assert [path.name for path in (full_disk / "c").iterdir()] == []
    (tmp_path / "hr" / "im2.png").unlink()
    write_manifest(tmp_path / "hr")
    assert len(ImageCache.open(build_cache(tmp_path / "hr", full_disk / "c"))) == 2


def test_few_images_are_in_memory_at_a_time(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for i in range(60):
        write_png(tmp_path / "hr" / f"im{i:02d}.png", image)
    write_manifest(tmp_path / "hr")
    alive, most = 0, 0

    class Counted(np.ndarray):
        pass

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def counting(path: Path) -> np.ndarray:
        nonlocal alive, most
        rgb = read_rgb(path).view(Counted)
        weakref.finalize(rgb, gone)
        alive += 1
        most = max(most, alive)
        return rgb

    monkeypatch.setattr(cache_module, "read_rgb", counting)
    build_cache(tmp_path / "hr", tmp_path / "c", workers=2)
    assert 1 < most <= 8
