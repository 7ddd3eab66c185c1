"""The authors' released weights: four files of a drive, which no program can fetch.

A user downloads them and imports them here: every file is compared with the network that its name
promises, and kept with its hash and origin. With ``weights: released`` the workflow then makes
everything from them that needs no training.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from reflash.core.errors import ReflashError
from reflash.datasets.public_weights import (
    file_hash,
    file_origin,
    is_kept,
    keep_weights,
    weights_registry,
)
from reflash.models.foreign import OtherWeightsError
from reflash.models.names import parse_model
from reflash.models.weights import load_tensors
from reflash.study.config import PAPER_NETWORKS, RELEASED
from reflash.study.files import Files

Which = Literal["params", "params_ema"]

_SUFFIXES = (".pth", ".pt", ".safetensors")
_WITHOUT = re.compile(r"(without|w/?o|no)[-_ .]?drop")


def import_weights(
    source: Path | str, model: str | None = None, root: Path | str = "."
) -> list[str]:
    """Import one file as the weights of ``model``, or all files of a folder; one line for each.

    Parameters
    ----------
    source
        A weights file, or a folder of them. Without ``model`` the network is found from the
        weights, and dropout from the name of the file.
    model
        One of `RELEASED`.
    root
        Folder of the project.

    Raises
    ------
    ReflashError
        A file cannot be read, is of another network than the paper's, is known to be something
        else, was imported as another model, or it is not clear which model it is.
    """
    source = Path(source)
    if not source.exists():
        raise ReflashError(f"{source}: no such file or folder; check the path")
    if model is not None:
        model = parse_model(model).id
        if model not in RELEASED:
            raise ReflashError(f"{model}: was not released; models are {', '.join(RELEASED)}")
        if source.is_dir():
            raise ReflashError(f"{source}: is a folder; leave the model out, or give a file")
        return [_import(source, model, Path(root))]
    files = [source]
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if path.suffix.lower() in _SUFFIXES)
    chosen: dict[str, Path] = {}
    for path in files:
        found = released_model(path)
        if found in chosen:
            raise ReflashError(
                f"{path}: by its name and network {found}, as is {chosen[found].name}; import each "
                "with its model: reflash weights import FILE MODEL"
            )
        chosen[found] = path
    if not chosen:
        raise ReflashError(f"{source}: holds no {', '.join(_SUFFIXES)} file; check the path")
    return [_import(chosen[name], name, Path(root)) for name in RELEASED if name in chosen]


def released_model(path: Path) -> str:
    """Return the model that a file is: its network by its weights, its dropout by its name.

    Raises
    ------
    ReflashError
        It is of neither network.
    """
    name = path.stem.lower()
    dropout = "drop" in name and not _WITHOUT.search(name)
    keys = load_tensors(path)[0]
    network = "rrdb" if any(".rdb1." in key for key in keys) else "srresnet"
    own = [model for model in RELEASED if model.startswith(f"{network}/")]
    return own[int(dropout)]


def _import(path: Path, model: str, root: Path) -> str:
    parsed, sha256 = parse_model(model), file_hash(path)
    for name, public in weights_registry().items():
        if sha256 in {one.sha256 for one in public.sources}:
            raise ReflashError(f"{path}: is {name}, not the authors' weights; get theirs")
    files = Files("", released=True)
    for other in RELEASED:
        there = root / files.weights(f"{other}/seed0")
        if other != model and is_kept(there) and file_origin(there)[1] == sha256:
            raise ReflashError(
                f"{path}: was imported as {other}; give the file of {model}, or remove "
                f"{there.parent}"
            )
    network = PAPER_NETWORKS[parsed.network][1]
    held = _held(path)
    for key in held:
        target = root / files.weights(f"{model}/seed0", key or "params")
        if is_kept(target) and file_origin(target)[1] == sha256:
            continue  # a newer time of the same file would make results outdated
        origin = {"model": model, "origin": str(path.absolute())}
        keep_weights(path, target, network, origin, key, parsed.dropout)
    names = " and ".join(key or "weights" for key in held)
    return f"{model}: {names} of {path.name}, sha256 {sha256}"


def _held(path: Path) -> list[Which | None]:
    """Return which weights a file holds: one of the two, both, or None where it does not say."""
    first: Which | None = load_tensors(path)[1].get("which")
    if first != "params":
        return [first]
    try:
        load_tensors(path, "params_ema")
    except OtherWeightsError:
        return ["params"]
    return ["params", "params_ema"]
