"""Networks that a function of the user's own makes: ``mynet.py:build`` or ``package.module:build``.

What the function does is the user's business; here it is found, called and given its dropout.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from reflash.core.errors import ReflashError
from reflash.core.files import require_file
from reflash.core.fingerprint import PACKAGE, module_path, modules_of, tree_text
from reflash.models.dropout import insert_dropout
from reflash.models.layers import shifts_colours
from reflash.models.settings import Dropout, FactorySettings

_LAST_CONV = "reflash_last_conv"
"""Attribute of a network that holds what its settings call its last convolution."""


def build_factory(settings: FactorySettings, dropout: Dropout) -> nn.Module:
    """Return the network of a factory, in training mode, with dropout before the modules named.

    Raises
    ------
    ReflashError
        The factory is not found, fails or returns something else; or a module to drop before is
        not in the network.
    """
    model = call_factory(settings.factory, settings.arguments)
    if settings.last_conv is not None:
        setattr(model, _LAST_CONV, settings.last_conv)
    for layer in dropout:
        before = layer.where
        if before == "last_conv":
            before = last_convolution(model, settings.factory)
        insert_dropout(model, before, layer.p, layer.dimension)
    return model.train()


def call_factory(factory: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return what ``factory`` makes of ``arguments``.

    Parameters
    ----------
    factory : str
        ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION``.
    arguments : mapping
        Given by keyword.

    Raises
    ------
    ReflashError
        There is no such file, module or function, it raises, or it returns no module.
    """
    function = load_function(factory)
    try:
        model = function(**arguments)
    except (Exception, SystemExit) as error:
        raise ReflashError(
            f"{factory}: fails with {said(error)}; correct it or its arguments"
        ) from error
    if not isinstance(model, nn.Module):
        raise ReflashError(f"{factory}: returns {type(model).__name__}, not a torch.nn.Module")
    return model


def factory_code(factory: str) -> str:
    """Return a hash of a factory's code, comments and formatting left out; nothing of it is run.

    It is that of the factory's file; one of this package has that of the files beside it, too, that
    it imports.

    Raises
    ------
    ReflashError
        There is no such file or module, or it is not Python.
    """
    texts = []
    for path in _files_of(factory):
        try:
            texts.append(tree_text(path.read_text(encoding="utf-8")))
        except (SyntaxError, UnicodeDecodeError) as error:
            raise ReflashError(f"{path}: is not Python ({error}); correct it") from error
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:20]


def _files_of(factory: str) -> list[Path]:
    own = factory_file(factory)
    if PACKAGE not in own.parents:
        return [own]
    folder = own.parent.relative_to(PACKAGE).parts
    beside = ".".join([*folder, ""])
    modules = modules_of(f"{beside}{own.stem}")
    return [path for m in modules if m.startswith(beside) and (path := module_path(m))]


def factory_file(factory: str) -> Path:
    """Return the file that holds a factory."""
    place = factory.rpartition(":")[0]
    if place.endswith(".py"):
        return require_file(place, "name the file and the function in it, such as mynet.py:build")
    try:
        found = importlib.util.find_spec(place)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.origin or not found.origin.endswith(".py"):
        raise ReflashError(
            f"{factory}: no module {place!r}; install it, or name a file such as mynet.py:build"
        )
    return Path(found.origin)


def last_convolution(model: nn.Module, name: str) -> str:
    """Return the name of the last convolution: what a network's settings call ``last_conv``.

    Where they do not say it is the last one with three outputs.

    Raises
    ------
    ReflashError
        There is none; the message begins with ``name``.
    """
    if (named := getattr(model, _LAST_CONV, None)) is not None:
        return str(named)
    found = [
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and module.out_channels == 3
    ]
    found = [path for path in found if not shifts_colours(model.get_submodule(path))] or found
    if not found:
        raise ReflashError(
            f"{name}: has no convolution with three outputs; name the layer to drop before with "
            "last_conv: MODULE"
        )
    return found[-1]


def load_function(factory: str) -> Callable[..., Any]:
    """Return the function of ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION``; its file is run.

    Raises
    ------
    ReflashError
        There is no such file, module or function, or the file fails.
    """
    place, _, name = factory.rpartition(":")
    path = factory_file(factory)
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(f"reflash_factory_{path.stem}", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # dataclasses and pickle look their module up
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
    except (Exception, SystemExit) as error:
        raise ReflashError(f"{path}: fails with {said(error)}; correct it") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ReflashError(f"{path}: has no function {name!r}; name one as {place}:FUNCTION")
    return function


def said(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{f' ({lines[0]})' if lines else ''}"
