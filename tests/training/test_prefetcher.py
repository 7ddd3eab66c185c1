"""Batches made one iteration early are the same batches."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from toy_run import run_settings

from reflash.datasets.cache import ImageCache
from reflash.training.pairs import OnlinePairs
from reflash.training.prefetcher import Prefetcher

CPU = torch.device("cpu")


def source(cache: ImageCache, enabled: bool, total: int = 12) -> Prefetcher:
    return Prefetcher(OnlinePairs(run_settings(), cache, CPU), CPU, enabled=enabled, total=total)


def test_the_same_batches_in_the_same_order(cache: ImageCache) -> None:
    early, plain = source(cache, True), source(cache, False)
    for t in range(12):
        for a, b in zip(early.batch(t), plain.batch(t), strict=True):
            assert torch.equal(a, b)
    early.close()


@pytest.mark.parametrize("then", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_a_state_continues_with_or_without(cache: ImageCache, first: bool, then: bool) -> None:
    whole = source(cache, False)
    expected = [whole.batch(t) for t in range(12)]
    begun = source(cache, first)
    for t in range(7):
        begun.batch(t)
    state = begun.state_dict()
    for a, b in zip(begun.batch(7), expected[7], strict=True):  # saving disturbs nothing
        assert torch.equal(a, b)
    begun.close()
    continued = source(cache, then)
    continued.load_state_dict(state)
    for t in range(7, 12):
        for a, b in zip(continued.batch(t), expected[t], strict=True):
            assert torch.equal(a, b)
    continued.close()


class Slow:
    """Pairs that take a tenth of a second and say which iterations were asked for."""

    key = "slow"

    def __init__(self) -> None:
        self.asked: list[int] = []

    def batch(self, iteration: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked.append(iteration)
        time.sleep(0.1)
        return torch.full((1,), float(iteration)), torch.zeros(1)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def test_the_next_batch_is_begun_and_none_beyond_the_end() -> None:
    pairs = Slow()
    batches = Prefetcher(pairs, CPU, enabled=True, total=3)
    assert float(batches.batch(0)[0]) == 0
    batches.state_dict()  # waits for the batch in hand
    assert pairs.asked == [0, 1]
    assert [float(batches.batch(t)[0]) for t in (1, 2)] == [1, 2]
    batches.close()
    assert pairs.asked == [0, 1, 2]
