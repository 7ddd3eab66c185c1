"""Feature-statistics alignment: features of two degradations of an image get like statistics.

Wang, Chen, Zheng, Zeng, "Navigating beyond dropout: an intriguing solution towards generalizable
image super-resolution" (CVPR 2024, arXiv 2402.18929). Seen in a public copy of its code (repository
marenan/Simple-Align, commit 0279a53): the features that the last convolution reads, averaged over
their pixels, less their mean over the batch; of two vectors x, y the mean square of x - y plus that
of x x' - y y', and the same of random Fourier features of both; summed over the 8 images of a
batch, weight 1. Both degradations count in the L1 loss.

Chosen here: x and y are of the same image, as the paper says (in that commit the pool of pairs
mixes the images before they are compared); with another batch the sum is that of 8 images.
Pairs come with one LR each, so the second degradation is made from the target, on the
device: Gaussian blur of sigma uniform in [0.2, 3], averaging down to LR, Gaussian noise of sigma
uniform in [1, 30] of 255, clipped. Theirs goes through the whole second-order degradation again.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reflash.training.regulariser import Regulariser, before_last_conv, check_positive

BLUR, NOISE = (0.2, 3.0), (1 / 255, 30 / 255)
"""Ranges of the second degradation."""

IMAGES = 8
"""Images that the term is a sum over: the batch of their training."""

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
    """Strength: weight of the term beside the L1 loss (theirs: 1)."""

    acts_on = "loss"
    setting = "multi"  # as that is the second view
    batch = 2

    def __init__(self, weight: float, before: str | None = None) -> None:
        self.weight, self.before = check_positive("the weight", weight), before
        self.tap = Tap()

    def attach(self, network: nn.Module) -> None:
        """Read what the last convolution reads, or the module named."""
        before_last_conv(network, self.tap, self.before)

    def penalty(self, network: nn.Module, lr: Tensor, hr: Tensor) -> Tensor:
        """Return the L1 loss of a second view of this batch, and twice the weighted term.

        With the L1 loss of the batch that is twice their loss, the mean L1 of both views and the
        term; Adam's steps are the same.
        """
        first = self.tap.features
        with torch.autocast(lr.device.type, enabled=False):
            view = second_view(lr, hr)
        sr = network(view)
        second = self.tap.features
        del self.tap.features  # what the step no longer needs is free before it goes backward
        # The network may run in bf16; small differences of statistics need the digits of float32.
        with torch.autocast(lr.device.type, enabled=False):
            term = alignment(first.float(), second.float())
            return F.l1_loss(sr.float(), hr) + 2 * self.weight * term


def alignment(first: Tensor, second: Tensor) -> Tensor:
    """Return how far the features of two degradations are apart, linear and non-linear term.

    Draws a frequency per image and a phase per image and channel (`fourier_features`).

    Parameters
    ----------
    first, second : (B, C, H, W) float
        Of the same images, two or more, as batches are centred.

    Returns
    -------
    () float
        Mean over images times ``IMAGES``.
    """
    means = [features.mean((2, 3)) for features in (first, second)]
    x, y = (mean - mean.mean(0) for mean in means)
    return distance(x, y) + distance(*fourier_features(torch.stack([x, y])))


def distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance of two vectors and of their outer products, of a batch of ``IMAGES``.

    Parameters
    ----------
    x, y : (B, C) float

    Examples
    --------
    >>> x = torch.tensor([[1.0, 0.0]])
    >>> float(distance(x, x)) / IMAGES, float(distance(x, 3 * x)) / IMAGES  # 2^2 / 2 + 8^2 / 4
    (0.0, 18.0)
    """
    outer = x[:, :, None] * x[:, None] - y[:, :, None] * y[:, None]
    return IMAGES * ((x - y).square().mean(1) + outer.square().mean((1, 2))).mean()


def fourier_features(x: Tensor) -> Tensor:
    """Return random Fourier features, drawn alike for both views of an image.

    Parameters
    ----------
    x : (2, B, C) float
        Two views of B images.

    Returns
    -------
    (2, B, C) float
        sqrt(2) (cos m + sin m): m is w x + b, w normal per image, b uniform in [0, 2 pi] per image
        and channel, stretched over the channels to [0, pi / 2].
    """
    w = torch.randn(x.shape[1], 1, device=x.device)
    b = 2 * math.pi * torch.rand(x.shape[1:], device=x.device)
    m = w * x + b
    m = m - m.amin(2, keepdim=True)
    m = m / m.amax(2, keepdim=True).clamp_min(1e-12) * (math.pi / 2)
    return math.sqrt(2) * (m.cos() + m.sin())


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
