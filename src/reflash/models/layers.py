"""Networks that can be read and restarted at named layers: ours, and anybody's through hooks.

The names are the same for all: ``first`` (what the first block reads), ``b1``, ``b2`` … (what the
blocks make), ``hr`` (what the last convolution but one reads, of those at the output's resolution;
where there is one only, what that reads), ``last`` (what the last convolution reads). In a network
of others a dotted module name is a layer, too, the module's output; see `HookedNetwork`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reflash.core.errors import ReflashError

PROBE = 64
"""Side in pixels of the black image that a network of others is looked at with."""


class LayeredNetwork(nn.Module, ABC):
    """A super-resolution network whose intermediate tensors have names, called layers."""

    layer_names: tuple[str, ...]
    """The names above that the network has, in its order."""
    scale: int
    """SR sides over LR sides."""
    width: int
    """Channels that one SR pixel takes in the widest layer, roughly: what bounds memory."""

    @abstractmethod
    def check_layers(self, layers: Iterable[str]) -> None:
        """Raise ReflashError if the network lacks one of ``layers``."""

    @abstractmethod
    def forward_features(
        self, lr: Tensor, layers: Iterable[str] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Super-resolve and return the tensors of ``layers`` (default all), in network order.

        Parameters
        ----------
        lr : (B, 3, h, w) float in [0, 1]

        Returns
        -------
        sr : (B, 3, scale h, scale w) float, not clamped
        features : dict of str to (B, C, h', w') float
            Nothing changes them in place later: gradients with respect to them are right.

        Raises
        ------
        ReflashError
            The network lacks a layer.
        """

    def over_image(self, features: Tensor, lr: Tensor) -> Tensor:
        """Return the part of a layer's tensor that lies over the image: all but padding.

        Networks that need certain sizes see an image continued at its right and bottom.

        Parameters
        ----------
        features : (B, C, h', w')
            A tensor of a layer, or its gradient.
        lr : (B, 3, h, w)
        """
        return features

    @abstractmethod
    def forward_from(self, layer: str, features: Tensor, lr: Tensor) -> Tensor:
        """Return the SR image of ``lr`` with ``features`` in place of the tensor of ``layer``.

        Parameters
        ----------
        features : (B, C, h', w') float
        lr : (B, 3, h, w) or (1, 3, h, w) float in [0, 1]

        Raises
        ------
        ReflashError
            The network lacks the layer.
        """


@dataclass(frozen=True)
class _Place:
    """Where a layer's tensor passes by: a module's first input, or its output."""

    module: str
    input: bool
    call: int
    """Which call of the module in a forward pass, from 0; the last one where there are several."""


