"""Images as users bring them: the right pixels, or one line that says why not."""

from __future__ import annotations

import io
import itertools
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from reflash.datasets.images import read_rgb, read_rgba, write_png

Reflash = Callable[..., Any]

H, W = 37, 50
_RNG = np.random.default_rng(20220618)
RGBA = _RNG.integers(0, 256, (H, W, 4), dtype=np.uint8)
RGBA[..., 3] |= 128  # premultiplied colours keep most of their bits
RGB, GREY, ALPHA = RGBA[..., :3], RGBA[..., 0], RGBA[..., 3]
GREY_RGB = GREY[..., None].repeat(3, 2)
CMYK_RGB = np.asarray(Image.fromarray(RGBA, "CMYK").convert("RGB"))


def hr_of(reflash: Reflash, folder: Path, *options: object) -> dict[str, np.ndarray]:
    """Return the images of a test set that is made of ``folder``, by name."""
    out = folder.parent / f"{folder.name}-hr"
    settings = json.dumps({"source": "folder", "folder": str(folder)})
    outcome = reflash("data", "test-set", out, "--settings", settings, "--mod", 1, *options)
    assert outcome.status == 0, outcome.err
    return {path.stem: read_rgb(path) for path in out.glob("*.png")}


def test_set(reflash: Reflash, folder: Path, *options: object) -> Any:
    settings = json.dumps({"source": "folder", "folder": str(folder)})
    out = folder.parent / "refused"
    return reflash("data", "test-set", out, "--settings", settings, "--mod", 1, *options)


def upscaled(reflash: Reflash, path: Path) -> np.ndarray:
    """Return what the command upscale makes of a file."""
    out = path.with_name("big.png")
    outcome = reflash("upscale", path, out, "--weights", "bicubic")
    assert outcome.status == 0, outcome.err
    with Image.open(out) as image:
        return np.asarray(image)


test_set.__test__ = False  # type: ignore[attr-defined]


# TIFF ------------------------------------------------------------------------------------------


def tiff(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, metadata=None, **options)
    return file.getvalue()


def layouts(depth: int) -> dict[str, tuple[np.ndarray, dict[str, Any], np.ndarray, bool]]:
    """Return samples, how they are stored, the RGB they mean, and whether alpha is among them."""

    def deep(values: np.ndarray) -> np.ndarray:
        return values if depth == 8 else values.astype(np.uint16) * 257

    def times_alpha(values: np.ndarray) -> np.ndarray:
        share = ALPHA / 255.0
        share = share if values.ndim == 2 else share[..., None]
        return np.rint(deep(values) * share).astype(deep(values).dtype)

    def planes(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.moveaxis(deep(values), 2, 0))

    rgb, grey, cmyk = {"photometric": "rgb"}, {"photometric": "minisblack"}, "separated"
    mixed, apart = {"planarconfig": "contig"}, {"planarconfig": "separate"}
    straight, pre = {"extrasamples": ["unassalpha"]}, {"extrasamples": ["assocalpha"]}
    unknown = {"extrasamples": ["unspecified"]}
    la, la_pre = (np.dstack([v, deep(ALPHA)]) for v in (deep(GREY), times_alpha(GREY)))
    rgb_pre = np.dstack([times_alpha(RGB), deep(ALPHA)])
    cmyka = np.dstack([deep(RGBA), deep(ALPHA)])
    return {
        "grey": (deep(GREY), grey, GREY_RGB, False),
        "white is zero": (~deep(GREY), {"photometric": "miniswhite"}, GREY_RGB, False),
        "rgb": (deep(RGB), rgb, RGB, False),
        "rgba": (deep(RGBA), rgb | straight, RGB, True),
        "premultiplied": (rgb_pre, rgb | pre, RGB, True),
        "rgb and unknown": (deep(RGBA), rgb | unknown, RGB, False),
        "grey with alpha": (la, grey | mixed | straight, GREY_RGB, True),
        "premultiplied grey": (la_pre, grey | mixed | pre, GREY_RGB, True),
        "planes": (planes(RGB), rgb | apart, RGB, False),
        "planes with alpha": (planes(RGBA), rgb | apart | straight, RGB, True),
        "cmyk": (deep(RGBA), {"photometric": cmyk}, CMYK_RGB, False),
        "planes of cmyk": (planes(RGBA), {"photometric": cmyk} | apart, CMYK_RGB, False),
        "cmyk with alpha": (cmyka, {"photometric": cmyk} | mixed | straight, CMYK_RGB, True),
    }


