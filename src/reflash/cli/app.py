"""The commands gathered, and how a mistake of the user ends: one line and exit status 1."""

from __future__ import annotations

import functools
import io
import itertools
import os
import re
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
    plan,
    project,
    runs,
    store,
    training,
    weights,
)
from reflash.cli.common import make_app
from reflash.core.errors import INTERRUPTED_STATUS, ReflashError

_UsageError: Any = typer.BadParameter.__mro__[1]  # typer brings click along under changing names

INTERRUPTED = 130
"""Exit status after Ctrl-C, as of a program that the signal ends."""

app = make_app(
    "Reflash Dropout in Image Super-Resolution (CVPR 2022), reproducible: "
    "degrade, train, evaluate, interpret.",
    completion=True,
)
app.add_typer(data.data_app, name="data")
app.add_typer(weights.weights_app, name="weights")
for group in (
    project,
    degradation,
    training,
    evaluation,
    interpretation,
    paper,
    plan,
    runs,
    bench,
):
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


def _refuse_empty(arguments: list[str]) -> None:
    """Refuse empty arguments, as shell variables that are not set give them.

    An empty path would be this folder.
    """
    for before, argument in itertools.pairwise(["", *arguments]):
        option, _, value = argument.rpartition("=")
        if not argument.strip():
            named = before if before.startswith("-") else "an argument"
        elif re.fullmatch(r"--[\w-]+", option) and not value.strip():
            named = option
        else:
            continue
        raise typer.BadParameter("it is empty; leave it out or give a value", param_hint=named)


@functools.cache
def _command() -> Any:
    """Return the commands as click has them; to find them takes a fifth of a second."""
    return typer.main.get_command(app)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line.

    Exits with 0; with 1 and one line after a mistake of the user in files or settings; with 2 and
    one line after a mistake in the command; with 75 and one line where training was stopped and
    resumes when run again; with 130 after Ctrl-C.
    """
    from reflash.core.files import explained

    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # A name that cannot be shown as it is (no UTF-8) is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _refuse_empty(sys.argv[1:] if arguments is None else arguments)
        status = _command().main(args=arguments, standalone_mode=False)
        sys.stdout.flush()
        if status == INTERRUPTED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(status if isinstance(status, int) else 0)
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.format_message(), err=True)
            sys.exit(error.exit_code)
        command = error.ctx.command_path if error.ctx else "reflash"
        message = " ".join(error.format_message().split()).removesuffix(".")
        typer.echo(f"error: {message}; see {command} --help", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except (ReflashError, OSError) as error:
        problem = explained(error) if isinstance(error, OSError) else error
        if not isinstance(problem, ReflashError):
            raise
        typer.echo(f"error: {problem}", err=True)
        # Of a class whose module imports torch, so it is known by its name.
        sys.exit(INTERRUPTED_STATUS if type(problem).__name__ == "Interrupted" else 1)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's; not imported here
            raise
        first = str(error).strip().splitlines()[0]
        if not first.startswith("CUDA out of memory"):
            first = f"CUDA out of memory ({first})"
        typer.echo(
            f"error: {first}; free it, use a smaller training.batch or evaluation.tile, "
            "or --device cpu",
            err=True,
        )
        sys.exit(1)
