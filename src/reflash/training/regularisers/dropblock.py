"""DropBlock: squares of a feature map are dropped before the last convolution.

Ghiasi, Lin, Le, "DropBlock: A regularization method for convolutional networks" (NeurIPS 2018),
Algorithm 1, which drops channels independently. Its schedule (the share dropped grows while
training) is left out, as dropout's share is constant here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reflash.training.regulariser import Regulariser, before_last_conv, check_count, check_share


class DropBlock(nn.Module):
    """Zero squares of ``size`` pixels that cover a share ``p`` of each channel, roughly.

    What is kept is scaled by its share of the tensor. At the border of a map a square lies within.
    """

    def __init__(self, p: float, size: int) -> None:
        super().__init__()
        self.p, self.size = p, size

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; in evaluation mode the identity."""
        if not self.training:
            return x
        height, width = x.shape[-2:]
        size = min(self.size, height, width)
        places = height - size + 1, width - size + 1
        gamma = self.p / size**2 * height * width / (places[0] * places[1])
        corners = torch.rand(*x.shape[:2], *places, device=x.device) < gamma
        padded = F.pad(corners.float(), (size - 1,) * 4)
        kept = 1 - F.max_pool2d(padded, size, stride=1)
        return x * (kept * (kept.numel() / kept.sum().clamp(min=1))).to(x.dtype)


class DropBlockBeforeLast(Regulariser):
    """Strength: the share of the features dropped; ``size`` in pixels (the paper's 7)."""

    acts_on = "features"

    def __init__(self, p: float, size: int = 7, before: str | None = None) -> None:
        check_count("size", size)
        self.layer, self.before = DropBlock(check_share("the share dropped", p), size), before

    def attach(self, network: nn.Module) -> None:
        """Insert it before the last convolution, or before the module named."""
        before_last_conv(network, self.layer, self.before)


build = DropBlockBeforeLast
