"""Feature-statistics alignment: features of two degradations of an image get like statistics.

Wang, Chen, Zheng, Zeng, "Navigating beyond dropout: an intriguing solution towards generalizable
image super-resolution" (CVPR 2024, arXiv 2402.18929): the first- and second-order statistics of the
features of two degradations of the same image are aligned by a term of the loss (restated; their
second, non-linear form with random Fourier features is not built here). Their code, the weight of
the term and which layer were not found.

Chosen here: statistics over the pixels of each image before the last convolution; the term is the
mean square of the difference of the channels' means plus that of their covariances. Pairs come with
one LR each, so the second degradation is made here from the target, on the device: Gaussian blur of
sigma uniform in [0.2, 3], averaging down to LR, Gaussian noise of sigma uniform in [1, 30] of 255,
clipped (no JPEG). The second image counts in this term only, not in the L1 loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reflash.training.regulariser import Regulariser, before_last_conv, check_positive

BLUR, NOISE = (0.2, 3.0), (1 / 255, 30 / 255)
"""Ranges of the second degradation."""

RADIUS = 10
"""Pixels that the blur reaches to each side, as the training kernels do."""


class Tap(nn.Module):
    """Keeps the tensor that passed last while training."""

    features: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) as it is."""
        if self.training:
            self.features = x
        return x


class FeatureAlignment(Regulariser):
    """Strength: weight of the term beside the L1 loss."""

    acts_on = "loss"

    def __init__(self, weight: float, before: str | None = None) -> None:
        self.weight, self.before = check_positive("the weight", weight), before
        self.tap = Tap()

    def attach(self, network: nn.Module) -> None:
        """Read what the last convolution reads, or the module named."""
        before_last_conv(network, self.tap, self.before)

    def penalty(self, network: nn.Module, lr: Tensor, hr: Tensor) -> Tensor:
        """Return the weighted distance of the statistics of this batch and of its second view."""
        first = self.tap.features
        with torch.autocast(lr.device.type, enabled=False):
            view = second_view(lr, hr)
        network(view)
        second = self.tap.features
        del self.tap.features  # what the step no longer needs is free before it goes backward
        # The network may run in bf16; small differences of statistics need the digits of float32.
        with torch.autocast(lr.device.type, enabled=False):
            return self.weight * distance(first.float(), second.float())


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the distance of two batches' statistics, image by image.

    Parameters
    ----------
    first, second : (B, C, H, W) float

    Returns
    -------
    () float
        Mean square of the difference of the channels' means over pixels, plus that of their
        covariances, mean over images.

    Examples
    --------
    >>> x = torch.rand(2, 3, 4, 5)
    >>> float(distance(x, x)), round(float(distance(x, x + 2)), 4)
    (0.0, 4.0)
    """
    means, covariances = zip(*map(_statistics, (first, second)), strict=True)
    return F.mse_loss(*means) + F.mse_loss(*covariances)


def _statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    flat = features.flatten(2)
    mean = flat.mean(2, keepdim=True)
    centred = flat - mean
    return mean, centred @ centred.mT / flat.shape[2]


@torch.no_grad()
def second_view(lr: Tensor, hr: Tensor) -> Tensor:
    """Return another degradation of the target: (B, 3, h, w) in [0, 1], of the size of ``lr``."""
    count, channels = hr.shape[:2]
    draws = torch.rand(2, count, 1, 1, 1, device=hr.device)
    sigma = BLUR[0] + draws[0] * (BLUR[1] - BLUR[0])
    offsets = torch.arange(-RADIUS, RADIUS + 1, device=hr.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma.view(count, 1) ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None]
    # Every image has its own kernel: images become channels, each with its own filter.
    flat = F.pad(hr.float(), (RADIUS,) * 4, mode="reflect").flatten(0, 1)[None]
    groups = count * channels
    flat = F.conv2d(flat, kernel[:, :, None], groups=groups)
    flat = F.conv2d(flat, kernel[..., None], groups=groups)
    small = F.interpolate(flat.view_as(hr), lr.shape[-2:], mode="area")
    level = NOISE[0] + draws[1] * (NOISE[1] - NOISE[0])
    return (small + level * torch.randn_like(small)).clamp(0, 1)


build = FeatureAlignment
