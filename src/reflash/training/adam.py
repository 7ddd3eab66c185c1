"""Adam as one fused operation, without the machinery of ``torch.optim.Optimizer``.

The arithmetic is PyTorch's own (`torch.optim.adam.adam`, fused); the result is that of
``torch.optim.Adam(fused=True)`` bit for bit. What is left out costs a training job a second and a
half at its start, because ``Optimizer`` imports the compiler, and milliseconds in every step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adam import adam

EPS = 1e-8


class FusedAdam:
    """Adam over some parameters, without weight decay.

    Parameters
    ----------
    parameters : iterable of Parameter
        All on one device.
    betas : (float, float)
    """

    def __init__(self, parameters: Iterable[Parameter], betas: tuple[float, float]) -> None:
        self.parameters = list(parameters)
        self.betas = betas
        self.means = [torch.zeros_like(p).detach() for p in self.parameters]
        self.squares = [torch.zeros_like(p).detach() for p in self.parameters]
        self.steps = [torch.zeros((), device=p.device) for p in self.parameters]

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """Take a step with the gradients there are; ``rate`` is a number, on a GPU a tensor."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        adam(
            list[Tensor](self.parameters),
            gradients,
            self.means,
            self.squares,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=rate,
            weight_decay=0.0,
            eps=EPS,
            maximize=False,
        )

    def forget_gradients(self) -> None:
        """Remove all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def tensors(self) -> list[Tensor]:
        """Return all tensors that a step changes, the parameters apart."""
        return [*self.means, *self.squares, *self.steps]

    def state_dict(self) -> dict[str, Any]:
        """Return what must be saved to continue."""
        return {"means": self.means, "squares": self.squares, "steps": self.steps}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken, on this device or another."""
        for name, own in self.state_dict().items():
            for tensor, stored in zip(own, state[name], strict=True):
                tensor.copy_(stored)
