"""A mirror is recognised in every usual layout, and what is like it but not it is refused."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import toy_set
from toy_set import NAMES

from reflash.core.errors import ReflashError
from reflash.datasets.fetch import fetch
from reflash.datasets.images import list_images, read_rgb, write_png
from reflash.datasets.verify import verify

CLONE = {
    "kind": "github",
    "repository": "someone/things",
    "commit": "0" * 40,
    "path": "data/images/val",
    "suffix": ".png",
}
ARCHIVE = {"kind": "archive", "url": "https://dead.example/x/toy_hr.zip", "folder": "Toy_HR"}


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = toy_set.make_images(tmp_path / "images")
    toy_set.install(folder, [CLONE, ARCHIVE], monkeypatch.setattr, aliases=["B6"])
    return folder


def halves(images: Path, folder: Path, name: Callable[[str], str]) -> None:
    """Write every image at half its size, as LR images that lie beside the HR ones do."""
    for path in list_images(images):
        write_png(folder / f"{name(path.stem)}.png", np.ascontiguousarray(read_rgb(path)[::2, ::2]))


@pytest.mark.parametrize(
    "place",
    [
        "test/Toy",
        "train/Toy",
        "validation/Toy",
        "Toy",
        "toy",
        "B6",
        "Toy/GTmod12",
        "Toy/GTmod4",
        "Toy/HR",
        "benchmark/Toy/HR",
        "benchmark/B6/HR",
        "Toy/original",
        "data/images/val",
        "Toy_HR",
        "HR",
        "",
    ],
)
def test_layouts(images: Path, tmp_path: Path, place: str) -> None:
    shutil.copytree(images, tmp_path / "mirror" / place, dirs_exist_ok=True)
    halves(images, (tmp_path / "mirror" / place).parent / "LR_bicubic", lambda name: name)
    fetch("Toy", tmp_path / "mirror", tmp_path / "raw")
    assert verify("Toy", tmp_path / "raw") == []
    for path in list_images(images):
        assert (tmp_path / "raw" / "Toy" / path.name).read_bytes() == path.read_bytes()


def test_self_ex_sr_keeps_hr_and_lr_in_one_folder(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mirror" / "Toy" / "image_SRF_4"
    for path in list_images(images):
        write_png(folder / f"{path.stem}_SRF_4_HR.png", read_rgb(path))
    halves(images, folder, lambda name: f"{name}_SRF_4_LR")
    fetch("Toy", tmp_path / "mirror", tmp_path / "raw")
    assert [path.stem for path in list_images(tmp_path / "raw" / "Toy")] == NAMES


def test_the_half_size_set_of_image_srf_2_is_refused(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mirror" / "Toy" / "image_SRF_2"
    halves(images, folder, lambda name: name)
    with pytest.raises(ReflashError, match="holds neither images nor a folder Toy"):
        fetch("Toy", tmp_path / "mirror", tmp_path / "raw")
    with pytest.raises(ReflashError, match=r"im00\.png: is 28x20 pixels, .* states 56x40; .*\(5 m"):
        fetch("Toy", folder, tmp_path / "raw")


def test_a_damaged_place_does_not_hide_a_whole_one(images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "mirror" / "Toy" / "GTmod12")
    shutil.copytree(images, tmp_path / "mirror" / "Toy" / "HR")
    (tmp_path / "mirror" / "Toy" / "GTmod12" / "im00.png").unlink()
    fetch("Toy", tmp_path / "mirror", tmp_path / "raw")
    assert verify("Toy", tmp_path / "raw") == []


def test_of_several_bad_places_the_best_is_reported(images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "mirror" / "Toy" / "HR")
    halves(images, tmp_path / "mirror" / "Toy" / "GTmod12", lambda name: name)
    (tmp_path / "mirror" / "Toy" / "HR" / "im04.png").unlink()
    with pytest.raises(ReflashError, match=r"Toy/HR/im04: missing, and no other image there has"):
        fetch("Toy", tmp_path / "mirror", tmp_path / "raw")


@pytest.mark.parametrize("given", ["file", "folder"])
def test_an_archive_on_disk(images: Path, tmp_path: Path, given: str) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    with zipfile.ZipFile(mirror / "toy_hr.zip", "w") as archive:
        for path in list_images(images):
            archive.write(path, f"Toy_HR/{path.name}")
    fetch("Toy", mirror / "toy_hr.zip" if given == "file" else mirror, tmp_path / "raw")
    assert verify("Toy", tmp_path / "raw") == []
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["Toy"]
    assert [path.name for path in mirror.iterdir()] == ["toy_hr.zip"]


def test_a_known_archive_on_disk_must_have_the_known_hash(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_set.install(images, [ARCHIVE | {"md5": "0" * 32}], monkeypatch.setattr)
    with zipfile.ZipFile(tmp_path / "toy_hr.zip", "w") as archive:
        for path in list_images(images):
            archive.write(path, f"Toy_HR/{path.name}")
    with pytest.raises(ReflashError, match=r"toy_hr\.zip: wrong checksum, md5 is .*; get this"):
        fetch("Toy", tmp_path / "toy_hr.zip", tmp_path / "raw")


def test_a_copy_is_stored_under_the_suffix_of_its_content(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mirror"
    shutil.copytree(images, folder)
    _, bmp = cv2.imencode(".bmp", cv2.cvtColor(read_rgb(folder / "im01.png"), cv2.COLOR_RGB2BGR))
    (folder / "im01.png").write_bytes(bmp.tobytes())
    fetch("Toy", folder, tmp_path / "raw")
    names = [path.name for path in list_images(tmp_path / "raw" / "Toy")]
    assert names == ["im00.png", "im01.bmp", *(f"{name}.png" for name in NAMES[2:])]
    assert verify("Toy", tmp_path / "raw") == []
