"""Preparing HR images: exactly the images asked for, whatever was there before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from reflash.core.errors import ReflashError
from reflash.datasets import sources
from reflash.datasets.dead_leaves import dead_leaves
from reflash.datasets.images import list_images, read_rgb, write_png
from reflash.datasets.manifest import check_folder, read_manifest, write_manifest
from reflash.datasets.photos import sample_photos
from reflash.datasets.settings import (
    DatasetTestSettings,
    DatasetTrainingSettings,
    DeadLeavesSettings,
    FolderTestSettings,
    FolderTrainingSettings,
    SamplePhotosSettings,
)
from reflash.datasets.sources import prepare_test_set, prepare_training_images

LEAVES = DeadLeavesSettings(count=3, size=32, seed=4)


@pytest.fixture
def own(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A folder of a user's images: PNG, grey JPEG and 16-bit TIFF."""
    folder = tmp_path / "own"
    write_png(folder / "rgb.png", rng.integers(0, 256, (50, 61, 3), dtype=np.uint8))
    Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)).save(folder / "grey.jpg")
    deep = rng.integers(0, 65536, (40, 70, 3), dtype=np.uint16)
    cv2.imwrite(str(folder / "deep.tif"), deep)
    return folder


def raw_dataset(raw: Path, name: str, images: dict[str, np.ndarray]) -> None:
    for stem, rgb in images.items():
        write_png(raw / name / f"{stem}.png", rgb)
    write_manifest(raw / name)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_dead_leaves(tmp_path: Path) -> None:
    manifest = prepare_training_images(LEAVES, tmp_path / "hr")
    assert manifest == tmp_path / "hr" / "manifest.csv"
    assert check_folder(tmp_path / "hr") == []
    names = [path.name for path in list_images(tmp_path / "hr")]
    assert names == ["leaves00000.png", "leaves00001.png", "leaves00002.png"]
    np.testing.assert_array_equal(
        read_rgb(tmp_path / "hr" / names[2]), dead_leaves(32, 32, LEAVES, 4, 2)
    )


