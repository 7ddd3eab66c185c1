"""The named datasets, read from ``registry.yaml``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

import yaml
from pydantic import Field, TypeAdapter

from reflash.core.errors import ReflashError
from reflash.core.settings import Settings
from reflash.datasets.manifest import Entry, read_manifest

Value = TypeVar("Value")


class GithubSource(Settings):
    """Raw files of a pinned commit; their names come from the dataset's first manifest."""

    kind: Literal["github"]
    repository: str
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    path: str
    suffix: str

    def address(self, name: str) -> str:
        """Return the address of the image ``name``."""
        base = "https://raw.githubusercontent.com"
        return f"{base}/{self.repository}/{self.commit}/{self.path}/{name}{self.suffix}"


class FilesSource(Settings):
    """One file per image, with ``{name}`` in the address."""

    kind: Literal["files"]
    url: Annotated[str, Field(pattern=r"\{name\}")]

    def address(self, name: str) -> str:
        """Return the address of the image ``name``."""
        return self.url.replace("{name}", name)


class ArchiveSource(Settings):
    """A zip or tar file that holds the images."""

    kind: Literal["archive"]
    url: str
    bytes: int | None = None
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    folder: str | None = None
    """Where the images lie in the archive, if that is known."""


class ManualSource(Settings):
    """Never downloaded: the user is told what to do."""

    kind: Literal["manual"]
    instructions: str


Source: TypeAlias = Annotated[
    GithubSource | FilesSource | ArchiveSource | ManualSource, Field(discriminator="kind")
]


class Dataset(Settings):
    """One named dataset."""

    images: Annotated[int, Field(ge=1)]
    """How many images it has, without the excluded ones."""
    split: Literal["train", "validation", "test", "real"]
    """What it is for; real means LR photographs without HR counterpart."""
    terms: str
    """The licence or what is known of it, in one sentence."""
    accept_terms: bool = False
    """Whether the user must accept them before a download: no right to pass the images on."""
    folders: bool = False
    """Whether its images lie in folders, which are part of their names."""
    bytes: Annotated[int, Field(ge=1)] | None = None
    """Size of its images on disk, where that is known."""
    aliases: tuple[str, ...] = ()
    """Other names of its folder on mirrors."""
    note: str | None = None
    """What a user should know."""
    manifests: tuple[str, ...] = ()
    """Pixel manifests, any one of which the images must match."""
    exclude: tuple[str, ...] = ()
    """Names of images that are never used."""
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    """Where the images come from, in order of preference."""


@cache
def registry() -> dict[str, Dataset]:
    """Return every named dataset."""
    text = resources.files("reflash.datasets").joinpath("registry.yaml").read_text("utf-8")
    return TypeAdapter(dict[str, Dataset]).validate_python(yaml.safe_load(text))


def find(name: str) -> Dataset:
    """Return the dataset ``name``.

    Raises
    ------
    ReflashError
        There is no such dataset; the message names the nearest one.
    """
    return look_up(name, registry(), "dataset")


def look_up(name: str, known: Mapping[str, Value], what: str) -> Value:
    """Return the value of ``name`` in a registry of things called ``what``; see `find`."""
    if name in known:
        return known[name]
    folded = {key.casefold(): key for key in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    guess = f"did you mean {folded[near[0]]}" if near else f"known are {', '.join(known)}"
    raise ReflashError(f"{name}: no such {what}; {guess}")


def shipped_manifests(name: str) -> dict[str, list[Entry]]:
    """Return the pixel manifests of the dataset ``name`` by their own names, preferred first."""
    with resources.as_file(resources.files("reflash.datasets").joinpath("manifests")) as folder:
        return {
            manifest: read_manifest(Path(folder) / f"{manifest}.csv")
            for manifest in find(name).manifests
        }
