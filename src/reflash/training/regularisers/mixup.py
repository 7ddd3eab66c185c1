"""Mixup: pairs are blended with other pairs of the batch, LR and HR alike.

Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond empirical risk minimization" (ICLR 2018): one share
is drawn from Beta(a, a) for a batch, and every pair is blended with one of a random permutation.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta

from reflash.core.errors import ReflashError
from reflash.training.regulariser import Regulariser

SMALLEST = 0.01
"""Below it the draws of Beta(a, a) underflow: shares of 1/2 instead of 0 or 1."""


class Mixup(Regulariser):
    """Strength: a of Beta(a, a): near 0 pairs stay nearly as they are, 1 is uniform."""

    acts_on = "pairs"
    batch = 2

    def __init__(self, alpha: float) -> None:
        if alpha < SMALLEST:
            raise ReflashError(f"a of Beta(a, a) must not lie below {SMALLEST:g}")
        self.alpha = alpha

    def pairs(self, lr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
        """Return the blended pairs."""
        # A GPU draws in the precision of a, a CPU in double precision whatever it is.
        precision = torch.float64 if lr.is_cuda else torch.float32
        alpha = torch.full((), self.alpha, device=lr.device, dtype=precision)
        share = Beta(alpha, alpha, validate_args=False).sample().to(lr.dtype)
        order = torch.rand(len(lr), device=lr.device).argsort()
        return share * lr + (1 - share) * lr[order], share * hr + (1 - share) * hr[order]


build = Mixup
