"""The draws of many iterations at once, as tables of numbers that travel to a device in one copy.

A row holds everything that decides what happens to one image, the draws it shares with its group
included. The numbers are those of :func:`reflash.degradations.second_order.draw`, taken for many
keys together, because taking them one iteration at a time costs more than a GPU needs to train.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor

from reflash.core.keys import Key
from reflash.degradations.kernels import KERNEL_KINDS, KernelDraws
from reflash.degradations.keyed import generator
from reflash.degradations.resize import RESIZE_MODES
from reflash.degradations.second_order import (
    OrderDraws,
    SecondOrderDraws,
    SharedOrder,
    _draw_final,
    _draw_order,
    _Uniforms,
)
from reflash.degradations.settings import OrderSettings, SecondOrderSettings

_KERNEL = tuple(field.name for field in fields(KernelDraws))
_ORDER = (
    *(f"kernel_{name}" for name in _KERNEL),
    *(field.name for field in fields(OrderDraws) if field.name != "kernel"),
    "factor",
    "mode",
    "gaussian",
)
COLUMNS = (
    *(f"first_{name}" for name in _ORDER),
    *(f"second_{name}" for name in _ORDER),
    *(f"final_kernel_{name}" for name in _KERNEL),
    "final_mode",
    "jpeg_last",
)
"""What the numbers of a row mean. Modes count ``RESIZE_MODES``; flags are 0 or 1; the kernel of a
group that is not blurred is the pulse."""

_INDEX = {name: i for i, name in enumerate(COLUMNS)}
_PULSE = float(KERNEL_KINDS.index("pulse"))


def column(table: Tensor, name: str) -> Tensor:
    """Return one column of a table (..., len(COLUMNS))."""
    return table[..., _INDEX[name]]


def kernel_columns(table: Tensor, prefix: str) -> KernelDraws:
    """Return the kernel parameters whose columns start with ``prefix`` of a table (B, ...)."""
    values = {name: column(table, f"{prefix}_kernel_{name}") for name in _KERNEL}
    for name in ("kind", "size"):
        values[name] = values[name].long()
    return KernelDraws(**values)


def draw_tables(
    settings: SecondOrderSettings, batch: int, keys: Sequence[Key], first_image: int = 0
) -> Tensor:
    """Take the draws of ``batch`` images for every key.

    Returns
    -------
    (len(keys), batch, len(COLUMNS)) float64 on the CPU
    """
    images = range(first_image, first_image + batch)
    rows = [
        torch.rand(33, generator=generator(*key, "image", image), dtype=torch.float64)
        for key in keys
        for image in images
    ]
    uniforms = _Uniforms(torch.stack(rows))
    columns: dict[str, Tensor] = {}
    for name, order in (("first", settings.first), ("second", settings.second)):
        columns |= _order_columns(name, _draw_order(order, uniforms))
    columns |= _kernel_columns("final", _draw_final(settings.final, uniforms))

    members = settings.group if settings.draws == "batch" else 1
    group_of = torch.tensor([image // members - first_image // members for image in images])
    count = int(group_of[-1]) + 1
    first = first_image // members
    shared = _Uniforms(
        torch.stack(
            [
                torch.rand(12, generator=generator(*key, "group", g), dtype=torch.float64)
                for key in keys
                for g in range(first, first + count)
            ]
        )
    )
    of_image = (torch.arange(len(keys))[:, None] * count + group_of).flatten()
    for name, order in (("first", settings.first), ("second", settings.second)):
        drawn = {k: v[of_image] for k, v in _shared_columns(order, shared).items()}
        kind = f"{name}_kernel_kind"
        columns[kind] = torch.where(drawn.pop("blur") > 0, columns[kind].double(), _PULSE)
        columns |= {f"{name}_{k}": v for k, v in drawn.items()}
    columns["final_mode"] = shared.choice((1 / 3, 1 / 3, 1 / 3))[of_image]
    columns["jpeg_last"] = shared.chance(settings.final.jpeg_last)[of_image]
    table = torch.stack([columns[name].double() for name in COLUMNS], dim=-1)
    return table.view(len(keys), batch, len(COLUMNS))


def to_table(draws: SecondOrderDraws) -> Tensor:
    """Return one iteration's draws as a table (B, len(COLUMNS)) float64."""
    columns = _order_columns("first", draws.first) | _order_columns("second", draws.second)
    columns |= _kernel_columns("final", draws.final_kernel)
    shared: dict[str, list[float]] = {}
    for group in draws.groups:
        values = {f"first_{k}": v for k, v in _shared_values(group.first).items()}
        values |= {f"second_{k}": v for k, v in _shared_values(group.second).items()}
        values |= {"final_mode": RESIZE_MODES.index(group.final_mode)}
        values |= {"jpeg_last": group.jpeg_last}
        for name, value in values.items():
            shared.setdefault(name, []).extend([float(value)] * (group.stop - group.start))
    columns |= {name: torch.tensor(v, dtype=torch.float64) for name, v in shared.items()}
    for name in ("first", "second"):
        kind = f"{name}_kernel_kind"
        columns[kind] = torch.where(columns.pop(f"{name}_blur") > 0, columns[kind].double(), _PULSE)
    return torch.stack([columns[name].double() for name in COLUMNS], dim=-1)


def _order_columns(name: str, draws: OrderDraws) -> dict[str, Tensor]:
    own = {f.name: getattr(draws, f.name) for f in fields(draws) if f.name != "kernel"}
    return {f"{name}_{k}": v for k, v in own.items()} | _kernel_columns(name, draws.kernel)


def _kernel_columns(name: str, draws: KernelDraws) -> dict[str, Tensor]:
    return {f"{name}_kernel_{k}": getattr(draws, k) for k in _KERNEL}


def _shared_columns(settings: OrderSettings, uniforms: _Uniforms) -> dict[str, Tensor]:
    """Draw what groups share in one order, for many groups: columns (groups,)."""
    blurred = uniforms.chance(settings.blur)
    weights = (settings.resize_up, settings.resize_down, settings.resize_keep)
    direction = uniforms.choice(weights)
    low, high = settings.resize_factor
    bounds = torch.tensor([(1.0, high), (low, 1.0), (1.0, 1.0)], dtype=torch.float64)[direction]
    factor = bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) * uniforms.fraction()
    mode = uniforms.choice((1 / 3, 1 / 3, 1 / 3))
    gaussian = uniforms.chance(settings.gaussian)
    return {"blur": blurred, "factor": factor, "mode": mode, "gaussian": gaussian}


def _shared_values(order: SharedOrder) -> dict[str, float]:
    return {
        "blur": float(order.blur),
        "factor": order.factor,
        "mode": float(RESIZE_MODES.index(order.mode)),
        "gaussian": float(order.noise == "gaussian"),
    }


def first_side(window: int, factor: float) -> int:
    """Return the side of a window after the first resize."""
    return max(math.floor(window * factor), 1)


def second_side(window: int, factor: float, scale: int) -> int:
    """Return the side of a window after the second resize."""
    return max(math.floor(window // scale * factor), 1)
