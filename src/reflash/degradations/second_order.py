"""The random second-order degradation that makes training pairs (Real-ESRGAN, arXiv 2107.10833).

This is its definition, image by image, to be read from top to bottom: `second_order` makes pairs,
`degrade` carries out the decisions that `reflash.degradations.draws` takes. `fast` (on a CPU) and
`static` (on a GPU) carry out the same decisions in less time and are compared with this.

One order is blur, resize, noise and JPEG; the second follows on the result of the first. At last
come a sinc filter at the LR size and the second JPEG, in either order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reflash.core.keys import Key
from reflash.degradations.draws import Draws, draw
from reflash.degradations.jpeg import jpeg
from reflash.degradations.kernels import blur, kernels
from reflash.degradations.noise import NoiseKind, gaussian_noise, noise_fields, poisson_noise
from reflash.degradations.resize import RESIZE_MODES, resize_by, resize_to
from reflash.degradations.settings import SecondOrderSettings
from reflash.degradations.sharpen import usm_sharpen


@torch.no_grad()
def second_order(
    hr: Tensor, settings: SecondOrderSettings, key: Key, first_image: int = 0
) -> tuple[Tensor, Tensor]:
    """Sharpen (if ``settings.usm``), draw and degrade: HR images to training pairs.

    Parameters
    ----------
    hr : (B, 3, H, W) float32 in [0, 1]
    settings : SecondOrderSettings
    key : tuple of int and str
        For example ``(seed, "pairs", iteration)``; the same key gives the same pairs.
    first_image : int
        Index of the first image, see `reflash.degradations.draws.draw`.

    Returns
    -------
    lr : (B, 3, H / scale, W / scale) float32
        The values k / 255.
    target : (B, 3, H, W) float32 in [0, 1]
        The image that was degraded, sharpened or not.

    Examples
    --------
    >>> hr = torch.full((2, 3, 64, 64), 0.5)
    >>> lr, target = second_order(hr, SecondOrderSettings(), (0, "pairs", 1))
    >>> lr.shape, target.shape
    (torch.Size([2, 3, 16, 16]), torch.Size([2, 3, 64, 64]))
    """
    target = usm_sharpen(hr) if settings.usm else hr
    draws = draw(settings, len(hr), key, first_image)
    return degrade(target, draws, settings, key), target


@torch.no_grad()
def degrade(hr: Tensor, draws: Draws, settings: SecondOrderSettings, key: Key) -> Tensor:
    """Carry out ``draws`` on HR images (already sharpened where that is wanted).

    Parameters
    ----------
    hr : (B, 3, H, W) float32 in [0, 1]
        H and W are multiples of ``settings.scale``.
    draws : Draws
        Of B images.
    settings : SecondOrderSettings
        Those of the draws.
    key : tuple of int and str
        The key of the draws; the noise fields derive from it.

    Returns
    -------
    (B, 3, H / scale, W / scale) float32, the values k / 255

    Raises
    ------
    ValueError
        The sizes do not fit each other.
    """
    size = lr_size(hr, draws, settings.scale)
    draws = Draws(draws.table.to(hr.device))
    alone = [slice(i, i + 1) for i in range(len(hr))]
    return torch.cat([degrade_one(hr[i], draws.rows(i), size, key) for i in alone])


def degrade_one(hr: Tensor, drawn: Draws, size: tuple[int, int], key: Key) -> Tensor:
    """Degrade one image (1, 3, H, W) to (1, 3, *size) as its row says; see :func:`degrade`."""
    row = drawn.row(0)
    kernel = {name: kernels(drawn.kernel(name)) for name in ("first", "second", "final")}
    mode = {name: RESIZE_MODES[int(row[f"{name}_mode"])] for name in kernel}

    # The first order starts from the HR image. Its resize factor is drawn in [0.15, 1.5].
    x = blur(hr, kernel["first"])
    x = resize_by(x, row["first_factor"], mode["first"])
    x = add_noise(x, "first", drawn, key)
    x = jpeg(x, drawn["first_quality"])

    # The second order: the same on the result, but weaker. Its factor, in [0.3, 1.2], is of the
    # LR size, so that the image comes near that size whatever the first order made of it.
    x = blur(x, kernel["second"])
    height, width = (max(int(side * row["second_factor"]), 1) for side in size)
    x = resize_to(x, (height, width), mode["second"])
    x = add_noise(x, "second", drawn, key)

    # To the LR size with a sinc filter (ringing, overshoot), and the second JPEG: in either order.
    if row["jpeg_last"]:
        x = blur(resize_to(x, size, mode["final"]), kernel["final"])
        x = jpeg(x.clamp(0, 1), drawn["second_quality"])
    else:
        x = jpeg(x, drawn["second_quality"])
        x = blur(resize_to(x, size, mode["final"]), kernel["final"])
    return (x * 255).round().clamp(0, 255) / 255


def add_noise(x: Tensor, order: str, drawn: Draws, key: Key) -> Tensor:
    """Add Gaussian or Poisson noise to one image; its field is keyed by order and image."""
    row = drawn.row(0)
    kind: NoiseKind = "gaussian" if row[f"{order}_gaussian"] else "poisson"
    field = noise_fields(kind, (*key, order), [int(row["image"])], x.shape[2:], x.device)
    grey = drawn[f"{order}_grey"] > 0
    if kind == "gaussian":
        return gaussian_noise(x, field, drawn[f"{order}_noise_sigma"], grey)
    return poisson_noise(x, field, drawn[f"{order}_poisson_scale"], grey)


def lr_size(hr: Tensor, draws: Draws, scale: int) -> tuple[int, int]:
    """Return the size of the LR images of ``hr`` (B, 3, H, W).

    Raises
    ------
    ValueError
        The draws are those of another number of images, or ``scale`` does not divide H and W.
    """
    batch, _, height, width = hr.shape
    if batch != len(draws):
        raise ValueError(f"{batch} images, but draws for {len(draws)}")
    if height % scale or width % scale:
        raise ValueError(f"{height} x {width} images are not multiples of scale {scale}")
    return height // scale, width // scale
