"""The shuffling of pairs between iterations, as the released training does it per GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from reflash.training.windows import to_device


class PairQueue:
    """A store of pairs that exchanges new ones for old ones at random.

    Until it holds ``size`` pairs, batches pass through and fill it; then it is shuffled, its first
    pairs leave and the new ones take their place. Pairs stay where they lie on the device; only
    the order, a list of numbers on the host, is shuffled.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.order: list[int] = []
        self.lr = self.hr = torch.empty(0)

    def exchange(self, lr: Tensor, hr: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return as many pairs as are given."""
        count = len(lr)
        if len(self.order) < self.size:
            self.lr = torch.cat([self.lr, lr]) if self.order else lr.clone()
            self.hr = torch.cat([self.hr, hr]) if self.order else hr.clone()
            self.order = list(range(len(self.lr)))
            return lr, hr
        shuffled = torch.randperm(len(self.order), generator=generator).tolist()
        self.order = [self.order[i] for i in shuffled]
        places = to_device(torch.tensor(self.order[:count]), lr.device)
        out = self.lr[places], self.hr[places]
        self.lr[places], self.hr[places] = lr, hr
        return out

    def state(self) -> list[Tensor]:
        """Return the pairs in their order: lr and hr."""
        order = to_device(torch.tensor(self.order), self.lr.device)
        return [self.lr[order], self.hr[order]]

    def restore(self, state: list[Tensor], device: torch.device) -> None:
        """Continue from ``state``."""
        self.lr, self.hr = (tensor.to(device, copy=True) for tensor in state)
        self.order = list(range(len(self.lr)))
