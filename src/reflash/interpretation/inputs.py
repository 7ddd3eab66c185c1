"""What every analysis starts from: a network, pictures of one or several kinds, and PSNR."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reflash.core.devices import choose_device
from reflash.core.errors import ReflashError
from reflash.core.failures import Failures
from reflash.datasets.images import centre_crop, list_images, read_rgb
from reflash.evaluation.inference import as_tested
from reflash.evaluation.metrics import psnr
from reflash.evaluation.pairs import match_images
from reflash.models.staged import StagedNetwork
from reflash.models.weights import load_network

Which = Literal["params", "params_ema"]

MEMORY = 512 * 2**20
"""Bytes that the intermediate tensors of one batch may take, roughly."""


class Picture(NamedTuple):
    """One image to analyse."""

    name: str
    """File name without its suffix (of the HR image, if there is one)."""
    lr: NDArray[np.uint8]
    """(h, w, 3)."""
    hr: NDArray[np.uint8]
    """(scale h, scale w, 3); empty where only the LR image is needed."""


@contextmanager
def opened(weights: Path | str, key: Which | None, device: str) -> Iterator[StagedNetwork]:
    """Yield the network of a weights file, ready to be analysed, on its device.

    Parameters
    ----------
    weights, key
        As in ``reflash.models.weights.load_network``.
    device : str
        As in ``reflash.core.devices.choose_device``.

    Raises
    ------
    ReflashError
        The weights cannot be read, there is no such device, or its memory runs out in the block.
    """
    network = load_network(weights, key).requires_grad_(False).to(choose_device(device))
    try:
        with as_tested(network):
            yield network
    except torch.OutOfMemoryError as error:
        raise ReflashError(
            f"device {device}: its memory is too small for this analysis; "
            "choose a smaller crop or the device cpu"
        ) from error


def read_pictures(lr: Path | str, limit: int | None, crop: int | None) -> Iterator[Picture]:
    """Read an LR image, or the first ``limit`` (None: all) images of a folder by name.

    Parameters
    ----------
    lr : path
        An image file, or a folder.
    limit : int, optional
        Only so many images of a folder.
    crop : int, optional
        Keep the centre, at most so many pixels wide and high.
    """
    lr = Path(lr)
    for path in list_images(lr)[:limit] if lr.is_dir() else [lr]:
        yield Picture(path.stem, centre_crop(read_rgb(path), crop), np.empty((0, 0, 3), np.uint8))


def read_pairs(
    lr: Path | str,
    hr: Path | str,
    scale: int,
    limit: int | None,
    crop: int | None,
    border: int = 0,
) -> Iterator[Picture]:
    """Read LR images with their HR images: two files, or two folders matched by name.

    Parameters
    ----------
    lr, hr : path
        Two files, or two folders; LR images are called as their HR images or NAMEx4.
    scale : int
        HR sides over LR sides.
    limit, crop
        As in ``read_pictures``; HR images are cropped to the same part.
    border : int
        Border in HR pixels that will be left out; something must remain.

    Raises
    ------
    ReflashError
        A file and a folder, a missing image, an HR image that is not ``scale`` times its LR, or
        one that is all border.
    """
    lr, hr = Path(lr), Path(hr)
    if lr.is_dir() != hr.is_dir():
        raise ReflashError(f"{lr}: and {hr} are a file and a folder; name two of the same sort")
    if lr.is_dir():
        failures = Failures()
        files = [(found["lr"], p) for p, found in match_images(hr, {"lr": lr}, failures)[:limit]]
    else:
        files = [(lr, hr)]
    for lr_path, hr_path in files:
        small, large = read_rgb(lr_path), read_rgb(hr_path)
        height, width = small.shape[:2]
        if large.shape[:2] != (scale * height, scale * width):
            raise ReflashError(
                f"{hr_path}: {large.shape[1]}x{large.shape[0]} pixels are not {scale} times "
                f"{lr_path} ({width}x{height}); give the HR image that the LR image was made from"
            )
        if crop is not None:
            small, large = centre_crop(small, crop), _matching_crop(large, small, crop, scale)
        if min(large.shape[:2]) <= 2 * border:
            raise ReflashError(
                f"{hr_path}: nothing of {large.shape[1]}x{large.shape[0]} pixels is left without a "
                f"border of {border}; lower analysis.border or raise analysis.crop"
            )
        yield Picture(hr_path.stem, small, large)


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
        kind: {path.stem: path for path in list_images(folder)} for kind, folder in folders.items()
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


def _matching_crop(
    hr: NDArray[np.uint8], lr: NDArray[np.uint8], crop: int, scale: int
) -> NDArray[np.uint8]:
    """Return the part of ``hr`` that ``centre_crop(lr, crop)`` shows."""
    height, width = min(crop, lr.shape[0]), min(crop, lr.shape[1])
    top, left = scale * ((lr.shape[0] - height) // 2), scale * ((lr.shape[1] - width) // 2)
    return hr[top : top + scale * height, left : left + scale * width]


def to_batch(images: NDArray[np.uint8], network: StagedNetwork) -> Tensor:
    """Turn (h, w, 3) or (B, h, w, 3) uint8 into (B, 3, h, w) in [0, 1] on the network's device."""
    batch = np.ascontiguousarray(images if images.ndim == 4 else images[None])
    device = next(network.parameters()).device
    return torch.from_numpy(batch).to(device).permute(0, 3, 1, 2).contiguous().float() / 255


def check_layers(network: StagedNetwork, layers: Iterable[str]) -> None:
    """Raise ReflashError if the network lacks one of ``layers``, before any work is done."""
    pixel = torch.zeros(1, 3, 1, 1, device=next(network.parameters()).device)
    network.forward_features(pixel, layers)


def batch_size(network: StagedNetwork, lr: Tensor) -> int:
    """Return how many images of the size of ``lr`` (B, 3, h, w) may pass together in ``MEMORY``."""
    pixels = lr.shape[-2] * lr.shape[-1] * network.settings.scale**2
    return max(1, MEMORY // (4 * 4 * network.settings.features * pixels))


def quality(sr: Tensor, hr: NDArray[np.uint8], border: int = 0) -> float:
    """Return the PSNR in dB of (1, 3, H, W) float and (H, W, 3) uint8, ``border`` left out.

    ``sr`` is clamped and rounded to 8 bits as in `reflash.evaluation.inference`. (The authors'
    analysis code truncates instead, which darkens by half a level.)
    """
    levels = sr[0].clamp(0, 1).mul(255).round().to(torch.uint8)
    return psnr(levels.permute(1, 2, 0).contiguous().cpu().numpy(), hr, crop=border)


def run_name(weights: Path | str, run: str | None) -> str:
    """Return what the column ``run`` says: ``run``, or the name of the weights file."""
    return run or Path(weights).stem


def table_path(out: Path | str, name: str) -> Path:
    """Return ``out`` itself if it is a .csv, else ``out/NAME.csv``."""
    out = Path(out)
    return out if out.suffix == ".csv" else out / f"{name}.csv"
