"""Images that are in a training set and in a test set: equal pixels, or the same photograph.

The same photograph is found whether it was scaled, compressed, brightened, flipped, turned by
right angles, or cropped to no less than about four fifths of each side. Two steps, because
thumbnails alone confuse photographs of like composition (a sky above a meadow):

1. 16 x 16 grey thumbnails, of the whole image and of 18 windows of 0.9 and 0.8 of its sides, are
   correlated, all training images with all test images in all eight orientations at once. Pairs
   beyond ``COARSE`` go on.
2. The details of such a pair (64 x 64, without what a Gaussian of sigma 2 keeps, divided by their
   local strength lest one strong edge decide) are searched for in each other at six relative
   sizes. A pair beyond ``FINE`` is a leak.

Measured on 539 training images (BSDS500 train and test, T91, Photos2K) and 143 test images (Set5,
Set14, BSD100, Kodak24): thumbnails of unrelated photographs correlate up to 0.95, details up to
0.31. Details of copies correlate at least 0.90 scaled to a quarter, 0.77 as JPEG of quality 10,
0.64 with noise of sigma 50, 0.99 with gamma 0.6, 0.60 cropped to 0.8 to 0.95 of each side. All of
these copies pass the first step, but of those cropped to 0.85 three in a hundred do not, and of
those cropped to 0.8 eleven.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from reflash.core.files import write_text
from reflash.datasets.images import Pixels, list_images, read_rgb
from reflash.datasets.manifest import pixel_hash
from reflash.datasets.parallel import ordered_map

COARSE = 0.75
"""Correlation of thumbnails from which two images are compared in detail."""
FINE = 0.55
"""Correlation of details from which two images are the same photograph."""

_SIDE, _THUMB = 64, 16
_WINDOWS = (0.9, 0.8)
_SIZES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
_SIGMA, _STRENGTH_SIGMA = 2.0, 3.0
_BORDER = 2  # of a template, where its details suffer from the cut
_FAINT = 2.0  # grey levels; details weaker than this are not raised to the strength of others
_FLAT = 1.0  # grey levels; with less deviation than this an image has nothing to compare
_BLOCK = 32  # test images that are correlated at a time, to bound memory

Array = npt.NDArray[np.float32]


class Leak(NamedTuple):
    """A training image that is also a test image."""

    train: Path
    test: Path
    kind: str
    """``pixels`` (equal) or ``photograph`` (the same up to scale, crop, flips and such)."""
    correlation: float
    """Of the details; 1 for equal pixels."""


class Sketch(NamedTuple):
    """What is kept of an image to compare it with others."""

    path: Path
    sha256_rgb8: str
    grey: Array
    """(64, 64) in [0, 255], whatever the shape of the image."""


def find_leaks(train: Iterable[Path | str], test: Iterable[Path | str]) -> list[Leak]:
    """Compare all images of the folders ``train`` with all images of the folders ``test``.

    Returns the leaks sorted by training and test file. Images are decoded a few at a time and
    4 kB or so are kept of each.

    Raises
    ------
    ReflashError
        A folder is missing or empty, or an image cannot be read.
    """
    training, testing = sketches(train), sketches(test)
    hashes: dict[str, list[Sketch]] = {}
    for sketch in testing:
        hashes.setdefault(sketch.sha256_rgb8, []).append(sketch)
    leaks = {
        (a.path, b.path): Leak(a.path, b.path, "pixels", 1.0)
        for a in training
        for b in hashes.get(a.sha256_rgb8, ())
    }

    def compare(pair: tuple[Sketch, Sketch, list[int]]) -> tuple[Sketch, Sketch, float]:
        a, b, turns = pair
        return a, b, max(detail_correlation(a.grey, _turned(b.grey)[turn]) for turn in turns)

    for a, b, value in ordered_map(compare, _similar(training, testing)):
        if value > FINE:
            leaks.setdefault((a.path, b.path), Leak(a.path, b.path, "photograph", value))
    return [leaks[pair] for pair in sorted(leaks)]


def write_leaks(path: Path | str, leaks: Sequence[Leak]) -> None:
    """Write ``leaks`` as CSV; without any, only the head of the table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Leak._fields)
    writer.writerows((a, b, kind, f"{value:.4f}") for a, b, kind, value in leaks)
    write_text(path, text.getvalue())


