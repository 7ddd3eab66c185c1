"""Public weights by name: the registry ``weights.yaml``, and getting them.

What is kept is ``NAME.safetensors``, which says its network, and ``NAME.json``, which says where it
came from, with the hashes of both files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter

from reflash.core.errors import ReflashError
from reflash.core.files import file_hash, write_json
from reflash.core.lock import only_one
from reflash.core.progress import say
from reflash.core.settings import Settings
from reflash.datasets.download import Network, address_parts, download, in_turn
from reflash.datasets.registry import look_up
from reflash.datasets.space import disk_errors, human, require_space
from reflash.models.settings import Dropout, NetworkSettings

FOLDER = "data/weights"
"""Where public weights are kept, for all scales."""


class WeightsSource(Settings):
    """One file that holds the weights."""

    url: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @property
    def file(self) -> str:
        """The name of the file."""
        return PurePosixPath(self.url).name


class PublicWeights(Settings):
    """Weights that anybody may download."""

    label: str
    """Name shown in tables."""
    network: NetworkSettings
    """The network they are of."""
    terms: str
    """The licence, in one sentence."""
    note: str
    """What a user should know."""
    parameters: Annotated[int, Field(ge=1)]
    """How many numbers they are, of 4 bytes each."""
    sources: Annotated[tuple[WeightsSource, ...], Field(min_length=1)]
    """Where they are, in order of preference."""


@cache
def weights_registry() -> dict[str, PublicWeights]:
    """Return all public weights by name."""
    text = resources.files("reflash.datasets").joinpath("weights.yaml").read_text("utf-8")
    return TypeAdapter(dict[str, PublicWeights]).validate_python(yaml.safe_load(text))


def find_weights(name: str) -> PublicWeights:
    """Return the public weights ``name``.

    Raises
    ------
    ReflashError
        There are none of that name; the message names the nearest one.
    """
    return look_up(name, weights_registry(), "public weights")


def fetch_weights(
    name: str,
    source: Path | str | None = None,
    dst: Path | str = FOLDER,
    network: Network | None = None,
) -> Path:
    """Get the public weights ``name`` as ``dst/NAME.safetensors``, verified, and return the file.

    Parameters
    ----------
    name
        A name of the registry.
    source
        A mirror: the file, or a folder or http(s) address that holds it. By default, and where
        the folder (of datasets only) has no such file, the sources of the registry are tried.
    dst
        Folder of all public weights.
    network
        How patient downloads are.

    Raises
    ------
    ReflashError
        There are no such weights, no source has them, or a file is not what its hash says.
    """
    weights, target = find_weights(name), Path(dst) / f"{name}.safetensors"
    staging = target.with_name(f".{name}.incoming")
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        waiting = f"{name}: another process is fetching it; waiting for that"
        with only_one(target.with_name(f".{name}.lock"), waiting):
            if is_kept(target):
                say(f"{name}: is there already")
                return target
            say(f"{name}: terms of use: {weights.terms}")
            base = str(source).strip() if "://" in str(source) else None
            found = _on_disk(weights, Path(source)) if source and not base else None
            path, origin = found or _downloaded(name, weights, base, staging, network)
            keep_weights(path, target, weights.network, {"origin": origin})
            shutil.rmtree(staging, ignore_errors=True)
    return target


def _on_disk(weights: PublicWeights, source: Path) -> tuple[Path, str] | None:
    """Return the file of a mirror that has one of the known hashes; None if it has no such file."""
    known = {one.sha256 for one in weights.sources}
    names = dict.fromkeys(one.file for one in weights.sources)
    places = [source / folder / file for folder in ("", "weights") for file in names]
    files = [source] if source.is_file() else [path for path in places if path.is_file()]
    for path in files:
        if file_hash(path) in known:
            return path, str(path.absolute())
    if files:
        raise ReflashError(
            f"{files[0]}: wrong checksum, sha256 is {file_hash(files[0])}, should be "
            f"{weights.sources[0].sha256}; get this file again"
        )
    if not source.is_dir():
        raise ReflashError(f"{source}: no such file or folder; check the path")
    say(f"{source}: holds no {' or '.join(names)}; trying where it is published")
    return None


def _downloaded(
    name: str,
    weights: PublicWeights,
    base: str | None,
    staging: Path,
    network: Network | None,
) -> tuple[Path, str]:
    """Download from the first source that has the file, or from a mirror at ``base``."""
    of_file = PurePosixPath(address_parts(base).path).suffix if base else ""
    sources = [one for one in weights.sources if PurePosixPath(one.file).suffix == of_file]
    require_space(staging.parent, 8 * weights.parameters, f"{name}: download")

    def get(one: WeightsSource) -> tuple[Path, str]:
        url = one.url if base is None else f"{base.rstrip('/')}/{one.file}"
        url = base if base and sources else url
        return download(url, staging / one.file, sha256=one.sha256, network=network), url

    file = weights.sources[0].file
    by_hand = f"get {file} by hand and run: reflash weights fetch {name} --source FILE"
    return in_turn(name, sources or weights.sources, get, by_hand)


def keep_weights(
    source: Path,
    target: Path,
    network: NetworkSettings,
    record: Mapping[str, Any],
    which: Literal["params", "params_ema"] | None = None,
    dropout: Dropout | None = None,
) -> None:
    """Write weights of a file as safetensors that say their network, and a record beside them.

    Parameters
    ----------
    source
        A weights file of any kind.
    target
        ``.safetensors``; the record is ``.json`` beside it, with the hashes of both files.
    network
        What the file must hold.
    record
        What else the record says, such as the origin.
    which
        Which weights of the file.
    dropout
        The dropout that the network was trained with.

    Raises
    ------
    ReflashError
        The file cannot be read, or holds another network; the first difference is named.
    """
    from reflash.models.weights import load_network, load_tensors, save_weights  # import torch

    model = load_network(source, which, network)
    found = load_tensors(source, which)[1].get("which", "params")
    metadata = {"network": network, "which": found}
    save_weights(target, model.state_dict(), metadata | ({"dropout": dropout} if dropout else {}))
    hashes = {"sha256": file_hash(source), "weights_sha256": file_hash(target)}
    values = {"file": source.name, "which": found, **record, **hashes}
    write_json(target.with_suffix(".json"), values)


def file_origin(path: Path) -> tuple[str, str]:
    """Return name and SHA-256 of the file that weights are from: by their record, or themselves."""
    if is_kept(path):
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return str(record["file"]), str(record["sha256"])
    return path.name, file_hash(path)


def is_kept(target: Path) -> bool:
    """Return whether weights are here and are those of their record."""
    try:
        record = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
        return bool(record["weights_sha256"] == file_hash(target))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def weights_rows(folder: Path | str = FOLDER) -> Iterator[tuple[str, ...]]:
    """Yield name, size, whether they are in ``folder``, terms and remark of all public weights."""
    for name, weights in weights_registry().items():
        here = "yes" if (Path(folder) / f"{name}.safetensors").is_file() else "no"
        yield name, human(4 * weights.parameters), here, weights.terms, weights.note
