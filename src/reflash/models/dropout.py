"""Dropout modules, and the paper's one line for any super-resolution model.

::

    model = insert_dropout(model, before="conv_last", p=0.7, dimension="channel")
    model.train()   # drops
    model.eval()    # does not
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, TypeVar

from torch import nn

from reflash.core.errors import ReflashError
from reflash.models.settings import Dimension, check_probability

ModelT = TypeVar("ModelT", bound=nn.Module)

CHILD = "dropout_before"
"""Name under which the inserted dropout is a child of the module it acts before."""


def dropout_module(dimension: Dimension, p: float) -> nn.Module:
    """Return the dropout of one dimension: whole channels of an image, or single elements.

    What is kept is scaled by 1 / (1 - p) while training; in evaluation mode it is the identity.

    Raises
    ------
    ReflashError
        p is not in (0, 1) or the dimension is neither ``channel`` nor ``element``.
    """
    modules: dict[str, type[nn.Module]] = {"channel": nn.Dropout2d, "element": nn.Dropout}
    if dimension not in modules:
        raise ReflashError(f"dimension: no such dimension '{dimension}'; use channel or element")
    try:
        return modules[dimension](check_probability(p))
    except ValueError as error:
        raise ReflashError(f"p: {error}") from error


def insert_dropout(
    model: ModelT, before: str = "conv_last", p: float = 0.7, dimension: Dimension = "channel"
) -> ModelT:
    """Drop the input of one module of ``model`` while training; change the model and return it.

    The paper's recipe is ``before=`` the last convolution with ``dimension="channel"``. Parameters
    and the keys of the state dict stay as they are, so weights with and without dropout are
    interchangeable; ``train()``, ``eval()``, ``deepcopy`` and ``torch.save`` work as ever. A second
    call for the same module replaces its dropout.

    Parameters
    ----------
    model : nn.Module
        Any model. The first positional input of the module named must be a tensor (B, C, H, W).
    before : str
        Dotted path of a module, as in ``model.named_modules()``. Name the layer itself, usually a
        convolution; for a plain ``nn.Sequential`` its first layer is taken.
    p : float
        Probability of dropping, above 0 and below 1.
    dimension : {"channel", "element"}
        What is dropped together.

    Raises
    ------
    ReflashError
        There is no such module (the message lists near names), it is a container without a forward
        pass of its own, or p or dimension are wrong.
    """
    dropout = dropout_module(dimension, p)
    target = _target(model, before)
    if CHILD not in target._modules:
        target.register_forward_pre_hook(_drop_first_input)
    setattr(target, CHILD, dropout.train(target.training))
    return model


def _drop_first_input(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Forward pre-hook; it looks the dropout up, so that a copied model uses its own."""
    if not args:
        raise ReflashError(
            f"insert_dropout: {type(module).__name__} is called with keywords only, and dropout "
            "acts on its first positional input; insert it before another module"
        )
    dropout = getattr(module, CHILD)
    if isinstance(dropout, nn.Dropout2d) and args[0].ndim != 4:
        raise ReflashError(
            f"insert_dropout: {type(module).__name__} reads a tensor of {tuple(args[0].shape)}; "
            "channels are dropped of (B, C, H, W); use dimension='element' or another module"
        )
    return (dropout(args[0]), *args[1:])


def _target(model: nn.Module, before: str) -> nn.Module:
    """Return the module at the dotted path ``before`` that can be given a dropout."""
    modules = dict(model.named_modules())
    if before not in modules or not before:
        layers = [name for name, module in modules.items() if not list(module.children())]
        near = get_close_matches(before, [name for name in modules if name], n=5, cutoff=0.5)
        listed = f"near names: {', '.join(near)}" if near else f"its last layers: {layers[-5:]}"
        raise ReflashError(f"before: the model has no module '{before}'; {listed}")
    target = modules[before]
    while type(target).forward is nn.Sequential.forward and len(target._modules) > 0:
        target = next(iter(target.children()))
    if isinstance(target, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        raise ReflashError(
            f"before: '{before}' is a {type(target).__name__}, which holds layers; name one of them"
        )
    return target
