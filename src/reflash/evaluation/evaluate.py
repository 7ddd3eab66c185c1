"""Per-image PSNR and SSIM of one upscaler on one test set, as a tidy table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reflash.core.errors import ReflashError
from reflash.core.files import write_text
from reflash.datasets.images import list_images, read_rgb
from reflash.evaluation.metrics import psnr, smallest_side, ssim
from reflash.evaluation.settings import EvaluationSettings, Metric
from reflash.evaluation.upscalers import SCALE, Upscaler

if TYPE_CHECKING:  # slow to import, and the command needs no table in memory
    import pandas as pd

_METRICS: dict[Metric, Callable[[NDArray[np.uint8], NDArray[np.uint8], int], float]] = {
    "psnr": psnr,
    "ssim": ssim,
    "psnr_y": partial(psnr, channel="y"),
    "ssim_y": partial(ssim, channel="y"),
}


def evaluate(
    upscaler: Upscaler,
    hr_folder: Path | str,
    lr_folders: Mapping[str, Path | str],
    run: str,
    test_set: str,
    settings: EvaluationSettings | None = None,
    threads: int = 1,
) -> pd.DataFrame:
    """Enlarge every LR image and compare it with its HR image.

    An HR image ``NAME.*`` belongs to ``NAME.*`` or ``NAMEx4.*`` in each LR folder; further LR
    images are not looked at. Images go through the network one by one, so that a row never
    depends on what else is evaluated.

    Parameters
    ----------
    upscaler : callable
        From (h, w, 3) uint8 to (4h, 4w, 3) uint8, see `reflash.evaluation.upscalers`.
    hr_folder : path
        HR images with sides that are 4 times those of the LR images.
    lr_folders : mapping of str to path
        A folder of LR images for each kind of degradation.
    run, test_set : str
        What the columns ``run`` and ``set`` say.
    settings : EvaluationSettings, optional
        Border and metrics; the weights and tiles are the upscaler's business.
    threads : int
        Kinds of an image whose metrics are computed at the same time. Changes no value.

    Returns
    -------
    pandas.DataFrame
        Columns ``run, set, kind, image`` and the metrics (dB for PSNR), one row per LR image:
        kinds in the order given, images by name.

    Raises
    ------
    ReflashError
        A folder is missing or holds no images, an LR image is missing, cannot be read or is not
        of a quarter the size of its HR image, or an image is too small for the metrics.
    """
    import pandas as pd

    return pd.DataFrame(_rows(upscaler, hr_folder, lr_folders, run, test_set, settings, threads))


def _rows(
    upscaler: Upscaler,
    hr_folder: Path | str,
    lr_folders: Mapping[str, Path | str],
    run: str,
    test_set: str,
    settings: EvaluationSettings | None,
    threads: int,
) -> list[dict[str, object]]:
    """Return the rows of `evaluate`."""
    settings = settings or EvaluationSettings()
    pairs = match_images(hr_folder, lr_folders)
    rows: dict[str, list[dict[str, object]]] = {kind: [] for kind in lr_folders}
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for hr_path, lr_paths in pairs:
            hr = read_rgb(hr_path)
            _check_large_enough(hr_path, hr, settings)
            results = [
                _upscale(upscaler, hr_path, hr, lr_path, run) for lr_path in lr_paths.values()
            ]
            scores = pool.map(partial(_scores, hr, settings), results)
            for kind, values in zip(lr_paths, scores, strict=True):
                rows[kind].append(
                    {"run": run, "set": test_set, "kind": kind, "image": hr_path.stem, **values}
                )
    return [row for of_kind in rows.values() for row in of_kind]


def evaluate_to_csv(
    out: Path | str,
    upscaler: Upscaler,
    hr_folder: Path | str,
    lr_folders: Mapping[str, Path | str],
    run: str,
    test_set: str,
    settings: EvaluationSettings | None = None,
    threads: int = 1,
) -> None:
    """Write the table of `evaluate` to ``out`` as CSV of 6 decimals, whole or not at all."""
    rows = _rows(upscaler, hr_folder, lr_folders, run, test_set, settings, threads)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        values = row.values()
        writer.writerow(f"{value:.6f}" if isinstance(value, float) else value for value in values)
    write_text(out, text.getvalue())


def match_images(
    hr_folder: Path | str, lr_folders: Mapping[str, Path | str]
) -> list[tuple[Path, dict[str, Path]]]:
    """Find the LR image of every HR image in every LR folder.

    Returns
    -------
    list of (path, dict of kind to path)
        In the order of the HR images' names.

    Raises
    ------
    ReflashError
        No LR folder is given, a folder is missing or empty, or an LR image is missing.
    """
    if not lr_folders:
        raise ReflashError(f"{hr_folder}: no LR folder to compare with; name at least one")
    found = {
        kind: {path.stem: path for path in list_images(folder)}
        for kind, folder in lr_folders.items()
    }
    pairs = []
    for hr_path in list_images(hr_folder):
        lr_paths = {}
        for kind, by_stem in found.items():
            lr_path = by_stem.get(hr_path.stem) or by_stem.get(f"{hr_path.stem}x{SCALE}")
            if lr_path is None:
                raise ReflashError(
                    f"{Path(lr_folders[kind]) / hr_path.stem}.png: no LR image for {hr_path}; "
                    "make it with reflash degrade, or remove the HR image"
                )
            lr_paths[kind] = lr_path
        pairs.append((hr_path, lr_paths))
    return pairs


def _check_large_enough(path: Path, hr: NDArray[np.uint8], settings: EvaluationSettings) -> None:
    smallest = max(
        smallest_side(settings.crop, name.startswith("ssim")) for name in settings.metrics
    )
    height, width = hr.shape[:2]
    if min(height, width) < smallest:
        raise ReflashError(
            f"{path}: {width}x{height} pixels are too few for {', '.join(settings.metrics)} with "
            f"a border of {settings.crop} cropped; remove images with a side below {smallest}"
        )


def _upscale(
    upscaler: Upscaler, hr_path: Path, hr: NDArray[np.uint8], lr_path: Path, run: str
) -> NDArray[np.uint8]:
    """Enlarge the image at ``lr_path``, checking sizes before and after."""
    lr = read_rgb(lr_path)
    height, width = lr.shape[:2]
    if hr.shape[:2] != (SCALE * height, SCALE * width):
        raise ReflashError(
            f"{hr_path}: {hr.shape[1]}x{hr.shape[0]} pixels are not {SCALE} times {lr_path} "
            f"({width}x{height}); crop HR images to multiples of {SCALE} and make LR from those"
        )
    sr = upscaler(lr)
    if sr.shape != hr.shape:
        raise ReflashError(
            f"{run}: makes {sr.shape[1]}x{sr.shape[0]} of {width}x{height} pixels; "
            f"use a network for x{SCALE}"
        )
    return sr


def _scores(
    hr: NDArray[np.uint8], settings: EvaluationSettings, sr: NDArray[np.uint8]
) -> dict[str, float]:
    return {name: _METRICS[name](sr, hr, settings.crop) for name in settings.metrics}
