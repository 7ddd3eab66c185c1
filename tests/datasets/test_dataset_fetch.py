"""Fetching from a folder: verified by pixels, complete or nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reflash.core.errors import ReflashError
from reflash.datasets import fetch as fetch_module
from reflash.datasets import verify as verify_module
from reflash.datasets.fetch import fetch
from reflash.datasets.images import list_images, read_rgb, write_png
from reflash.datasets.manifest import Entry, check_folder, describe, read_manifest
from reflash.datasets.verify import verify


@pytest.fixture
def source(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror whose Set5 and BSDS500_train are three images each, with manifests for them."""
    folder = tmp_path / "mirror"
    for place in ("test/Set5", "train/BSDS500_train"):
        for name in ("a", "b", "c"):
            image = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            write_png(folder / place / f"{name}.png", image)

    def entries(place: str, side: int) -> list[Entry]:
        paths = list_images(folder / place)
        return [describe(p.name, read_rgb(p)[:side])._replace(file="") for p in paths]

    manifests = {
        "Set5": {"cropped": entries("test/Set5", 12), "full": entries("test/Set5", 24)},
        "BSDS500_train": {"full": entries("train/BSDS500_train", 24)},
    }
    for module in (fetch_module, verify_module):
        monkeypatch.setattr(module, "shipped_manifests", lambda name: manifests.get(name, {}))
    return folder


def test_a_set_is_copied_and_verified(tmp_path: Path, source: Path) -> None:
    manifest = fetch("Set5", source, tmp_path / "raw")
    assert manifest == tmp_path / "raw" / "Set5" / "manifest.csv"
    assert [entry.name for entry in read_manifest(manifest)] == ["a", "b", "c"]
    for path in list_images(source / "test" / "Set5"):
        assert (manifest.parent / path.name).read_bytes() == path.read_bytes()
    assert verify("Set5", tmp_path / "raw") == []


def test_any_fitting_manifest_will_do(tmp_path: Path, source: Path) -> None:
    for path in list_images(source / "test" / "Set5"):
        write_png(path, read_rgb(path)[:12])
    fetch("Set5", source, tmp_path / "raw")
    assert {entry.height for entry in read_manifest(tmp_path / "raw" / "Set5")} == {12}


def test_the_folder_of_the_images_itself_will_do(tmp_path: Path, source: Path) -> None:
    fetch("Set5", source / "test" / "Set5", tmp_path / "raw")
    assert len(read_manifest(tmp_path / "raw" / "Set5")) == 3


def test_images_are_recognised_by_their_pixels(tmp_path: Path, source: Path) -> None:
    folder = source / "test" / "Set5"
    Image.open(folder / "a.png").save(folder / "img_001.BMP")
    (folder / "a.png").unlink()
    write_png(folder / "readme.png", np.zeros((4, 4, 3), np.uint8))
    fetch("Set5", source, tmp_path / "raw")
    names = [entry.file for entry in read_manifest(tmp_path / "raw" / "Set5")]
    assert names == ["a.bmp", "b.png", "c.png"]
    assert check_folder(tmp_path / "raw" / "Set5") == []


def test_names_that_were_exchanged_are_put_right(tmp_path: Path, source: Path) -> None:
    fetch("Set5", source, tmp_path / "raw")
    folder = tmp_path / "raw" / "Set5"
    for old, new in (("a", "aside"), ("b", "a"), ("aside", "b")):
        (folder / f"{old}.png").rename(folder / f"{new}.png")
    assert verify("Set5", tmp_path / "raw")
    fetch("Set5", folder, tmp_path / "raw")
    assert verify("Set5", tmp_path / "raw") == []
    for path in list_images(source / "test" / "Set5"):
        assert np.array_equal(read_rgb(folder / path.name), read_rgb(path))


def test_a_changed_image_stops_it(tmp_path: Path, source: Path) -> None:
    path = source / "test" / "Set5" / "b.png"
    rgb = read_rgb(path)
    rgb[0, 0, 1] ^= 128
    write_png(path, rgb)
    with pytest.raises(ReflashError, match=r"b\.png: its pixels differ .* full states; get this f"):
        fetch("Set5", source, tmp_path / "raw")
    assert [path.name for path in (tmp_path / "raw").iterdir()] == []


def test_a_missing_image_stops_it(tmp_path: Path, source: Path) -> None:
    (source / "test" / "Set5" / "b.png").unlink()
    (source / "test" / "Set5" / "c.png").unlink()
    with pytest.raises(ReflashError, match=r"Set5/b: missing, .* \(1 more like this\)"):
        fetch("Set5", source, tmp_path / "raw")


def test_an_image_of_another_size_stops_it(tmp_path: Path, source: Path) -> None:
    path = source / "test" / "Set5" / "c.png"
    write_png(path, read_rgb(path)[:20])
    with pytest.raises(ReflashError, match=r"c\.png: is 32x20 pixels, the manifest full states 32"):
        fetch("Set5", source, tmp_path / "raw")


def test_a_truncated_image_stops_it(tmp_path: Path, source: Path) -> None:
    path = source / "test" / "Set5" / "c.png"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ReflashError, match=r"c\.png: the image is truncated or damaged"):
        fetch("Set5", source, tmp_path / "raw")


