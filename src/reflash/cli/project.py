"""A folder of one's own to work in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reflash.cli.common import examples, make_app

app = make_app("")


@app.command(epilog=examples("reflash init my-study"))
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write them to; made if need be.")],
) -> None:
    """Write config/, workflow/ and Snakefile into a folder of your own, to run studies there.

    No clone is needed; `snakemake` comes with pip install 'reflash[workflow]'.
    """
    from reflash.study.project import write_project

    written = ", ".join(write_project(folder))
    typer.echo(f"{folder}: {written}; next: cd {folder} && snakemake --cores all")
