"""Every kind of image file is read with the right values, or refused by name."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reflash.core.errors import ReflashError
from reflash.datasets import decoding, images
from reflash.datasets.images import list_images, mod_crop, read_rgb, read_rgba, write_png


@pytest.fixture
def rgb(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (13, 17, 3), dtype=np.uint8)


@pytest.fixture
def deep(rng: np.random.Generator) -> np.ndarray:
    """Random 16-bit RGBA."""
    return rng.integers(0, 65536, (13, 17, 4), dtype=np.uint16)


def to_8_bit(values: np.ndarray) -> np.ndarray:
    """Scale 16 to 8 bit in floating point, independently of the reader's integer form."""
    return np.round(values / 257.0).astype(np.uint8)


def tiff(pixels: np.ndarray, orientation: int = 1) -> bytes:
    """Return an uncompressed little-endian RGB TIFF of the depth of ``pixels``."""
    height, width, channels = pixels.shape
    body = pixels.astype(f"<u{pixels.itemsize}").tobytes()
    bits_at = 8 + 2 + 11 * 12 + 4
    data_at = bits_at + 2 * channels
    fields = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, channels, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, data_at),
        (274, 3, 1, orientation),
        (277, 3, 1, channels),
        (278, 3, 1, height),
        (279, 4, 1, len(body)),
        (284, 3, 1, 1),
    ]
    head = b"II*\0" + struct.pack("<IH", 8, len(fields))
    for field in fields:
        head += struct.pack("<HHII", *field)
    return head + struct.pack(f"<I{channels}H", 0, *[8 * pixels.itemsize] * channels) + body


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_lossless_rgb_is_read_exactly(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rgb).save(path, **({"lossless": True} if suffix == "webp" else {}))
    read = read_rgb(path)
    np.testing.assert_array_equal(read, rgb)
    assert read.flags.c_contiguous
    assert read.flags.writeable


def test_jpeg_is_decoded_as_pillow_does(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.JPG", format="jpeg", quality=80)
    np.testing.assert_array_equal(
        read_rgb(tmp_path / "a.JPG"), np.asarray(Image.open(tmp_path / "a.JPG"))
    )


def test_grey_is_repeated(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb[..., 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), rgb[..., [0, 0, 0]])


def test_one_bit_is_black_and_white(tmp_path: Path, rgb: np.ndarray) -> None:
    bits = rgb[..., 0] > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == "1"
    expected = np.where(bits, 255, 0).astype(np.uint8)[..., None].repeat(3, axis=2)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_dropped_not_composited(tmp_path: Path, rgb: np.ndarray, mode: str) -> None:
    alpha = np.full(rgb.shape[:2], 7, np.uint8)
    alpha[0, 0] = 0
    colours = rgb if mode == "RGBA" else rgb[..., [1, 1, 1]]
    image = Image.fromarray(rgb if mode == "RGBA" else rgb[..., 1])
    image.putalpha(Image.fromarray(alpha))
    assert image.mode == mode
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), colours)
    upright, transparency = read_rgba(tmp_path / "a.png")
    np.testing.assert_array_equal(upright, colours)
    np.testing.assert_array_equal(transparency, alpha)


def test_opaque_image_has_no_alpha(tmp_path: Path, rgb: np.ndarray) -> None:
    write_png(tmp_path / "a.png", rgb)
    assert read_rgba(tmp_path / "a.png")[1] is None


@pytest.mark.parametrize("transparency", [None, 1, bytes([255, 0, 128])])
def test_palette(
    tmp_path: Path, rng: np.random.Generator, transparency: int | bytes | None
) -> None:
    palette = np.array([[10, 20, 30], [200, 100, 0], [0, 255, 1]], np.uint8)
    index = rng.integers(0, 3, (9, 11), dtype=np.uint8)
    image = Image.fromarray(index).convert("L")
    image.putpalette(palette.tobytes())
    image.save(
        tmp_path / "a.png", **({} if transparency is None else {"transparency": transparency})
    )
    assert Image.open(tmp_path / "a.png").mode == "P"
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), palette[index])
    _, alpha = read_rgba(tmp_path / "a.png")
    if transparency is None:
        assert alpha is None
    else:
        table = [255, 0, 255] if transparency == 1 else list(transparency)
        np.testing.assert_array_equal(alpha, np.array(table, np.uint8)[index])


