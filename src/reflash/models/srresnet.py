"""SRResNet as the paper trains it: no batch normalisation, no convolution or skip after the body.

BasicSR's MSRResNet; the differences of the authors' variant are a setting
(``first_upconv_init``) and a key layout (``reflash.models.weights``).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from reflash.models.dropout import dropout_module
from reflash.models.settings import NO_DROPOUT, Dropout, DropoutLayer, SRResNetSettings
from reflash.models.staged import Stage, StagedNetwork, conv3x3, shrink_init

SLOPE = 0.1
"""Negative slope of the LeakyReLU outside the blocks."""


class ResidualBlock(nn.Module):
    """conv - ReLU - conv - (+ skip)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(features, features)
        self.conv2 = conv3x3(features, features)
        shrink_init(self.conv1, self.conv2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, features, H, W) to the same shape."""
        return x + self.conv2(F.relu(self.conv1(x), inplace=True))


class DropoutResidualBlock(ResidualBlock):
    """conv - drop - ReLU - conv - drop - (+ skip) - drop: the paper's dropout residual block."""

    def __init__(self, features: int, layer: DropoutLayer) -> None:
        super().__init__(features)
        self.drop1 = dropout_module(layer.dimension, layer.p)
        self.drop2 = dropout_module(layer.dimension, layer.p)
        self.drop3 = dropout_module(layer.dimension, layer.p)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, features, H, W) to the same shape."""
        residual = F.relu(self.drop1(self.conv1(x)), inplace=True)
        return self.drop3(x + self.drop2(self.conv2(residual)))


class SRResNet(StagedNetwork):
    """SRResNet with its layers first, b1 … b16, hr and last; 1,517,571 parameters by default.

    Weights start from the global random state of torch, drawn in the order in which the authors'
    and BasicSR's classes draw: the same seed gives their weights, whatever the dropout.
    """

    settings: SRResNetSettings

    def __init__(self, settings: SRResNetSettings, dropout: Dropout = NO_DROPOUT) -> None:
        super().__init__(settings, dropout)
        features, scale = settings.features, settings.scale
        self.shuffle = 2 if scale == 4 else scale
        inside = self.placement.inside
        self.conv_first = conv3x3(3, features)
        self.body = nn.Sequential(
            *(
                DropoutResidualBlock(features, inside[n])
                if n in inside
                else ResidualBlock(features)
                for n in range(1, settings.blocks + 1)
            )
        )
        if scale > 1:
            self.upconv1 = conv3x3(features, features * self.shuffle**2)
        if scale == 4:
            self.upconv2 = conv3x3(features, features * 4)
        self.conv_hr = conv3x3(features, features)
        self.conv_last = conv3x3(features, 3)

        shrink_init(self.conv_first)
        if scale > 1 and settings.first_upconv_init == "basicsr":
            shrink_init(self.upconv1)
        shrink_init(self.conv_hr, self.conv_last)
        if scale == 4:
            shrink_init(self.upconv2)

    def _stages(self, passed: Mapping[str, Tensor]) -> list[Stage]:
        blocks = [(f"b{n}", block) for n, block in enumerate(self.body, start=1)]
        return [("first", self._first), *blocks, ("hr", self._upsample), ("last", self._last)]

    def _first(self, lr: Tensor) -> Tensor:
        return F.leaky_relu(self.conv_first(lr), SLOPE, inplace=True)

    def _upsample(self, features: Tensor) -> Tensor:
        names = {1: (), 4: ("upconv1", "upconv2")}.get(self.settings.scale, ("upconv1",))
        for upconv in map(self.get_submodule, names):
            shuffled = F.pixel_shuffle(upconv(features), self.shuffle)
            features = F.leaky_relu(shuffled, SLOPE, inplace=True)
        return features

    def _last(self, features: Tensor) -> Tensor:
        return F.leaky_relu(self.conv_hr(features), SLOPE, inplace=True)

    def _output(self, features: Tensor, lr: Tensor) -> Tensor:
        sr = self.conv_last(features)
        if not self.settings.global_residual:
            return sr
        scale = float(self.settings.scale)
        if scale == 1:
            return sr + lr
        return sr + F.interpolate(lr, scale_factor=scale, mode="bilinear", align_corners=False)
