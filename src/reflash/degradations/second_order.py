"""The random second-order degradation that makes training pairs (Real-ESRGAN, arXiv 2107.10833).

``draw`` takes every random decision, ``degrade`` carries them out, plainly and group by group: it
is the reference that faster paths are compared with. Decisions and noise are keyed by the image's
index, so they do not depend on how images are gathered into batches or shared among devices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from reflash.core.keys import Key
from reflash.degradations.jpeg import jpeg
from reflash.degradations.kernels import KERNEL_KINDS, KernelDraws, blur, kernels
from reflash.degradations.keyed import generator
from reflash.degradations.noise import (
    NOISE_KINDS,
    NoiseKind,
    gaussian_noise,
    noise_fields,
    poisson_noise,
)
from reflash.degradations.resize import RESIZE_MODES, ResizeMode, resize_by, resize_to
from reflash.degradations.settings import (
    FinalSettings,
    KernelSettings,
    OrderSettings,
    SecondOrderSettings,
)
from reflash.degradations.sharpen import usm_sharpen

LARGE_SINC = 13
"""Sinc filters of this size and more may have a lower cut-off."""


@dataclass(frozen=True)
class OrderDraws:
    """What each of B images draws for itself in one order; tensors (B,)."""

    kernel: KernelDraws
    noise_sigma: torch.Tensor
    poisson_scale: torch.Tensor
    grey: torch.Tensor
    quality: torch.Tensor

    def __getitem__(self, images: slice) -> OrderDraws:
        return OrderDraws(
            self.kernel[images],
            self.noise_sigma[images],
            self.poisson_scale[images],
            self.grey[images],
            self.quality[images],
        )

    def to(self, device: torch.device | str) -> OrderDraws:
        """Return the same draws on ``device``."""
        return OrderDraws(
            self.kernel.to(device),
            self.noise_sigma.to(device),
            self.poisson_scale.to(device),
            self.grey.to(device),
            self.quality.to(device),
        )


@dataclass(frozen=True)
class SharedOrder:
    """What the images of a group draw together in one order."""

    blur: bool
    factor: float
    """Resize factor: of the HR size in the first order, of the LR size in the second."""
    mode: ResizeMode
    noise: NoiseKind


@dataclass(frozen=True)
class Group:
    """What the images ``start`` to ``stop`` (exclusive) of the batch draw together."""

    start: int
    stop: int
    first: SharedOrder
    second: SharedOrder
    final_mode: ResizeMode
    jpeg_last: bool


@dataclass(frozen=True)
class SecondOrderDraws:
    """All random decisions about B images, except the noise fields, which are keyed likewise."""

    images: tuple[int, ...]
    """Index of each image in its iteration: the part of the key that is its own."""
    groups: tuple[Group, ...]
    first: OrderDraws
    second: OrderDraws
    final_kernel: KernelDraws

    def __getitem__(self, images: slice) -> SecondOrderDraws:
        """Return the draws of some consecutive images."""
        start, stop, step = images.indices(len(self.images))
        if step != 1:
            raise ValueError(f"images of a batch are selected with step 1, not {step}")
        groups = tuple(
            replace(
                group, start=max(group.start, start) - start, stop=min(group.stop, stop) - start
            )
            for group in self.groups
            if max(group.start, start) < min(group.stop, stop)
        )
        return SecondOrderDraws(
            self.images[images],
            groups,
            self.first[images],
            self.second[images],
            self.final_kernel[images],
        )

    def to(self, device: torch.device | str) -> SecondOrderDraws:
        """Return the same draws with their tensors on ``device``."""
        return replace(
            self,
            first=self.first.to(device),
            second=self.second.to(device),
            final_kernel=self.final_kernel.to(device),
        )


class _Uniforms:
    """Hands out the columns of a table of uniform numbers, one per decision."""

    def __init__(self, table: torch.Tensor) -> None:
        self._columns = iter(table.movedim(-1, 0).contiguous())

    def fraction(self) -> torch.Tensor:
        """Uniform in [0, 1)."""
        return next(self._columns)

    def between(self, bounds: tuple[float, float]) -> torch.Tensor:
        """Uniform in [low, high)."""
        return bounds[0] + (bounds[1] - bounds[0]) * self.fraction()

    def chance(self, probability: float) -> torch.Tensor:
        """Be true with ``probability``."""
        return self.fraction() < probability

    def choice(self, weights: tuple[float, ...]) -> torch.Tensor:
        """Index drawn with the given weights."""
        edges = torch.tensor(weights, dtype=torch.float64).cumsum(0)[:-1]
        return torch.bucketize(self.fraction(), edges, right=True)

    def odd(self, bounds: tuple[int, int]) -> torch.Tensor:
        """One of the odd sizes from low to high, all equally likely."""
        return bounds[0] + 2 * (self.fraction() * ((bounds[1] - bounds[0]) // 2 + 1)).long()

    def halves(self, bounds: tuple[float, float]) -> torch.Tensor:
        """Uniform in [low, 1) or in [1, high), each with probability one half."""
        above, fraction = self.chance(0.5), self.fraction()
        return torch.where(
            above, 1 + (bounds[1] - 1) * fraction, bounds[0] + (1 - bounds[0]) * fraction
        )


def _draw_kernel(settings: KernelSettings, uniforms: _Uniforms) -> KernelDraws:
    size = uniforms.odd(settings.size)
    is_sinc = uniforms.chance(settings.sinc)
    family = uniforms.choice(settings.families)
    kind = torch.where(is_sinc, KERNEL_KINDS.index("sinc"), family)
    sigma_x, sigma_y = uniforms.between(settings.sigma), uniforms.between(settings.sigma)
    rotation = uniforms.between(settings.rotation)
    generalised = uniforms.halves(settings.beta_generalised)
    plateau = uniforms.halves(settings.beta_plateau)
    small, large = settings.sinc_cutoff_small, settings.sinc_cutoff_large
    fraction = uniforms.fraction()
    isotropic = family % 2 == 0
    return KernelDraws(
        kind=kind,
        size=size,
        sigma_x=sigma_x,
        sigma_y=torch.where(isotropic, sigma_x, sigma_y),
        rotation=torch.where(isotropic, 0.0, rotation),
        beta=torch.where(family < 2, 1.0, torch.where(family < 4, generalised, plateau)),
        cutoff=torch.where(
            size < LARGE_SINC,
            small[0] + (small[1] - small[0]) * fraction,
            large[0] + (large[1] - large[0]) * fraction,
        ),
    )


def _draw_order(settings: OrderSettings, uniforms: _Uniforms) -> OrderDraws:
    return OrderDraws(
        kernel=_draw_kernel(settings.kernel, uniforms),
        noise_sigma=uniforms.between(settings.noise_sigma),
        poisson_scale=uniforms.between(settings.poisson_scale),
        grey=uniforms.chance(settings.grey),
        quality=uniforms.between(settings.jpeg_quality),
    )


def _draw_final(settings: FinalSettings, uniforms: _Uniforms) -> KernelDraws:
    is_sinc = uniforms.chance(settings.sinc)
    size = uniforms.odd(settings.sinc_size)
    cutoff = uniforms.between(settings.sinc_cutoff)
    one = torch.ones_like(cutoff)
    kind = torch.where(is_sinc, KERNEL_KINDS.index("sinc"), KERNEL_KINDS.index("pulse"))
    return KernelDraws(kind, size, one, one, torch.zeros_like(one), one, cutoff)


def _draw_shared(settings: OrderSettings, uniforms: _Uniforms) -> SharedOrder:
    blurred = bool(uniforms.chance(settings.blur))
    direction = int(
        uniforms.choice((settings.resize_up, settings.resize_down, settings.resize_keep))
    )
    low, high = settings.resize_factor
    factor = float(uniforms.between(((1.0, high), (low, 1.0), (1.0, 1.0))[direction]))
    mode = RESIZE_MODES[int(uniforms.choice((1 / 3, 1 / 3, 1 / 3)))]
    noise = NOISE_KINDS[0] if bool(uniforms.chance(settings.gaussian)) else NOISE_KINDS[1]
    return SharedOrder(blurred, factor, mode, noise)


def _draw_group(settings: SecondOrderSettings, key: Key, start: int, stop: int) -> Group:
    table = torch.rand(12, generator=generator(*key), dtype=torch.float64)
    uniforms = _Uniforms(table)
    return Group(
        start=start,
        stop=stop,
        first=_draw_shared(settings.first, uniforms),
        second=_draw_shared(settings.second, uniforms),
        final_mode=RESIZE_MODES[int(uniforms.choice((1 / 3, 1 / 3, 1 / 3)))],
        jpeg_last=bool(uniforms.chance(settings.final.jpeg_last)),
    )


def draw(
    settings: SecondOrderSettings, batch: int, key: Key, first_image: int = 0
) -> SecondOrderDraws:
    """Take every random decision for the images ``first_image`` ... of one iteration.

    Parameters
    ----------
    settings : SecondOrderSettings
        With ``draws="batch"``, image i shares resize factors, modes, noise kinds, the second blur
        and the final order with the others of group i // ``settings.group``; with ``"image"``,
        every image draws its own. Kernels, noise levels, grey noise and JPEG quality are always
        drawn per image.
    batch : int
        Number of images, B.
    key : tuple of int and str
        For example ``(seed, "degradation", iteration)``.
    first_image : int
        Index of the first image, for a worker that makes only a part of the iteration's images.

    Returns
    -------
    SecondOrderDraws
        Its tensors are on the CPU.
    """
    images = range(first_image, first_image + batch)
    uniforms = _Uniforms(
        torch.stack(
            [
                torch.rand(33, generator=generator(*key, "image", image), dtype=torch.float64)
                for image in images
            ]
        )
    )
    members = settings.group if settings.draws == "batch" else 1
    bounds = [i for i, image in enumerate(images) if i == 0 or image % members == 0] + [batch]
    groups = tuple(
        _draw_group(settings, (*key, "group", images[start] // members), start, stop)
        for start, stop in pairwise(bounds)
    )
    return SecondOrderDraws(
        images=tuple(images),
        groups=groups,
        first=_draw_order(settings.first, uniforms),
        second=_draw_order(settings.second, uniforms),
        final_kernel=_draw_final(settings.final, uniforms),
    )


@torch.no_grad()
def degrade(
    hr: torch.Tensor, draws: SecondOrderDraws, settings: SecondOrderSettings, key: Key
) -> torch.Tensor:
    """Carry out ``draws`` on HR images (already sharpened where that is wanted).

    Parameters
    ----------
    hr : (B, 3, H, W) float32 in [0, 1]
        H and W are multiples of ``settings.scale``.
    draws : SecondOrderDraws
        Of B images.
    settings : SecondOrderSettings
        Those of the draws.
    key : tuple of int and str
        The key of the draws; the noise fields derive from it.

    Returns
    -------
    torch.Tensor
        (B, 3, H / scale, W / scale) float32, the values k / 255 with k in 0..255.

    Raises
    ------
    ValueError
        The sizes do not fit each other.
    """
    batch, _, height, width = hr.shape
    if batch != len(draws.images):
        raise ValueError(f"{batch} images, but draws for {len(draws.images)}")
    if height % settings.scale or width % settings.scale:
        raise ValueError(f"{height} x {width} images are no multiple of scale {settings.scale}")
    size = (height // settings.scale, width // settings.scale)
    draws = draws.to(hr.device)
    first, second = kernels(draws.first.kernel), kernels(draws.second.kernel)
    final = kernels(draws.final_kernel)
    parts = []
    for group in draws.groups:
        part = slice(group.start, group.stop)
        images = draws.images[part]

        x = hr[part]
        if group.first.blur:
            x = blur(x, first[part])
        x = resize_by(x, group.first.factor, group.first.mode)
        x = _add_noise(x, group.first.noise, draws.first[part], images, (*key, "first"))
        x = jpeg(x, draws.first.quality[part])

        if group.second.blur:
            x = blur(x, second[part])
        between = tuple(max(int(side * group.second.factor), 1) for side in size)
        x = resize_to(x, (between[0], between[1]), group.second.mode)
        x = _add_noise(x, group.second.noise, draws.second[part], images, (*key, "second"))

        if group.jpeg_last:
            x = blur(resize_to(x, size, group.final_mode), final[part])
            x = jpeg(x.clamp(0, 1), draws.second.quality[part])
        else:
            x = jpeg(x, draws.second.quality[part])
            x = blur(resize_to(x, size, group.final_mode), final[part])
        parts.append(x)
    return (torch.cat(parts) * 255).round().clamp(0, 255) / 255


def _add_noise(
    x: torch.Tensor, kind: NoiseKind, draws: OrderDraws, images: tuple[int, ...], key: Key
) -> torch.Tensor:
    """Add noise to the images with the given indices; the field of each is keyed by its index."""
    generators = [generator(*key, "noise", image, device=x.device) for image in images]
    field = noise_fields(kind, generators, *x.shape[2:])
    if kind == "gaussian":
        return gaussian_noise(x, field, draws.noise_sigma, draws.grey)
    return poisson_noise(x, field, draws.poisson_scale, draws.grey)


@torch.no_grad()
def second_order(
    hr: torch.Tensor, settings: SecondOrderSettings, key: Key, first_image: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sharpen (if ``settings.usm``), draw and degrade: HR images to training pairs.

    Parameters
    ----------
    hr : (B, 3, H, W) float32 in [0, 1]
    settings : SecondOrderSettings
    key : tuple of int and str
        For example ``(seed, "degradation", iteration)``; the same key gives the same pairs.
    first_image : int
        Index of the first image, see :func:`draw`.

    Returns
    -------
    lr : torch.Tensor
        (B, 3, H / scale, W / scale) float32, the values k / 255.
    target : torch.Tensor
        (B, 3, H, W) float32 in [0, 1]: the image that was degraded, sharpened or not.
    """
    target = usm_sharpen(hr) if settings.usm else hr
    draws = draw(settings, len(hr), key, first_image)
    return degrade(target, draws, settings, key), target
