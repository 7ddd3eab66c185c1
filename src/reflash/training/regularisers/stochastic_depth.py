"""Stochastic depth: residual blocks are skipped at random, later ones more often.

Huang, Sun, Liu, Sedra, Weinberger, "Deep networks with stochastic depth" (ECCV 2016): block l of L
is skipped with probability l / L times the strength (their linear rule). They skip a block for the
whole batch and scale its residual by the survival probability at test time; here it is drawn for
each image and the residual is scaled while training, as for dropout, so that nothing is done in
testing. Both have the same mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reflash.training.regulariser import Regulariser, act_after, check_share, residual_blocks


class SkipBlock(nn.Module):
    """Return a block's input instead of its output for an image, with probability ``p``."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, output: Tensor, block_input: Tensor) -> Tensor:
        """Map a block's (B, C, H, W) output and input to what the next one reads."""
        if not self.training:
            return output
        survives = torch.rand(len(output), 1, 1, 1, device=output.device) >= self.p
        return block_input + (output - block_input) * (survives / (1 - self.p)).to(output.dtype)


class StochasticDepth(Regulariser):
    """Strength: the probability that the last block is skipped."""

    acts_on = "features"

    def __init__(self, p: float, body: str = "body") -> None:
        self.p, self.body = check_share("the probability of the last block", p), body

    def attach(self, network: nn.Module) -> None:
        """Insert it after every block of the network's ``body``."""
        blocks = residual_blocks(network, self.body)
        for number, block in enumerate(blocks, start=1):
            act_after(block, SkipBlock(self.p * number / len(blocks)))


build = StochasticDepth
