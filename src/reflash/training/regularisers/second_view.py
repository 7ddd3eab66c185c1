"""A second degradation of every image, without feature alignment's term: this project's control.

``feature_alignment`` trains on two views of an image and aligns their features. Its second view is
made from the target by blur and noise, less degraded than the first and nearer to the test images;
with that view alone in the loss one sees what is gained by it, and what by the alignment.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reflash.training.regulariser import Regulariser, check_positive
from reflash.training.regularisers.feature_alignment import second_view


class SecondView(Regulariser):
    """Strength: weight of the second view's L1 loss beside the first's (feature alignment: 1)."""

    acts_on = "loss"
    setting = "multi"  # as that is the second view

    def __init__(self, weight: float) -> None:
        self.weight = check_positive("the weight", weight)

    def penalty(self, network: nn.Module, lr: Tensor, hr: Tensor) -> Tensor:
        """Return the weighted L1 loss of the view that feature alignment draws at this step."""
        with torch.autocast(lr.device.type, enabled=False):
            view = second_view(lr, hr)
        sr = network(view)
        with torch.autocast(lr.device.type, enabled=False):
            return self.weight * F.l1_loss(sr.float(), hr)


build = SecondView
