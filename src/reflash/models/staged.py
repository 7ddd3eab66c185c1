"""A network as an ordered list of named stages: one forward pass serves training and reading."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from reflash.core.errors import ReflashError
from reflash.models.dropout import dropout_module
from reflash.models.placement import Placement, place, tap_names
from reflash.models.settings import Dropout, NetworkSettings

Stage = tuple[str, Callable[[Tensor], Tensor]]


class StagedNetwork(nn.Module, ABC):
    """A super-resolution network whose intermediate tensors have names, called taps.

    A tap is the tensor that the next stage reads, so after the dropout where one acts there.
    Nothing changes it in place later: gradients with respect to taps are right.
    """

    def __init__(self, settings: NetworkSettings, dropout: Dropout) -> None:
        super().__init__()
        self.settings = settings
        self.dropout = dropout
        self.placement: Placement = place(settings, dropout)
        self.tap_names = tap_names(settings)
        self.dropout_after = nn.ModuleDict(
            {
                tap: dropout_module(layer.dimension, layer.p)
                for tap, layer in self.placement.after.items()
            }
        )

    @abstractmethod
    def _stages(self, passed: Mapping[str, Tensor]) -> list[Stage]:
        """Return (tap name, function) for every tap in order.

        ``passed`` holds ``lr`` and the tensors of the taps already passed, ``first`` among them
        unless the pass restarts behind it.
        """

    @abstractmethod
    def _output(self, features: Tensor, lr: Tensor) -> Tensor:
        """Return ``sr`` from the tensor of the tap ``last``."""

    def forward(self, lr: Tensor) -> Tensor:
        """Super-resolve.

        Parameters
        ----------
        lr : Tensor
            (B, 3, H, W) float in [0, 1].

        Returns
        -------
        Tensor
            (B, 3, scale H, scale W), not clamped.
        """
        return self._run(lr, None, lr, ())[0]

    def forward_features(
        self, lr: Tensor, taps: Iterable[str] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Super-resolve and return the tensors of ``taps`` (default all), in network order.

        Raises
        ------
        ReflashError
            A tap is not one of ``tap_names``.
        """
        return self._run(lr, None, lr, self.tap_names if taps is None else tuple(taps))

    def forward_from(self, tap: str, features: Tensor, lr: Tensor) -> Tensor:
        """Finish the forward pass of ``lr`` with ``features`` in place of the tensor of ``tap``.

        Raises
        ------
        ReflashError
            The tap is not one of ``tap_names``.
        """
        return self._run(lr, tap, features, ())[0]

    def _run(
        self, lr: Tensor, start: str | None, features: Tensor, taps: tuple[str, ...]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Pass ``features`` through the stages behind ``start`` (None: all), keeping ``taps``."""
        for tap in (*taps, *([start] if start else [])):
            if tap not in self.tap_names:
                raise ReflashError(
                    f"tap '{tap}': no such tap; {self.settings.name} has {self.tap_names[0]}, "
                    f"b1 to b{self.settings.blocks}, {', '.join(self.tap_names[-2:])}"
                )
        passed = {"lr": lr}
        stages = self._stages(passed)
        if start:
            passed[start] = features
            stages = stages[self.tap_names.index(start) + 1 :]
        for name, stage in stages:
            features = stage(features)
            if name in self.dropout_after:
                features = self.dropout_after[name](features)
            if name == "first" or name in taps:
                passed[name] = features
        kept = {name: passed[name] for name in self.tap_names if name in taps}
        return self._output(features, lr), kept


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """Return the 3 x 3 convolution that keeps height and width."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


@torch.no_grad()
def shrink_init(*convolutions: nn.Conv2d) -> None:
    """Start convolutions from Kaiming normal weights (fan in) times 0.1 and no bias, as BasicSR."""
    for convolution in convolutions:
        if convolution.weight.is_meta:  # drawing there does nothing and imports torch._dynamo
            continue
        nn.init.kaiming_normal_(convolution.weight)
        convolution.weight.mul_(0.1)
        if convolution.bias is not None:
            convolution.bias.zero_()
