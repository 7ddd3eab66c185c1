"""Adaptive Dropout: features blended with their dropout in every block, layer by layer no longer.

Xu, Yu, Tan, Zou, Zhao, "Adaptive Dropout: Unleashing dropout across layers for generalizable image
super-resolution" (CVPR 2025, arXiv 2506.12738). z = a x + (1 - a) Dropout2d_0.5(x) behind the first
convolution of every block and before the last convolution. a is 0.3 and jumps to 1 in one layer
after the other, from the first on, in every 20,000th of the 500,000 iterations: after 340,000
nothing is left of it (all seen in their code for an SRResNet of 16
blocks: repository xuhang07/Adpative-Dropout, commit 27f443f).

Chosen here: in shorter runs and other depths, too, the last layer jumps when 17 / 25 of the run are
over, and the others at even distances before; RRDB blends behind the first convolution of each of
its blocks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reflash.core.errors import ReflashError
from reflash.training.regulariser import (
    Regulariser,
    act_after,
    before_last_conv,
    check_count,
    check_share,
    residual_blocks,
)


class Blend(nn.Module):
    """a x + (1 - a) of channel dropout of x; ``a`` is one number of a tensor that others share."""

    def __init__(self, a: Tensor, layer: int, p: float) -> None:
        super().__init__()
        self.a, self.layer, self.p = a, layer, p

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; in evaluation mode the identity."""
        if not self.training:
            return x
        a = self.a[self.layer].to(x.dtype)
        return a * x + (1 - a) * F.dropout2d(x, self.p)


class AdaptiveDropout(Regulariser):
    """Strength: what a starts at (the authors' 0.3); ``p`` of the dropout that is blended in."""

    acts_on = "features"

    def __init__(
        self,
        start: float,
        p: float = 0.5,
        period: int | None = None,
        body: str = "body",
        before: str | None = None,
    ) -> None:
        self.start, self.p = check_share("what a starts at", start), check_share("p", p)
        self.period = period if period is None else check_count("period", period)
        self.body, self.before = body, before

    def attach(self, network: nn.Module) -> None:
        """Insert it behind the first convolution of every block, and before the last one."""
        blocks = residual_blocks(network, self.body)
        device = next(network.parameters()).device
        self.a = torch.full((len(blocks) + 1,), self.start, device=device)
        for number, block in enumerate(blocks):
            convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
            if not convolutions:
                raise ReflashError(f"block {number + 1} has no convolution to act behind")
            act_after(convolutions[0], Blend(self.a, number, self.p))
        before_last_conv(network, Blend(self.a, len(blocks), self.p), self.before)

    def begin(self, iteration: int, iterations: int) -> None:
        """Set a of every layer."""
        self.a.fill_(self.start)
        self.a[: annealed(iteration, iterations, len(self.a), self.period)].fill_(1.0)


def annealed(iteration: int, iterations: int, layers: int, period: int | None = None) -> int:
    """Return in how many layers, from the first on, nothing is dropped any more.

    Parameters
    ----------
    iteration
        Counted from 0.
    iterations
        Of the run.
    layers
        That blend.
    period
        Iterations from one layer to the next; None: the last is over after 17 / 25 of the run.

    Examples
    --------
    >>> [annealed(iteration, 500_000, 17) for iteration in (19_998, 19_999, 339_999, 499_999)]
    [0, 1, 17, 17]
    """
    done = iteration + 1  # theirs are counted from 1
    passed = done * 25 * layers // (17 * iterations) if period is None else done // period
    return min(layers, passed)


build = AdaptiveDropout
