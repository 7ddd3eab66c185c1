"""Anybody's network from anybody's weights: ours, those spandrel knows, or a user's own factory.

Weights are named by a file, or by a text that says more, the same wherever weights are asked for::

    net.pth
    {weights: net.pth, key: params_ema}
    {weights: net.pth, factory: "mynet.py:build", arguments: {features: 48}, multiple: 8}

The architecture is found from the names and shapes of the weights: SRResNet and RRDB by this
package, others (SwinIR, HAT, DAT, the compact networks and more) by spandrel, an optional package.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import yaml
from pydantic import ValidationError
from torch import Tensor, nn

from reflash.core.errors import ReflashError
from reflash.models.factory import call_factory
from reflash.models.foreign import StateDict, Which, first_difference
from reflash.models.settings import ExternalSettings
from reflash.models.weights import OtherArchitectureError, load_network, load_tensors


def parse_external(weights: Path | str, key: Which | None = None) -> ExternalSettings:
    """Return what a weights file or a text starting with ``{`` says.

    Raises
    ------
    ReflashError
        The text is not understood.

    Examples
    --------
    >>> parse_external("{weights: net.pth, multiple: 8}").multiple
    8
    >>> parse_external("net.pth", "params_ema").key
    'params_ema'
    """
    if not str(weights).startswith("{"):
        return ExternalSettings(weights=str(weights), key=key)
    try:
        values = yaml.safe_load(str(weights))
        settings = ExternalSettings.model_validate(values)
    except (yaml.YAMLError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "not YAML"
        known = ", ".join(ExternalSettings.model_fields)
        raise ReflashError(f"weights {weights}: {reason}; keys are {known}") from error
    return settings if key is None else settings.model_copy(update={"key": key})


def open_network(weights: Path | str, key: Which | None = None) -> nn.Module:
    """Return any super-resolution network with its weights, in evaluation mode on the CPU.

    Parameters
    ----------
    weights : path or str
        A file, or a text such as ``{weights: net.pth, factory: "mynet.py:build"}``.
    key : {"params", "params_ema"}, optional
        Which weights of the file; by default raw ones if it has both.

    Returns
    -------
    nn.Module
        From (B, 3, h, w) in [0, 1] to (B, 3, scale h, scale w), for images of any size: where the
        network needs a multiple of some size, images are padded and results cropped. Networks of
        this package are `reflash.models.staged.StagedNetwork`.

    Raises
    ------
    ReflashError
        The file cannot be read, the architecture is not known (by spandrel neither, or that is
        not installed), it takes or makes other than three channels, or the factory fails.
    """
    settings = parse_external(weights, key)
    if settings.factory:
        model = _from_factory(settings)
        return fit_sizes(model.eval().float(), settings.multiple)
    assert settings.weights is not None
    try:
        model = load_network(settings.weights, settings.key)
    except OtherArchitectureError as error:
        return _from_spandrel(settings, error)
    return fit_sizes(model, settings.multiple)


def external_name(weights: Path | str) -> str:
    """Return what errors and columns call weights: their file, or their factory."""
    settings = parse_external(weights)
    return settings.weights or str(settings.factory)


def fit_sizes(model: nn.Module, multiple: int = 1, minimum: int = 1) -> nn.Module:
    """Make a network take images of any size; change it and return it.

    Images whose sides are no multiple of ``multiple``, or below ``minimum``, are continued at the
    right and bottom by reflection, and the result is cropped. ``model.padded_size`` becomes the
    function from an image's (height, width) to those that the network sees.

    Examples
    --------
    >>> halves = nn.Sequential(nn.PixelUnshuffle(2), nn.Upsample(scale_factor=4))
    >>> fit_sizes(halves, 2)(torch.rand(1, 3, 5, 8)).shape
    torch.Size([1, 12, 10, 16])
    """
    if multiple <= 1 and minimum <= 1:
        return model
    sizes: list[tuple[int, int]] = []

    def padded_size(height: int, width: int) -> tuple[int, int]:
        tall, wide = (math.ceil(max(n, minimum) / multiple) * multiple for n in (height, width))
        return tall, wide

    def pad(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        lr: Tensor = inputs[0]
        height, width = lr.shape[-2:]
        sizes.append((height, width))
        tall, wide = padded_size(height, width)
        # Reflection cannot be wider than the image: what is missing then repeats the edge.
        while lr.shape[-2:] != (tall, wide):
            down, right = tall - lr.shape[-2], wide - lr.shape[-1]
            down, right = min(down, lr.shape[-2] - 1), min(right, lr.shape[-1] - 1)
            if down or right:
                lr = nn.functional.pad(lr, (0, right, 0, down), "reflect")
            else:
                rest = (0, wide - lr.shape[-1], 0, tall - lr.shape[-2])
                lr = nn.functional.pad(lr, rest, "replicate")
        return (lr, *inputs[1:])

    def crop(_: nn.Module, inputs: tuple[Any, ...], sr: Tensor) -> Tensor:
        height, width = sizes.pop()
        scale = sr.shape[-1] // inputs[0].shape[-1]
        return sr[..., : height * scale, : width * scale]

    model.register_forward_pre_hook(pad)
    model.register_forward_hook(crop)
    model.padded_size = padded_size  # type: ignore[assignment]
    return model


def _from_factory(settings: ExternalSettings) -> nn.Module:
    """Return a network of the user's own with the weights of the file, if one is named."""
    with torch.random.fork_rng(devices=[]):  # what it is initialised with is overwritten
        model = call_factory(str(settings.factory), settings.arguments)
    if settings.weights is None:
        return model
    tensors = load_tensors(settings.weights, settings.key)[0]
    difference = first_difference(tensors, model.state_dict())
    if difference is not None:
        raise ReflashError(
            f"{settings.weights}: not the weights of {settings.factory}: {difference}; "
            "change its arguments"
        )
    model.load_state_dict(tensors)
    return model


def _from_spandrel(settings: ExternalSettings, unknown: ReflashError) -> nn.Module:
    """Return the network that spandrel recognises; what is not ours is ``unknown``."""
    path = str(settings.weights)
    try:
        spandrel = _import_spandrel()
    except ImportError as error:
        raise ReflashError(
            f"{unknown}; others with pip install 'reflash[external]', or by a factory "
            "(docs/external.md)"
        ) from error
    tensors = load_tensors(path, settings.key)[0]
    try:
        found = _recognised(spandrel, tensors)
    except Exception as error:  # of any of its many architectures
        raise ReflashError(
            f"{path}: spandrel fails with {type(error).__name__} ({error}); name a factory "
            "(docs/external.md)"
        ) from error
    if found is None:
        raise ReflashError(
            f"{unknown}, and spandrel {spandrel.__version__ or ''} knows no such network; "
            "name a factory (docs/external.md)".replace("  ", " ")
        ) from unknown
    what = f"{path}: {found.architecture.name}"
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise ReflashError(f"{what} is not a network from image to image")
    channels = (found.input_channels, found.output_channels)
    if channels != (3, 3):
        raise ReflashError(
            f"{what} takes {channels[0]} and makes {channels[1]} channels; use one for RGB images"
        )
    needed = found.size_requirements
    if needed.square:
        raise ReflashError(f"{what} takes square images only; use another network")
    model: nn.Module = found.model
    multiple = math.lcm(needed.multiple_of, settings.multiple)
    return fit_sizes(model.eval().float(), multiple, max(needed.minimum, 1))


def _recognised(spandrel: Any, tensors: StateDict) -> Any:
    """Return what spandrel makes of weights, prefixes that all names share cut off; or None."""
    while True:
        try:
            return spandrel.ModelLoader().load_from_state_dict(dict(tensors))
        except spandrel.UnsupportedModelError:
            first = {name.partition(".")[0] for name in tensors}
            if len(first) != 1 or not all("." in name for name in tensors):
                return None
            tensors = _below(tensors)


def _below(tensors: Mapping[str, Tensor]) -> StateDict:
    return {name.partition(".")[2]: tensor for name, tensor in tensors.items()}


def _import_spandrel() -> Any:
    """Import spandrel, which asks for torchvision but uses it for two of its networks only.

    Beside a torch for CPUs PyPI's torchvision fails to load, so an empty module stands in for it
    while spandrel is imported.
    """
    with _without_torchvision():
        import spandrel
    return spandrel


@contextmanager
def _without_torchvision() -> Iterator[None]:
    class Empty(ModuleType):
        def __getattr__(self, name: str) -> None:
            if name.startswith("__"):
                raise AttributeError(name)

    if "torchvision" in sys.modules or "spandrel" in sys.modules:
        yield
        return
    names = [f"torchvision{rest}" for rest in ("", ".transforms", ".transforms.functional")]
    sys.modules.update({name: Empty(name) for name in names})
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)
