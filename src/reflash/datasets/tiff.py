"""Decoding TIFF: which layouts are read, by which decoder, and which are refused.

A TIFF states how its samples lie (planes, tiles, byte order), what they are (unsigned, signed,
floating point) and what they mean (black or white at zero, palette, CMYK, alpha). Decoders ignore
some of that silently, so it is read first; a combination that no decoder here gets right is an
error.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from reflash.core.errors import ReflashError
from reflash.datasets.decoding import (
    Decoded,
    Pixels,
    damaged,
    decode_deep,
    decode_with_pillow,
    require_size,
    to_8_bit,
    to_rgb_and_alpha,
    unsupported,
    upright,
)

Samples: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _CMYK: 4}
_PREMULTIPLIED, _STRAIGHT = 1, 2  # values of the tag ExtraSamples
_OLD_JPEG = 6

# It reports every oddity of a file in several lines; what matters is an error here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def decode_tiff(path: Path, data: bytes) -> Decoded:
    """Decode the first page of a TIFF, upright (its orientation belongs to its decoding).

    Raises
    ------
    ReflashError
        As `reflash.datasets.decoding.decode`.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            require_size(path, page.imagewidth, page.imagelength)
            _require_whole(path, page, len(data))
            _require_known(path, page)
            decode = _decode_samples if page.bitspersample == 16 else _decode_8_bit
            # Reduced versions of the first page, and masks, are not images of their own.
            kinds = [int(other.aspage().subfiletype) for other in file.pages]
            return decode(path, data, page)._replace(frames=sum(not kind & 5 for kind in kinds))
    except ReflashError:
        raise
    except Exception as error:  # a decoder may raise anything on damaged data
        raise damaged(path) from error


def _require_whole(path: Path, page: tifffile.TiffPage, size: int) -> None:
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if page.compression == _OLD_JPEG:
        return
    if not segments or any(not 0 < at <= at + count <= size for at, count in segments):
        raise damaged(path)


def _require_known(path: Path, page: tifffile.TiffPage) -> None:
    """Raise where the samples are not those of a picture."""
    photometric, bits = int(page.photometric), page.bitspersample
    if page.sampleformat not in (None, 1):
        kinds = {2: "signed", 3: "floating-point"}
        raise unsupported(path, f"{kinds.get(page.sampleformat, 'complex or untyped')} values")
    if bits not in (1, 2, 4, 8, 16):
        raise unsupported(path, f"{bits}-bit values")
    known = _CHANNELS if bits == 16 else (*_CHANNELS, _PALETTE, _YCBCR, _LAB)
    if photometric not in known or page.imagedepth != 1:
        raise unsupported(path, f"{bits}-bit {tifffile.PHOTOMETRIC(photometric).name} samples")
    if page.subfiletype & 1:
        raise unsupported(path, "a first page that is a preview of another and the others")


def _decode_8_bit(path: Path, data: bytes, page: tifffile.TiffPage) -> Decoded:
    premultiplied_grey = page.samplesperpixel == 2 and page.extrasamples[:1] == (_PREMULTIPLIED,)
    if page.bitspersample < 8 and page.samplesperpixel > 1:
        raise unsupported(path, f"{page.bitspersample}-bit values of several channels")
    if premultiplied_grey:
        return _decode_samples(path, data, page)
    if page.colormap is not None and page.colormap.max() < 256:
        # Some programs write 8-bit colours where 16-bit ones belong; Pillow would show black.
        rgb = page.colormap.T.astype(np.uint8)[_read_samples(path, page)[:, :, 0]]
        return Decoded(upright(rgb, _orientation(page)), None)
    try:
        decoded = decode_with_pillow(path, data)
    except ReflashError:
        if page.bitspersample < 8 or int(page.photometric) not in _CHANNELS:
            raise
        return _decode_samples(path, data, page)
    return decoded._replace(orientation=1)  # Pillow has applied it


def _decode_samples(path: Path, data: bytes, page: tifffile.TiffPage) -> Decoded:
    """Decode 8- or 16-bit samples of grey, RGB or CMYK with or without alpha, in any layout."""
    colours = _CHANNELS[int(page.photometric)]
    if page.samplesperpixel < colours:
        raise damaged(path)
    deep = page.bitspersample == 16
    if deep and page.planarconfig == 1 and colours < 4 and page.samplesperpixel in (1, 3, 4):
        # The common case, with all of libtiff's compressions; OpenCV applies the orientation.
        values, orientation = decode_deep(path, data), 1
        samples: Samples = values.reshape(*values.shape[:2], -1)
        if samples.shape[2] != page.samplesperpixel:
            raise damaged(path)
    else:
        samples, orientation = _read_samples(path, page), _orientation(page)
    rgb, extra = samples[:, :, :colours], samples[:, :, colours:]
    alpha = None
    if extra.shape[2] and _has_alpha(page):
        alpha = extra[:, :, 0]
        if page.extrasamples[:1] == (_PREMULTIPLIED,):
            rgb = _divided(rgb, alpha)
    if int(page.photometric) == _WHITE_IS_ZERO:
        rgb = np.iinfo(rgb.dtype).max - rgb
    return Decoded(
        upright(_to_rgb(to_8_bit(rgb), colours), orientation),
        None if alpha is None else upright(to_8_bit(alpha), orientation),
    )


def _read_samples(path: Path, page: tifffile.TiffPage) -> Samples:
    """Return (H, W, samples) of a page, however they lie in the file."""
    try:
        values = page.asarray(squeeze=False)  # (planes, 1, H, W, samples of a plane)
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        name = tifffile.COMPRESSION(page.compression).name
        raise unsupported(path, f"{name}-compressed samples in this layout") from error
    height, width = values.shape[2:4]
    return np.moveaxis(values[:, 0], 0, 2).reshape(height, width, -1)


def _has_alpha(page: tifffile.TiffPage) -> bool:
    """Tell whether the first extra sample is alpha; a fourth of RGB that is not declared is."""
    if page.extrasamples:
        return page.extrasamples[0] in (_PREMULTIPLIED, _STRAIGHT)
    return int(page.photometric) == _RGB and page.samplesperpixel == 4


def _divided(values: Samples, alpha: Samples) -> Samples:
    """Undo the multiplication of colours with alpha; where that is 0 nothing is known."""
    most = np.iinfo(values.dtype).max
    share = np.maximum(alpha, 1)[:, :, None].astype(np.float64)
    straight = np.rint(values * (most / share)).clip(0, most)
    return straight.astype(np.uint8) if most == 255 else straight.astype(np.uint16)


def _to_rgb(values: Pixels, colours: int) -> Pixels:
    if colours == 1:
        return values.repeat(3, axis=2)
    if colours == 4:
        cmyk = Image.frombytes("CMYK", values.shape[1::-1], np.ascontiguousarray(values).tobytes())
        return to_rgb_and_alpha(cmyk)[0]
    return values


def _orientation(page: tifffile.TiffPage) -> int:
    tag = page.tags.get(274)
    return int(tag.value) if tag is not None and int(tag.value) in range(1, 9) else 1
