"""Decoupled weight decay: every weight shrinks by learning rate times strength before Adam's step.

Loshchilov, Hutter, "Decoupled weight decay regularization" (ICLR 2019), as ``torch.optim.AdamW``
does it: biases are weights, too, and a weight without a gradient stays as it is. The paper trains
with plain Adam, without.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reflash.training.regulariser import Regulariser, check_positive


class WeightDecay(Regulariser):
    """Strength: AdamW's weight_decay."""

    acts_on = "optimiser"

    def __init__(self, weight_decay: float) -> None:
        self.weight_decay = check_positive("the weight decay", weight_decay)

    @torch.no_grad()
    def decay(self, weights: Sequence[Tensor], rate: float | Tensor) -> None:
        """Multiply every weight that has a gradient by 1 - rate x weight_decay."""
        for weight in weights:
            if weight.grad is not None:
                weight.mul_(1 - rate * self.weight_decay)


build = WeightDecay
