"""The path of fixed shapes against the definition: same draws and noise fields, same pixels."""

from __future__ import annotations

import math
from typing import Any

import degradation_reference as reference
import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from reflash.degradations import second_order, static
from reflash.degradations.draws import Draws, draw
from reflash.degradations.jpeg import jpeg
from reflash.degradations.kernels import blur, kernels
from reflash.degradations.resize import RESIZE_MODES
from reflash.degradations.settings import SecondOrderSettings

CPU = torch.device("cpu")
KEY = (4, "static")


def images(count: int, side: int) -> torch.Tensor:
    photos = [reference.photo(side, side, i) for i in range(count)]
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255


def fields(batch: int, canvases: static.Canvases, seed: int = 0) -> static.NoiseFields:
    generator = torch.Generator().manual_seed(seed)
    return static.NoiseFields.empty(batch, canvases, CPU).draw(generator)


def canvases_of(draws: Draws, settings: Any, side: int) -> static.Canvases:
    factor = draws["first_factor"].max().item()
    choices = static.canvas_choices(settings, side)
    return static.choose_canvas(choices, static.first_side(side, factor))


def with_fields(monkeypatch: pytest.MonkeyPatch, drawn: static.NoiseFields) -> None:
    """Let the definition take its noise from the corners of the given fields."""

    def corners(kind: str, key: Any, images: list[int], size: Any, device: Any) -> torch.Tensor:
        field = getattr(drawn, f"{'normal' if kind == 'gaussian' else 'uniform'}_{key[-1]}")
        return field[images, :, : size[0], : size[1]]

    monkeypatch.setattr(second_order, "noise_fields", corners)


@pytest.mark.parametrize("shared", ["batch", "image"])
@pytest.mark.parametrize(("side", "batches"), [(36, 24), (96, 8), (128, 3)])
def test_same_draws_and_fields_same_pixels(
    monkeypatch: pytest.MonkeyPatch, side: int, batches: int, shared: str
) -> None:
    settings = SecondOrderSettings(draws=shared, group=4)
    hr, differing = images(8, side), []
    for batch in range(batches):
        key = (*KEY, batch)
        draws = draw(settings, 8, key)
        canvases = canvases_of(draws, settings, side)
        drawn = fields(8, canvases, batch)
        with_fields(monkeypatch, drawn)
        wanted = second_order.degrade(hr, draws, settings, key)
        got = static.degrade(hr, draws, drawn, settings, canvases)
        difference = ((got - wanted) * 255).abs()
        assert difference.max() < 8
        differing.append((difference > 0.5).float().mean().item())
    assert np.mean(differing) < 0.005


def test_a_larger_canvas_changes_nothing() -> None:
    settings = SecondOrderSettings(group=4)
    draws = draw(settings, 4, KEY)
    hr = images(4, 64)
    small = canvases_of(draws, settings, 64)
    large = static.Canvases(small.first + 32, small.second + 16)
    drawn = fields(4, large)
    corners = static.NoiseFields(
        drawn.normal_first[..., : small.first, : small.first],
        drawn.uniform_first[..., : small.first, : small.first],
        drawn.normal_second[..., : small.second, : small.second],
        drawn.uniform_second[..., : small.second, : small.second],
    )
    one = static.degrade(hr, draws, corners, settings, small)
    other = static.degrade(hr, draws, drawn, settings, large)
    assert (((one - other) * 255).abs() > 0.5).float().mean() < 0.005


def test_a_group_without_blur_has_the_pulse() -> None:
    settings = SecondOrderSettings.model_validate({"second": {"blur": 0}})
    hr = images(4, 24)
    assert torch.equal(blur(hr, kernels(draw(settings, 4, KEY).kernel("second"))), hr)


