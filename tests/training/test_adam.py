"""Adam against PyTorch's."""

from __future__ import annotations

import subprocess
import sys

import torch

from reflash.training.adam import FusedAdam


def parameters(seed: int) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((5,), (4, 3, 3, 3), (16, 7))
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def with_gradients(of: list[torch.nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(100 + step)
    for parameter in of:
        parameter.grad = torch.randn(parameter.shape, generator=generator) * 10.0 ** (-step % 5)


def test_bit_by_bit_the_optimiser_of_pytorch() -> None:
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
    assert not torch.equal(state["means"][0], first.means[0])


def test_gradients_are_forgotten() -> None:
    of = parameters(2)
    with_gradients(of, 0)
    FusedAdam(of, (0.9, 0.99)).forget_gradients()
    assert all(parameter.grad is None for parameter in of)


def test_training_imports_no_compiler() -> None:
    """It would take longer than loading PyTorch."""
    code = (
        "import sys, torch\n"
        "from reflash.training.adam import FusedAdam\n"
        "p = torch.nn.Parameter(torch.ones(3)); a = FusedAdam([p], (0.9, 0.99))\n"
        "p.sum().backward(); a.step(0.1)\n"
        "print(sorted({'torch._dynamo', 'sympy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