def test_an_excluded_image_is_left_out(tmp_path: Path, source: Path) -> None:
    write_png(source / "train" / "BSDS500_train" / "302003.png", np.zeros((9, 9, 3), np.uint8))
    fetch("BSDS500_train", source, tmp_path / "raw")
    assert [e.name for e in read_manifest(tmp_path / "raw" / "BSDS500_train")] == ["a", "b", "c"]


def test_without_a_manifest_the_number_must_fit(tmp_path: Path, source: Path) -> None:
    folder = source / "DIV2K_valid"
    for i in range(99):
        write_png(folder / f"{801 + i:04d}.png", np.full((4, 4, 3), i, np.uint8))
    with pytest.raises(ReflashError, match=r"holds 99 images, DIV2K_valid has 100; get the whole"):
        fetch("DIV2K_valid", source, tmp_path / "raw")
    write_png(folder / "0900.png", np.full((4, 4, 3), 100, np.uint8))
    fetch("DIV2K_valid", source, tmp_path / "raw")
    assert verify("DIV2K_valid", tmp_path / "raw") == []
    assert len(read_manifest(tmp_path / "raw" / "DIV2K_valid")) == 100


def test_what_cannot_be_found_is_named(tmp_path: Path, source: Path) -> None:
    with pytest.raises(ReflashError, match="did you mean Set5"):
        fetch("Sett5", source, tmp_path / "raw")
    with pytest.raises(ReflashError, match=r"absent: no such file or folder; give the"):
        fetch("Set5", tmp_path / "absent", tmp_path / "raw")
    with pytest.raises(ReflashError, match=r"mirror: holds neither images nor a folder Set14"):
        fetch("Set14", source, tmp_path / "raw")
    with pytest.raises(ReflashError, match=r"Set5: no such folder; run: reflash data fetch Set5"):
        verify("Set5", tmp_path / "raw")


def test_a_set_that_is_there_is_only_verified(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch("Set5", source, tmp_path / "raw")
    stamps = [path.stat().st_mtime_ns for path in (tmp_path / "raw" / "Set5").iterdir()]
    fetch("Set5", tmp_path / "absent", tmp_path / "raw")
    assert "Set5: is there already" in capsys.readouterr().err
    assert [path.stat().st_mtime_ns for path in (tmp_path / "raw" / "Set5").iterdir()] == stamps


def test_fetching_again_heals_what_was_changed(tmp_path: Path, source: Path) -> None:
    folder = fetch("Set5", source, tmp_path / "raw").parent
    write_png(folder / "a.png", np.zeros((24, 32, 3), np.uint8))
    (folder / "b.png").unlink()
    write_png(folder / "extra.png", np.zeros((24, 32, 3), np.uint8))
    assert len(verify("Set5", tmp_path / "raw")) == 3
    fetch("Set5", source, tmp_path / "raw")
    assert verify("Set5", tmp_path / "raw") == []
    assert not (folder / "extra.png").exists()


def test_images_of_another_origin_are_left_alone(tmp_path: Path, source: Path) -> None:
    foreign = tmp_path / "raw" / "Set5" / "holiday.png"
    write_png(foreign, np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ReflashError, match="holds images of another origin; choose another folder"):
        fetch("Set5", source, tmp_path / "raw")
    assert foreign.is_file()


def test_the_disk_need_is_said_and_checked_first(
    tmp_path: Path,
    source: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = sum(path.stat().st_size for path in list_images(source / "test" / "Set5"))
    usage = shutil.disk_usage(tmp_path)._replace(free=size - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ReflashError, match=r"Set5: 3 images takes .* of disk and .* are free"):
        fetch("Set5", source, tmp_path / "raw")
    assert not (tmp_path / "raw" / "Set5").exists()
    usage = usage._replace(free=size)
    fetch("Set5", source, tmp_path / "raw")
    assert "Set5: 3 images: needs 7." in capsys.readouterr().err


def test_verify_finds_a_later_change(tmp_path: Path, source: Path) -> None:
    fetch("Set5", source, tmp_path / "raw")
    path = tmp_path / "raw" / "Set5" / "a.png"
    rgb = read_rgb(path)
    rgb[-1, -1, -1] ^= 1
    write_png(path, rgb)
    (problem,) = verify("Set5", tmp_path / "raw")
    assert problem.startswith(f"{path}: its pixels differ")


def test_verify_compares_with_the_shipped_manifest(tmp_path: Path, source: Path) -> None:
    """A folder that agrees with its own manifest may still be of other images."""
    from reflash.datasets.manifest import write_manifest

    fetch("Set5", source, tmp_path / "raw")
    folder = tmp_path / "raw" / "Set5"
    write_png(folder / "a.png", 255 - read_rgb(folder / "a.png"))
    write_manifest(folder)
    assert check_folder(folder) == []
    (problem,) = verify("Set5", tmp_path / "raw")
    assert problem.startswith(f"{folder / 'a.png'}: its pixels differ")


@pytest.mark.parametrize("name", ["RealSRSet", "T91"])
def test_real_sets(tmp_path: Path, mirror: Path, name: str) -> None:
    fetch(name, mirror, tmp_path / "raw")
    assert verify(name, tmp_path / "raw") == []
