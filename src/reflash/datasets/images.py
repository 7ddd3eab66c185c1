"""Reading any image file as 8-bit RGB, writing PNG, listing a folder of images.

Two readers, because a dataset and a user's photograph want different things:

* ``read_rgb`` gives the colours exactly as stored: alpha is dropped without compositing and the
  EXIF orientation is ignored, so that the pixel hash of a dataset image never depends on metadata.
* ``read_rgba`` gives what an image viewer shows: EXIF orientation applied, alpha kept apart.

No colour profile is applied by either. Files of several frames give their first.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from reflash.core.errors import ReflashError
from reflash.core.files import atomic

Pixels = npt.NDArray[np.uint8]

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""What ``list_images`` takes for an image, compared in lower case."""

MAX_PIXELS = 500_000_000
"""Larger images are refused: decoded they would take more than 1.5 GB."""

_STARTS = {
    b"\x89PNG": (".png",),
    b"\xff\xd8\xff": (".jpg", ".jpeg"),
    b"BM": (".bmp",),
    b"II*\0": (".tif", ".tiff"),
    b"MM\0*": (".tif", ".tiff"),
    b"RIFF": (".webp",),
}

_PNG_COMPRESSION = 2  # zlib level: within 2 % of the default level's size in half its time

# Pillow's own guard stops at 89 (warning) and 179 (error) megapixels, which real photographs and
# scans exceed; the limit is process-wide and can only be set here.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS)


def read_rgb(path: Path | str) -> Pixels:
    """Read an image file as 8-bit RGB, colours as stored.

    Grey is repeated in three channels, a palette is looked up, CMYK is converted by Pillow's
    formula, 16-bit values are scaled to 8 bit by rounding ``value / 257``. Alpha is dropped, not
    composited, and the EXIF orientation is ignored: a dataset is hashed and used as stored. (The
    orientation of a TIFF belongs to its decoding and is always applied.)

    Returns
    -------
    (H, W, 3) uint8, C-contiguous and writable.

    Raises
    ------
    ReflashError
        The file is missing, truncated, not an image, of more than 8 or 16 bits per channel, or
        larger than ``MAX_PIXELS``.
    """
    return decode_rgb(path, read_bytes(path))


