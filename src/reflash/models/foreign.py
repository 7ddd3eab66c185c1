"""Weights of others: the .pth format, the spelling of keys, and the network they belong to.

BasicSR numbers the blocks of SRResNet ``body.0 … body.15``; the authors' classes spread them over
``body1.0 … body16.0`` (or ``body1.0 … body1.11, body2.0 …`` where part of them drops). RRDB has
one spelling. Networks here use BasicSR's.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from reflash.core.errors import ReflashError
from reflash.models.settings import NetworkSettings, RRDBSettings, SRResNetSettings

Layout = Literal["basicsr", "authors"]
Which = Literal["params", "params_ema"]
StateDict = dict[str, Tensor]

# PyTorch's advice to authors of networks, in front of users of those that spandrel knows.
warnings.filterwarnings("ignore", message="torch.meshgrid")

PTH_SUFFIXES = (".pth", ".pt")

_KEYS = ("params", "params_ema")

_ANCHORS = ("conv_first.weight", "model.0.weight")
"""The first layer of every network that is known, by its spellings."""

_PARALLEL = ("module", "_orig_mod")
_PARALLEL_PREFIX = re.compile(r"^((module|_orig_mod)\.)+")
_AVERAGED = re.compile(r"(?<![a-z])ema(?![a-z])")

_OTHERS = {
    b"\x08": "looks like an ONNX model, not PyTorch weights",
    b"\x89HDF": "an HDF5 file (Keras), not PyTorch weights",
    b"\x93NUMPY": "a NumPy array, not PyTorch weights",
    b"GGUF": "a GGUF file, not PyTorch weights",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run git lfs pull",
    b"<!DOCTYPE": "a web page, not weights: download the file itself",
    b"<html": "a web page, not weights: download the file itself",
    b"\x1f\x8b": "a gzip file: unpack it first",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"Rar!": "a RAR archive: unpack it first",
}
"""How files that people take for PyTorch weights begin."""

_AUTHORS_BLOCK = re.compile(r"^body([1-9]\d*)\.(\d+)\.")
_BLOCK = re.compile(r"^body\.(\d+)\.")

_RENAMED = (
    # ESRGAN's first release numbers the layers of nested nn.Sequential.
    (re.compile(r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\."), r"body.\1.rdb\2.conv\3."),
    (re.compile(r"^model\.1\.sub\.\d+\.(?=weight|bias)"), "conv_body."),
    *(
        (re.compile(rf"^model\.{n}\.(?=weight|bias)"), f"{name}.")
        for n, name in {
            0: "conv_first",
            3: "conv_up1",
            6: "conv_up2",
            8: "conv_hr",
            10: "conv_last",
        }.items()
    ),
    # Its second release and the first BasicSR name them so; SRResNet keeps its upconv1, upconv2.
    (re.compile(r"^RRDB_trunk\.(\d+)\.RDB(\d)\."), r"body.\1.rdb\2."),
    (re.compile(r"^recon_trunk\.(\d+)\."), r"body.\1."),
    (re.compile(r"^trunk_conv\."), "conv_body."),
    (re.compile(r"^HRconv\."), "conv_hr."),
)
_RRDB_UPCONV = re.compile(r"^upconv([12])\.")


def read_pth(path: Path) -> Any:
    """Return what a PyTorch file holds: tensors in dicts and lists, without running its code."""
    _require_pytorch(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice of torch about old pickle protocols
            with path.open("rb") as file:  # of a path, torch would believe the suffix
                return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|class|global:?) ([\w.]+\.\w+)", str(error))
        name = f" ({found[1]})" if found else ""
        raise ReflashError(
            f"{path}: holds {_objects(path)}{name}, and loading it could run code; "
            "ask for a file saved with torch.save(model.state_dict(), path)"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise ReflashError(f"{path}: damaged or cut short; fetch it again") from error
    except Exception as error:  # unpickling damaged bytes may raise anything
        raise ReflashError(f"{path}: damaged; fetch it again ({type(error).__name__})") from error


class OtherWeightsError(ReflashError):
    """A file has weights, but not those that were asked for."""


def choose_weights(
    path: Path, content: Any, key: Which | None = None
) -> tuple[StateDict, Which | None]:
    """Return the weights in a file's content and which of the two they are, None if unsaid.

    They may lie at any depth of a checkpoint (``params``, ``state_dict``, ``generator``, ...), and
    their names may have any prefix (``module.``, ``net_g.``, ...): a network is recognised by the
    names of its layers. Averaged weights (``ema`` in a name) are taken where ``key`` says so, or
    where there are no others.

    Parameters
    ----------
    path : Path
        Names the file in errors.
    content : anything
        What `read_pth` returns, or the tensors of a safetensors file.
    key : {"params", "params_ema"}, optional

    Raises
    ------
    ReflashError
        There are no weights, several networks, or none that ``key`` names.
    """
    found = _networks(content)
    if not found:
        names = "no dict"
        if isinstance(content, dict):
            names = ", ".join([str(name) for name, value in content.items() if value != {}][:3])
        raise ReflashError(
            f"{path}: holds no weights but {names or 'nothing'}; "
            "it needs params, params_ema or a bare state dict"
        )
    named: dict[Which, StateDict] = {}
    for name, tensors in found.items():
        which: Which = "params_ema" if _AVERAGED.search(name.lower()) else "params"
        if which in named:
            all_names = ", ".join(name or "a bare state dict" for name in found)
            raise ReflashError(
                f"{path}: holds several networks ({all_names}); save one in a file of its own"
            )
        named[which] = tensors
    says = "params_ema" in named or any(name.rpartition(".")[2] in _KEYS for name in found)
    if key is not None and not (says and key in named):
        holds = " and ".join(sorted(named)) if says else "a bare state dict"
        raise OtherWeightsError(f"{path}: has no '{key}'; it holds {holds}; leave --key out")
    chosen: Which = key or ("params" if "params" in named else "params_ema")
    return named[chosen], chosen if says else None


def _networks(content: Any) -> dict[str, StateDict]:
    """Return the state dicts of known networks by their place; without one, the likeliest other."""
    places = dict(_state_dicts(content, ""))
    known = {
        name: tensors
        for place, all_tensors in places.items()
        for name, tensors in _without_prefixes(place, all_tensors)
        if guess_network(to_basicsr(tensors)) is not None
    }
    found = known or places
    preferred = {name: tensors for name, tensors in found.items() if name in _KEYS}
    if preferred or known or not places:
        return preferred or known
    largest = max(places, key=lambda place: len(places[place]))
    return {largest: places[largest]}


def _state_dicts(value: Any, place: str) -> Iterator[tuple[str, StateDict]]:
    """Yield every dict of nothing but named tensors, or of a network's, and where it lies."""
    if not isinstance(value, dict):
        return
    tensors = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors and (len(tensors) == len(value) or any(k.endswith(_ANCHORS) for k in tensors)):
        yield place, tensors
        return
    for name, inner in value.items():
        if isinstance(name, str):
            yield from _state_dicts(inner, f"{place}.{name}" if place else name)


