"""Per-image PSNR and SSIM of one upscaler on one test set, as a tidy table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from reflash.core.errors import ReflashError, StopError, printable
from reflash.core.failures import Failures
from reflash.core.files import write_text
from reflash.core.progress import track
from reflash.core.settings import SCALE
from reflash.datasets.images import image_name, read_rgb
from reflash.evaluation.metrics import BANDS, band_psnr, psnr, smallest_side, ssim
from reflash.evaluation.pairs import match_images, match_upscaled, read_lr, read_upscaled
from reflash.evaluation.settings import EvaluationSettings, Metric
from reflash.evaluation.upscalers import Upscaler

if TYPE_CHECKING:  # slow to import, and the command needs no table in memory
    import pandas as pd

_METRICS: dict[Metric, Callable[[NDArray[np.uint8], NDArray[np.uint8], int], float]] = {
    "psnr": psnr,
    "ssim": ssim,
    "psnr_y": partial(psnr, channel="y"),
    "ssim_y": partial(ssim, channel="y"),
}
"""Metrics of an SR image and what it should be, one number each."""

_BAND_METRICS = tuple(f"psnr_{name}" for name in BANDS)


def evaluate(
    upscaler: Upscaler,
    hr_folder: Path | str,
    lr_folders: Mapping[str, Path | str],
    run: str,
    test_set: str,
    settings: EvaluationSettings | None = None,
    threads: int = 1,
) -> pd.DataFrame:
    """Upscale every LR image and compare it with its HR image.

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
        A folder is missing or holds no images; an image has no LR image, cannot be read, is not
        4 times as large as its LR images or too small for the metrics; the network's output is
        not finite.
    """
    import pandas as pd

    rows, failures, total = _rows(upscaler, hr_folder, lr_folders, run, test_set, settings, threads)
    failures.check(hr_folder, total, "evaluated")
    return pd.DataFrame(rows)


def _rows(
    upscaler: Upscaler | None,
    hr_folder: Path | str,
    lr_folders: Mapping[str, Path | str],
    run: str,
    test_set: str,
    settings: EvaluationSettings | None,
    threads: int,
) -> tuple[list[dict[str, object]], Failures, int]:
    """Return the rows of `evaluate`, what failed, and the number of images.

    Without an upscaler the images of ``lr_folders`` are SR images already.
    """
    settings = settings or EvaluationSettings()
    failures = Failures()
    if upscaler is None:
        pairs = match_upscaled(hr_folder, lr_folders, failures)
    else:
        pairs = match_images(hr_folder, lr_folders, failures)
    total = len(pairs) + len(failures.errors)
    rows: dict[str, list[dict[str, object]]] = {kind: [] for kind in lr_folders}
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for hr_path, lr_paths in track(pairs, f"evaluating {run} on {test_set}"):
            # An image counts in all kinds or in none, so that their means are of the same images.
            with failures.caught(hr_path.name):
                name, hr = image_name(hr_path), read_rgb(hr_path)
                _check_large_enough(hr_path, hr, settings)
                if upscaler is None:
                    results = [read_upscaled(path, hr_path, hr) for path in lr_paths.values()]
                else:
                    results = [
                        _upscale(upscaler, hr_path, hr, path, run) for path in lr_paths.values()
                    ]
                target = sharpened(hr) if "psnr_usm" in settings.metrics else hr
                scores = pool.map(partial(_scores, hr, target, settings), results)
                for kind, values in zip(lr_paths, scores, strict=True):
                    rows[kind].append(
                        {"run": run, "set": test_set, "kind": kind, "image": name, **values}
                    )
    return [row for of_kind in rows.values() for row in of_kind], failures, total


def evaluate_to_csv(
    out: Path | str,
    upscaler: Upscaler | None,
    hr_folder: Path | str,
    lr_folders: Mapping[str, Path | str],
    run: str,
    test_set: str,
    settings: EvaluationSettings | None = None,
    threads: int = 1,
) -> str:
    """Write the table of `evaluate` to ``out`` as CSV of 6 decimals and return its means as text.

    With None for the upscaler the folders hold SR images, made by any program: ``NAME.*``,
    ``NAMEx4.*`` or ``NAME_*.*`` of the size of the HR image ``NAME.*``.

    Images that cannot be evaluated are left out of the table and named in the ReflashError that
    is raised once it is written; where there are no others, nothing is.
    """
    for column, name in (("run", run), ("set", test_set), *(("kind", kind) for kind in lr_folders)):
        if name != name.encode(errors="replace").decode():
            raise ReflashError(printable(f"{name}: not a UTF-8 name; give the {column} another"))
    rows, failures, total = _rows(upscaler, hr_folder, lr_folders, run, test_set, settings, threads)
    if rows:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(rows[0])
        for row in rows:
            values = row.values()
            writer.writerow(
                f"{value:.6f}" if isinstance(value, float) else value for value in values
            )
        write_text(out, text.getvalue())
    failures.check(hr_folder, total, "evaluated")
    return _means(rows)


def _means(rows: list[dict[str, object]]) -> str:
    """Return the means over images, a line for each kind.

    >>> print(_means([{"kind": "blur", "image": "a", "psnr": 25.0, "ssim": 0.5},
    ...               {"kind": "blur", "image": "b", "psnr": 26.0, "ssim": 0.7}]))
    blur: psnr 25.5000 dB, ssim 0.6000 (2 images)
    """
    lines = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of_kind = [row for row in rows if row["kind"] == kind]
        words = []
        for metric in get_args(Metric):
            if metric in of_kind[0]:
                mean = np.mean([row[metric] for row in of_kind])
                words.append(f"{metric} {mean:.4f}{' dB' if metric.startswith('psnr') else ''}")
        images = "1 image" if len(of_kind) == 1 else f"{len(of_kind)} images"
        lines.append(f"{kind}: {', '.join(words)} ({images})")
    return "\n".join(lines)


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
    """Upscale the image at ``lr_path``, checking sizes before and after."""
    lr = read_lr(lr_path, hr_path, hr, 1 if getattr(upscaler, "keeps_size", False) else SCALE)
    try:
        sr = upscaler(lr)
    except StopError as error:
        raise StopError(f"{error} (for the image {lr_path})") from error
    if sr.shape != hr.shape:
        raise StopError(
            f"{run}: makes {sr.shape[1]}x{sr.shape[0]} of {lr.shape[1]}x{lr.shape[0]} pixels; "
            f"use a network for x{SCALE}"
        )
    return sr


def sharpened(hr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an HR image (H, W, 3) uint8 sharpened as the paper's training targets are."""
    import torch  # what evaluates without psnr_usm, such as bicubic, does without torch

    from reflash.degradations.sharpen import usm_sharpen

    pixels = torch.from_numpy(np.ascontiguousarray(hr)).permute(2, 0, 1)[None].float() / 255
    levels = (usm_sharpen(pixels)[0] * 255).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(1, 2, 0).numpy())


def _scores(
    hr: NDArray[np.uint8],
    target: NDArray[np.uint8],
    settings: EvaluationSettings,
    sr: NDArray[np.uint8],
) -> dict[str, float]:
    """Return the metrics of an SR image; ``target`` is the sharpened HR image."""
    found = {}
    if set(_BAND_METRICS).intersection(settings.metrics):
        found = {f"psnr_{name}": value for name, value in band_psnr(sr, hr, settings.crop).items()}
    if "psnr_usm" in settings.metrics:
        found["psnr_usm"] = psnr(sr, target, settings.crop)
    return {
        name: found[name] if name in found else _METRICS[name](sr, hr, settings.crop)
        for name in settings.metrics
    }