def read_bytes(path: Path | str) -> bytes:
    """Return the content of an image file.

    Raises
    ------
    ReflashError
        The file is missing or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ReflashError(f"{path}: cannot be read ({reason}); check the path") from error


def decode_rgb(path: Path | str, data: bytes) -> Pixels:
    """Decode the content ``data`` of an image file as ``read_rgb`` does; ``path`` names it."""
    return _decode(Path(path), data)[0]


def true_suffix(path: Path | str, data: bytes) -> str:
    """Return the suffix, in lower case, that fits the content ``data`` of the image file ``path``.

    That of ``path``, unless the content begins as another of the formats in ``EXTENSIONS`` does.
    """
    suffix = Path(path).suffix.lower()
    for start, suffixes in _STARTS.items():
        if data.startswith(start):
            return suffix if suffix in suffixes else suffixes[0]
    return suffix


def read_rgba(path: Path | str) -> tuple[Pixels, Pixels | None]:
    """Read an image file upright, as 8-bit RGB and 8-bit alpha.

    Like ``read_rgb``, but the EXIF orientation is applied and transparency is returned.

    Returns
    -------
    rgb : (H, W, 3) uint8
    alpha : (H, W) uint8, or None where the file stores no transparency.
    """
    rgb, alpha, orientation = _decode(Path(path), read_bytes(path))
    return _upright(rgb, orientation), None if alpha is None else _upright(alpha, orientation)


def write_png(path: Path | str, image: Pixels) -> None:
    """Write (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA uint8 as PNG, whole or not at all.

    The same array gives the same bytes with the same OpenCV.

    Raises
    ------
    ValueError
        ``image`` is not uint8, empty, or of another shape.
    """
    if image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"expected a non-empty uint8 array, got {image.dtype} {image.shape}")
    if image.ndim == 2:
        stored = image
    elif image.ndim == 3 and image.shape[2] in (3, 4):
        code = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        stored = cv2.cvtColor(np.ascontiguousarray(image), code).astype(np.uint8, copy=False)
    else:
        raise ValueError(f"expected (H, W), (H, W, 3) or (H, W, 4), got {image.shape}")
    _, encoded = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_COMPRESSION])
    with atomic(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def mod_crop(image: Pixels, mod: int, name: str = "image") -> Pixels:
    """Crop ``image`` (H, W, ...) at the bottom and right to multiples of ``mod``; a view.

    Raises
    ------
    ReflashError
        A side is smaller than ``mod``; the message begins with ``name``.
    """
    height, width = image.shape[:2]
    if height < mod or width < mod:
        raise ReflashError(
            f"{name}: {width}x{height} pixels are too few for a crop to multiples of {mod}; "
            f"use images of at least {mod}x{mod}"
        )
    return image[: height - height % mod, : width - width % mod]


def list_images(folder: Path | str) -> list[Path]:
    """List the image files of ``folder`` (see ``EXTENSIONS``), sorted by name without suffix.

    Subfolders and hidden files are ignored. The name without suffix identifies an image
    everywhere in this project, so it must be unique.

    Raises
    ------
    ReflashError
        The folder is missing or holds no image, or two files differ only in their suffix.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ReflashError(f"{folder}: no such folder; name a folder that holds images")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in EXTENSIONS:
            continue
        if not path.is_file():
            continue
        if path.stem in found:
            raise ReflashError(
                f"{path}: has the same name as {found[path.stem].name}; rename or remove one"
            )
        found[path.stem] = path
    if not found:
        kinds = ", ".join(sorted(suffix[1:] for suffix in EXTENSIONS))
        raise ReflashError(f"{folder}: holds no image; put images there ({kinds})")
    return [found[stem] for stem in sorted(found)]


def _decode(path: Path, data: bytes) -> tuple[Pixels, Pixels | None, int]:
    """Return rgb, alpha or None, and the EXIF orientation (1 to 8) not yet applied.

    ``data`` is the content of the file; ``path`` names it in messages.
    """
    if not data:
        raise ReflashError(f"{path}: the file is empty; copy or download it again")
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except Image.UnidentifiedImageError:
        return (*_split(path, _decode_cv2(path, data)), 1)
    except Exception as error:  # a decoder may raise anything on a damaged header
        raise _damaged(path) from error
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(path)
        try:
            image.load()
            orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
            sixteen = _is_16_bit(image, data)
            if not sixteen and image.mode not in ("I", "F"):
                return (*_convert(image), orientation)
        except Exception as error:  # a decoder may raise anything on damaged data
            raise _damaged(path) from error
        if sixteen and (image.mode == "I" or image.mode.startswith("I;16")):
            return (*_split(path, np.asarray(image).astype(np.uint16)), orientation)
        if sixteen:  # Pillow would keep only the upper 8 bits
            return (*_split(path, _decode_cv2(path, data)), orientation)
        raise _unsupported(path, f"Pillow mode {image.mode}")


def _is_16_bit(image: Image.Image, data: bytes) -> bool:
    if image.format == "PNG":
        return data[24] == 16  # the bit depth of the IHDR chunk, which comes first
    if image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        return 16 in tags.get(258, ()) and image.mode != "F"  # BitsPerSample
    return image.mode.startswith("I;16")


def _convert(image: Image.Image) -> tuple[Pixels, Pixels | None]:
    """Convert a loaded 8-bit Pillow image of any mode."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = np.array(image.convert("RGBA"))
        return np.ascontiguousarray(rgba[:, :, :3]), np.ascontiguousarray(rgba[:, :, 3])
    return np.array(image.convert("RGB")), None


def _decode_cv2(path: Path, data: bytes) -> npt.NDArray[np.generic]:
    """Decode with OpenCV as (H, W), (H, W, 3) RGB or (H, W, 4) RGBA of the stored depth."""
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _not_an_image(path) from error
    if decoded is None:
        raise _not_an_image(path)
    if decoded.ndim == 3 and decoded.shape[2] in (3, 4):
        code = cv2.COLOR_BGR2RGB if decoded.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        return cv2.cvtColor(decoded, code)
    return decoded


def _split(path: Path, decoded: npt.NDArray[np.generic]) -> tuple[Pixels, Pixels | None]:
    """Turn a decoded 8- or 16-bit array of 1, 3 or 4 channels into 8-bit rgb and alpha."""
    if decoded.dtype == np.uint16:
        pixels = ((decoded.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif decoded.dtype == np.uint8:
        pixels = decoded.astype(np.uint8)
    else:
        raise _unsupported(path, f"{decoded.dtype} values")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    channels = pixels.shape[2]
    if channels == 1:
        return np.repeat(pixels, 3, axis=2), None
    if channels == 3:
        return np.ascontiguousarray(pixels), None
    if channels == 4:
        return np.ascontiguousarray(pixels[:, :, :3]), np.ascontiguousarray(pixels[:, :, 3])
    raise _unsupported(path, f"{channels} channels")


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation: 1 as is, 2 to 4 flips and half turn, 5 to 8 the transposed ones."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _damaged(path: Path) -> ReflashError:
    return ReflashError(f"{path}: the image is truncated or damaged; copy or download it again")


def _not_an_image(path: Path) -> ReflashError:
    return ReflashError(f"{path}: not an image, or cut off; get it again or save it as PNG")


def _too_large(path: Path) -> ReflashError:
    return ReflashError(
        f"{path}: has more than {MAX_PIXELS // 10**6} megapixels; cut it into smaller images"
    )


def _unsupported(path: Path, what: str) -> ReflashError:
    return ReflashError(f"{path}: {what} are not supported; save it as 8- or 16-bit RGB or grey")
