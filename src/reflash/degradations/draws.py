"""Every random decision of the second-order degradation, as a table with named columns.

One row says everything that decides what happens to one image, so that a row can be carried out
anywhere: alone (`second_order`), in portions on a CPU (`fast`), or on a GPU to which all rows of a
batch travel in one copy (`static`). Decisions are functions of the key and of the image's index
in its iteration, whatever images are drawn with it. Only the noise fields are not in the table;
each path draws them as it needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from reflash.core.keys import Key, uniform_rows
from reflash.degradations.kernels import KERNEL_KINDS, KernelDraws
from reflash.degradations.resize import RESIZE_MODES
from reflash.degradations.settings import (
    FinalSettings,
    KernelSettings,
    OrderSettings,
    SecondOrderSettings,
)

ORDERS = ("first", "second")
LARGE_SINC = 13
"""Sinc filters of this size and more may have a lower cut-off."""

# The uniform numbers behind the decisions, in the order in which a key's stream gives them.
_KERNEL_NUMBERS = (
    "size",
    "is_sinc",
    "family",
    "sigma_x",
    "sigma_y",
    "rotation",
    "generalised_above",
    "generalised",
    "plateau_above",
    "plateau",
    "cutoff",
)
_IMAGE_NUMBERS = (
    *(
        f"{order}_{name}"
        for order in ORDERS
        for name in (*_KERNEL_NUMBERS, "noise_sigma", "poisson_scale", "grey", "quality")
    ),
    "final_is_sinc",
    "final_size",
    "final_cutoff",
)
_GROUP_NUMBERS = (
    *(
        f"{order}_{name}"
        for order in ORDERS
        for name in ("blur", "direction", "factor", "mode", "gaussian")
    ),
    "final_mode",
    "jpeg_last",
)

_KERNEL_COLUMNS = tuple(field.name for field in fields(KernelDraws))
COLUMNS = (
    "image",
    "group",
    *(
        f"{order}_{name}"
        for order in ORDERS
        for name in (
            *(f"kernel_{column}" for column in _KERNEL_COLUMNS),
            "noise_sigma",
            "poisson_scale",
            "grey",
            "quality",
            "factor",
            "mode",
            "gaussian",
        )
    ),
    *(f"final_kernel_{column}" for column in _KERNEL_COLUMNS),
    "final_mode",
    "jpeg_last",
)
"""What the numbers of a row mean.

``image`` and ``group`` are indices in the iteration. ``noise_sigma`` is in grey levels of 255,
``factor`` a resize factor: of the HR size in the first order, of the LR size in the second.
Kinds of kernel count ``KERNEL_KINDS``, modes ``RESIZE_MODES``; flags (``grey``, ``gaussian``,
``jpeg_last``) are 0 or 1. The kernel of an image that is not blurred is the pulse.
"""

_EVENLY = (1 / len(RESIZE_MODES),) * len(RESIZE_MODES)
_INDEX = {name: i for i, name in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Draws:
    """The decisions about B images: a table (B, len(COLUMNS)) float64 on any device.

    >>> draws = draw(SecondOrderSettings(), 16, (0, "pairs", 7))
    >>> draws["first_quality"][:3]
    tensor([44.5678, 65.5183, 57.1518], dtype=torch.float64)
    >>> draws.row(8)["first_factor"] == draws.row(15)["first_factor"]  # a group shares it
    True
    """

    table: Tensor

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, column: str) -> Tensor:
        """Return a column, (B,) float64."""
        return self.table[:, _INDEX[column]]

    def kernel(self, blur: str) -> KernelDraws:
        """Return the kernels of one of the three blurs: ``first``, ``second`` or ``final``."""
        values = {name: self[f"{blur}_kernel_{name}"] for name in _KERNEL_COLUMNS}
        return KernelDraws(**values)

    def kernels(self) -> KernelDraws:
        """Return the kernels of the three blurs together, (3 B,): first, second, final."""
        names = [f"{blur}_kernel_{_KERNEL_COLUMNS[0]}" for blur in ("first", "second", "final")]
        width = len(_KERNEL_COLUMNS)
        parts = [self.table[:, _INDEX[name] : _INDEX[name] + width] for name in names]
        return KernelDraws(*torch.cat(parts).unbind(dim=1))

    def rows(self, part: slice) -> Draws:
        """Return the decisions about some of the images."""
        return Draws(self.table[part])

    def row(self, image: int) -> dict[str, float]:
        """Return the decisions about one image as plain numbers."""
        return dict(zip(COLUMNS, self.table[image].tolist(), strict=True))


def draw(settings: SecondOrderSettings, batch: int, key: Key, first_image: int = 0) -> Draws:
    """Take every random decision about the images ``first_image`` ... of one iteration.

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
        For example ``(seed, "pairs", iteration)``.
    first_image : int
        Index of the first image, for a worker that makes only a part of the iteration's images.

    Returns
    -------
    Draws
        On the CPU.
    """
    (draws,) = draw_many(settings, batch, [key], first_image)
    return draws


def draw_many(
    settings: SecondOrderSettings, batch: int, keys: Sequence[Key], first_image: int = 0
) -> list[Draws]:
    """Take the decisions of many iterations at once, which costs a fraction of one at a time.

    The same as ``[draw(settings, batch, key, first_image) for key in keys]``.
    """
    images = range(first_image, first_image + batch)
    members = settings.group if settings.draws == "batch" else 1
    groups = range(images[0] // members, images[-1] // members + 1)
    streams = [(*key, "image", i) for key in keys for i in images]
    streams += [(*key, "group", g) for key in keys for g in groups]
    numbers = torch.from_numpy(uniform_rows(streams, len(_IMAGE_NUMBERS)))
    of_images, of_groups = numbers.T.contiguous().split(
        (len(keys) * batch, len(keys) * len(groups)), dim=1
    )
    own = dict(zip(_IMAGE_NUMBERS, of_images, strict=True))
    # Every image reads the numbers of its group: row of ``shared`` for each row of ``own``.
    group = torch.tensor([image // members for image in images])
    row = (torch.arange(len(keys))[:, None] * len(groups) + (group - groups[0])).flatten()
    shared = dict(zip(_GROUP_NUMBERS, of_groups[:, row], strict=False))

    columns = {
        "image": torch.tensor(images).repeat(len(keys)),
        "group": group.repeat(len(keys)),
        **_order("first", settings.first, own, shared),
        **_order("second", settings.second, own, shared),
        **_final_kernel(settings.final, own),
        "final_mode": _choice(shared["final_mode"], _EVENLY),
        "jpeg_last": shared["jpeg_last"] < settings.final.jpeg_last,
    }
    table = torch.stack([columns[name].double() for name in COLUMNS], dim=1)
    return [Draws(rows) for rows in table.split(batch)]


def _order(
    order: str, settings: OrderSettings, own: dict[str, Tensor], shared: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Return the columns of one order."""
    own, shared = _of(order, own), _of(order, shared)
    kernel = _kernel(settings.kernel, own)
    blurred = shared["blur"] < settings.blur
    kernel["kernel_kind"] = torch.where(blurred, kernel["kernel_kind"], KERNEL_KINDS.index("pulse"))
    # Enlarge, shrink or keep first, then a factor between the bounds of what was chosen.
    weights = (settings.resize_up, settings.resize_down, settings.resize_keep)
    low, high = settings.resize_factor
    bounds = torch.tensor([(1.0, high), (low, 1.0), (1.0, 1.0)], dtype=torch.float64)
    bounds = bounds[_choice(shared["direction"], weights)]
    columns = {
        **kernel,
        "noise_sigma": _between(own["noise_sigma"], settings.noise_sigma),
        "poisson_scale": _between(own["poisson_scale"], settings.poisson_scale),
        "grey": own["grey"] < settings.grey,
        "quality": _between(own["quality"], settings.jpeg_quality),
        "factor": bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) * shared["factor"],
        "mode": _choice(shared["mode"], _EVENLY),
        "gaussian": shared["gaussian"] < settings.gaussian,
    }
    return {f"{order}_{name}": values for name, values in columns.items()}