@pytest.mark.parametrize("window", [16, 96, 100, 192, 400])
def test_canvases_hold_every_size(window: int) -> None:
    settings = SecondOrderSettings()
    choices = static.canvas_choices(settings, window)
    for factor in (0.15, 0.5, 0.51, 1.0, 1.3, 1.5):
        side = static.first_side(window, factor)
        chosen = static.choose_canvas(choices, side)
        assert chosen.first >= side
        assert all(c.first >= chosen.first or c.first < side for c in choices)
        assert chosen.first % 16 == 0
        assert chosen.second >= math.floor(window // settings.scale * 1.2)
        assert chosen.second >= window // settings.scale


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("factor", [0.15, 0.31, 0.5, 0.99, 1.0, 1.004, 1.25, 1.5])
def test_resizing_by_a_factor_is_torch_s(mode: str, factor: float) -> None:
    x = torch.rand(1, 3, 50, 50, generator=torch.Generator().manual_seed(0))
    wanted = F.interpolate(x, scale_factor=factor, mode=mode)
    side = wanted.shape[-1]
    assert side == static.first_side(50, factor)
    got = resized(x, 96, side, 50, 1 / factor, mode)
    torch.testing.assert_close(got[..., :side, :side], wanted, rtol=0, atol=2e-5)
    assert not got[..., side:, :].any()
    assert not got[..., side:].any()


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("side", [1, 7, 25, 30, 31, 49, 60])
def test_resizing_to_a_size_is_torch_s(mode: str, side: int) -> None:
    x = torch.rand(1, 3, 30, 30, generator=torch.Generator().manual_seed(0))
    wanted = F.interpolate(x, size=(side, side), mode=mode)
    canvas = F.pad(x, (0, 10, 0, 10), value=9.0)  # what lies outside is not looked at
    got = resized(canvas, 64, side, 30, 30 / side, mode)
    torch.testing.assert_close(got[..., :side, :side], wanted, rtol=0, atol=2e-5)


def resized(
    x: torch.Tensor, canvas: int, side: int, source: int, step: float, mode: str
) -> torch.Tensor:
    numbers = ([[source], [side]], [[step]], [[RESIZE_MODES.index(mode)]])
    values = [torch.tensor(number, dtype=torch.float64) for number in numbers]
    (matrix,) = static.resize_matrices((x.shape[-1], canvas), *values)
    return static.resize(x, matrix)


@pytest.mark.parametrize("canvas", [32, 80])
def test_blur_reflects_at_the_border_of_each_image(canvas: int) -> None:
    drawn = draw(SecondOrderSettings(), 4, KEY).kernel("first")
    kernel = kernels(drawn)
    sides = [canvas, canvas - 3, 9, 2]
    x = torch.rand(4, 3, canvas, canvas, generator=torch.Generator().manual_seed(0))
    got = static.blur(x, kernel, static.reflected(canvas, torch.tensor(sides).double()))
    for i, side in enumerate(sides):
        wanted = blur(x[i : i + 1, :, :side, :side], kernel[i : i + 1])
        assert (got[i : i + 1, :, :side, :side] - wanted).abs().max() < 3e-6


def test_jpeg_is_the_definition_s() -> None:
    x, quality = images(3, 48), torch.tensor([30.0, 51.5, 95.0], dtype=torch.float64)
    difference = (
        (static.jpeg(x, static.jpeg_tables(quality.float().view(-1, 1, 1, 1))) - jpeg(x, quality))
        * 255
    ).abs()
    assert (difference > 0.01).float().mean() < 0.005


class Watched(TorchDispatchMode):
    """Records every operation with its shapes; refuses those that make the host wait."""

    WAITING = (
        "_local_scalar_dense",
        "nonzero",
        "unique",
        "masked_select",
        "lift_fresh",
        "is_nonzero",
    )

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, tuple[torch.Size, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__
        assert not any(name.startswith(bad) for bad in self.WAITING), name
        out = func(*args, **(kwargs or {}))
        tensors = out if isinstance(out, tuple | list) else (out,)
        self.calls.append((name, tuple(t.shape for t in tensors if isinstance(t, torch.Tensor))))
        return out


def test_the_same_operations_whatever_is_drawn_and_none_that_waits() -> None:
    """What a recording and a compiled function need; constants are made in the first call."""
    settings = SecondOrderSettings(draws="image")
    hr, canvases = images(4, 48), static.canvas_choices(settings, 48)[-1]
    seen = []
    for i in range(4):
        draws = draw(settings, 4, (i,))
        drawn = fields(4, canvases, i)
        if i == 0:
            static.degrade(hr, draws, drawn, settings, canvases)
            continue
        with Watched() as watched:
            static.degrade(hr, draws, drawn, settings, canvases)
        seen.append(watched.calls)
    assert len(seen[0]) > 100
    assert seen[0] == seen[1] == seen[2]


def test_torch_compile_makes_one_graph_with_the_same_pixels() -> None:
    settings = SecondOrderSettings(draws="image")
    hr, canvases = images(2, 48), static.canvas_choices(settings, 48)[-1]
    drawn, table = fields(2, canvases), draw(settings, 2, KEY).table

    def work(hr: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return static.degrade(hr, Draws(table), drawn, settings, canvases)

    compiled = torch.compile(work, backend="aot_eager", fullgraph=True, dynamic=False)
    assert torch.equal(compiled(hr, table), work(hr, table))


def test_noise_fields_follow_from_the_generator() -> None:
    canvases = static.Canvases(32, 16)
    one, same, other = fields(2, canvases, 1), fields(2, canvases, 1), fields(2, canvases, 2)
    assert torch.equal(one.uniform_second, same.uniform_second)
    assert not torch.equal(one.normal_first, other.normal_first)
    assert one.normal_first.std() == pytest.approx(1, abs=0.05)
    assert 0 <= one.uniform_first.min() <= one.uniform_first.max() < 1
