"""Additive feature noise: normal numbers are added to the features before the last convolution.

The noise is measured in standard deviations of an image's features (all channels and pixels; no
gradient flows through them), so that a strength means the same in any network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reflash.training.regulariser import Regulariser, before_last_conv, check_positive


class ScaledNoise(nn.Module):
    """x + sigma s n: n standard normal for each element, s the deviation of the image's x."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; in evaluation mode the identity."""
        if not self.training:
            return x
        deviation = x.detach().std((1, 2, 3), keepdim=True)
        return x + self.sigma * deviation * torch.randn_like(x)


class AdditiveNoise(Regulariser):
    """Strength: standard deviation of the noise, in those of the features."""

    acts_on = "features"

    def __init__(self, sigma: float, before: str | None = None) -> None:
        self.layer = ScaledNoise(check_positive("the standard deviation", sigma))
        self.before = before

    def attach(self, network: nn.Module) -> None:
        """Insert it before the last convolution, or before the module named."""
        before_last_conv(network, self.layer, self.before)


build = AdditiveNoise
