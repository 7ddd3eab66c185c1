"""Publishing and restoring results with DVC; keeping the small ones in git."""

from __future__ import annotations

from typing import Annotated

import typer

from reflash.cli.common import DEMO, Results, examples, make_app

store_app = make_app("Publish and restore results with DVC, and keep the small ones in git.")


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


@store_app.command("keep", epilog=examples("reflash store keep --results results/cpu/record"))
def store_keep(results: Results = DEMO) -> None:
    """Copy records, logs and scores of a study's runs into its results, for a repository to hold.

    With them the study's claims, tables and figures are made again without training.
    """
    from reflash.study.kept import keep

    files = keep(results)
    size = sum(file.stat().st_size for file in files) / 1e6
    typer.echo(f"{results}/runs: {len(files)} files, {size:.1f} MB")
