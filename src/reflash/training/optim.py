"""The optimiser and its learning rate: Adam as one fused operation, rates from the iteration."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adam import adam

from reflash.training.settings import CosineRestarts, TrainingSettings

EPS = 1e-8


class FusedAdam:
    """Adam without weight decay; bit-identical to ``torch.optim.Adam(fused=True)``.

    The arithmetic is PyTorch's own (`torch.optim.adam.adam`). What is left out is
    ``torch.optim.Optimizer``, which costs a training job a second and a half at its start, because
    it imports the compiler, and milliseconds in every step.

    Parameters
    ----------
    parameters : iterable of Parameter
        All on one device.
    betas : (float, float)

    Examples
    --------
    >>> weight = Parameter(torch.ones(2))
    >>> optimizer = FusedAdam([weight], betas=(0.9, 0.99))
    >>> weight.sum().backward()
    >>> optimizer.step(0.1)
    >>> weight.tolist()  # the first step of Adam is the learning rate, whatever the gradient
    [0.8999999761581421, 0.8999999761581421]
    """

    def __init__(self, parameters: Iterable[Parameter], betas: tuple[float, float]) -> None:
        self.parameters = list(parameters)
        self.betas = betas
        self.exp_avgs = [torch.zeros_like(p).detach() for p in self.parameters]
        self.exp_avg_sqs = [torch.zeros_like(p).detach() for p in self.parameters]
        self.steps = [torch.zeros((), device=p.device) for p in self.parameters]

    @torch.no_grad()
    def step(self, lr: float | Tensor) -> None:
        """Take a step with the gradients there are; ``lr`` is a number, on a GPU a tensor.

        A parameter without one (frozen, or unused by the network) stays as it is.
        """
        stepped = [
            (parameter, parameter.grad, *state)
            for parameter, *state in zip(
                self.parameters, self.exp_avgs, self.exp_avg_sqs, self.steps, strict=True
            )
            if parameter.grad is not None
        ]
        if not stepped:
            return
        parameters, gradients, exp_avgs, exp_avg_sqs, steps = map(list, zip(*stepped, strict=True))
        adam(
            parameters,
            gradients,
            exp_avgs,
            exp_avg_sqs,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=lr,
            weight_decay=0.0,
            eps=EPS,
            maximize=False,
        )

    def zero_grad(self) -> None:
        """Remove all gradients (set them to None)."""
        for parameter in self.parameters:
            parameter.grad = None

    def tensors(self) -> list[Tensor]:
        """Return all tensors that a step changes, the parameters apart."""
        return [*self.exp_avgs, *self.exp_avg_sqs, *self.steps]

    def state_dict(self) -> dict[str, Any]:
        """Return what must be saved to continue."""
        return {"exp_avgs": self.exp_avgs, "exp_avg_sqs": self.exp_avg_sqs, "steps": self.steps}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken, on this device or another."""
        for name, own in self.state_dict().items():
            for tensor, stored in zip(own, state[name], strict=True):
                tensor.copy_(stored)


def learning_rate(iteration: int, settings: TrainingSettings) -> float:
    """Return Adam's learning rate for the optimiser step ``iteration`` (counted from 0).

    A pure function of the iteration, so that resuming needs no scheduler state.

    ``cosine_restarts`` follows the released training: period k starts where the lengths before it
    end, and its last point (cosine at pi) still belongs to it. With the released lengths
    [250k, 500k] and 500k iterations the rate falls to 0 at 250,000, jumps back to 2e-4 and is
    1.0e-4 at the end. After the last period the rate stays at ``eta_min``.

    Examples
    --------
    >>> [learning_rate(iteration, TrainingSettings()) for iteration in (0, 250_000, 500_000)]
    [0.0002, 0.0, 0.0001]
    """
    schedule, full = settings.schedule, settings.lr
    if isinstance(schedule, CosineRestarts):
        start = 0
        for length in schedule.periods:
            if iteration <= start + length:
                position = (iteration - start) / length
                break
            start += length
        else:
            position = 1.0
    else:
        position = min(1.0, iteration / max(1, settings.iterations - 1))
    return schedule.eta_min + 0.5 * (full - schedule.eta_min) * (1 + math.cos(math.pi * position))
