"""Weights of others: the .pth format, the spelling of keys, and the network they belong to.

BasicSR numbers the blocks of SRResNet ``body.0 … body.15``; the authors' classes spread them over
``body1.0 … body16.0`` (or ``body1.0 … body1.11, body2.0 …`` where part of them drops). RRDB has
one spelling. Networks here use BasicSR's.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from reflash.core.errors import ReflashError
from reflash.models.settings import NetworkSettings, RRDBSettings, SRResNetSettings

Layout = Literal["basicsr", "authors"]
Which = Literal["params", "params_ema"]
StateDict = dict[str, Tensor]

PTH_SUFFIXES = (".pth", ".pt")

_KEYS = ("params", "params_ema")
_MAGIC = (b"PK\x03\x04", b"\x80")

_WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")
_AUTHORS_BLOCK = re.compile(r"^body([1-9]\d*)\.(\d+)\.")
_BLOCK = re.compile(r"^body\.(\d+)\.")


def read_pth(path: Path, key: Which | None) -> tuple[StateDict, Which | None]:
    """Return one state dict of a PyTorch file and the key it stood under, None for a bare one."""
    content = _unpickled(path)
    present = [k for k in _KEYS if isinstance(content, dict) and k in content]
    if key is not None and key not in present:
        holds = " and ".join(present) or "a bare state dict"
        raise ReflashError(f"{path}: has no '{key}'; it holds {holds}; leave --key out")
    which = cast(Which, key or present[0]) if present else None
    tensors = content[which] if which else content
    if not (
        isinstance(tensors, dict)
        and tensors
        and all(isinstance(name, str) for name in tensors)
        and all(isinstance(tensor, Tensor) for tensor in tensors.values())
    ):
        found = ", ".join(map(str, list(tensors)[:3])) if isinstance(tensors, dict) else "no dict"
        raise ReflashError(
            f"{path}: holds no weights but {found or 'nothing'}; "
            "it needs params, params_ema or a bare state dict"
        )
    return tensors, which


def to_basicsr(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Return the state dict with BasicSR's keys; prefixes of parallel models are cut off."""
    state = {_WRAPPERS.sub("", key): tensor for key, tensor in state_dict.items()}
    places = {
        (int(match[1]), int(match[2])) for key in state if (match := _AUTHORS_BLOCK.match(key))
    }
    number = {place: n for n, place in enumerate(sorted(places))}

    def renamed(match: re.Match[str]) -> str:
        return f"body.{number[int(match[1]), int(match[2])]}."

    return {_AUTHORS_BLOCK.sub(renamed, key): tensor for key, tensor in state.items()}


def to_authors(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Return SRResNet weights with the keys ``body1.0 … body16.0``; RRDB's stay as they are."""
    if _is_rrdb(state_dict):
        return dict(state_dict)
    return {
        _BLOCK.sub(lambda match: f"body{int(match[1]) + 1}.0.", key): tensor
        for key, tensor in state_dict.items()
    }


def guess_network(state_dict: Mapping[str, Tensor]) -> NetworkSettings | None:
    """Return the settings that keys and shapes (in BasicSR's layout) imply; None if it is neither.

    Keys do not tell whether the network adds the upsampled input: SRResNet is taken to do so.
    """
    first = state_dict.get("conv_first.weight")
    if first is None or first.ndim != 4 or first.shape[1] != 3:
        return None
    features = first.shape[0]
    blocks = _block_count(state_dict)
    if _is_rrdb(state_dict):
        growth = state_dict["body.0.rdb1.conv1.weight"].shape[0]
        return RRDBSettings(features=features, blocks=blocks, growth=growth)
    upconv = state_dict.get("upconv1.weight")
    if upconv is None or "body.0.conv1.weight" not in state_dict:
        return None
    if "upconv2.weight" in state_dict:
        return SRResNetSettings(features=features, blocks=blocks, scale=4)
    scales = {features * 4: 2, features * 9: 3}
    scale = scales.get(upconv.shape[0])
    if scale is None:
        return None
    return SRResNetSettings.model_validate({"features": features, "blocks": blocks, "scale": scale})


def first_difference(
    state_dict: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> str | None:
    """Say where two state dicts first differ in keys or shapes; None where they do not."""
    for key, tensor in expected.items():
        if key not in state_dict:
            return f"{key} is missing"
        if state_dict[key].shape != tensor.shape:
            found, needed = shape_text(state_dict[key]), shape_text(tensor)
            return f"{key} has shape {found} but the network needs {needed}"
    return next((f"{key} is not in the network" for key in state_dict if key not in expected), None)


def shape_text(tensor: Tensor) -> str:
    """Return such as ``64 x 3 x 3 x 3``."""
    return " x ".join(map(str, tensor.shape)) or "()"


def _is_rrdb(keys: Iterable[str]) -> bool:
    return "body.0.rdb1.conv1.weight" in set(keys)


def _block_count(keys: Iterable[str]) -> int:
    return len({match[1] for key in keys if (match := _BLOCK.match(key))})


def _unpickled(path: Path) -> Any:
    with path.open("rb") as file:
        if not file.read(4).startswith(_MAGIC):
            raise ReflashError(f"{path}: not a PyTorch file; give a .pth with weights")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice of torch about old pickle protocols
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ReflashError(
            f"{path}: holds Python objects besides tensors, which could run code and are not read; "
            "ask for a file saved with torch.save(model.state_dict(), path)"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, LookupError) as error:
        raise ReflashError(f"{path}: damaged or cut short; fetch it again") from error
