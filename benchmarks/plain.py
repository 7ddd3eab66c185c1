"""The plain way to train and to apply a network, as a short script without care for speed does."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from reflash.models.build import build_network
from reflash.training.settings import RunSettings


class PlainLoop:
    """Textbook training: fp32, contiguous tensors, Adam per parameter, EMA per parameter.

    As in common training code the loss is read after every iteration, which waits for the device.
    """

    def __init__(self, settings: RunSettings, device: torch.device) -> None:
        self.network = build_network(settings.network, settings.dropout).to(device).train()
        self.average = deepcopy(self.network)
        self.adam = torch.optim.Adam(self.network.parameters(), 2e-4, (0.9, 0.99), foreach=False)

    def step(self, lr: Tensor, hr: Tensor) -> float:
        """Take one step and return its loss."""
        loss = nn.functional.l1_loss(self.network(lr), hr)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        with torch.no_grad():
            for mine, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mine.mul_(0.999).add_(new, alpha=0.001)
        return loss.item()


def plain_upscale(network: nn.Module, lr: Tensor) -> Tensor:
    """Enlarge one image (h, w, 3) uint8 on the network's device; return (4h, 4w, 3) uint8."""
    device = next(network.parameters()).device
    network.eval()
    with torch.no_grad():
        sr = network(lr.to(device).permute(2, 0, 1)[None].float() / 255)
        return (sr[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu()
