"""Reading what the analyses of trained networks wrote, and checking that it can be compared."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reflash.core.errors import ReflashError
from reflash.core.files import require_file, require_folder
from reflash.models.settings import BLOCKS
from reflash.paper.scores import read_rows, read_table
from reflash.study.context import Context

Maps = dict[str, NDArray[np.float32]]
"""Layer -> (C, h, w) maps."""


def read_analysis(
    paths: Iterable[Path | str],
    context: Context,
    command: str,
    keys: Sequence[str],
    values: Sequence[str],
    run: str = "run",
    every: bool = True,
) -> pd.DataFrame:
    """Read the tables of an analysis, one or several runs each.

    Parameters
    ----------
    paths
        CSV files; runs that the context does not name are left out.
    context
        Names the models and seeds.
    command
        The subcommand of ``reflash`` that makes the tables, e.g. ``saliency``.
    keys
        Columns that, with the run, tell rows apart.
    values
        Columns that hold numbers.
    run
        Name of the column that names the run.
    every
        Whether every run of the context must be there.

    Returns
    -------
    pandas.DataFrame
        Columns model, seed, keys, values; models and seeds in the context's order.

    Raises
    ------
    ReflashError
        A file is unusable (see ``read_rows``), or a run of the context has no rows.
    """
    table = read_rows(paths, command, (run, *keys), values, {run: context.runs})
    found = set(table[run])
    for name in context.runs if every else ():
        if name not in found:
            raise ReflashError(
                f"run {name}: not among the files given; analyse it with reflash {command}"
            )
    order = {name: index for index, name in enumerate(context.runs)}
    table = table.sort_values(run, key=lambda names: names.map(order), kind="stable")
    names = table.pop(run).str.rsplit("/seed", n=1)
    table.insert(0, "seed", names.str[1].astype(int))
    table.insert(0, "model", names.str[0])
    return table.reset_index(drop=True)


def read_classifier(paths: Sequence[Path | str]) -> pd.DataFrame:
    """Return the classifier's rows, which every file repeats, once: model, ratio, draw, value.

    Raises
    ------
    ReflashError
        No file has them, or two files have other values.
    """
    remedy = "regenerate it with reflash sensitivity"
    columns = ("task", "model", "ratio", "draw", "metric", "value")
    tables = [read_table(path, columns, remedy) for path in paths]
    table = pd.concat(tables, ignore_index=True)
    table = table[table["task"] == "classification"][["model", "ratio", "draw", "value"]]
    table = table.drop_duplicates(ignore_index=True)
    if table.empty:
        raise ReflashError(f"{paths[0]}: has no rows of task classification; {remedy}")
    if table.duplicated(["ratio", "draw"]).any():
        raise ReflashError(
            f"{paths[0]}: and the other files hold different classifiers; {remedy}, all with the "
            "same settings"
        )
    return table


def find_layer(layer: str, layers_had: Iterable[str], owner: str) -> str:
    """Return the name that a layer has in one network.

    Parameters
    ----------
    layer
        first, hr, last, or bK with K in sixteenths of the blocks: b8 is half-way in any depth.
    layers_had
        Every layer of the network: first, b1 to bn, hr, last.
    owner
        What the network is called if it has no such layer.

    Raises
    ------
    ReflashError
        The layer is not one of the network.

    Examples
    --------
    Half-way in an RRDB of 3 blocks is after the second:

    >>> find_layer("b8", ["first", "b1", "b2", "b3", "hr", "last"], "rrdb")
    'b2'
    """
    names = list(layers_had)
    blocks = sum(name.startswith("b") for name in names)
    network_layer = f"b{-(-int(layer[1:]) * blocks // BLOCKS)}" if layer.startswith("b") else layer
    if network_layer not in names:
        raise ReflashError(f"{owner}: has no layer {layer!r}; it has {', '.join(names)}")
    return network_layer


def layers_there(layers: Sequence[str], layers_had: Iterable[str], owner: str) -> list[str]:
    """Return those of some layers that a network has: one of others may lack blocks.

    Raises
    ------
    ReflashError
        It has none of them.

    Examples
    --------
    >>> layers_there(["b8", "last"], ["last"], "external/x")
    ['last']
    """
    found, error = [], None
    for layer in layers:
        try:
            find_layer(layer, layers_had, owner)
            found.append(layer)
        except ReflashError as problem:
            error = error or problem
    if error and not found:
        raise error
    return found


def layer_label(layer: str) -> str:
    """Return the name shown for a layer of one network.

    >>> [layer_label(layer) for layer in ("first", "b2", "hr", "last", "body.3.conv")]
    ['first conv', 'block 2', 'HR conv', 'last-conv', 'body.3.conv']
    """
    names = {"first": "first conv", "hr": "HR conv", "last": "last-conv"}
    block = layer.startswith("b") and layer[1:].isdigit()
    return f"block {layer[1:]}" if block else names.get(layer, layer)


def depth_label(layer: str) -> str:
    """Return the name shown for a layer in sixteenths: ``b8`` is half-way in any network.

    >>> depth_label("b8"), depth_label("last")
    ('b8', 'last-conv')
    """
    return layer if layer.startswith("b") and layer != "body" else layer_label(layer)


def depth_sentence(layers: Iterable[str]) -> str:
    """Say what the names of layers in sixteenths count; nothing if there are none.

    >>> depth_sentence(["b8", "last"])
    'b8: after 8/16 of the blocks.'
    """
    named = [
        f"{depth_label(layer)}: after {layer[1:]}/16 of the blocks"
        for layer in layers
        if layer.startswith("b")
    ]
    return f"{', '.join(named)}." if named else ""


def read_maps(
    folders: Mapping[str, Path | str],
    model: str,
    image: str | None,
    layers: Sequence[str],
    remedy: str,
) -> tuple[str, Maps]:
    """Read the maps of some layers of one image.

    Parameters
    ----------
    folders
        A folder of ``IMAGE.npz`` for each model: an array (C, h, w) for each layer.
    model
        Whose folder is read.
    image
        Name of the image; None: the first by name.
    layers
        Which layers, as in ``find_layer``.
    remedy
        What makes such files.

    Returns
    -------
    image : str
    maps : dict of str to (C, h, w) float
        Of the layers that the network has.

    Raises
    ------
    ReflashError
        The folder or file is missing or not readable, or the network has none of the layers.
    """
    folder = require_folder(folders[model], remedy)
    if image is None:
        found = sorted(path.stem for path in folder.glob("*.npz"))
        if not found:
            raise ReflashError(f"{folder}: contains no IMAGE.npz; {remedy}")
        image = found[0]
    path = require_file(folder / f"{image}.npz", remedy)
    maps: Maps = {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            for layer in layers_there(layers, stored.files, str(path)):
                network_layer = find_layer(layer, stored.files, str(path))
                maps[layer] = np.asarray(stored[network_layer], np.float32)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ReflashError(f"{path}: cannot be read as arrays; {remedy}") from error
    for layer, of_layer in maps.items():
        if of_layer.ndim != 3 or not of_layer.size or not np.isfinite(of_layer).all():
            raise ReflashError(
                f"{path}: layer {layer!r} is not maps (C, h, w) of finite numbers; {remedy}"
            )
    return image, maps
