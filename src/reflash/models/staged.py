"""A network as an ordered list of named stages: one forward pass serves training and reading."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from reflash.core.errors import ReflashError
from reflash.models.dropout import dropout_module
from reflash.models.layers import LayeredNetwork
from reflash.models.placement import Placement, layer_names, place
from reflash.models.settings import Dropout, StagedSettings

Stage = tuple[str, Callable[[Tensor], Tensor]]


class StagedNetwork(LayeredNetwork):
    """A network of our own: it restarts behind any of its layers without running what is before.

    A layer is the tensor that the next stage reads, so after the dropout where one acts there.
    Nothing changes it in place later: gradients with respect to layers are right.
    """

    def __init__(self, settings: StagedSettings, dropout: Dropout) -> None:
        super().__init__()
        self.settings = settings
        self.dropout = dropout
        self.placement: Placement = place(settings, dropout)
        self.layer_names = layer_names(settings)
        self.scale = settings.scale
        self.width = settings.features
        self.dropout_after = nn.ModuleDict(
            {
                layer: dropout_module(drop.dimension, drop.p)
                for layer, drop in self.placement.after.items()
            }
        )

    @abstractmethod
    def _stages(self, passed: Mapping[str, Tensor]) -> list[Stage]:
        """Return (layer name, function) for every layer in order.

        ``passed`` holds ``lr`` and the tensors of the layers already passed, ``first`` among them
        unless the pass restarts behind it.
        """

    @abstractmethod
    def _output(self, features: Tensor, lr: Tensor) -> Tensor:
        """Return ``sr`` from the tensor of the layer ``last``."""

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

    def check_layers(self, layers: Iterable[str]) -> None:
        """Raise ReflashError if one of ``layers`` is not in ``layer_names``."""
        for layer in layers:
            if layer not in self.layer_names:
                raise ReflashError(
                    f"layer {layer!r}: no such layer; {self.settings.name} has first, "
                    f"b1 to b{self.settings.blocks}, hr, last"
                )

    def forward_features(
        self, lr: Tensor, layers: Iterable[str] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `LayeredNetwork.forward_features`."""
        return self._run(lr, None, lr, self.layer_names if layers is None else tuple(layers))

    def forward_from(self, layer: str, features: Tensor, lr: Tensor) -> Tensor:
        """See `LayeredNetwork.forward_from`; only what follows the layer is run."""
        return self._run(lr, layer, features, ())[0]

    def _run(
        self, lr: Tensor, start: str | None, features: Tensor, layers: tuple[str, ...]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Pass ``features`` through the stages behind ``start`` (None: all), keeping ``layers``."""
        self.check_layers((*layers, *([start] if start else [])))
        passed = {"lr": lr}
        stages = self._stages(passed)
        if start:
            passed[start] = features
            stages = stages[self.layer_names.index(start) + 1 :]
        for name, stage in stages:
            features = stage(features)
            if name in self.dropout_after:
                features = self.dropout_after[name](features)
            if name == "first" or name in layers:
                passed[name] = features
        kept = {name: passed[name] for name in self.layer_names if name in layers}
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
