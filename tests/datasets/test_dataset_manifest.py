"""Manifests describe images by their pixels and name every difference."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reflash.core.errors import ReflashError
from reflash.datasets.images import read_rgb, write_png
from reflash.datasets.manifest import (
    Entry,
    check_folder,
    check_image,
    describe,
    join_tables,
    pixel_hash,
    read_manifest,
    write_manifest,
)
from reflash.datasets.registry import shipped_manifests


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Three images and their manifest."""
    for name in ["b", "a", "a-1"]:
        write_png(tmp_path / f"{name}.png", rng.integers(0, 256, (8, 12, 3), dtype=np.uint8))
    write_manifest(tmp_path)
    return tmp_path


def test_hash_is_that_of_the_rgb_bytes_in_row_order() -> None:
    rgb = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert pixel_hash(rgb) == hashlib.sha256(bytes(range(18))).hexdigest()
    assert pixel_hash(np.asfortranarray(rgb)) == pixel_hash(rgb)
    assert pixel_hash(rgb[:, ::-1]) != pixel_hash(rgb)


def test_hash_of_anything_but_rgb8_is_a_mistake() -> None:
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ValueError, match="expected"):
            pixel_hash(wrong)


@pytest.mark.parametrize(
    ("path", "name", "manifest"),
    [
        ("test/Set5", "Set5", "Set5_GTmod12"),
        ("test/Kodak24", "Kodak24", "Kodak24"),
        ("train/BSDS500_train", "BSDS500_train", "BSDS500_train"),
    ],
)
def test_the_shipped_manifests_describe_the_public_sets(
    mirror: Path, path: str, name: str, manifest: str
) -> None:
    """Those of others are what fetching them from the mirror is checked by in other tests."""
    assert check_folder(mirror / path, shipped_manifests(name)[manifest]) == []


def test_a_manifest_is_sorted_and_complete(folder: Path) -> None:
    entries = read_manifest(folder)
    assert [entry.file for entry in entries] == ["a.png", "a-1.png", "b.png"]
    for entry in entries:
        rgb = read_rgb(folder / entry.file)
        assert entry == Entry(Path(entry.file).stem, entry.file, 12, 8, pixel_hash(rgb))
    assert check_folder(folder) == []


def test_equal_images_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    written = (folder / "manifest.csv").read_bytes()
    pairs = [(name, read_rgb(folder / name)) for name in ["b.png", "a-1.png", "a.png"]]
    write_manifest(folder, pairs)
    assert (folder / "manifest.csv").read_bytes() == written
    write_manifest(folder, ["a.png", *(describe(*pair) for pair in pairs[:2])])
    assert (folder / "manifest.csv").read_bytes() == written
    for path in folder.glob("*.png"):  # other PNG bytes, same pixels
        Image.open(path).save(path, compress_level=9)
    write_manifest(folder)
    assert (folder / "manifest.csv").read_bytes() == written


def test_names_with_commas_and_quotes_survive(tmp_path: Path) -> None:
    file = 'a, "b" é.png'
    write_png(tmp_path / file, np.zeros((2, 2, 3), np.uint8))
    write_manifest(tmp_path)
    assert read_manifest(tmp_path)[0].file == file
    assert check_folder(tmp_path) == []


def test_one_flipped_pixel_is_reported_by_name(folder: Path) -> None:
    rgb = read_rgb(folder / "b.png")
    rgb[3, 4, 2] ^= 1
    write_png(folder / "b.png", rgb)
    assert check_folder(folder) == [
        f"{folder / 'b.png'}: its pixels differ from the manifest's; get this file again"
    ]


def test_every_kind_of_problem_is_one_line(folder: Path) -> None:
    (folder / "a.png").unlink()
    write_png(folder / "a-1.png", np.zeros((4, 4, 3), np.uint8))
    data = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(data[: len(data) // 2])
    write_png(folder / "c.png", np.zeros((4, 4, 3), np.uint8))
    missing, size, truncated, extra = check_folder(folder)
    assert missing == f"{folder / 'a.png'}: missing; get this file again"
    assert size.startswith(f"{folder / 'a-1.png'}: is 4x4 pixels, should be 12x8")
    assert truncated.startswith(f"{folder / 'b.png'}: the image is truncated or damaged")
    assert extra == f"{folder / 'c.png'}: not in the manifest; move it elsewhere"


def test_an_entry_without_file_matches_any_format(folder: Path) -> None:
    entries = [entry._replace(file="") for entry in read_manifest(folder)]
    Image.open(folder / "b.png").save(folder / "b.bmp")
    (folder / "b.png").unlink()
    assert check_folder(folder, entries) == []
    assert check_folder(folder) == [
        f"{folder / 'b.png'}: missing; get this file again",
        f"{folder / 'b.bmp'}: not in the manifest; move it elsewhere",
    ]


def test_a_missing_folder_misses_everything(folder: Path) -> None:
    assert len(check_folder(folder / "absent", read_manifest(folder))) == 3


def test_check_image_of_a_good_file(folder: Path) -> None:
    assert check_image(read_manifest(folder)[0], folder / "a.png") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name,width\na,3\n",
        "name,file,width,height,sha256_rgb8\na,a.png,x,3,ab\n",
        "name,file,width,height,sha256_rgb8\na,a.png,4\n",
        "name,file,width,height,sha256_rgb8\na,a.png,4,4,00\n",
        "name,width,height,sha256_rgb8\n" + f"a,1,1,{'0' * 64}\n" * 2,
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(ReflashError, match=r"manifest\.csv: not a manifest of images; delete"):
        read_manifest(tmp_path)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReflashError, match=r"manifest\.csv: no such file; run the step"):
        read_manifest(tmp_path)


def test_tables_are_joined_behind_their_paths(tmp_path: Path) -> None:
    for name, row in {"a": "1,2", "b": "3,4"}.items():
        (tmp_path / f"{name}.csv").write_text(f"x,y\n{row}\n")
    a, b, out = (tmp_path / name for name in ("a.csv", "b.csv", "out.csv"))
    join_tables([a, b], out)
    assert out.read_text() == f"source,x,y\n{a},1,2\n{b},3,4\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [("y,x\n1,2\n", "columns y, x, not x, y"), ("", "not a CSV"), ("\udcff", "not a CSV")],
)
def test_tables_that_cannot_be_joined_are_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.csv").write_text("x,y\n")
    (tmp_path / "b.csv").write_text(content, errors="surrogateescape")
    with pytest.raises(ReflashError, match=rf"b\.csv: {said}"):
        join_tables([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