def sketches(folders: Iterable[Path | str]) -> list[Sketch]:
    """Return the sketch of every image of ``folders``."""
    paths = [path for folder in folders for path in list_images(folder)]
    return list(ordered_map(lambda path: sketch(path, read_rgb(path)), paths))


def sketch(path: Path, rgb: Pixels) -> Sketch:
    """Return the sketch of the image ``rgb`` (H, W, 3) uint8."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return Sketch(path, pixel_hash(rgb), _resized(grey, _SIDE))


def detail_correlation(a: Array, b: Array) -> float:
    """Return how well one of two (64, 64) images is found in the other, in [-1, 1]."""
    best = -1.0
    for small, large in ((a, b), (b, a)):
        details = _details(large)
        for size in _SIZES:
            template = _details(_resized(small, round(_SIDE * size)))
            template = np.ascontiguousarray(template[_BORDER:-_BORDER, _BORDER:-_BORDER])
            found = cv2.matchTemplate(details, template, cv2.TM_CCOEFF_NORMED)
            best = max(best, float(np.nan_to_num(found, posinf=0, neginf=0).max()))
    return min(best, 1.0)


def _similar(
    training: Sequence[Sketch], testing: Sequence[Sketch]
) -> Iterator[tuple[Sketch, Sketch, list[int]]]:
    """Yield pairs whose thumbnails are alike, with the orientations (0 to 7) in which they are."""
    views = np.stack([_views(item.grey) for item in training])  # (train, 19, 256)
    for start in range(0, len(testing), _BLOCK):
        block = testing[start : start + _BLOCK]
        turned = np.stack([[_views(t) for t in _turned(item.grey)] for item in block])
        shape = (len(training), len(block), 8)
        best = np.full(shape, -1, np.float32)
        for view in range(views.shape[1]):
            whole = turned[:, :, 0].reshape(len(block) * 8, -1)
            part = turned[:, :, view].reshape(len(block) * 8, -1)
            np.maximum(best, (views[:, view] @ whole.T).reshape(shape), out=best)
            np.maximum(best, (views[:, 0] @ part.T).reshape(shape), out=best)
        for i, j in zip(*np.nonzero(best.max(2) > COARSE), strict=True):
            yield training[i], block[j], np.flatnonzero(best[i, j] > COARSE).tolist()


def _views(grey: Array) -> Array:
    """Return normalised thumbnails of the whole and of windows of it, (19, 256)."""
    views = [grey]
    for share in _WINDOWS:
        side = round(_SIDE * share)
        starts = (0, (_SIDE - side) // 2, _SIDE - side)
        views += [grey[y : y + side, x : x + side] for y in starts for x in starts]
    flat = np.stack([_resized(view, _THUMB).ravel() for view in views])
    flat -= flat.mean(1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(norm > _FLAT * _THUMB, flat / np.maximum(norm, 1e-6), 0).astype(np.float32)


def _turned(grey: Array) -> list[Array]:
    """Return the eight orientations of a square image."""
    return [np.ascontiguousarray(np.rot90(g, k)) for g in (grey, grey[:, ::-1]) for k in range(4)]


def _details(grey: Array) -> Array:
    details = grey - cv2.GaussianBlur(grey, (0, 0), _SIGMA)
    strength = np.sqrt(cv2.GaussianBlur(details * details, (0, 0), _STRENGTH_SIGMA))
    return np.asarray(details / (strength + _FAINT), np.float32)


def _resized(grey: Array, side: int) -> Array:
    resized = cv2.resize(np.ascontiguousarray(grey), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.float32)
