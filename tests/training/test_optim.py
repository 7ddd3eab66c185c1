"""Adam against PyTorch's, and the released learning rates."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

from reflash.training.optim import FusedAdam, learning_rate
from reflash.training.settings import TrainingSettings


def parameters(seed: int) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((5,), (4, 3, 3, 3), (16, 7))
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def with_gradients(of: list[torch.nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(100 + step)
    for parameter in of:
        parameter.grad = torch.randn(parameter.shape, generator=generator) * 10.0 ** (-step % 5)


def test_results_are_bit_identical_to_pytorch() -> None:
    mine, theirs = parameters(0), parameters(0)
    ours = FusedAdam(mine, (0.9, 0.99))
    adam = torch.optim.Adam(theirs, betas=(0.9, 0.99), fused=True)
    for step in range(20):
        rate = 1e-3 / (1 + step)
        with_gradients(mine, step)
        with_gradients(theirs, step)
        ours.step(rate)
        adam.param_groups[0]["lr"] = rate
        adam.step()
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_a_state_continues() -> None:
    one, other = parameters(1), parameters(1)
    first = FusedAdam(one, (0.9, 0.99))
    for step in range(3):
        with_gradients(one, step)
        first.step(1e-2)
    state = {name: [t.clone() for t in v] for name, v in first.state_dict().items()}
    second = FusedAdam(other, (0.9, 0.99))
    second.load_state_dict(state)
    with torch.no_grad():
        for a, b in zip(one, other, strict=True):
            b.copy_(a)
    for step in (3, 4):
        for parameter, adam in ((one, first), (other, second)):
            with_gradients(parameter, step)
            adam.step(1e-2)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(state["exp_avgs"][0], first.exp_avgs[0])


def test_zero_grad_removes_all_gradients() -> None:
    of = parameters(2)
    with_gradients(of, 0)
    FusedAdam(of, (0.9, 0.99)).zero_grad()
    assert all(parameter.grad is None for parameter in of)


def test_training_imports_no_compiler() -> None:
    """It would take longer than loading PyTorch."""
    code = (
        "import sys, torch\n"
        "from reflash.training.optim import FusedAdam\n"
        "p = torch.nn.Parameter(torch.ones(3)); a = FusedAdam([p], (0.9, 0.99))\n"
        "p.sum().backward(); a.step(0.1)\n"
        "print(sorted({'torch._dynamo', 'sympy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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


def test_a_parameter_without_gradient_stays_as_with_pytorch() -> None:
    mine, theirs = parameters(3), parameters(3)
    ours = FusedAdam(mine, (0.9, 0.99))
    adam = torch.optim.Adam(theirs, lr=1e-2, betas=(0.9, 0.99), fused=True)
    for step, absent in enumerate((1, 0, 1)):
        for of in (mine, theirs):
            with_gradients(of, step)
            of[absent].grad = None
        ours.step(1e-2)
        adam.step()
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    before = [p.detach().clone() for p in mine]
    ours.zero_grad()
    ours.step(1e-2)
    assert all(torch.equal(a, b) for a, b in zip(mine, before, strict=True))
