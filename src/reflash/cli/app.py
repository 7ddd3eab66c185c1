"""The commands gathered, and how a mistake of the user ends: one line and exit status 1."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from reflash import __version__
from reflash.cli import (
    bench,
    config,
    data,
    degradation,
    evaluation,
    interpretation,
    paper,
    store,
    training,
)
from reflash.cli.common import make_app
from reflash.core.errors import ReflashError

app = make_app(
    "Reflash Dropout in Image Super-Resolution (CVPR 2022), reproducible: "
    "degrade, train, evaluate, interpret."
)
app.add_typer(data.data_app, name="data")
for group in (degradation, training, evaluation, interpretation, paper, bench):
    app.add_typer(group.app)
app.add_typer(config.config_app, name="config")
app.add_typer(store.store_app, name="store")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"reflash {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a mistake of the user is one line and exit status 1."""
    from reflash.core.files import explained

    try:
        app(args=arguments)
    except (ReflashError, OSError) as error:
        problem = explained(error) if isinstance(error, OSError) else error
        if not isinstance(problem, ReflashError):
            raise
        typer.echo(f"error: {problem}", err=True)
        sys.exit(1)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's; not imported here
            raise
        first = str(error).strip().splitlines()[0]
        typer.echo(
            f"error: the GPU's memory does not suffice ({first}); free it, use a smaller "
            "training.batch or evaluation.tile, or --device cpu",
            err=True,
        )
        sys.exit(1)