def _kernel(settings: KernelSettings, numbers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the columns of one blur kernel."""
    size = _odd(numbers["size"], settings.size)
    family = _choice(numbers["family"], settings.families)
    is_sinc = numbers["is_sinc"] < settings.sinc
    isotropic = family % 2 == 0
    sigma_x = _between(numbers["sigma_x"], settings.sigma)
    sigma_y = _between(numbers["sigma_y"], settings.sigma)
    rotation = _between(numbers["rotation"], settings.rotation)
    generalised = _halves(
        numbers["generalised_above"], numbers["generalised"], settings.beta_generalised
    )
    plateau = _halves(numbers["plateau_above"], numbers["plateau"], settings.beta_plateau)
    return {
        "kernel_kind": torch.where(is_sinc, KERNEL_KINDS.index("sinc"), family),
        "kernel_size": size,
        "kernel_sigma_x": sigma_x,
        "kernel_sigma_y": torch.where(isotropic, sigma_x, sigma_y),
        "kernel_rotation": torch.where(isotropic, 0.0, rotation),
        "kernel_beta": torch.where(family < 2, 1.0, torch.where(family < 4, generalised, plateau)),
        "kernel_cutoff": torch.where(
            size < LARGE_SINC,
            _between(numbers["cutoff"], settings.sinc_cutoff_small),
            _between(numbers["cutoff"], settings.sinc_cutoff_large),
        ),
    }


def _final_kernel(settings: FinalSettings, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the columns of the final kernel: a sinc filter, or the pulse."""
    numbers = _of("final", own)
    sinc, pulse = KERNEL_KINDS.index("sinc"), KERNEL_KINDS.index("pulse")
    one = torch.ones_like(numbers["cutoff"])
    return {
        "final_kernel_kind": torch.where(numbers["is_sinc"] < settings.sinc, sinc, pulse),
        "final_kernel_size": _odd(numbers["size"], settings.sinc_size),
        "final_kernel_sigma_x": one,
        "final_kernel_sigma_y": one,
        "final_kernel_rotation": torch.zeros_like(one),
        "final_kernel_beta": one,
        "final_kernel_cutoff": _between(numbers["cutoff"], settings.sinc_cutoff),
    }


def _of(prefix: str, numbers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the numbers whose names begin with ``prefix``, without it."""
    start = f"{prefix}_"
    return {k.removeprefix(start): v for k, v in numbers.items() if k.startswith(start)}


def _between(fraction: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Uniform in [low, high)."""
    return bounds[0] + (bounds[1] - bounds[0]) * fraction


def _choice(fraction: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Index drawn with the given weights, which sum to 1."""
    edges = torch.tensor(weights, dtype=torch.float64).cumsum(0)[:-1]
    return torch.bucketize(fraction, edges, right=True)


def _odd(fraction: Tensor, bounds: tuple[int, int]) -> Tensor:
    """One of the odd sizes from low to high, all equally likely."""
    return bounds[0] + 2 * (fraction * ((bounds[1] - bounds[0]) // 2 + 1)).long()


def _halves(above: Tensor, fraction: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Uniform in [low, 1) or in [1, high), each with probability one half."""
    return torch.where(
        above < 0.5, 1 + (bounds[1] - 1) * fraction, bounds[0] + (1 - bounds[0]) * fraction
    )
