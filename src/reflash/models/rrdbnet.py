"""RRDB: residual-in-residual dense blocks, as in ESRGAN and Real-ESRGAN (BasicSR's RRDBNet)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reflash.models.settings import NO_DROPOUT, Dropout, RRDBSettings
from reflash.models.staged import Stage, StagedNetwork, conv3x3, shrink_init

SLOPE = 0.2
"""Negative slope of every LeakyReLU."""

RESIDUAL_SCALE = 0.2
"""Weight of a residual beside its skip."""


class DenseBlock(nn.Module):
    """Five convolutions, each reading the input and all earlier outputs; 0.2 x the last + skip."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(features, growth)
        self.conv2 = conv3x3(features + growth, growth)
        self.conv3 = conv3x3(features + 2 * growth, growth)
        self.conv4 = conv3x3(features + 3 * growth, growth)
        self.conv5 = conv3x3(features + 4 * growth, features)
        shrink_init(self.conv1, self.conv2, self.conv3, self.conv4, self.conv5)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, features, H, W) to the same shape."""
        dense = [x]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            dense.append(F.leaky_relu(conv(torch.cat(dense, 1)), SLOPE, inplace=True))
        return torch.add(x, self.conv5(torch.cat(dense, 1)), alpha=RESIDUAL_SCALE)


class RRDB(nn.Module):
    """Three dense blocks; 0.2 x their output + skip."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(features, growth)
        self.rdb2 = DenseBlock(features, growth)
        self.rdb3 = DenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, features, H, W) to the same shape."""
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=RESIDUAL_SCALE)


class RRDBNet(StagedNetwork):
    """RRDB with its layers first, b1 … b23, hr and last; 16,697,987 parameters by default.

    Convolutions inside the blocks start from Kaiming x 0.1, the others from PyTorch's default,
    drawn from the global random state of torch in the order in which BasicSR's class draws.
    """

    settings: RRDBSettings

    def __init__(self, settings: RRDBSettings, dropout: Dropout = NO_DROPOUT) -> None:
        super().__init__(settings, dropout)
        features = settings.features
        self.conv_first = conv3x3(3, features)
        self.body = nn.Sequential(
            *(RRDB(features, settings.growth) for _ in range(settings.blocks))
        )
        self.conv_body = conv3x3(features, features)
        if settings.scale > 1:
            self.conv_up1 = conv3x3(features, features)
            self.conv_up2 = conv3x3(features, features)
        self.conv_hr = conv3x3(features, features)
        self.conv_last = conv3x3(features, 3)

    def _stages(self, passed: Mapping[str, Tensor]) -> list[Stage]:
        def upsample(features: Tensor) -> Tensor:
            first = passed["first"] if "first" in passed else self.conv_first(passed["lr"])
            features = first + self.conv_body(features)
            for conv in (self.conv_up1, self.conv_up2) if self.settings.scale > 1 else ():
                upsampled = F.interpolate(features, scale_factor=2.0, mode="nearest")
                features = F.leaky_relu(conv(upsampled), SLOPE, inplace=True)
            return features

        blocks = [(f"b{n}", block) for n, block in enumerate(self.body, start=1)]
        return [("first", self.conv_first), *blocks, ("hr", upsample), ("last", self._last)]

    def _last(self, features: Tensor) -> Tensor:
        return F.leaky_relu(self.conv_hr(features), SLOPE, inplace=True)

    def _output(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.conv_last(features)