@pytest.mark.parametrize(("mode", "key"), [("L", 3), ("RGB", (1, 2, 3)), ("1", 255)])
def test_a_transparent_colour_becomes_alpha(
    tmp_path: Path, mode: str, key: int | tuple[int, ...]
) -> None:
    image = Image.new(mode, (5, 4), 0)
    image.putpixel((2, 1), key)
    image.save(tmp_path / "a.png", transparency=key)
    rgb, alpha = read_rgba(tmp_path / "a.png")
    assert alpha is not None
    assert alpha[1, 2] == 0
    assert (alpha == 0).sum() == 1
    assert rgb[1, 2].tolist() == (list(key) if isinstance(key, tuple) else [key] * 3)


def test_cmyk(tmp_path: Path) -> None:
    cmyk = np.zeros((4, 4, 4), np.uint8)
    cmyk[0, 0] = (255, 0, 0, 0)  # cyan only: no red
    cmyk[1, 1] = (0, 0, 0, 255)  # black
    Image.fromarray(cmyk, "CMYK").save(tmp_path / "a.tif")
    read = read_rgb(tmp_path / "a.tif")
    assert read[0, 0].tolist() == [0, 255, 255]
    assert read[1, 1].tolist() == [0, 0, 0]
    assert read[2, 2].tolist() == [255, 255, 255]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_is_rounded_not_truncated(tmp_path: Path, deep: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), deep[..., 0])
    np.testing.assert_array_equal(read_rgb(path), to_8_bit(deep[..., [0, 0, 0]]))
    cv2.imwrite(str(path), deep[..., 2::-1])
    np.testing.assert_array_equal(read_rgb(path), to_8_bit(deep[..., :3]))
    cv2.imwrite(str(path), deep[..., [2, 1, 0, 3]])
    rgb, alpha = read_rgba(path)
    np.testing.assert_array_equal(rgb, to_8_bit(deep[..., :3]))
    np.testing.assert_array_equal(alpha, to_8_bit(deep[..., 3]))


def test_every_16_bit_value(tmp_path: Path) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    cv2.imwrite(str(tmp_path / "a.png"), values)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png")[..., 1], to_8_bit(values))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_for_readers_of_photos_only(
    tmp_path: Path, rgb: np.ndarray, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(rgb).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), rgb)
    upright = {
        1: rgb,
        2: np.fliplr(rgb),
        3: np.rot90(rgb, 2),
        4: np.flipud(rgb),
        5: rgb.transpose(1, 0, 2),
        6: np.rot90(rgb, -1),
        7: np.rot90(rgb.transpose(1, 0, 2), 2),
        8: np.rot90(rgb, 1),
    }[orientation]
    np.testing.assert_array_equal(read_rgba(tmp_path / "a.png")[0], upright)


