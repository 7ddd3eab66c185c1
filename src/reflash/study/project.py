"""The files around the package that make a project: configuration and workflow.

A clone has them; an installed package carries a copy, which `write_project` lays into a folder.
This module imports the package's lowest layer only, so that the build of the wheel can read it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.files import atomic

PARTS = ("Snakefile", "config", "workflow", "benchmarks/results/cost.csv")
"""Files and folders of a project, apart from what it makes; ``cost.csv`` is what table `cost` of
the paper's study shows."""

PACKAGE = Path(__file__).parents[1]
"""Folder of this package."""


def project_source(package: Path = PACKAGE) -> Path:
    """Return the folder that holds `PARTS`: inside an installed package, or the clone around it.

    Raises
    ------
    ReflashError
        Neither has them.
    """
    for folder in (package / "project", package.parents[1]):
        if all((folder / part).exists() for part in PARTS):
            return folder
    raise ReflashError(
        f"{package}: holds no copy of config/ and workflow/; install reflash from its wheel again"
    )


def write_project(folder: Path | str) -> list[str]:
    """Write configuration and workflow into a folder, in which `snakemake` then runs.

    Parameters
    ----------
    folder : path
        Made if it is not there. What else lies in it stays.

    Returns
    -------
    list of str
        `PARTS`, as they lie below the folder.

    Raises
    ------
    ReflashError
        One of them is there already, or the folder cannot be written; nothing is written.
    """
    folder, source = Path(folder), project_source()
    for part in PARTS:
        if (folder / part).exists():
            raise ReflashError(f"{folder / part}: exists already; name another folder")
    try:
        for part in PARTS:
            path = source / part
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file() and "__pycache__" not in file.parts:
                    with atomic(folder / file.relative_to(source)) as temporary:
                        temporary.write_bytes(file.read_bytes())
    except BaseException:
        for part in PARTS:
            if (folder / part).is_dir():
                shutil.rmtree(folder / part, ignore_errors=True)
            else:
                (folder / part).unlink(missing_ok=True)
        raise
    return list(PARTS)
