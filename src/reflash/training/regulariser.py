"""What a regulariser is: a change of features, of pairs, of the loss or of the weights in a step.

Each file of ``reflash.training.regularisers`` holds one, under the name that models call it by; one
of your own is a class in a file of yours (docs/regularisers.md)::

    class Swap(Regulariser):
        acts_on = "pairs"

        def __init__(self, strength: float) -> None:
            self.strength = strength

        def pairs(self, lr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
            swapped = torch.rand(len(lr), 1, 1, 1, device=lr.device) < self.strength
            return torch.where(swapped, lr.flip(1), lr), torch.where(swapped, hr.flip(1), hr)

Random numbers come from torch's default generator of the network's device (``torch.rand(...,
device=x.device)``), which is seeded by (seed, iteration) before every step: runs are paired and
resume bit for bit, because nothing else carries over from step to step. On a GPU a step is replayed
as a CUDA graph, in which numbers of the host are fixed: what changes with the iteration is written
into a tensor by ``begin``, and random numbers choose by `torch.where` rather than by ``if``.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from reflash.core.errors import ReflashError
from reflash.models.factory import (
    factory_code,
    factory_file,
    last_convolution,
    load_function,
    said,
)
from reflash.training.settings import RegulariserSettings, RunSettings

ActsOn = Literal["features", "pairs", "loss", "optimiser"]

_METHODS: dict[str, str] = {
    "features": "attach",
    "pairs": "pairs",
    "loss": "penalty",
    "optimiser": "decay",
}
"""The method that a regulariser has for what it acts on."""


class Regulariser:
    """Changes something of a training step; a subclass has the method of what it acts on.

    At test time it is not there: in evaluation mode what ``attach`` inserts is the identity, so
    weights trained with and without a regulariser are interchangeable.
    """

    acts_on: ClassVar[ActsOn]
    """What it changes: features (``attach``), pairs (``pairs``), loss (``penalty``) or optimiser
    (``decay``)."""

    setting: ClassVar[str] = ""
    """The only setting that it is for, such as ``multi``; empty: all."""

    batch: ClassVar[int] = 1
    """Images that a batch must have at least."""

    def attach(self, network: nn.Module) -> None:
        """Insert layers without parameters into a network that has just been initialised.

        See `act_before` and `act_after`. Also for one that acts on the loss and reads features.
        In evaluation mode a layer returns what it was given.
        """

    def begin(self, iteration: int, iterations: int) -> None:
        """Prepare step ``iteration`` of ``iterations``, counted from 0, on the host."""

    def pairs(self, lr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
        """Return pairs to train on instead of (B, 3, h, w) lr and (B, 3, sh, sw) hr in [0, 1]."""
        return lr, hr

    def penalty(self, network: nn.Module, lr: Tensor, hr: Tensor) -> Tensor:
        """Return what is added to the L1 loss, () float, after ``network(lr)`` was run last."""
        return torch.zeros((), device=hr.device)

    def decay(self, weights: Sequence[Tensor], rate: float | Tensor) -> None:
        """Change the weights in place before the optimiser's step of learning rate ``rate``."""


def title_of(settings: RegulariserSettings) -> str:
    """Return what messages call a regulariser."""
    return f"regulariser {settings.name}-{settings.strength:g}"


