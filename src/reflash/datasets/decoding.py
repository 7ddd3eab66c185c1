"""From the bytes of an image file to 8-bit RGB, alpha and orientation, or an error: never a guess.

Pillow decodes what has 8 bits or less, OpenCV 16-bit PNG. TIFF, in which a file may combine any
layout with any meaning of its samples, has a module of its own.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, features

from reflash.core.errors import ReflashError

Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 500_000_000
"""Larger images are refused: decoded they would take more than 1.5 GB."""

HEIC = frozenset({".heic", ".heif"})
"""Suffixes that need the optional package pillow-heif."""

_STARTS = {
    b"\x89PNG": (".png",),
    b"\xff\xd8\xff": (".jpg", ".jpeg"),
    b"BM": (".bmp",),
    b"II*\0": (".tif", ".tiff"),
    b"MM\0*": (".tif", ".tiff"),
    b"II+\0": (".tif", ".tiff"),
    b"MM\0+": (".tif", ".tiff"),
    b"RIFF": (".webp",),
    b"GIF8": (".gif",),
}
_BRANDS = {b"avif": (".avif",), b"avis": (".avif",)} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), (".heic", ".heif")
)

# Those of the suffixes in EXTENSIONS and no others: Pillow would start Ghostscript for EPS.
_PILLOW_FORMATS = ["PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP"]

_PNG_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")

# Pillow's own guard stops at 89 (warning) and 179 (error) megapixels, which real photographs and
# scans exceed; the limit is process-wide and can only be set here. So can the filter: images are
# decoded in several threads, and what Pillow warns of is metadata that nothing here reads.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS)
warnings.filterwarnings("ignore", module=r"PIL\.")
cv2.utils.logging.setLogLevel(
    cv2.utils.logging.LOG_LEVEL_SILENT
)  # errors are raised here, not also printed


class Decoded(NamedTuple):
    """An image as it is stored."""

    rgb: Pixels
    """(H, W, 3)"""
    alpha: Pixels | None
    """(H, W), where the file stores transparency."""
    orientation: int = 1
    """EXIF orientation, 1 to 8, not yet applied."""
    frames: int = 1
    """Images in the file, of an animation or of several pages; this is the first."""


def suffixes_of(data: bytes) -> tuple[str, ...]:
    """Return the suffixes that fit the content of an image file, none where it is not known.

    >>> suffixes_of(b"GIF89a")
    ('.gif',)
    """
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], ())
    return next((fits for start, fits in _STARTS.items() if data.startswith(start)), ())


def has_avif() -> bool:
    """Tell whether this Pillow reads AVIF."""
    return "avif" in features.modules and bool(features.check("avif"))


def has_heif() -> bool:
    """Tell whether the optional package pillow-heif is installed."""
    return find_spec("pillow_heif") is not None


def decode(path: Path, data: bytes) -> Decoded:
    """Decode the content ``data`` of an image file other than TIFF; ``path`` names it in errors.

    Raises
    ------
    ReflashError
        ``data`` is empty, truncated, damaged, not an image, too large, or has values that 8-bit RGB
        and alpha cannot stand for.
    """
    if not data:
        raise ReflashError(f"{path}: the file is empty; copy or download it again")
    kind = suffixes_of(data)
    if ".heic" in kind:
        _enable_heif(path)
        return decode_with_pillow(path, data, ["HEIF"])
    if ".avif" in kind and has_avif():
        return decode_with_pillow(path, data, ["AVIF"])
    if ".png" not in kind:
        return decode_with_pillow(path, data)
    bare = _without_metadata(path, data)
    if data[24:25] == b"\x10":  # the bit depth of the IHDR chunk, which comes first
        return _decode_deep_png(path, data, bare)
    try:
        return decode_with_pillow(path, data)
    except ReflashError:
        # Broken or oversized metadata stops Pillow, though nothing here needs it.
        return decode_with_pillow(path, bare)


def decode_with_pillow(path: Path, data: bytes, more: Sequence[str] = ()) -> Decoded:
    """Decode an image of at most 8 bits per channel and any mode that Pillow knows.

    ``more`` are Pillow's names of formats to try besides the usual ones.
    """
    try:
        with Image.open(io.BytesIO(data), formats=[*_PILLOW_FORMATS, *more]) as image:
            require_size(path, image.width, image.height)
            image.load()
            if image.mode[0] in "IF":
                raise unsupported(path, f"values of Pillow mode {image.mode}")
            # The others of a JPEG are not pictures of their own: previews, depth, gain maps.
            frames = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
            return Decoded(*to_rgb_and_alpha(image), _orientation(image), frames)
    except ReflashError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except Image.UnidentifiedImageError as error:
        raise not_an_image(path) from error
    except Exception as error:  # a decoder may raise anything on damaged data
        raise damaged(path) from error


def to_rgb_and_alpha(image: Image.Image) -> tuple[Pixels, Pixels | None]:
    """Convert a loaded Pillow image of any 8-bit mode, without compositing."""
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        rgba = np.array(image.convert("RGBA"))
        return np.ascontiguousarray(rgba[:, :, :3]), np.ascontiguousarray(rgba[:, :, 3])
    return np.array(image.convert("RGB")), None


def to_8_bit(values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Pixels:
    """Scale 16-bit values to 8 bits: ``value / 257``, rounded. Those of 8 bits stay.

    >>> to_8_bit(np.array([0, 128, 129, 65535], np.uint16)).tolist()
    [0, 0, 1, 255]
    """
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation: 1 as is, 2 to 4 flips and half turn, 5 to 8 the transposed ones."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def require_size(path: Path, width: int, height: int) -> None:
    """Raise where an image is larger than ``MAX_PIXELS``."""
    if width * height > MAX_PIXELS:
        raise too_large(path)


def decode_deep(path: Path, data: bytes) -> npt.NDArray[np.uint16]:
    """Decode 16-bit PNG or TIFF with OpenCV: (H, W), (H, W, 3) RGB or (H, W, 4) RGBA uint16."""
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise damaged(path) from error
    if decoded is None or decoded.dtype != np.uint16:
        raise damaged(path)
    if decoded.ndim == 3:
        code = cv2.COLOR_BGR2RGB if decoded.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        decoded = cv2.cvtColor(decoded, code)
    return decoded.astype(np.uint16, copy=False)


def _decode_deep_png(path: Path, data: bytes, bare: bytes) -> Decoded:
    """Decode 16 bits per channel, of which Pillow would keep only the upper 8."""
    try:
        with Image.open(io.BytesIO(bare), formats=["PNG"]) as image:
            require_size(path, image.width, image.height)
            image.load()  # unlike OpenCV's, this decoder notices a truncated file
            clear = image.info.get("transparency")
    except ReflashError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except Exception as error:
        raise damaged(path) from error
    values = decode_deep(path, bare)
    if values.ndim == 2:
        alpha = None
        if clear is not None:  # one grey that is transparent
            alpha = np.where(values == clear, 0, 255).astype(np.uint8)
        return Decoded(to_8_bit(values)[:, :, None].repeat(3, 2), alpha, _png_orientation(data))
    alpha = to_8_bit(values[:, :, 3]) if values.shape[2] == 4 else None
    return Decoded(to_8_bit(values[:, :, :3]), alpha, _png_orientation(data))


def _without_metadata(path: Path, data: bytes) -> bytes:
    """Return a PNG file with nothing but what its pixels and orientation need."""
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        chunk = data[at : at + 12 + size]
        if len(chunk) < 12 + size:
            break
        whole = zlib.crc32(chunk[4:-4]) == struct.unpack(">I", chunk[-4:])[0]
        if kind in _PNG_NEEDED:
            if not whole:
                raise damaged(path)
            kept.append(chunk)
        elif kind == b"eXIf" and whole:
            kept.append(chunk)
        at += 12 + size
        if kind == b"IEND":
            return b"".join(kept)
    return b"".join([*kept, data[at:]])  # truncated: Pillow decides whether the pixels are whole


def _png_orientation(data: bytes) -> int:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            return _orientation(image)
    except Exception:  # metadata: any damage means that there is none
        return 1


def _orientation(image: Image.Image) -> int:
    try:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # metadata: any damage means that there is none
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _enable_heif(path: Path) -> None:
    if not has_heif():
        raise ReflashError(
            f"{path}: HEIC images need pillow-heif; run: pip install 'reflash[heic]', or save it "
            "as PNG"
        )
    import pillow_heif

    pillow_heif.register_heif_opener()


def damaged(path: Path) -> ReflashError:
    """Return the error for a file that ends early or contradicts itself."""
    return ReflashError(f"{path}: the image is truncated or damaged; copy or download it again")


def not_an_image(path: Path) -> ReflashError:
    """Return the error for a file of which no decoder knows the format."""
    return ReflashError(f"{path}: not an image, or cut off; get it again or save it as PNG")


def too_large(path: Path) -> ReflashError:
    """Return the error for more than ``MAX_PIXELS``."""
    return ReflashError(
        f"{path}: has more than {MAX_PIXELS // 10**6} megapixels; cut it into smaller images"
    )


def unsupported(path: Path, what: str) -> ReflashError:
    """Return the error for an image whose values are not those of a picture on a screen."""
    return ReflashError(f"{path}: {what} are not supported; save it as 8- or 16-bit RGB or grey")
