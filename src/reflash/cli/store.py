"""Publishing and restoring results with DVC."""

from __future__ import annotations

from typing import Annotated

import typer

from reflash.cli.common import examples, make_app

store_app = make_app("Publish and restore results with DVC.")


@store_app.command("publish", epilog=examples("reflash store publish --scale demo"))
def store_publish(
    scale: Annotated[str, typer.Option(help="Scale whose results are published.")] = "demo",
    datasets: Annotated[
        bool, typer.Option("--datasets", help="Also data/raw, where its terms let you pass it on.")
    ] = False,
) -> None:
    """Record finished results in DVC and push them where a remote is set."""
    from reflash.study.store import publish

    publish(scale, datasets)


@store_app.command("restore", epilog=examples("reflash store restore --scale demo"))
def store_restore(
    scale: Annotated[str, typer.Option(help="Scale whose results are restored.")] = "demo",
) -> None:
    """Bring back published results; the workflow then has nothing to train or fetch."""
    from reflash.study.store import restore

    restore(scale)
