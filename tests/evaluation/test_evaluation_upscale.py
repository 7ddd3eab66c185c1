"""A user's own images: any size, mode and format; one broken file does not stop the others."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from reflash.core.errors import ReflashError
from reflash.evaluation.upscale import upscale_path
from reflash.evaluation.upscalers import open_upscaler


def bicubic(image: Image.Image) -> np.ndarray:
    size = (4 * image.width, 4 * image.height)
    return np.array(image.resize(size, Image.Resampling.BICUBIC))


def colours(photo, *size: int) -> Image.Image:
    return Image.fromarray(photo(*size, seed=5))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 3), (30, 41)])
def test_a_image_of_any_size_through_a_network(tmp_path, photo, weights, size, capsys):
    image = colours(photo, *size)
    image.save(tmp_path / "in.png")
    written = upscale_path(
        tmp_path / "in.png", tmp_path / "out.png", weights, tile=16, device="cpu"
    )
    assert written == [tmp_path / "out.png"]
    result = Image.open(written[0])
    assert (result.mode, result.size) == ("RGB", (4 * size[1], 4 * size[0]))
    expected = open_upscaler(weights, tile=0, device="cpu")(np.array(image))
    assert np.abs(np.array(result).astype(int) - expected).max() <= 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"{tmp_path / 'in.png'} ({size[1]}x{size[0]}) -> {tmp_path / 'out.png'} "
        f"({4 * size[1]}x{4 * size[0]}) in "
    )


def test_a_manifest_is_of_a_folder(tmp_path, photo):
    colours(photo, 8, 8).save(tmp_path / "in.png")
    (tmp_path / "out.png").write_bytes(b"made before")
    with pytest.raises(ReflashError, match=r"in\.png: --manifest lists a folder's images"):
        upscale_path(
            tmp_path / "in.png", tmp_path / "out.png", "bicubic", manifest=True, overwrite=True
        )
    assert (tmp_path / "out.png").read_bytes() == b"made before"


def test_tiles_are_computed_with_what_is_around_them(tmp_path, photo, weights):
    colours(photo, 24, 24).save(tmp_path / "in.png")
    made = []
    for overlap in (0, 24):
        out = tmp_path / f"out{overlap}.png"
        upscale_path(tmp_path / "in.png", out, weights, tile=8, overlap=overlap, device="cpu")
        made.append(np.array(Image.open(out)))
    with Image.open(tmp_path / "in.png") as image:
        whole = open_upscaler(weights, tile=0, device="cpu")(np.array(image))
    assert np.array_equal(made[1], whole)
    assert not np.array_equal(made[0], whole)


def test_grey_palette_and_16_bit(tmp_path, photo):
    rgb = colours(photo, 9, 12)
    grey = rgb.convert("L")
    palette = rgb.quantize(16)
    deep = np.asarray(grey).astype(np.uint16) * 257
    grey.save(tmp_path / "grey.png")
    palette.save(tmp_path / "palette.png")
    Image.fromarray(deep).save(tmp_path / "deep.png")
    upscale_path(tmp_path, tmp_path / "out", "bicubic")
    for name, seen in (("grey", grey), ("palette", palette), ("deep", grey)):
        result = np.array(Image.open(tmp_path / "out" / f"{name}.png"))
        np.testing.assert_array_equal(result, bicubic(seen.convert("RGB")), err_msg=name)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_transparency_is_kept(tmp_path, photo, weights, suffix):
    image = colours(photo, 10, 14)
    alpha = Image.fromarray(photo(10, 14, seed=9)[..., 0])
    image.putalpha(alpha)
    image.save(tmp_path / "in.png")
    out = tmp_path / f"out{suffix}"
    upscale_path(tmp_path / "in.png", out, weights, device="cpu")
    result = np.array(Image.open(out).convert("RGBA"))
    np.testing.assert_array_equal(result[..., 3], bicubic(alpha))
    expected = open_upscaler(weights, device="cpu")(np.array(image)[..., :3])
    visible = result[..., 3] > 0  # lossless WebP may change what cannot be seen
    np.testing.assert_array_equal(result[..., :3][visible], expected[visible])


def test_transparency_needs_a_format_that_holds_it(tmp_path, photo):
    image = colours(photo, 8, 8)
    image.putalpha(255)
    image.save(tmp_path / "opaque.png")
    upscale_path(tmp_path / "opaque.png", tmp_path / "opaque.jpg", "bicubic")
    assert Image.open(tmp_path / "opaque.jpg").mode == "RGB"
    image.putalpha(100)
    image.save(tmp_path / "glass.png")
    with pytest.raises(ReflashError, match=r"glass\.jpg: jpg cannot hold the transparency of"):
        upscale_path(tmp_path / "glass.png", tmp_path / "glass.jpg", "bicubic")
    assert not (tmp_path / "glass.jpg").exists()


@pytest.mark.parametrize(
    ("suffix", "kind", "tolerance"),
    [
        (".png", "PNG", 0),
        (".bmp", "BMP", 0),
        (".TIFF", "TIFF", 0),
        (".webp", "WEBP", 0),
        (".jpg", "JPEG", 12),
        (".JPEG", "JPEG", 12),
    ],
)
def test_the_suffix_says_the_format(tmp_path, photo, suffix, kind, tolerance):
    image = colours(photo, 11, 13)
    image.save(tmp_path / "in.png")
    out = tmp_path / "deep" / f"out{suffix}"
    upscale_path(tmp_path / "in.png", out, "bicubic")
    result = Image.open(out)
    assert result.format == kind
    difference = np.abs(np.array(result).astype(int) - bicubic(image))
    assert difference.max() <= tolerance
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_format_with_too_small_a_limit(tmp_path):
    Image.new("RGB", (4200, 1)).save(tmp_path / "wide.png")
    with pytest.raises(ReflashError, match=r"out\.webp: webp cannot hold 16800x4 pixels; use png"):
        upscale_path(tmp_path / "wide.png", tmp_path / "out.webp", "bicubic")
    assert [path.name for path in tmp_path.iterdir()] == ["wide.png"]


def test_a_file_into_a_folder(tmp_path, photo):
    colours(photo, 5, 5).save(tmp_path / "in.bmp")
    (tmp_path / "there").mkdir()
    for destination in (tmp_path / "there", tmp_path / "new"):
        written = upscale_path(tmp_path / "in.bmp", destination, "bicubic")
        assert written == [destination / "in.png"]
        assert Image.open(written[0]).size == (20, 20)


def test_the_source_is_never_overwritten(tmp_path, photo):
    source = tmp_path / "in.png"
    colours(photo, 5, 5).save(source)
    before = source.read_bytes()
    os.link(source, tmp_path / "same.png")
    (tmp_path / "link").symlink_to(tmp_path)
    for src, dst in (
        (source, source),
        (source, tmp_path),
        (source, tmp_path / "same.png"),
        (source, tmp_path / "link" / "in.png"),
        (tmp_path, tmp_path),
        (tmp_path, tmp_path / "link"),
    ):
        with pytest.raises(ReflashError, match="overwritten; name another"):
            upscale_path(src, dst, "bicubic")
    assert source.read_bytes() == before


def test_what_cannot_be_read_or_written_is_named(tmp_path, photo):
    colours(photo, 5, 5).save(tmp_path / "in.png")
    (tmp_path / "folder").mkdir()
    for src, dst, message in (
        ("none.png", "out.png", r"none\.png: no such file or folder"),
        ("in.png", "out.gif", r"out\.gif: cannot write images as gif; use one of png, jpg"),
        ("folder", "out", r"folder: holds no image"),
        (".", "in.png", r"in\.png: no such folder; the source is a folder"),
    ):
        with pytest.raises(ReflashError, match=message):
            upscale_path(tmp_path / src, tmp_path / dst, "bicubic")
    (tmp_path / "broken.png").write_bytes((tmp_path / "in.png").read_bytes()[:60])
    with pytest.raises(ReflashError, match=r"broken\.png"):
        upscale_path(tmp_path / "broken.png", tmp_path / "out.png", "bicubic")
    assert not (tmp_path / "out.png").exists()


def test_one_broken_image_does_not_stop_the_others(tmp_path, photo, capsys):
    source, out = tmp_path / "images", tmp_path / "out"
    source.mkdir()
    for name in ("a", "b", "d"):
        colours(photo, 6, 7).save(source / f"{name}.jpg")
    (source / "b.jpg").write_bytes((source / "b.jpg").read_bytes()[:200])
    (source / "c.webp").write_text("no image")
    (source / "notes.txt").write_text("ignored")
    with pytest.raises(
        ReflashError, match=r"images: 2 of 4 images could not be upscaled \(b\.jpg, c\.webp\)"
    ):
        upscale_path(source, out, "bicubic")
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "d.png"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{source}: 1 left out (1 .txt)"
    assert [line.split(": ")[0] for line in lines[1:]] == [
        str(source / "b.jpg"),
        str(source / "c.webp"),
    ]


def test_existing_files_are_replaced_only_when_asked_to(tmp_path, photo):
    source, out = tmp_path / "images", tmp_path / "out"
    source.mkdir()
    for name in ("a", "b"):
        colours(photo, 6, 7).save(source / f"{name}.png")
    upscale_path(source, out, "bicubic")
    first = (out / "a.png").read_bytes()
    (out / "b.png").write_text("precious")
    for src, dst in ((source, out), (source / "b.png", out / "b.png"), (source / "b.png", out)):
        with pytest.raises(ReflashError, match="exists already.*--overwrite"):
            upscale_path(src, dst, "bicubic")
    assert (out / "b.png").read_text() == "precious"
    upscale_path(source, out, "bicubic", overwrite=True)
    assert (out / "b.png").read_bytes() == first


def test_the_longest_file_names(tmp_path, photo):
    source, out = tmp_path / "images", tmp_path / "out"
    source.mkdir()
    for name in ("a" * 251, "é" * 125, "b"):
        colours(photo, 6, 7).save(source / f"{name}.png")
    upscale_path(source, out, "bicubic", manifest=True)
    assert len(list(out.iterdir())) == 4
    upscale_path(source / "b.png", out / ("c" * 251 + ".png"), "bicubic")


def test_a_name_that_is_not_utf_8(tmp_path, photo):
    source, out = tmp_path / "images", tmp_path / "out"
    source.mkdir()
    strange = os.fsdecode(b"caf\xe9.png")
    for name in (strange, "b.png"):
        colours(photo, 6, 7).save(tmp_path / "x.png")
        (tmp_path / "x.png").rename(source / name)
    with pytest.raises(ReflashError, match="not UTF-8"):
        upscale_path(source, out, "bicubic", manifest=True)
    assert sorted(path.name for path in out.iterdir()) == ["b.png"]


def test_subfolders_on_request(tmp_path, photo, capsys):
    source, out = tmp_path / "images", tmp_path / "out"
    (source / "deep" / "er").mkdir(parents=True)
    for name in ("a.png", "deep/a.jpg", "deep/er/b.png"):
        colours(photo, 6, 7).save(source / name)
    (source / "notes.txt").touch()
    assert upscale_path(source, out, "bicubic") == [out / "a.png"]
    assert "2 left out (1 .txt, 1 subfolder (see --recursive))" in capsys.readouterr().err
    written = upscale_path(source, out, "bicubic", recursive=True, overwrite=True, manifest=True)
    assert written == [out / "a.png", out / "deep/a.png", out / "deep/er/b.png"]
    assert [line.split(",")[1] for line in (out / "manifest.csv").read_text().splitlines()[1:]] == [
        "a.png",
        "deep/a.png",
        "deep/er/b.png",
    ]