def test_exif_orientation_of_alpha(tmp_path: Path, rgb: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.dstack([rgb, rgb[..., 0]])).save(tmp_path / "a.png", exif=exif)
    _, alpha = read_rgba(tmp_path / "a.png")
    np.testing.assert_array_equal(alpha, np.rot90(rgb[..., 0], -1))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_tiff_orientation_is_applied_once(
    tmp_path: Path, deep: np.ndarray, depth: int, orientation: int
) -> None:
    pixels = deep[..., :3] if depth == 16 else to_8_bit(deep[..., :3])
    (tmp_path / "a.tif").write_bytes(tiff(pixels, orientation))
    turned = np.rot90(to_8_bit(deep[..., :3]), {1: 0, 3: 2, 6: -1, 8: 1}[orientation])
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.tif"), turned)
    np.testing.assert_array_equal(read_rgba(tmp_path / "a.tif")[0], turned)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_truncated_file_is_refused_by_name(
    tmp_path: Path, rng: np.random.Generator, suffix: str, keep: float
) -> None:
    path = tmp_path / f"whole.{suffix}"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ReflashError, match=rf"cut\.{suffix}: .*; ") as caught:
        read_rgb(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("name,width\n")
    with pytest.raises(ReflashError, match=r"text\.png: not an image, or cut off; get it again"):
        read_rgb(tmp_path / "text.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(ReflashError, match=r"empty\.png: the file is empty; copy or download"):
        read_rgb(tmp_path / "empty.png")
    with pytest.raises(ReflashError, match=r"absent\.png: cannot be read \(no such file"):
        read_rgb(tmp_path / "absent.png")
    with pytest.raises(ReflashError, match=r"cannot be read \(is a directory\)"):
        read_rgb(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_give_an_image_or_one_line(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["png", "jpeg", "tiff", "webp", "bmp", "gif"]))
    file = io.BytesIO()
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(file, kind)
    damaged = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    problem, rgb = None, np.zeros((1, 1, 3), np.uint8)
    try:
        rgb = images.decode_rgb("x", bytes(damaged))
    except ReflashError as error:
        problem = str(error)
    assert problem is None or re.fullmatch(r"x: [^\n]+; [^\n]+", problem)
    assert rgb.dtype == np.uint8
    assert rgb.shape[2:] == (3,)


@pytest.mark.slow
def test_a_hundred_megapixels_are_read(tmp_path: Path) -> None:
    Image.new("L", (10000, 10100), 7).save(tmp_path / "large.png", compress_level=1)
    rgb = read_rgb(tmp_path / "large.png")
    assert rgb.shape == (10100, 10000, 3)
    assert rgb[-1, -1].tolist() == [7, 7, 7]


def test_more_than_the_limit_is_refused_before_decoding(
    tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 100)
    write_png(tmp_path / "a.png", rgb)
    with pytest.raises(ReflashError, match=r"a\.png: has more than .* megapixels; cut it"):
        read_rgb(tmp_path / "a.png")
    monkeypatch.undo()
    header = b"IHDR" + struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = struct.pack(">I", 1 << 20) + b"IDAT"
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + data)
    with pytest.raises(ReflashError, match=r"bomb\.png: has more than 500 megapixels"):
        read_rgb(tmp_path / "bomb.png")


@pytest.mark.parametrize("channels", [None, 3, 4])
def test_png_round_trip(tmp_path: Path, rng: np.random.Generator, channels: int | None) -> None:
    shape = (6, 7) if channels is None else (6, 7, channels)
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    write_png(tmp_path / "new" / "a.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "a.png")), image)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_png_of_a_view_equals_png_of_its_copy(tmp_path: Path, rgb: np.ndarray) -> None:
    write_png(tmp_path / "a.png", rgb[2:9, ::-2])
    write_png(tmp_path / "b.png", rgb[2:9, ::-2].copy())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), rgb[2:9, ::-2])


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)],
)
def test_png_of_anything_else_is_a_mistake(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        write_png(tmp_path / "a.png", image)
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))
def test_mod_crop(height: int, width: int, mod: int) -> None:
    image = np.arange(height * width * 3).reshape(height, width, 3).astype(np.uint8)
    if min(height, width) < mod:
        with pytest.raises(ReflashError, match=rf"^a\.png: {width}x{height} .* least {mod}x{mod}"):
            mod_crop(image, mod, "a.png")
        return
    cropped = mod_crop(image, mod)
    assert cropped.shape[:2] == (height // mod * mod, width // mod * mod)
    np.testing.assert_array_equal(cropped, image[: cropped.shape[0], : cropped.shape[1]])


def test_listing(tmp_path: Path) -> None:
    for name in [
        "b.PNG",
        "a-1.jpg",
        "a.tiff",
        ".hidden.png",
        "notes.txt",
        "c.JpEg",
        "manifest.csv",
    ]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.png").touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.tiff", "a-1.jpg", "b.PNG", "c.JpEg"]


def test_listing_nothing_or_twice_the_same(tmp_path: Path) -> None:
    with pytest.raises(ReflashError, match=r"absent: no such folder"):
        list_images(tmp_path / "absent")
    with pytest.raises(ReflashError, match=r"holds no image; put images there \(.*bmp, .*jpeg"):
        list_images(tmp_path)
    (tmp_path / "a.png").touch()
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ReflashError, match=r"a\.png: has the same name as a\.jpg; rename"):
        list_images(tmp_path)
