"""Adaptive Dropout: features blended with their dropout in every block, less and less of it.

Xu, Yu, Tan, Zou, Zhao, "Adaptive Dropout: Unleashing dropout across layers for generalizable image
super-resolution" (CVPR 2025, arXiv 2506.12738). z = a x + (1 - a) Dropout2d_0.5(x) behind the first
convolution of every block and before the last convolution (seen in their SRResNet); a is annealed
from 0.3 to 1 layer by layer, one layer in 20,000 of the 500,000 iterations (restated).

Not known, and chosen here: layers are annealed from the first to the last; a layer's a rises
linearly during its own period; RRDB blends behind the first convolution of each of its blocks. A
period is 1 / 25 of a run, 20,000 iterations of their length, so that shorter runs anneal as much.
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
    check_share,
    residual_blocks,
)

PERIODS = 25
"""Periods of a run: 500,000 iterations of 20,000."""


class Blend(nn.Module):
    """a x + (1 - a) of channel dropout of x; ``a`` is one number of a tensor that others share."""

    def __init__(self, kept: Tensor, layer: int, p: float) -> None:
        super().__init__()
        self.kept, self.layer, self.p = kept, layer, p

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; in evaluation mode the identity."""
        if not self.training:
            return x
        a = self.kept[self.layer].to(x.dtype)
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
        self.period, self.body, self.before = period, body, before

    def attach(self, network: nn.Module) -> None:
        """Insert it behind the first convolution of every block, and before the last one."""
        blocks = residual_blocks(network, self.body)
        device = next(network.parameters()).device
        self.kept = torch.full((len(blocks) + 1,), self.start, device=device)
        for number, block in enumerate(blocks):
            convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
            if not convolutions:
                raise ReflashError(f"block {number + 1} has no convolution to act behind")
            act_after(convolutions[0], Blend(self.kept, number, self.p))
        before_last_conv(network, Blend(self.kept, len(blocks), self.p), self.before)

    def begin(self, iteration: int, iterations: int) -> None:
        """Set a of every layer."""
        kept = shares(iteration, iterations, len(self.kept), self.start, self.period)
        self.kept.copy_(torch.tensor(kept))


def shares(
    iteration: int, iterations: int, layers: int, start: float, period: int | None = None
) -> list[float]:
    """Return a of every layer: layer l rises from ``start`` to 1 during period l, counted from 0.

    Examples
    --------
    >>> [round(a, 2) for a in shares(30_000, 500_000, 3, 0.3)]
    [1.0, 0.65, 0.3]
    """
    passed = iteration / (iterations / PERIODS if period is None else period)
    return [start + (1 - start) * min(1.0, max(0.0, passed - layer)) for layer in range(layers)]


build = AdaptiveDropout