def open_regulariser(settings: RegulariserSettings) -> Regulariser:
    """Return the regulariser of ``settings``.

    Raises
    ------
    ReflashError
        There is no such factory, its file has changed, it fails or refuses the strength, or what
        it returns is not a regulariser that has the method for what it acts on.

    Examples
    --------
    >>> factory = "reflash.training.regularisers.weight_decay:build"
    >>> one = {"name": "weight_decay", "strength": 0.01, "factory": factory}
    >>> open_regulariser(RegulariserSettings.model_validate(one)).acts_on
    'optimiser'
    """
    name = title_of(settings)
    if settings.code not in ("", factory_code(settings.factory)):
        raise ReflashError(
            f"{name}: {factory_file(settings.factory)} has changed since this run was described; "
            "describe it again with reflash config run"
        )
    function = load_function(settings.factory)
    try:
        regulariser = function(settings.strength, **settings.arguments)
    except ReflashError as error:
        raise ReflashError(f"{name}: {error}") from error
    except (Exception, SystemExit) as error:
        raise ReflashError(
            f"{name}: {settings.factory} fails with {said(error)}; correct it or its arguments"
        ) from error
    if not isinstance(regulariser, Regulariser):
        raise ReflashError(
            f"{name}: {settings.factory} returns {type(regulariser).__name__}, not a "
            "reflash.training.regulariser.Regulariser"
        )
    acts_on = getattr(regulariser, "acts_on", "nothing")
    if not isinstance(acts_on, str) or acts_on not in _METHODS:
        raise ReflashError(f"{name}: acts_on is {acts_on!r}; say one of {', '.join(_METHODS)}")
    method = _METHODS[acts_on]
    if getattr(type(regulariser), method) is getattr(Regulariser, method):
        raise ReflashError(f"{name}: acts on {acts_on} but has no method {method}; add it")
    return regulariser


def open_regularisers(settings: RunSettings) -> list[Regulariser]:
    """Return the regularisers of a run.

    Raises
    ------
    ReflashError
        See `open_regulariser`; one is not for the setting or needs a larger batch; or two act on
        the loss: each reads what the network made of the batch, and may run it again.
    """
    regularisers = []
    for one in settings.regularisers:
        regularisers.append(made := open_regulariser(one))
        if made.setting not in ("", settings.setting):
            raise ReflashError(
                f"{title_of(one)}: is for setting {made.setting}, not {settings.setting}"
            )
        if settings.training.batch < made.batch:
            raise ReflashError(
                f"{title_of(one)}: needs training.batch of {made.batch} or more, not "
                f"{settings.training.batch}"
            )
    if sum(one.acts_on == "loss" for one in regularisers) > 1:
        raise ReflashError(
            "two regularisers act on the loss; join them in one of your own, or leave one out"
        )
    return regularisers


@contextmanager
def blamed(who: str, doing: str, own: bool = True) -> Iterator[None]:
    """Turn what a user's code raises into a line that says whose it is; ``own``: it is a user's.

    What fails in a capture alone (it worked before that) stays what it is: `CUDAGraphStep` knows.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except ReflashError as error:
        raise ReflashError(f"{who}: {error}") from error
    except Exception as error:
        capturing = torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()
        if not own or capturing:
            raise
        raise ReflashError(
            f"{who}: {doing} fails with {said(error)}{_line_of(error)}; correct it"
        ) from error


def is_own(factory: str) -> bool:
    """Whether a factory is a user's."""
    return not factory.startswith("reflash.")


def _line_of(error: Exception) -> str:
    """Say where in a user's file an error was raised."""
    libraries = (str(Path(torch.__file__).parents[1]), str(Path(__file__).parents[1]))
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(libraries)]
    return f" in {own[-1].filename}, line {own[-1].lineno}" if own else ""