STORAGE: list[dict[str, Any]] = [
    {"byteorder": order} | where | packed
    for order, where, packed in itertools.product(
        "<>",
        ({}, {"rowsperstrip": 5}, {"tile": (16, 32)}),
        ({}, {"compression": "zlib"}, {"compression": "zlib", "predictor": 2}),
    )
]


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("layout", layouts(8))
def test_every_layout_of_tiff(reflash: Reflash, tmp_path: Path, depth: int, layout: str) -> None:
    values, options, expected, has_alpha = layouts(depth)[layout]
    folder = tmp_path / "own"
    folder.mkdir()
    for number, storage in enumerate(STORAGE):
        path = folder / f"{number:02d}.tif"
        path.write_bytes(tiff(values, **options, **storage))
        alpha = read_rgba(path)[1]
        assert (alpha is not None) == has_alpha
        if alpha is not None:
            np.testing.assert_array_equal(alpha, ALPHA)
    made = hr_of(reflash, folder)
    assert len(made) == len(STORAGE)
    rounding = 1 if "premultiplied" in layout else 0  # 8 bits times alpha lose the last one
    for name, rgb in made.items():
        off = np.abs(rgb.astype(int) - expected).max()
        assert off <= rounding, (name, STORAGE[int(name)])


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
def test_16_bit_tiff_of_any_compression(reflash: Reflash, tmp_path: Path, compression: int) -> None:
    (tmp_path / "own").mkdir()
    deep = RGBA.astype(np.uint16) * 257
    kind = [cv2.IMWRITE_TIFF_COMPRESSION, compression]
    for name, values in {
        "g": deep[..., 0],
        "c": deep[..., 2::-1],
        "a": deep[..., [2, 1, 0, 3]],
    }.items():
        cv2.imwrite(str(tmp_path / "own" / f"{name}.tif"), values, kind)
    made = hr_of(reflash, tmp_path / "own")
    np.testing.assert_array_equal(made["g"], GREY_RGB)
    np.testing.assert_array_equal(made["c"], RGB)
    np.testing.assert_array_equal(made["a"], RGB)


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "u4", "f2", "f4", "f8", "c8"])
@pytest.mark.parametrize("samples", [GREY, RGB], ids=["grey", "rgb"])
def test_values_that_are_no_colours_are_refused(
    reflash: Reflash, tmp_path: Path, kind: str, samples: np.ndarray
) -> None:
    photometric = "rgb" if samples.ndim == 3 else "minisblack"
    path = tmp_path / "depth.tif"
    path.write_bytes(tiff(samples.astype(kind), photometric=photometric))
    outcome = reflash("upscale", path, tmp_path / "big.png", "--weights", "bicubic")
    assert "depth.tif: " in outcome.error
    assert "values are not supported; save it as 8- or 16-bit RGB or grey" in outcome.error
    assert not (tmp_path / "big.png").exists()