def _without_prefixes(place: str, tensors: StateDict) -> Iterator[tuple[str, StateDict]]:
    """Yield the layers below each prefix that has a first layer, and a name for where they lie."""
    ends = {name: anchor for name in tensors for anchor in _ANCHORS if name.endswith(anchor)}
    prefixes = {name.removesuffix(anchor) for name, anchor in ends.items()}
    for prefix in sorted(p for p in prefixes if not p or p.endswith(".")):
        words = f"{place}.{prefix}".split(".")
        part = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        yield ".".join(word for word in words if word and word not in _PARALLEL), part


def without_parallel(name: str) -> str:
    """Return the name of a weight without the prefixes of parallel and compiled models.

    >>> without_parallel("module._orig_mod.conv_first.weight")
    'conv_first.weight'
    """
    return _PARALLEL_PREFIX.sub("", name)


def to_basicsr(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Return the state dict with BasicSR's keys; prefixes of parallel models are cut off."""
    state = {without_parallel(key): tensor for key, tensor in state_dict.items()}
    for pattern, name in _RENAMED:
        state = {pattern.sub(name, key): tensor for key, tensor in state.items()}
    if _is_rrdb(state):
        state = {_RRDB_UPCONV.sub(r"conv_up\1.", key): tensor for key, tensor in state.items()}
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
    if not blocks or not features:
        return None
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


def is_safetensors(head: bytes) -> bool:
    """Tell whether a file that begins with ``head`` is safetensors: a length and a JSON object."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27


def _require_pytorch(path: Path) -> None:
    """Raise where a file is known to be something else, and say what."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise ReflashError(f"{path}: the file is empty; fetch it again")
    if head.startswith(b"PK\x03\x04"):
        kind = _zip_kind(path)
    elif head.startswith(b"\x80"):
        return
    else:
        kind = next((kind for start, kind in _OTHERS.items() if head.startswith(start)), "")
        kind = kind or "not a PyTorch or safetensors file"
    if kind:
        raise ReflashError(f"{path}: {kind}; give a .pth or .safetensors file with weights")


def _zip_kind(path: Path) -> str:
    """Say what a zip file is instead of a PyTorch file; empty where it is one, or cut short."""
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return ""  # PyTorch says so
    if any(name.endswith(("/constants.pkl", "/code/__torch__.py")) for name in names):
        return (
            "a TorchScript program, not weights; save it as state dict with "
            "torch.save(torch.jit.load(path).state_dict(), new_path)"
        )
    if any(name.endswith("/data.pkl") for name in names):
        return ""
    if any(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz), not PyTorch weights"
    return "a zip file without PyTorch weights"


def _objects(path: Path) -> str:
    """Say what kind of Python objects a file holds that is not read."""
    content = path.read_bytes()
    whole = all(attribute in content for attribute in (b"_modules", b"_parameters", b"training"))
    return (
        "a whole model saved with torch.save(model)" if whole else "Python objects besides tensors"
    )