class HookedNetwork(LayeredNetwork):
    """Any super-resolution module, read and changed through forward hooks.

    The module itself is left as it is, apart from hooks during a call. A forward pass can only be
    finished from a layer by running all of it and replacing the layer's tensor on the way: exact,
    but slower than a network of our own, which restarts behind the layer.

    Parameters
    ----------
    model : nn.Module
        From (B, 3, h, w) to (B, 3, scale h, scale w), in evaluation mode.

    Raises
    ------
    ReflashError
        The module fails on an image, or makes none of a whole multiple of its size.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))
    >>> network = HookedNetwork(model.eval())
    >>> network.scale, network.layer_names
    (2, ('last',))
    >>> lr = torch.rand(1, 3, 5, 5)
    >>> sr, features = network.forward_features(lr, ["0"])
    >>> torch.equal(network.forward_from("0", features["0"], lr), sr)
    True
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        found = _look_at(model)
        self._places, self._calls = found.places, found.calls
        self.layer_names, self.scale, self.width = tuple(found.places), found.scale, found.width

    def forward(self, lr: Tensor) -> Tensor:
        """Super-resolve as the module does: (B, 3, h, w) to (B, 3, scale h, scale w)."""
        sr: Tensor = self.model(lr)
        return sr

    def check_layers(self, layers: Iterable[str]) -> None:
        """Raise ReflashError if the network has neither such a name nor such a module."""
        for layer in layers:
            self._place(layer)

    def forward_features(
        self, lr: Tensor, layers: Iterable[str] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `LayeredNetwork.forward_features`; a dotted module name is that module's output."""
        wanted = tuple(self.layer_names if layers is None else layers)
        kept: dict[str, Tensor] = {}

        def keep(layer: str) -> Callable[[Tensor], Tensor | None]:
            def visit(tensor: Tensor) -> Tensor | None:
                kept[layer] = tensor
                # What follows may work in place: it gets a copy, where a hook can hand it one.
                return None if self._place(layer).input else tensor.clone()

            return visit

        with _hooked(self.model, [(self._place(layer), keep(layer)) for layer in wanted]):
            sr = self(lr)
        for layer, tensor in kept.items():
            if not isinstance(tensor, Tensor) or tensor.ndim != 4:
                raise ReflashError(
                    f"layer {layer!r}: is no feature map (B, C, h, w); "
                    "choose another, such as a convolution"
                )
        return sr, kept

    def forward_from(self, layer: str, features: Tensor, lr: Tensor) -> Tensor:
        """See `LayeredNetwork.forward_from`; what reads the layer's tensor later reads this one."""
        place = self._place(layer)

        def replace(tensor: Tensor) -> Tensor | None:
            if not place.input:
                return features
            # Skips may read the same tensor as the module: it is changed for all of them.
            tensor.copy_(features)
            return None

        with torch.no_grad(), _hooked(self.model, [(place, replace)]):
            return self(lr.expand(len(features), -1, -1, -1).clone())

    def over_image(self, features: Tensor, lr: Tensor) -> Tensor:
        """See `LayeredNetwork.over_image`; the module says what it sees by ``padded_size``."""
        height, width = lr.shape[-2:]
        padded_size = getattr(self.model, "padded_size", lambda *size: size)
        tall, wide = padded_size(height, width)
        rows, columns = features.shape[-2:]
        return features[..., : -(-rows * height // tall), : -(-columns * width // wide)]

    def _place(self, layer: str) -> _Place:
        if layer in self._places:
            return self._places[layer]
        if layer not in self._calls:  # which counts the modules that take part in a forward pass
            near = get_close_matches(layer, self._calls, n=3) or list(self._calls)[-3:]
            raise ReflashError(
                f"layer {layer!r}: no such layer; the network has {', '.join(self.layer_names)} "
                f"and its modules, such as {', '.join(near)}"
            )
        return _Place(layer, False, self._calls[layer] - 1)


@contextmanager
def _hooked(
    model: nn.Module, visits: Iterable[tuple[_Place, Callable[[Tensor], Tensor | None]]]
) -> Iterator[None]:
    """Let functions see, and replace by what they return, the tensors at some places."""
    modules = dict(model.named_modules())
    handles = []
    for place, visit in visits:
        handles.append(_hook(modules[place.module], place, visit))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(
    module: nn.Module, place: _Place, visit: Callable[[Tensor], Tensor | None]
) -> torch.utils.hooks.RemovableHandle:
    calls = 0

    def now() -> bool:
        nonlocal calls
        calls += 1
        return place.call == calls - 1

    def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        if now():
            visit(inputs[0])

    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        if not now():
            return None
        several = isinstance(output, tuple | list)
        value = visit(output[0] if several else output)
        if value is None or not several:
            return value
        return type(output)([value, *output[1:]])

    if place.input:
        return module.register_forward_pre_hook(before)
    return module.register_forward_hook(after)


class _Found(NamedTuple):
    places: dict[str, _Place]
    calls: Counter[str]
    scale: int
    width: int


def shifts_colours(module: nn.Module) -> bool:
    """Whether a module is a convolution of single pixels from colours to colours.

    Such as the ``MeanShift`` at both ends of EDSR and RCAN: it has no features.
    """
    return isinstance(module, nn.Conv2d) and (
        (module.in_channels, module.out_channels, *module.kernel_size) == (3, 3, 1, 1)
    )


def _look_at(model: nn.Module) -> _Found:
    """Run a black image through ``model`` to find its layers, its scale and its width."""
    convolutions: list[tuple[str, int, int]] = []  # name, which call, width of the output
    calls: Counter[str] = Counter()
    maps: set[tuple[str, bool]] = set()  # name, whether its input: feature maps, not tokens
    largest = 1

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def seen(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            nonlocal largest
            calls[name] += 1
            for is_input, value in ((True, inputs[0] if inputs else None), (False, output)):
                if isinstance(value, Tensor) and value.ndim == 4:
                    maps.add((name, is_input))
            if isinstance(output, Tensor) and output.ndim == 4:
                largest = max(largest, output[0].numel())
                if isinstance(module, nn.Conv2d) and inputs:
                    convolutions.append((name, calls[name] - 1, output.shape[-1]))

        return seen

    handles = [m.register_forward_hook(watch(name)) for name, m in model.named_modules() if name]
    parameter = next(model.parameters(), torch.empty(0))
    probe = torch.zeros(1, 3, PROBE, PROBE, device=parameter.device, dtype=parameter.dtype)
    try:
        with torch.no_grad():
            sr = model(probe)
    except (RuntimeError, ValueError, TypeError, LookupError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ReflashError(
            f"{type(model).__name__}: fails on an image of {PROBE}x{PROBE} pixels ({reason}); "
            "use a network from (B, 3, h, w) to (B, 3, scale h, scale w)"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    scale = sr.shape[-1] // PROBE if isinstance(sr, Tensor) and sr.ndim == 4 else 0
    if not scale or tuple(sr.shape) != (1, 3, scale * PROBE, scale * PROBE):
        raise ReflashError(
            f"{type(model).__name__}: does not make an image of a whole multiple of its size; "
            "use a network from (B, 3, h, w) to (B, 3, scale h, scale w)"
        )
    # Of a network that has others, convolutions that only shift colours are none of its layers.
    modules = dict(model.named_modules())
    convolutions = [c for c in convolutions if not shifts_colours(modules[c[0]])] or convolutions
    places: dict[str, _Place] = {}
    blocks = [name for name in _blocks(model) if (name, False) in maps]
    if blocks and (blocks[0], True) in maps:
        places["first"] = _Place(blocks[0], True, calls[blocks[0]] - 1)
    for number, name in enumerate(blocks, start=1):
        places[f"b{number}"] = _Place(name, False, calls[name] - 1)
    large = [(name, call) for name, call, side in convolutions if side == scale * PROBE]
    if large and scale > 1:
        name, call = large[-2:][0]
        places["hr"] = _Place(name, True, call)
    if convolutions:
        places["last"] = _Place(convolutions[-1][0], True, convolutions[-1][1])
    return _Found(places, calls, scale, -(-largest // (scale * PROBE) ** 2))


def _blocks(model: nn.Module) -> list[str]:
    """Return the names of the body's blocks.

    They are modules of one class in one ``nn.Sequential`` or ``nn.ModuleList``, not convolutions
    themselves, that hold the most convolutions; of blocks within blocks the outer ones.
    """
    best, most = [], 0
    for path, parent in model.named_modules():
        if not isinstance(parent, nn.Sequential | nn.ModuleList):
            continue
        inside: dict[type[nn.Module], dict[str, int]] = {}
        for name, child in parent.named_children():
            count = sum(isinstance(module, nn.Conv2d) for module in child.modules())
            if count and not isinstance(child, nn.Conv2d):
                inside.setdefault(type(child), {})[f"{path}.{name}" if path else name] = count
        for counts in inside.values():
            if sum(counts.values()) > most:
                best, most = list(counts), sum(counts.values())
    return best
