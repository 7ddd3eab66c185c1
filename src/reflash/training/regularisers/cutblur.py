"""CutBlur: in a rectangle the network is shown the clean image, or everywhere but there.

Yoo, Ahn, Sohn, "Rethinking data augmentation for image super-resolution" (CVPR 2020): a rectangle
of HR is pasted into LR or the reverse, and the target stays, so that a network learns where and how
much to restore. In their code a batch is cut with the probability given, each side of the rectangle
is a share of the image drawn around 0.7 (deviation 0.01), and one of two ways is tossed.

They paste at the size of HR, for networks that take LR enlarged. Networks here take LR as it is: HR
is averaged down to its size, so what is pasted is a clean LR. Where there is no up-sampling
(denoising) it is theirs exactly.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from reflash.core.errors import ReflashError
from reflash.training.regulariser import Regulariser, check_share


class CutBlur(Regulariser):
    """Strength: probability that a batch is cut; ``side``, ``spread``: of the rectangle."""

    acts_on = "pairs"

    def __init__(self, p: float, side: float = 0.7, spread: float = 0.01) -> None:
        if not 0 < p <= 1:
            raise ReflashError("the probability must lie above 0 and not above 1")
        self.p, self.side = p, check_share("side", side)
        if not isinstance(spread, float | int) or not 0 <= spread < 1:
            raise ReflashError("spread must be 0 or more, and below 1")
        self.spread = spread

    def pairs(self, lr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
        """Return lr with a rectangle of clean lr, or clean lr with one of lr, or lr as it is."""
        draws = torch.rand(4, device=lr.device)
        share = (self.side + self.spread * torch.randn((), device=lr.device)).clamp(0, 1)
        inside = _interval(lr.shape[-2], share, draws[0])[:, None]
        inside = inside & _interval(lr.shape[-1], share, draws[1])
        clean = F.interpolate(hr, lr.shape[-2:], mode="area")
        is_clean = (inside == (draws[2] > 0.5)) & (draws[3] < self.p)
        return torch.where(is_clean, clean, lr), hr


def _interval(length: int, share: Tensor, position: Tensor) -> Tensor:
    """Return which of ``length`` pixels lie in an interval of a share of them, anywhere."""
    size = (length * share).floor()
    start = (position * (length - size + 1)).floor()
    pixels = torch.arange(length, device=share.device)
    return (pixels >= start) & (pixels < start + size)


build = CutBlur
