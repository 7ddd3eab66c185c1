"""Reading and writing weights: safetensors of our own, and the .pth files of others.

Files of our own say which network and dropout they belong to. Files of others (``params``,
``params_ema`` or a bare state dict) are recognised by their keys and shapes. Nothing here executes
code that a file brings along.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import BaseModel, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from reflash.core.errors import ReflashError
from reflash.core.files import atomic, require_file
from reflash.models.build import build_network
from reflash.models.foreign import (
    PTH_SUFFIXES,
    Layout,
    OtherWeightsError,
    StateDict,
    Which,
    choose_weights,
    first_difference,
    guess_network,
    is_safetensors,
    read_pth,
    shape_text,
    to_authors,
    to_basicsr,
    without_parallel,
)
from reflash.models.settings import (
    NO_DROPOUT,
    Dropout,
    ExternalSettings,
    FactorySettings,
    NetworkSettings,
    parse_dropout,
)

_METADATA = "reflash"


class OtherArchitectureError(ReflashError):
    """Weights that are sound, but of a network that is none of ours."""


_network_settings: TypeAdapter[NetworkSettings] = TypeAdapter(NetworkSettings)


def save_weights(
    path: Path | str,
    state_dict: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    *,
    half: bool = False,
) -> None:
    """Write a state dict as safetensors, whole or not at all; same content, same bytes.

    Parameters
    ----------
    path : Path or str
        Ends in ``.safetensors``.
    state_dict : mapping of str to Tensor
        BasicSR's keys, on any device.
    metadata : mapping of str to anything JSON
        ``network`` (settings), ``dropout`` (a Dropout or its text) and ``which`` (``params`` or
        ``params_ema``) are what ``load_network`` reads; a run's id, scale and the like may follow.
    half : bool
        Store 16-bit floats, half the size.

    Raises
    ------
    ReflashError
        The path ends otherwise, or a weight is too large for 16 bits.
    """
    path = Path(path)
    if path.suffix.lower() != ".safetensors":
        raise ReflashError(f"{path}: weights are written as .safetensors; change the name")
    tensors = {key: tensor.detach().cpu() for key, tensor in state_dict.items()}
    if half:
        tensors = {key: _halved(key, tensor, path) for key, tensor in tensors.items()}
    # One entry, because safetensors writes several in an order that changes from run to run.
    header = {_METADATA: json.dumps({k: _jsonable(v) for k, v in metadata.items()}, sort_keys=True)}
    content = safetensors.torch.save(
        {k: tensor.clone(memory_format=torch.contiguous_format) for k, tensor in tensors.items()},
        header,
    )
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def load_weights(path: Path | str, key: Which | None = None) -> tuple[StateDict, dict[str, Any]]:
    """Read weights of our own or of others as 32-bit floats with BasicSR's keys, on the CPU.

    Parameters
    ----------
    path : Path or str
        A safetensors or PyTorch file; which of them, its content says, not its name.
    key : {"params", "params_ema"}, optional
        Which of the two to take; by default ``params`` if the file has them.

    Returns
    -------
    state_dict : dict of str to Tensor
    metadata : dict
        As given to ``save_weights`` (``network`` as a plain dict). For a file of others:
        ``network`` if the keys were recognised, and ``which`` if the file says so.

    Raises
    ------
    ReflashError
        The file is missing, damaged, no weights file, holds code, has no such key, or a weight is
        not a finite number; the line then names the tensor.
    """
    tensors, metadata = load_tensors(path, key)
    if metadata.get("network", {}).get("name") != "factory":  # whose names are the user's own
        tensors = to_basicsr(tensors)
    if "network" not in metadata:
        network = guess_network(tensors)
        if network is not None:
            metadata["network"] = network.model_dump(mode="json")
    return tensors, metadata


def load_tensors(path: Path | str, key: Which | None = None) -> tuple[StateDict, dict[str, Any]]:
    """Read weights as ``load_weights`` does, with the names that they have in the file.

    Prefixes of parallel models (``module.``) are cut off; ``network`` is in the metadata of files
    of our own only.
    """
    path = require_file(path, "give the path of a .safetensors or .pth file")
    with path.open("rb") as file:
        safe = is_safetensors(file.read(9))
    content, metadata = _read_safetensors(path) if safe else (read_pth(path), {})
    if "which" in metadata:
        tensors, which = content, metadata["which"]
        if key is not None and which != key:
            raise OtherWeightsError(f"{path}: has no '{key}'; it holds {which}; leave --key out")
    else:
        tensors, found = choose_weights(path, content, key)
        metadata |= {} if found is None else {"which": found}
    tensors = {without_parallel(name): tensor for name, tensor in tensors.items()}
    return {name: _as_float(path, name, tensor) for name, tensor in tensors.items()}, metadata


def load_network(
    path: Path | str, key: Which | None = None, network: NetworkSettings | None = None
) -> nn.Module:
    """Read a network with its weights, in evaluation mode on the CPU.

    Its dropout is that of the training for files of our own, none for files of others. The global
    random state is left as it was.

    Parameters
    ----------
    path, key
        As in ``load_weights``.
    network : NetworkSettings, optional
        What the file holds, if it neither says so nor shows it by its keys (such as an SRResNet
        without the global residual). A factory must be named here: what a file says is not run.

    Raises
    ------
    ReflashError
        As ``load_weights``; and for weights of another architecture, naming the first difference.
    """
    return _read_network(path, key, network)[0]


def convert(
    source: Path | str,
    target: Path | str,
    key: Which | None = None,
    layout: Layout = "basicsr",
    *,
    half: bool = False,
    network: NetworkSettings | None = None,
) -> None:
    """Rewrite weights: authors' or BasicSR's .pth to .safetensors, the other way, or either again.

    Parameters
    ----------
    source, key, network
        As in ``load_network``.
    target : Path or str
        ``.safetensors``, or ``.pth``/``.pt`` holding one state dict under ``params`` or
        ``params_ema``.
    layout : {"basicsr", "authors"}
        Spelling of the keys in a .pth file.
    half : bool
        Store 16-bit floats in a .safetensors file.

    Raises
    ------
    ReflashError
        As ``load_network`` and ``save_weights``; an option that the target's format has not; or
        the target is the source.
    """
    target = Path(target)
    suffix = target.suffix.lower()
    if suffix not in (".safetensors", *PTH_SUFFIXES):
        raise ReflashError(f"{target}: unknown format; name it .safetensors or .pth")
    if suffix == ".safetensors" and layout != "basicsr":
        raise ReflashError(f"{target}: the authors' key layout exists for .pth only; name it .pth")
    if suffix in PTH_SUFFIXES and half:
        raise ReflashError(f"{target}: 16-bit floats exist for .safetensors only; change the name")
    if target.exists() and Path(source).exists() and target.samefile(source):
        raise ReflashError(f"{target}: would replace the file it is made from; name another")
    state_dict, metadata = load_weights(source, key)
    if network is not None or metadata.get("network", {}).get("name") != "factory":
        model, metadata = _read_network(source, key, network)
        state_dict = dict(model.state_dict())
    metadata.setdefault("which", "params")
    if suffix == ".safetensors":
        save_weights(target, state_dict, metadata, half=half)
        return
    tensors = to_authors(state_dict) if layout == "authors" else state_dict
    content = io.BytesIO()
    torch.save({metadata["which"]: tensors}, content)
    with atomic(target) as temporary:
        temporary.write_bytes(content.getvalue())


def _read_network(
    path: Path | str, key: Which | None, network: NetworkSettings | None
) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a file, in evaluation mode, and the file's metadata."""
    state_dict, metadata = load_weights(path, key)
    dropout, named = NO_DROPOUT, network
    try:
        if network is None and "network" in metadata:
            network = _network_settings.validate_python(metadata["network"])
        if "dropout" in metadata:
            dropout = parse_dropout(metadata["dropout"])
    except (ValidationError, ReflashError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ReflashError(
            f"{path}: its description of the network is not understood ({reason}); "
            "read it with the version that wrote it"
        ) from error
    if isinstance(network, FactorySettings):
        if named is None:
            said = network.model_dump(include={"factory", "arguments"})
            text = ExternalSettings.model_validate({"weights": str(path), **said}).text
            raise ReflashError(
                f"{path}: made by {network.factory}, which is not run because a file says so; "
                f"name it: '{text}'"
            )
        return _read_factory(path, network, dropout, state_dict), metadata
    if network is None:
        found = [f"{name} {shape_text(tensor)}" for name, tensor in list(state_dict.items())[:3]]
        raise OtherArchitectureError(
            f"{path}: weights of another architecture ({', '.join(found)} ...); "
            "SRResNet and x4 RRDB can be read"
        )
    with torch.device("meta"):
        model = build_network(network, dropout)
    difference = first_difference(state_dict, model.state_dict())
    if difference is not None:
        raise OtherArchitectureError(
            f"{path}: weights of another architecture than {network.name} with {network.features} "
            f"features and {network.blocks} blocks: {difference}"
        )
    model.load_state_dict(state_dict, assign=True)
    return model.eval(), {**metadata, "network": network.model_dump(mode="json")}


def _read_factory(
    path: Path | str, network: FactorySettings, dropout: Dropout, state_dict: StateDict
) -> nn.Module:
    """Return a network of the user's own that was trained here."""
    with torch.random.fork_rng(devices=[]):  # its first weights are overwritten
        model = build_network(network, dropout)
    difference = first_difference(state_dict, model.state_dict())
    if difference is not None:
        raise ReflashError(
            f"{path}: not the weights of {network.factory} as it is now: {difference}; "
            "train it again, or bring the file back that they were trained with"
        )
    model.load_state_dict(state_dict)
    return model.eval()


def _read_safetensors(path: Path) -> tuple[StateDict, dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = json.loads(header.get(_METADATA, "{}"))
        if not isinstance(metadata, dict):
            raise ValueError(f"{_METADATA} in its header is not a JSON object")
        return tensors, metadata
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ReflashError(
            f"{path}: not a whole safetensors file ({error}); fetch or make it again"
        ) from error


def _as_float(path: Path, name: str, tensor: Tensor) -> Tensor:
    """Return a weight as 32-bit floats on the CPU, or say why that is impossible."""
    if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized:
        raise ReflashError(
            f"{path}: the weight {name} is complex, sparse or quantised; save plain floats"
        )
    if tensor.device.type != "cpu":
        raise ReflashError(f"{path}: the weight {name} has no values ({tensor.device}); save them")
    weight = tensor.to(torch.float32, copy=True)
    if not bool(weight.isfinite().all()):
        bad = weight[~weight.isfinite()]
        what = "NaN" if bool(bad.isnan().any()) else "infinity"
        raise ReflashError(
            f"{path}: the weight {name} contains {what} ({len(bad)} of {weight.numel()} values); "
            "use a checkpoint from before the training diverged"
        )
    return weight


def _halved(key: str, tensor: Tensor, path: Path) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    small = tensor.half()
    if bool((small.isinf() & tensor.isfinite()).any()):
        raise ReflashError(f"{path}: {key} is too large for 16 bits; write 32 bits")
    return small


def _jsonable(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return str(value) if isinstance(value, Dropout) else value
