"""What every analysis shares: opening a network, reading its images, PSNR, and writing the CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reflash.core.devices import choose_device
from reflash.core.errors import ReflashError
from reflash.core.failures import Failures
from reflash.core.files import write_csv
from reflash.core.progress import track
from reflash.datasets.images import centre_crop, image_name, list_images, read_rgb
from reflash.evaluation.inference import NotFiniteError, as_tested
from reflash.evaluation.metrics import psnr
from reflash.evaluation.pairs import match_images, read_lr
from reflash.interpretation.settings import AnalysisSettings
from reflash.models.external import external_name, open_network
from reflash.models.layers import HookedNetwork, LayeredNetwork

Which = Literal["params", "params_ema"]
Weights: TypeAlias = Path | str | nn.Module
"""A weights file, or any network from (B, 3, h, w) to (B, 3, scale h, scale w)."""

MEMORY = 512 * 2**20
"""Bytes that the intermediate tensors of one batch may take, roughly."""


class Sample(NamedTuple):
    """One image to analyse."""

    name: str
    """What tables call it (the HR image's name, if there is one)."""
    lr: NDArray[np.uint8]
    """(h, w, 3)."""
    hr: NDArray[np.uint8]
    """(scale h, scale w, 3); empty where only the LR image is needed."""


@contextmanager
def opened(
    weights: Weights, key: Which | None = None, device: str = "auto"
) -> Iterator[LayeredNetwork]:
    """Yield a network, ready to be analysed, on its device.

    Parameters
    ----------
    weights : path, str or nn.Module
        A file as in ``reflash.models.external.open_network``, or a network.
    key
        As there.
    device : str
        As in ``reflash.core.devices.choose_device``.

    Raises
    ------
    ReflashError
        The weights cannot be read, there is no such device; or, in the block, its memory runs out
        or the network's output is not finite.
    """
    model = weights if isinstance(weights, nn.Module) else open_network(weights, key)
    if model is not weights:
        model.requires_grad_(False)
    model = model.to(choose_device(device))
    try:
        with as_tested(model):
            yield model if isinstance(model, LayeredNetwork) else HookedNetwork(model)
    except NotFiniteError as error:
        raise NotFiniteError(f"{run_name(weights, None)}: {error}") from error
    except RuntimeError as error:
        on_gpu = isinstance(error, torch.OutOfMemoryError)
        if not on_gpu and "can't allocate memory" not in str(error):
            raise
        raise ReflashError(
            f"device {device}: out of memory; choose a smaller analysis.crop"
            f"{' or the device cpu' if on_gpu else ''}"
        ) from error


def read_images(lr: Path | str, settings: AnalysisSettings, what: str) -> Iterator[Sample]:
    """Read an LR image, or the first ``settings.images`` images of a folder by name.

    Parameters
    ----------
    lr : path
        An image file, or a folder.
    settings : AnalysisSettings
        ``images`` and ``crop`` count.
    what : str
        What is done with them, for the progress.
    """
    lr = Path(lr)
    for path in track(list_images(lr)[: settings.images] if lr.is_dir() else [lr], what):
        image = centre_crop(read_rgb(path), settings.crop)
        yield Sample(image_name(path), image, np.empty((0, 0, 3), np.uint8))


def read_pairs(
    lr: Path | str, hr: Path | str, scale: int, settings: AnalysisSettings, what: str
) -> Iterator[Sample]:
    """Read LR images with their HR images: two files, or two folders matched by name.

    Parameters
    ----------
    lr, hr : path
        Two files, or two folders; LR images are called as their HR images or NAMEx4.
    scale : int
        HR sides over LR sides.
    settings : AnalysisSettings
        ``images``, ``crop`` and ``border`` count; HR images are cropped to the part that LR
        images show, and something of it must be left without the border.
    what : str
        What is done with them, for the progress.

    Raises
    ------
    ReflashError
        A file and a folder, a missing image, an HR image that is not ``scale`` times its LR, or
        one that is all border.
    """
    lr, hr = Path(lr), Path(hr)
    if lr.is_dir() != hr.is_dir():
        raise ReflashError(f"{lr}: and {hr} are a file and a folder; name two of the same sort")
    files, failures = [(lr, hr)], Failures()
    if lr.is_dir():
        files = [(found["lr"], path) for path, found in match_images(hr, {"lr": lr}, failures)]
        failures.check(hr, len(files) + len(failures.errors), "read")
    for lr_path, hr_path in track(files[: settings.images], what):
        large = read_rgb(hr_path)
        whole = read_lr(lr_path, hr_path, large, scale)
        small, large = centre_crop(whole, settings.crop), _hr_crop(large, whole, settings, scale)
        if min(large.shape[:2]) <= 2 * settings.border:
            raise ReflashError(
                f"{hr_path}: nothing of {large.shape[1]}x{large.shape[0]} pixels is left without a "
                f"border of {settings.border}; lower analysis.border or raise analysis.crop"
            )
        yield Sample(image_name(hr_path), small, large)


def _hr_crop(
    hr: NDArray[np.uint8], lr: NDArray[np.uint8], settings: AnalysisSettings, scale: int
) -> NDArray[np.uint8]:
    """Return the part of ``hr`` that ``centre_crop(lr, settings.crop)`` shows."""
    height, width = lr.shape[:2]
    pixels = hr.reshape(height, scale, width, scale, 3).swapaxes(1, 2)  # one LR pixel's together
    part = centre_crop(pixels, settings.crop)
    return part.swapaxes(1, 2).reshape(scale * part.shape[0], scale * part.shape[1], 3)


def read_kinds(
    folders: Mapping[str, Path | str], limit: int | None, crop: int | None
) -> tuple[list[str], NDArray[np.uint8]]:
    """Read the same images in several kinds, cropped at their centres to one size.

    Parameters
    ----------
    folders : mapping of str to path
        A folder of LR images for each kind; the first one's names count.
    limit : int, optional
        Only so many images, the first by name.
    crop : int, optional
        Largest side; less where an image is smaller.

    Returns
    -------
    names : list of str
    images : (kinds, images, h, w, 3) uint8

    Raises
    ------
    ReflashError
        Fewer than two kinds or images, or an image is missing in a kind.
    """
    if len(folders) < 2:
        raise ReflashError(
            f"kinds: {len(folders)} given; representations are compared between two or more"
        )
    found = {
        kind: {image_name(path): path for path in list_images(folder)}
        for kind, folder in folders.items()
    }
    names = list(next(iter(found.values())))[:limit]
    if len(names) < 2:
        raise ReflashError(
            f"{next(iter(folders.values()))}: holds one image; "
            "representations of at least two are compared"
        )
    images = []
    for kind, paths in found.items():
        for name in names:
            if name not in paths:
                raise ReflashError(
                    f"{Path(folders[kind]) / name}.png: no such image, but other kinds have it; "
                    "make it with reflash degrade"
                )
            images.append(centre_crop(read_rgb(paths[name]), crop))
    height = min(image.shape[0] for image in images)
    width = min(image.shape[1] for image in images)
    same = np.stack([centre_crop(image, height, width) for image in images])
    return names, same.reshape(len(folders), len(names), height, width, 3)


def to_batch(images: NDArray[np.uint8], network: nn.Module) -> Tensor:
    """Turn (h, w, 3) or (B, h, w, 3) uint8 into (B, 3, h, w) in [0, 1] on the network's device."""
    batch = np.ascontiguousarray(images if images.ndim == 4 else images[None])
    device = next(network.parameters(), torch.empty(0)).device
    return torch.from_numpy(batch).to(device).permute(0, 3, 1, 2).contiguous().float() / 255


def batch_size(network: LayeredNetwork, lr: Tensor) -> int:
    """Return how many images of the size of ``lr`` (B, 3, h, w) may pass together in ``MEMORY``."""
    pixels = lr.shape[-2] * lr.shape[-1] * network.scale**2
    return max(1, MEMORY // (4 * 4 * network.width * pixels))


def require_finite(tensor: Tensor) -> None:
    """Raise NotFiniteError if ``tensor`` holds NaN or infinity."""
    if not all(bool(extreme.isfinite()) for extreme in tensor.aminmax()):  # NaN is passed on
        raise NotFiniteError


def quality(sr: Tensor, hr: NDArray[np.uint8], border: int = 0) -> float:
    """Return the PSNR in dB of (1, 3, H, W) float and (H, W, 3) uint8, ``border`` left out.

    ``sr`` is clamped and rounded to 8 bits as in `reflash.evaluation.inference`. (The authors'
    analysis code truncates instead, which darkens by half a level.)

    >>> quality(torch.full((1, 3, 8, 8), 0.5), np.full((8, 8, 3), 128, np.uint8))
    100.0
    """
    require_finite(sr)
    levels = sr[0].clamp(0, 1).mul_(255).round_().to(torch.uint8).cpu().numpy()
    return psnr(cv2.merge([*levels]), hr, crop=border)


def run_name(weights: Weights, run: str | None) -> str:
    """Return what the column ``run`` says: ``run``, or the name of the file or network."""
    if run:
        return run
    if isinstance(weights, nn.Module):
        return type(weights).__name__
    return Path(external_name(weights)).stem


def table_path(out: Path | str, name: str) -> Path:
    """Return ``out`` itself if it is a .csv, else ``out/NAME.csv``."""
    out = Path(out)
    return out if out.suffix == ".csv" else out / f"{name}.csv"


def write_table(
    path: Path, rows: Iterable[tuple[Any, ...]], columns: Sequence[str]
) -> pd.DataFrame:
    """Write rows as CSV, whole or not at all, and return them."""
    table = pd.DataFrame(list(rows), columns=list(columns))
    write_csv(path, table)
    return table


def float64_sum(values: Tensor, dimensions: tuple[int, ...]) -> NDArray[np.float64]:
    """Return sums over dimensions in 64-bit floats, also of a device that has none (MPS)."""
    values = values.cpu() if values.device.type == "mps" else values
    return np.asarray(values.sum(dimensions, dtype=torch.float64).cpu().numpy())
