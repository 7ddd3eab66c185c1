from __future__ import annotations

import math

import pytest

from reflash.training.schedule import learning_rate
from reflash.training.settings import TrainingSettings


@pytest.mark.parametrize(
    ("iteration", "rate"),
    [
        (0, 2e-4),
        (125_000, 1e-4),
        (250_000, 0.0),
        (250_001, 2e-4),  # the restart
        (375_000, 1e-4 * (1 + math.cos(math.pi / 4))),
        (499_999, 1.0e-4),  # half-way through the second period: the released end
    ],
)
def test_released_restarts(iteration: int, rate: float) -> None:
    assert learning_rate(iteration, TrainingSettings()) == pytest.approx(rate, abs=2e-9)


def test_restarts_agree_with_torch_inside_a_period() -> None:
    import torch

    settings = TrainingSettings.model_validate(
        {"schedule": {"kind": "cosine_restarts", "periods": [10, 20], "eta_min": 1e-6}}
    )
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.Adam([parameter], lr=settings.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=10, eta_min=1e-6)
    for iteration in range(11):
        expected = optimiser.param_groups[0]["lr"]
        assert learning_rate(iteration, settings) == pytest.approx(expected, rel=1e-9)
        optimiser.step()
        scheduler.step()
    assert learning_rate(30, settings) == pytest.approx(1e-6)
    assert learning_rate(31, settings) == pytest.approx(1e-6)


def test_one_cosine_goes_from_full_to_its_minimum() -> None:
    settings = TrainingSettings.model_validate(
        {"iterations": 101, "schedule": {"kind": "cosine", "eta_min": 1e-7}}
    )
    rates = [learning_rate(i, settings) for i in range(101)]
    assert rates[0] == 2e-4
    assert rates[50] == pytest.approx((2e-4 + 1e-7) / 2)
    assert rates[100] == pytest.approx(1e-7)
    assert rates == sorted(rates, reverse=True)
