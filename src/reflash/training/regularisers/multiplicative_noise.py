"""Multiplicative feature noise: every feature times a normal number around 1, before the last conv.

Gaussian dropout of Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: a simple way
to prevent neural networks from overfitting" (JMLR 2014), section 10: noise of standard deviation s
has the first two moments of element dropout with p = s^2 / (1 + s^2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reflash.training.regulariser import Regulariser, before_last_conv, check_positive


class GaussianFactor(nn.Module):
    """x (1 + sigma n) with n standard normal, independent for each element."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; in evaluation mode the identity."""
        return x * (1 + self.sigma * torch.randn_like(x)) if self.training else x


class MultiplicativeNoise(Regulariser):
    """Strength: standard deviation of the factor."""

    acts_on = "features"

    def __init__(self, sigma: float, before: str | None = None) -> None:
        self.layer = GaussianFactor(check_positive("the standard deviation", sigma))
        self.before = before

    def attach(self, network: nn.Module) -> None:
        """Insert it before the last convolution, or before the module named."""
        before_last_conv(network, self.layer, self.before)


build = MultiplicativeNoise
