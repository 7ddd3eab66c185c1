"""The GPU's way of making pairs, run on a CPU: the same pairs as the host's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toy_run import run_settings

from reflash.datasets.cache import ImageCache
from reflash.training import synthesis
from reflash.training.pairs import OnlinePairs, PairQueue, PoolPairs
from reflash.training.settings import RunSettings
from reflash.training.windows import bytes_on

CPU = torch.device("cpu")
QUIET = {
    "group": 4,
    "first": {"noise_sigma": (0, 0), "poisson_scale": (0, 0)},
    "second": {"noise_sigma": (0, 0), "poisson_scale": (0, 0)},
}
"""A degradation whose noise has no strength, so that the noise fields do not matter."""


def batches(
    settings: RunSettings, cache: ImageCache, count: int, **options: Any
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    pairs = OnlinePairs(settings, cache, CPU, **options)
    return [pairs.batch(i) for i in range(count)]


@pytest.mark.parametrize("shared", ["batch", "image"])
@pytest.mark.parametrize("resident", [True, False])
def test_fixed_shapes_make_the_same_pairs(
    cache: ImageCache, monkeypatch: pytest.MonkeyPatch, shared: str, resident: bool
) -> None:
    """Windows, degradation, patches and queue, with images on the device or sent to it."""
    monkeypatch.setattr(synthesis, "fits", lambda size, device: resident)
    settings = run_settings(
        degradation={**QUIET, "draws": shared},
        pairs={"window": 96, "patch": 32, "crops": 2, "shuffle_pool": 8},
        training={"batch": 16, "iterations": 12},
    )
    one = batches(settings, cache, 5)
    other = batches(settings, cache, 5, static=True)
    differing = []
    for (lr, hr), (static_lr, static_hr) in zip(one, other, strict=True):
        assert lr.shape == static_lr.shape == (16, 3, 8, 8)
        assert (hr - static_hr).abs().max() < 1e-3
        assert ((lr - static_lr) * 255).abs().max() < 8
        differing.append((lr != static_lr).float().mean())
    assert torch.stack(differing).mean() < 0.01


def test_single_setting_in_fixed_shapes(cache: ImageCache) -> None:
    settings = run_settings(setting="single")
    for (lr, hr), (static_lr, static_hr) in zip(
        batches(settings, cache, 3), batches(settings, cache, 3, static=True), strict=True
    ):
        assert torch.equal(hr, static_hr)
        assert ((lr - static_lr) * 255).abs().max() < 1.01  # a rounding boundary
        assert (lr != static_lr).float().mean() < 0.01


def test_fixed_shapes_depend_on_seed_and_iteration_alone(cache: ImageCache) -> None:
    settings = run_settings(pairs={"window": 96, "patch": 32, "shuffle_pool": 0})
    one, two = (OnlinePairs(settings, cache, CPU, static=True) for _ in range(2))
    for iteration in (0, 1, 2):
        one.batch(iteration)
    third = one.batch(3)
    for a, b in zip(third, two.batch(3), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(third[0], one.batch(4)[0])


def test_an_iteration_s_draws_do_not_depend_on_how_far_they_are_taken_ahead(
    cache: ImageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = run_settings()
    ahead = batches(settings, cache, 4, static=True)
    monkeypatch.setattr(synthesis, "AHEAD", 1)
    for one, other in zip(ahead, batches(settings, cache, 4, static=True), strict=True):
        assert torch.equal(one[0], other[0])


class Counted(TorchDispatchMode):
    """Counts operations: those that launch a kernel on a GPU, and views, which do not."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = self.views = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        view = func.is_view or func.__name__.startswith(("_unsafe_view", "alias", "detach"))
        self.kernels, self.views = self.kernels + (not view), self.views + view
        return func(*args, **(kwargs or {}))


def test_a_batch_takes_at_most_half_the_operations_it_once_took(
    cache: ImageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two groups of eight windows of 400 pixels, on a GPU bounded by the launches of operations.

    Before what the blurs, resizes and JPEGs share was computed once for all of them, a batch took
    1831 operations that launch a kernel, and 887 views.
    """
    monkeypatch.setattr(synthesis, "fits", lambda size, device: True)
    settings = run_settings(
        degradation={"group": 8},
        pairs={"window": 400, "patch": 128, "crops": 1, "shuffle_pool": 0},
        training={"batch": 16, "iterations": 12},
    )
    pairs = OnlinePairs(settings, cache, CPU, static=True)
    pairs.batch(0)  # constants are made, and draws taken for many iterations
    with Counted() as counted:
        pairs.batch(1)
    assert counted.kernels <= 780
    assert counted.kernels + counted.views <= 1359


class PlainQueue:
    """The queue written as the released training describes it, on lists."""

    def __init__(self, size: int) -> None:
        self.size, self.pairs = size, []

    def exchange(self, new: list[int], generator: torch.Generator) -> list[int]:
        if len(self.pairs) < self.size:
            self.pairs += new
            return new
        self.pairs = [self.pairs[i] for i in torch.randperm(len(self.pairs), generator=generator)]
        out = self.pairs[: len(new)]
        self.pairs[: len(new)] = new
        return out


@pytest.mark.parametrize(("size", "batch"), [(8, 4), (10, 4), (3, 4)])
def test_the_queue_equals_its_description(size: int, batch: int) -> None:
    queue, plain = PairQueue(size), PlainQueue(size)
    for t in range(20):
        if t == 9:  # continued in another process
            state = queue.state()
            queue = PairQueue(size)
            queue.restore(state, CPU)
        new = list(range(batch * t, batch * (t + 1)))
        values = torch.tensor(new, dtype=torch.float32)[:, None]
        a, b = (torch.Generator().manual_seed(t) for _ in range(2))
        lr, hr = queue.exchange(values, values + 0.5, a)
        assert lr.flatten().tolist() == plain.exchange(new, b)
        assert torch.equal(hr, lr + 0.5)


def test_a_resident_pool_gives_the_same_batches(
    cache: ImageCache, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_pairs import pool_settings

    from reflash.training.pool import build_pool

    build_pool(pool_settings(), cache, tmp_path)
    mapped, resident = (PoolPairs(tmp_path, 5, 0, CPU) for _ in range(2))
    resident.resident = bytes_on(resident.lr, CPU), bytes_on(resident.hr, CPU)
    for t in range(6):
        for a, b in zip(mapped.batch(t), resident.batch(t), strict=True):
            assert torch.equal(a, b)