def test_the_same_settings_give_the_same_bytes(tmp_path: Path) -> None:
    prepare_training_images(LEAVES, tmp_path / "a")
    prepare_training_images(LEAVES, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    prepare_training_images(LEAVES, tmp_path / "a")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_more_images_keep_the_first(tmp_path: Path) -> None:
    prepare_training_images(LEAVES, tmp_path / "few")
    prepare_training_images(LEAVES.model_copy(update={"count": 4}), tmp_path / "more")
    assert read_manifest(tmp_path / "more")[:3] == read_manifest(tmp_path / "few")


def test_images_of_an_earlier_setting_are_removed(tmp_path: Path) -> None:
    prepare_training_images(LEAVES, tmp_path / "hr")
    (tmp_path / "hr" / "notes.txt").write_text("kept")
    fewer = LEAVES.model_copy(update={"count": 1})
    prepare_training_images(fewer, tmp_path / "hr")
    assert [path.name for path in list_images(tmp_path / "hr")] == ["leaves00000.png"]
    assert (tmp_path / "hr" / "notes.txt").exists()
    assert check_folder(tmp_path / "hr") == []


def test_a_killed_run_has_no_manifest_and_the_next_heals_it(tmp_path: Path) -> None:
    prepare_training_images(LEAVES, tmp_path / "whole")
    prepare_training_images(LEAVES.model_copy(update={"seed": 9, "count": 5}), tmp_path / "hr")
    code = (
        "import os, sys, pathlib, reflash.datasets.sources as s\n"
        "from reflash.datasets.settings import DeadLeavesSettings\n"
        "draw = s.dead_leaves\n"
        "s.dead_leaves = lambda h, w, c, *k: os.kill(os.getpid(), 9) if k[-1] == 2 "
        "else draw(h, w, c, *k)\n"
        "s.prepare_training_images(DeadLeavesSettings(count=3, size=32, seed=4), sys.argv[1])\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, tmp_path / "hr"], check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "hr" / "manifest.csv").exists()
    assert len(list_images(tmp_path / "hr")) == 5
    prepare_training_images(LEAVES, tmp_path / "hr")
    assert contents(tmp_path / "hr") == contents(tmp_path / "whole")


def test_a_failure_leaves_no_manifest(tmp_path: Path, own: Path) -> None:
    prepare_test_set(FolderTestSettings(folder=own), tmp_path / "hr", mod=4)
    (own / "rgb.png").write_bytes(b"")
    with pytest.raises(ReflashError, match=r"rgb\.png: the file is empty"):
        prepare_test_set(FolderTestSettings(folder=own), tmp_path / "hr", mod=4)
    assert not (tmp_path / "hr" / "manifest.csv").exists()


def test_somebody_elses_images_are_not_touched(tmp_path: Path, own: Path) -> None:
    before = contents(own)
    with pytest.raises(ReflashError, match=r"own: holds images of another origin; choose another"):
        prepare_training_images(LEAVES, own)
    with pytest.raises(ReflashError, match=r"own: is also where the images come from; choose"):
        prepare_test_set(FolderTestSettings(folder=own), own / ".." / "own")
    assert contents(own) == before


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "hr").touch()
    with pytest.raises(ReflashError, match=r"hr: is a file; choose another folder"):
        prepare_training_images(LEAVES, tmp_path / "hr")


def test_a_folder_of_training_images_becomes_rgb_png(tmp_path: Path, own: Path) -> None:
    prepare_training_images(FolderTrainingSettings(folder=own), tmp_path / "hr")
    assert check_folder(tmp_path / "hr") == []
    for path in list_images(own):
        stored = tmp_path / "hr" / f"{path.stem}.png"
        assert Image.open(stored).mode == "RGB"
        np.testing.assert_array_equal(np.asarray(Image.open(stored)), read_rgb(path))
    assert (tmp_path / "hr" / "rgb.png").read_bytes() == (own / "rgb.png").read_bytes()


def test_named_training_datasets(tmp_path: Path, rng: np.random.Generator) -> None:
    images = {n: rng.integers(0, 256, (20, 20, 3), dtype=np.uint8) for n in ("8049", "302003")}
    raw_dataset(tmp_path / "raw", "BSDS500_train", images)
    raw_dataset(tmp_path / "raw", "T91", {"t1": images["302003"][::-1]})
    one = DatasetTrainingSettings(names=("BSDS500_train",))
    prepare_training_images(one, tmp_path / "one", tmp_path / "raw")
    assert [entry.name for entry in read_manifest(tmp_path / "one")] == ["8049"]
    two = DatasetTrainingSettings(names=("T91", "BSDS500_train"))
    prepare_training_images(two, tmp_path / "two", tmp_path / "raw")
    names = [entry.name for entry in read_manifest(tmp_path / "two")]
    assert names == ["BSDS500_train_8049", "T91_t1"]
    np.testing.assert_array_equal(
        read_rgb(tmp_path / "two" / "BSDS500_train_8049.png"), images["8049"]
    )


def test_a_missing_dataset_is_named_with_its_command(tmp_path: Path) -> None:
    for prepare, settings in (
        (prepare_training_images, DatasetTrainingSettings()),
        (prepare_test_set, DatasetTestSettings(name="DIV2K_valid")),
    ):
        with pytest.raises(ReflashError, match=r"not there; run: reflash data fetch DIV2K_"):
            prepare(settings, tmp_path / "hr", raw=tmp_path / "raw")  # type: ignore[operator]
    assert not (tmp_path / "hr").exists()


def test_a_changed_dataset_image_is_named(tmp_path: Path) -> None:
    image = np.zeros((24, 24, 3), np.uint8)
    raw_dataset(tmp_path / "raw", "Set5", {"baby": image})
    image[5, 5] = 1
    write_png(tmp_path / "raw" / "Set5" / "baby.png", image)
    with pytest.raises(ReflashError, match=r"Set5/baby\.png: its pixels differ"):
        prepare_test_set(DatasetTestSettings(name="Set5"), tmp_path / "hr", raw=tmp_path / "raw")


def test_test_images_are_cut_to_multiples(tmp_path: Path, own: Path) -> None:
    prepare_test_set(FolderTestSettings(folder=own), tmp_path / "hr", mod=12)
    sizes = {entry.name: (entry.height, entry.width) for entry in read_manifest(tmp_path / "hr")}
    assert sizes == {"deep": (36, 60), "grey": (48, 48), "rgb": (48, 60)}
    np.testing.assert_array_equal(
        read_rgb(tmp_path / "hr" / "rgb.png"), read_rgb(own / "rgb.png")[:48, :60]
    )


def test_limit_and_crop(tmp_path: Path, own: Path) -> None:
    settings = FolderTestSettings(folder=own, limit=2, crop=45)
    prepare_test_set(settings, tmp_path / "hr", mod=4)
    sizes = {entry.name: (entry.height, entry.width) for entry in read_manifest(tmp_path / "hr")}
    assert sizes == {"deep": (40, 44), "grey": (44, 44)}
    np.testing.assert_array_equal(
        read_rgb(tmp_path / "hr" / "grey.png"), read_rgb(own / "grey.jpg")[1:45, 1:45]
    )


def test_an_image_smaller_than_the_multiple_is_named(tmp_path: Path) -> None:
    write_png(tmp_path / "own" / "tiny.png", np.zeros((11, 40, 3), np.uint8))
    with pytest.raises(ReflashError, match=r"own/tiny\.png: 40x11 pixels are too few"):
        prepare_test_set(FolderTestSettings(folder=tmp_path / "own"), tmp_path / "hr", mod=12)


def test_sample_photos(tmp_path: Path) -> None:
    prepare_test_set(SamplePhotosSettings(crop=96, limit=3), tmp_path / "hr", mod=12)
    entries = read_manifest(tmp_path / "hr")
    assert [entry.name for entry in entries] == list(sample_photos())[:3]
    assert {(entry.height, entry.width) for entry in entries} == {(96, 96)}
    astronaut = read_rgb(sample_photos()["astronaut"])
    np.testing.assert_array_equal(
        read_rgb(tmp_path / "hr" / "astronaut.png"), astronaut[208:304, 208:304]
    )


def test_public_test_set(tmp_path: Path, mirror: Path) -> None:
    from reflash.datasets.fetch import fetch

    fetch("Set5", mirror, tmp_path / "raw")
    prepare_test_set(DatasetTestSettings(name="Set5"), tmp_path / "hr", 12, tmp_path / "raw")
    sizes = {entry.name: (entry.width, entry.height) for entry in read_manifest(tmp_path / "hr")}
    assert sizes == {
        "baby": (504, 504),
        "bird": (288, 288),
        "butterfly": (252, 252),
        "head": (276, 276),
        "woman": (228, 336),
    }


def test_nothing_is_read_twice(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def counting(path: Path) -> np.ndarray:
        seen.append(path.name)
        return read_rgb(path)

    monkeypatch.setattr(sources, "read_rgb", counting)
    prepare_training_images(FolderTrainingSettings(folder=own), tmp_path / "hr")
    assert sorted(seen) == ["deep.tif", "grey.jpg", "rgb.png"]