def test_palettes_and_bits(reflash: Reflash, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    colours = _RNG.integers(0, 256, (3, 256)).astype(np.uint16)
    bits = GREY > 127
    images = {
        "palette": tiff(GREY, photometric="palette", colormap=colours * 257),
        "narrow": tiff(GREY, photometric="palette", colormap=colours),  # 8 bits where 16 belong
        "bits": tiff(bits, photometric="minisblack"),
        "ink": tiff(~bits, photometric="miniswhite"),
        "pages": tiff(np.stack([GREY, ~GREY]), photometric="minisblack"),  # the first counts
    }
    for name, data in images.items():
        (folder / f"{name}.tif").write_bytes(data)
    made = hr_of(reflash, folder)
    for name in ("palette", "narrow"):
        np.testing.assert_array_equal(made[name], colours.T[GREY])
    for name in ("bits", "ink"):
        np.testing.assert_array_equal(made[name], np.where(bits, 255, 0)[..., None].repeat(3, 2))
    np.testing.assert_array_equal(made["pages"], GREY_RGB)


def test_brought_tiffs(reflash: Reflash, cases: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    for name in ("tifffile_planar16", "tifffile_miniswhite16", "la16", "rgba16", "rgb16_plain"):
        (tmp_path / f"own/{name}.tif").write_bytes((cases / f"images/{name}.tif").read_bytes())
    made = hr_of(reflash, tmp_path / "own")
    reference = read_rgb(cases / "images" / "reference.png")
    for name in ("tifffile_planar16", "rgba16", "rgb16_plain"):
        np.testing.assert_array_equal(made[name], reference)
    for name in ("tifffile_miniswhite16", "la16"):
        np.testing.assert_array_equal(made[name], reference[..., [0, 0, 0]])


# PNG -------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes, crc: int = 0) -> bytes:
    checked = zlib.crc32(kind + data) ^ crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checked)


def png(values: np.ndarray, colour: int, *extra: bytes, depth: int = 0) -> bytes:
    """Return a PNG of 8- or 16-bit samples with chunks of one's own before the pixels."""
    depth = depth or 8 * values.itemsize
    rows = b"".join(b"\0" + row.astype(f">u{values.itemsize}").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", W, H, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


BOMB = zlib.compress(bytes(50_000_000))
ODD = {
    "text of a wrong checksum": chunk(b"tEXt", b"a\0b", crc=1),
    "a bomb of text": chunk(b"zTXt", b"a\0\0" + BOMB),
    "a bomb of international text": chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB),
    "a bomb of a profile": chunk(b"iCCP", b"a\0\0" + BOMB),
    "a damaged profile": chunk(b"iCCP", b"a\0\0nonsense"),
    "damaged text": chunk(b"zTXt", b"a\0\0nonsense"),
    "text of no end": chunk(b"tEXt", b"x" * 100),
    "damaged exif": chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
    "exif of a wrong checksum": chunk(b"eXIf", b"MM\0*\0\0\0\x08", crc=5),
    "gamma": chunk(b"gAMA", struct.pack(">I", 100_000)),
    "a wrong time": chunk(b"tIME", b"1"),
    "an unknown chunk": chunk(b"abCd", b"?" * 9),
    "a broken animation": chunk(b"acTL", b"\0"),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("depth", [8, 16])
def test_odd_metadata_is_ignored(reflash: Reflash, tmp_path: Path, odd: str, depth: int) -> None:
    (tmp_path / "own").mkdir()
    values = RGB if depth == 8 else RGB.astype(np.uint16) * 257
    path = tmp_path / "own" / "a.png"
    path.write_bytes(png(values, 2, ODD[odd]))
    np.testing.assert_array_equal(hr_of(reflash, tmp_path / "own")["a"], RGB)
    assert upscaled(reflash, path).shape == (4 * H, 4 * W, 3)


@pytest.mark.parametrize("name", ["bad_exif", "big_ztxt", "big_itxt"])
def test_brought_pngs(reflash: Reflash, cases: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.png").write_bytes((cases / f"images/{name}.png").read_bytes())
    made = hr_of(reflash, tmp_path / "own")["a"]
    np.testing.assert_array_equal(made, read_rgb(cases / "images" / "reference.png"))


def test_16_bit_png_of_any_colour_type(tmp_path: Path) -> None:
    deep = RGBA.astype(np.uint16) * 257
    files = {
        "la": (png(deep[..., [0, 3]], 4), GREY_RGB, ALPHA),
        "rgba": (png(deep, 6), RGB, ALPHA),
        "grey": (png(deep[..., 0], 0), GREY_RGB, None),
        "key": (
            png(deep[..., 0], 0, chunk(b"tRNS", struct.pack(">H", deep[1, 2, 0]))),
            GREY_RGB,
            np.where(GREY[1, 2] == GREY, 0, 255),
        ),
        "colour": (
            png(deep[..., :3], 2, chunk(b"tRNS", struct.pack(">HHH", *deep[1, 2, :3]))),
            RGB,
            np.where((RGB[1, 2] == RGB).all(2), 0, 255),
        ),
    }
    for name, (data, rgb, alpha) in files.items():
        (tmp_path / f"{name}.png").write_bytes(data)
        read, transparency = read_rgba(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(read, rgb)
        assert (transparency is None) == (alpha is None)
        if alpha is not None:
            np.testing.assert_array_equal(transparency, alpha)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits(reflash: Reflash, tmp_path: Path, depth: int) -> None:
    (tmp_path / "own").mkdir()
    levels = GREY >> (8 - depth)
    bits = np.unpackbits(levels[..., None], axis=2)[..., -depth:].reshape(H, -1)
    data = png(np.packbits(bits, axis=1), 0, depth=depth)
    (tmp_path / "own" / "a.png").write_bytes(data)
    expected = levels * (255 // (2**depth - 1))
    np.testing.assert_array_equal(
        hr_of(reflash, tmp_path / "own")["a"], expected[..., None].repeat(3, 2)
    )


@pytest.mark.parametrize("kind", [b"IDAT", b"IHDR"])
def test_pixels_of_a_wrong_checksum_are_refused(
    reflash: Reflash, tmp_path: Path, kind: bytes
) -> None:
    data = bytearray(png(RGB, 2))
    at = data.index(kind)
    size = struct.unpack(">I", data[at - 4 : at])[0]
    data[at + 4 + size] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    outcome = reflash("upscale", tmp_path / "a.png", tmp_path / "b.png", "--weights", "bicubic")
    assert "a.png: the image is truncated or damaged; copy or download it again" in outcome.error


# Any format ------------------------------------------------------------------------------------


def encoded(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind, **options)
    return file.getvalue()


FORMATS = {
    "png": encoded("PNG"),
    "jpeg": encoded("JPEG", quality=90),
    "progressive": encoded("JPEG", quality=90, progressive=True),
    "bmp": encoded("BMP"),
    "webp": encoded("WEBP", lossless=True),
    "gif": encoded("GIF"),
    "tiff": encoded("TIFF"),
    "lzw": encoded("TIFF", compression="tiff_lzw"),
    "jpeg in tiff": encoded("TIFF", compression="jpeg"),
    "deep": png(RGB.astype(np.uint16) * 257, 2),
    "planes": tiff(
        np.moveaxis(RGB, 2, 0).copy() * np.uint16(257), photometric="rgb", planarconfig="separate"
    ),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_anywhere_is_whole_or_refused(tmp_path: Path, kind: str) -> None:
    """The end of a file may be dispensable (a checksum, padding); what is read is then right."""
    from reflash.core.errors import ReflashError
    from reflash.datasets.images import decode_rgb

    data = FORMATS[kind]
    whole = decode_rgb("a", data)
    for size in [*range(0, len(data), max(1, len(data) // 97)), *range(len(data) - 20, len(data))]:
        try:
            read = decode_rgb("a", data[:size])
        except ReflashError:
            continue
        np.testing.assert_array_equal(read, whole, err_msg=f"{size} of {len(data)}")


@pytest.mark.parametrize("kind", FORMATS)
def test_the_content_counts_not_the_suffix(reflash: Reflash, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for suffix in ("png", "jpg", "tif", "webp"):
        (folder / f"{suffix}.{suffix}").write_bytes(FORMATS[kind])
    made = hr_of(reflash, folder)
    assert len({image.tobytes() for image in made.values()}) == 1
    assert len(made) == 4


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"name,width\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_what_is_no_image_is_one_line(reflash: Reflash, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.png").write_bytes(content)
    assert "own/a.png: " in test_set(reflash, tmp_path / "own").error


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_metadata_of_a_jpeg_may_be_broken(reflash: Reflash, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "own").mkdir()
    kind = {".jpg": "JPEG", ".webp": "WEBP"}[suffix]
    path = tmp_path / "own" / f"a{suffix}"
    path.write_bytes(encoded(kind, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(hr_of(reflash, tmp_path / "own")["a"], expected)
    assert upscaled(reflash, path).shape == (4 * H, 4 * W, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation(reflash: Reflash, tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"WEBP": {"lossless": True}}.get(kind, {})
    path = tmp_path / f"a.{kind.lower()}"
    Image.fromarray(RGB).save(path, kind, exif=exif, **lossless)
    height, width = upscaled(reflash, path).shape[:2]
    assert (height, width) == ((4 * W, 4 * H) if orientation >= 5 else (4 * H, 4 * W))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "JPEG"])
def test_the_first_of_several_images_is_taken_and_said(
    reflash: Reflash, tmp_path: Path, kind: str
) -> None:
    frames = [Image.new("RGB", (W, H), (value, 0, 0)) for value in (200, 100, 50)]
    path = tmp_path / f"a.{kind.lower()}"
    if kind == "JPEG":  # as phones store a photo with previews and depth: one picture
        frames[0].save(path, "MPO", save_all=True, append_images=frames[1:])
    else:
        frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    outcome = reflash("upscale", path, tmp_path / "b.png", "--weights", "bicubic")
    assert outcome.status == 0, outcome.err
    several = f"{path}: the first of its 3 images is taken"
    assert outcome.err.count(several) == (kind != "JPEG")
    assert np.abs(read_rgb(tmp_path / "b.png").astype(int)[..., 0] - 200).max() <= 3


def test_heic(reflash: Reflash, tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    (tmp_path / "own").mkdir()
    flat = np.full((32, 48, 3), (200, 40, 90), np.uint8)
    heif.from_bytes("RGB", (48, 32), flat.tobytes()).save(tmp_path / "own" / "a.heic", quality=95)
    made = hr_of(reflash, tmp_path / "own")["a"]
    assert made.shape == flat.shape
    assert np.abs(made.astype(int) - flat).max() <= 4


def test_heic_without_its_package(
    reflash: Reflash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reflash.datasets.decoding.has_heif", lambda: False)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    outcome = reflash("upscale", tmp_path / "a.heic", tmp_path / "b.png", "--weights", "bicubic")
    assert "a.heic: HEIC images need pillow-heif; run: pip install 'reflash[heic]'" in outcome.error


# Folders ---------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with two images."""
    for value, name in enumerate(("a", "b")):
        write_png(tmp_path / "own" / f"{name}.png", np.full((24, 24, 3), 50 * value, np.uint8))
    return tmp_path / "own"


def gather(reflash: Reflash, command: str, folder: Path, *options: object) -> Any:
    settings = json.dumps({"source": "folder", "folder": str(folder)})
    return reflash("data", command, folder.parent / "out", "--settings", settings, *options)


BOTH = pytest.mark.parametrize("command", ["test-set", "training-images"])


@BOTH
def test_a_link_to_nowhere_is_named(reflash: Reflash, own: Path, command: str) -> None:
    (own / "c.png").symlink_to("gone.png")
    error = gather(reflash, command, own).error
    assert "own/c.png: is a link to gone.png, which is not there" in error
    assert not (own.parent / "out" / "manifest.csv").exists()


@BOTH
def test_a_link_to_itself_is_named(reflash: Reflash, own: Path, command: str) -> None:
    (own / "c.png").symlink_to("c.png")
    assert "own/c.png: is a link to c.png" in gather(reflash, command, own).error


@BOTH
def test_a_pipe_is_named_and_not_waited_for(reflash: Reflash, own: Path, command: str) -> None:
    os.mkfifo(own / "c.png")
    assert "own/c.png: is not a file; remove it" in gather(reflash, command, own).error


@BOTH
def test_a_name_that_is_not_utf_8(reflash: Reflash, own: Path, command: str) -> None:
    (own / "a.png").rename(os.fsdecode(os.fsencode(own) + b"/caf\xe9.png"))
    error = gather(reflash, command, own).error
    assert r"own/caf\xe9.png: its name is not UTF-8; rename it" in error


@BOTH
def test_images_that_cannot_be_read_are_all_named(
    reflash: Reflash, own: Path, command: str
) -> None:
    for name in ("c.png", "d.jpg"):
        (own / name).write_bytes(FORMATS["png"][:200])
    outcome = gather(reflash, command, own)
    assert outcome.status == 1
    for name in ("c.png", "d.jpg"):
        assert f"{own / name}: the image is truncated or damaged" in outcome.err
    assert "out: 2 of 4 images could not be gathered (c.png, d.jpg)" in outcome.err
    assert not (own.parent / "out" / "manifest.csv").exists()


@BOTH
def test_every_image_that_cannot_be_taken_is_named(
    reflash: Reflash, own: Path, command: str
) -> None:
    (own / "c.png").symlink_to("gone")
    os.mkfifo(own / "d.png")
    (own / "a.jpg").touch()
    error = gather(reflash, command, own).error
    for name in ("c.png", "d.png", "a.png"):
        assert f"own/{name}: " in error


@BOTH
@pytest.mark.parametrize(
    "name", ["a{b}", "sp ace", "[red]", "-dash", "quo'te", "null", "001", "x\ny"]
)
def test_names_of_any_characters(reflash: Reflash, own: Path, command: str, name: str) -> None:
    (own / "a.png").rename(own / f"{name}.png")
    assert gather(reflash, command, own).status == 0
    assert (own.parent / "out" / f"{name}.png").is_file()


def test_an_error_about_a_name_with_a_newline_is_one_line(reflash: Reflash, own: Path) -> None:
    (own / "x\ny.png").touch()
    assert r"own/x\ny.png: the file is empty" in gather(reflash, "test-set", own).error


@BOTH
def test_what_is_left_out_is_counted(
    reflash: Reflash, own: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reflash.datasets import images

    monkeypatch.setattr(images, "EXTENSIONS", images.EXTENSIONS - images.HEIC)
    for name in ("x.heic", "y.HEIC", "notes.txt", "README", ".hidden.png"):
        (own / name).touch()
    (own / "folder.png").mkdir()
    outcome = gather(reflash, command, own)
    assert outcome.status == 0
    (line,) = (line for line in outcome.err.splitlines() if "left out" in line)
    assert line == (
        f"{own}: 5 left out (2 .heic (needs pip install 'reflash[heic]'), 1 .txt, "
        "1 subfolder (see --recursive), 1 without suffix)"
    )


@BOTH
def test_subfolders_on_request(reflash: Reflash, own: Path, command: str) -> None:
    write_png(own / "sub" / "deep" / "a.png", np.full((24, 24, 3), 9, np.uint8))
    (own / "sub" / "back").symlink_to(own)
    outcome = gather(reflash, command, own, "--recursive")
    assert outcome.status == 0
    assert "left out" not in outcome.err
    made = sorted(path.name for path in (own.parent / "out").glob("*.png"))
    assert made == ["a.png", "b.png", "sub_deep_a.png"]
    assert read_rgb(own.parent / "out" / "sub_deep_a.png").max() == 9


def test_subfolders_whose_names_would_meet(reflash: Reflash, own: Path) -> None:
    for name in ("sub_a", "sub/a"):
        write_png(own / f"{name}.png", np.zeros((24, 24, 3), np.uint8))
    error = gather(reflash, "test-set", own, "--recursive").error
    assert "would have the same name as" in error


def test_recursive_without_a_folder(reflash: Reflash, tmp_path: Path) -> None:
    settings = json.dumps({"source": "sample_photos"})
    outcome = reflash("data", "test-set", tmp_path / "out", "--settings", settings, "--recursive")
    assert "--recursive: source sample_photos has no subfolders" in outcome.error


@pytest.mark.parametrize("command", ["test-set", "training-images", "upscale"])
def test_a_file_without_permission_is_named(
    reflash: Reflash, commons: Path, another_user: Any, command: str
) -> None:
    own = commons / "own"
    for name in ("a", "b"):
        write_png(own / f"{name}.png", np.zeros((24, 24, 3), np.uint8))
    (own / "a.png").chmod(0)
    with another_user():
        if command == "upscale":
            outcome = reflash(command, own, commons / "out", "--weights", "bicubic")
            assert (commons / "out/b.png").is_file()
        else:
            outcome = gather(reflash, command, own)
    assert "own/a.png: cannot be read (permission denied)" in outcome.error