def changed_pairs(regulariser: Regulariser, lr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pairs that a regulariser makes of copies of these.

    Raises
    ------
    ReflashError
        It returns anything but as many pairs whose HR is as many times larger.
    """
    changed = regulariser.pairs(lr.clone(), hr.clone())
    scale = hr.shape[-1] // lr.shape[-1]
    if not (
        isinstance(changed, tuple)
        and len(changed) == 2
        and all(isinstance(one, Tensor) and one.ndim == 4 for one in changed)
        and all((one.dtype, one.device) == (lr.dtype, lr.device) for one in changed)
        and changed[0].shape[:2] == changed[1].shape[:2] == lr.shape[:2]
        and changed[1].shape[2:] == tuple(scale * side for side in changed[0].shape[2:])
    ):
        raise ReflashError(
            f"pairs must return lr and hr, {tuple(lr.shape)} and {tuple(hr.shape)} "
            f"{lr.dtype} or smaller patches of as many images, and returns {_shapes(changed)}"
        )
    return changed


def penalty_of(regulariser: Regulariser, network: nn.Module, lr: Tensor, hr: Tensor) -> Tensor:
    """Return what a regulariser adds to the loss.

    Raises
    ------
    ReflashError
        It returns anything but one number.
    """
    penalty = regulariser.penalty(network, lr, hr)
    if not (isinstance(penalty, Tensor) and penalty.shape == ()):
        raise ReflashError(f"penalty must return a tensor of one number, not {_shapes(penalty)}")
    return penalty


def _shapes(value: object) -> str:
    """Say what a method returned."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype}"
    if isinstance(value, tuple):
        return " and ".join(map(_shapes, value)) or "()"
    return type(value).__name__


def act_before(module: nn.Module, layer: nn.Module) -> None:
    """Pass the first input of ``module`` through ``layer``, which follows train and eval.

    Examples
    --------
    >>> relu = nn.ReLU()
    >>> act_before(relu, nn.Hardtanh())
    >>> relu(torch.tensor([-3.0, 3.0])).tolist()
    [0.0, 1.0]
    """
    module.register_forward_pre_hook(partial(_first_input, _child(module, layer)))


def act_after(module: nn.Module, layer: nn.Module) -> None:
    """Replace the output of ``module`` by ``layer(output, input)``."""
    module.register_forward_hook(partial(_output, _child(module, layer)))


def before_last_conv(network: nn.Module, layer: nn.Module, before: str | None = None) -> None:
    """Pass what the last convolution reads through ``layer``, or what module ``before`` does."""
    name = last_convolution(network, type(network).__name__) if before is None else before
    act_before(_module(network, name, "before"), layer)


def residual_blocks(network: nn.Module, body: str = "body") -> list[nn.Module]:
    """Return the blocks of a network in order: what the module called ``body`` holds.

    Raises
    ------
    ReflashError
        There is no such module, or it holds nothing.
    """
    blocks = list(_module(network, body, "body").children())
    if not blocks:
        raise ReflashError(
            f"body: module '{body}' holds no blocks; name the one that does under arguments"
        )
    return blocks


def check_share(name: str, strength: float) -> float:
    """Return a strength that is a share or probability: above 0 and below 1.

    Raises
    ------
    ReflashError
        It is not.
    """
    if not isinstance(strength, float | int) or not 0 < strength < 1:
        raise ReflashError(f"{name} must lie above 0 and below 1")
    return strength


def check_count(name: str, count: int) -> int:
    """Return an argument that is a whole number above 0.

    Raises
    ------
    ReflashError
        It is not.
    """
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ReflashError(f"{name} must be a whole number above 0, not {count!r}")
    return count


def check_positive(name: str, strength: float) -> float:
    """Return a strength that is above 0.

    Raises
    ------
    ReflashError
        It is not.
    """
    if not 0 < strength < math.inf:
        raise ReflashError(f"{name} must lie above 0; say none for no regulariser")
    return strength


def _child(module: nn.Module, layer: nn.Module) -> str:
    """Make ``layer`` a child of ``module``; found by name, a copied network uses its own."""
    if not isinstance(layer, nn.Module):
        raise ReflashError(f"{layer!r} is no torch.nn.Module; make it one")
    if layer.state_dict():
        raise ReflashError(
            f"{type(layer).__name__} has weights or buffers, which the network's file would hold; "
            "keep what changes in plain attributes"
        )
    name = f"regulariser{sum(key.startswith('regulariser') for key in module._modules)}"
    module.add_module(name, layer.train(module.training))
    return name


def _first_input(child: str, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (_same_size(getattr(module, child), inputs[0]), *inputs[1:])


def _output(child: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    return _same_size(getattr(module, child), output, inputs[0])


def _same_size(layer: nn.Module, features: Tensor, *more: Tensor) -> Tensor:
    """Return the features that a layer makes of others, and refuse what is of another size."""
    changed: Tensor = layer(features, *more)
    if getattr(changed, "shape", None) != features.shape:
        raise ReflashError(
            f"{type(layer).__name__} must return {tuple(features.shape)} as it was given, and "
            f"returns {_shapes(changed)}"
        )
    return changed


def _module(network: nn.Module, name: str, argument: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError as error:
        raise ReflashError(
            f"{argument}: the network has no module '{name}'; name one under arguments"
        ) from error
