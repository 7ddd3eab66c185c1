"""From HR windows to training pairs: on the host as arrays come, on a GPU in fixed shapes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from reflash.core.keys import key_seed, torch_generator
from reflash.core.settings import SCALE
from reflash.degradations import fast, second_order
from reflash.degradations.bicubic import bicubic_downsample
from reflash.degradations.constants import constant
from reflash.degradations.draws import COLUMNS, Draws, draw_many
from reflash.degradations.settings import Bicubic, SecondOrderSettings
from reflash.degradations.sharpen import usm_sharpen
from reflash.degradations.static import (
    Canvases,
    NoiseFields,
    canvas_choices,
    choose_canvas,
    degrade,
    first_side,
)
from reflash.degradations.tasks import TASKS, degrade_window, factor_of
from reflash.training.graphs import CUDAGraphStep
from reflash.training.settings import PairSettings, RunSettings
from reflash.training.windows import WindowSampler, bytes_on, fits, gather_windows

AHEAD = 128
"""Iterations whose draws are taken together."""


def make_pairs(
    windows: Tensor,
    setting: str,
    pairs: PairSettings,
    degradation: SecondOrderSettings,
    *key: int | str,
    first_image: int = 0,
) -> tuple[Tensor, Tensor]:
    """Degrade HR windows and cut random patches from them.

    Parameters
    ----------
    windows
        (N, 3, W, W) float in [0, 1].
    setting
        ``multi``: second-order degradation, target sharpened as its settings say; ``single``:
        antialiased bicubic down-sampling rounded to 8 bits, target as it is; a task: its
        degradation, which keeps the size, made on the host.
    key
        Key of all randomness.
    first_image
        Index of the first window, for a part of the windows of ``key``; patches are those of the
        part.

    Returns
    -------
    lr, hr
        (N * crops, 3, patch/4, patch/4) and (N * crops, 3, patch, patch), float in [0, 1]; of a
        task both of the latter size.
    """
    factor = factor_of(setting)
    if setting in TASKS:
        lr, hr = _degraded(windows, setting, *key, first_image=first_image), windows
    elif setting == "multi":
        path = fast if windows.device.type == "cpu" else second_order
        lr, hr = path.second_order(windows, degradation, key, first_image)
    else:
        lr, hr = bicubic_downsample(windows, SCALE, degradation.bicubic), windows
        lr = lr.mul(255).round_().clamp_(0, 255).div_(255)
    places = patch_places(len(lr), lr.shape[-1], pairs, *key, factor=factor)
    return cut_patches(lr, hr, places.to(lr.device), pairs.patch, factor)


def _degraded(windows: Tensor, setting: str, *key: int | str, first_image: int) -> Tensor:
    """Return windows as a task degrades them: (N, 3, W, W) float in [0, 1], on 8-bit values."""
    levels = (windows * 255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
    made = [
        degrade_window(window, setting, *key, "task", number)
        for number, window in enumerate(levels, start=first_image)
    ]
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).float().div(255).to(windows.device)


def patch_places(
    count: int, side: int, pairs: PairSettings, *key: int | str, factor: int = SCALE
) -> Tensor:
    """Return the LR corners (top, left) of the patches of each window: (count, crops, 2) int64."""
    rng = torch_generator(*key, "patches")
    patch = pairs.patch // factor
    return torch.randint(side - patch + 1, (count, pairs.crops, 2), generator=rng)


def cut_patches(
    lr: Tensor, hr: Tensor, places: Tensor, patch: int, factor: int = SCALE
) -> tuple[Tensor, Tensor]:
    """Cut the patches at ``places`` (N, crops, 2), in LR pixels, from LR and HR windows.

    Returns
    -------
    lr, hr
        (N * crops, 3, patch/factor, patch/factor) and (N * crops, 3, patch, patch), window by
        window.
    """
    crops = places.shape[1]
    corner = places.flatten(0, 1)
    image = torch.arange(len(lr), device=lr.device)[:, None].expand(-1, crops)
    image = image.reshape(-1, 1, 1, 1)
    plane = torch.arange(lr.shape[1], device=lr.device)[None, :, None, None]

    def cut(x: Tensor, step: int, side: int) -> Tensor:
        along = torch.arange(side, device=x.device)
        rows, columns = (corner[:, i, None] * step + along for i in (0, 1))
        return x[image, plane, rows[:, None, :, None], columns[:, None, None, :]]

    return cut(lr, 1, patch // factor), cut(hr, factor, patch)


class StaticSynthesis:
    """Pairs of an iteration made on a device in tensors of fixed shape, group by group.

    All that is drawn on the host (where windows and patches lie, every number of the degradation)
    is one row per window and travels in one copy; the training images stay on the device where
    they fit. The noise fields are drawn on the device, keyed by iteration and group.

    Parameters
    ----------
    settings : RunSettings
    sampler : WindowSampler
    device : torch.device
    graphs : bool
        Replay the work of a group as a CUDA graph (on a GPU).
    compiled : bool
        Fuse operations with torch.compile first.
    """

    def __init__(
        self,
        settings: RunSettings,
        sampler: WindowSampler,
        device: torch.device,
        *,
        graphs: bool = True,
        compiled: bool = False,
    ) -> None:
        self.settings, self.sampler, self.device = settings, sampler, device
        self.graphs, self.compiled = graphs, compiled
        self.canvases = canvas_choices(settings.degradation, settings.pairs.window)
        pixels = sampler.cache.pixels
        self.pixels = bytes_on(pixels, device) if fits(pixels.nbytes, device) else None
        self.generator = torch.Generator(device)
        self.steps: dict[tuple[int, Canvases], tuple[CUDAGraphStep, NoiseFields]] = {}
        self.draws: dict[int, Draws] = {}

    def pairs(self, iteration: int, count: int) -> tuple[Tensor, Tensor]:
        """Return the pairs made of the ``count`` windows of an iteration."""
        run = self.settings
        key = (run.seed, "pairs", iteration)
        draws = self._draws(iteration, count)
        patches = patch_places(count, run.pairs.window // SCALE, run.pairs, *key)
        drawn = self.sampler.places if self.pixels is not None else self.sampler.windows
        windows = torch.from_numpy(drawn(count, *key))
        parts = []
        for start in range(0, count, self._members(count)):
            rows = slice(start, min(start + self._members(count), count))
            drawn_here = draws.rows(rows)
            factor = float(drawn_here["first_factor"].max())
            canvases = choose_canvas(self.canvases, first_side(run.pairs.window, factor))
            numbers = torch.cat([drawn_here.table, patches[rows].flatten(1).double()], dim=1)
            if self.pixels is None:
                inputs = [numbers, windows[rows]]
            else:
                inputs = [torch.cat([numbers, windows[rows].double()], dim=1)]
            step, noise = self._step(rows.stop - rows.start, canvases)
            noise.draw(self.generator.manual_seed(key_seed(*key, "noise", start)))
            lr, hr = step(*inputs, device=self.device)
            parts.append((lr.clone(), hr.clone()))
        return torch.cat([lr for lr, _ in parts]), torch.cat([hr for _, hr in parts])

    def _members(self, count: int) -> int:
        """Return how many windows are worked on together: those that share a canvas."""
        degradation = self.settings.degradation
        return degradation.group if degradation.draws == "batch" else count

    def _draws(self, iteration: int, count: int) -> Draws:
        """Return the draws of an iteration, taking those of many at a time."""
        if iteration not in self.draws:
            seed, degradation = self.settings.seed, self.settings.degradation
            ahead = range(iteration, iteration + AHEAD)
            drawn = draw_many(degradation, count, [(seed, "pairs", i) for i in ahead])
            self.draws = dict(zip(ahead, drawn, strict=True))
        return self.draws.pop(iteration)

    def _step(self, count: int, canvases: Canvases) -> tuple[CUDAGraphStep, NoiseFields]:
        if (count, canvases) not in self.steps:
            noise = NoiseFields.empty(count, canvases, self.device)
            function: Callable[..., tuple[Tensor, Tensor]] = partial(
                self._make, noise=noise, canvases=canvases
            )
            if self.compiled:
                function = torch.compile(function, dynamic=False)
            self.steps[count, canvases] = CUDAGraphStep(function, enabled=self.graphs), noise
        return self.steps[count, canvases]

    @torch.no_grad()
    def _make(
        self,
        numbers: Tensor,
        windows: Tensor | None = None,
        *,
        noise: NoiseFields,
        canvases: Canvases,
    ) -> tuple[Tensor, Tensor]:
        """Make the pairs of a group on the device from its numbers."""
        run = self.settings
        crops = run.pairs.crops
        table, rest = numbers[:, : len(COLUMNS)], numbers[:, len(COLUMNS) :].long()
        places = rest[:, : 2 * crops].view(-1, crops, 2)
        if windows is None:
            assert self.pixels is not None
            hr = gather_windows(self.pixels, rest[:, 2 * crops :], run.pairs.window)
        else:
            hr = windows.permute(0, 3, 1, 2).float().div(255)
        if run.setting == "multi":
            hr = usm_sharpen(hr) if run.degradation.usm else hr
            lr = degrade(hr, Draws(table), noise, run.degradation, canvases)
        else:
            matrix = _bicubic_matrix(run.pairs.window, run.degradation.bicubic, self.device)
            lr = (matrix @ hr @ matrix.T * 255).round().clamp(0, 255) / 255
        return cut_patches(lr, hr, places, run.pairs.patch)


@constant
def _bicubic_matrix(length: int, variant: Bicubic, device: torch.device) -> Tensor:
    """Return the matrix (length / SCALE, length) that `bicubic_downsample` applies to columns."""
    columns = torch.eye(length).view(length, 1, length, 1).expand(-1, -1, -1, SCALE)
    return bicubic_downsample(columns, SCALE, variant)[:, 0, :, 0].T.contiguous().to(device)
