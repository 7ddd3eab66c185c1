"""Measuring this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reflash.cli.common import Device, Threads, examples, make_app

app = make_app("")


@app.command(epilog=examples("reflash bench", "reflash bench degradation --quick"))
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="degradation, training, …; default: all of them.")
    ] = None,
    device: Device = "auto",
    threads: Threads = 1,
    folder: Annotated[Path, typer.Option(help="Folder of the scripts, in a clone.")] = Path(
        "benchmarks"
    ),
    page: Annotated[
        Path, typer.Option(help="Page whose tables are written again from the results.")
    ] = Path("docs/performance.md"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Only try the scripts, on small sizes; keep nothing.")
    ] = False,
    short: Annotated[
        bool,
        typer.Option("--short", help="Only what a short GPU allocation needs to know, in 150 s."),
    ] = False,
    only_render: Annotated[
        bool, typer.Option("--render", help="Measure nothing, only write the page again.")
    ] = False,
) -> None:
    """Measure speed and memory of each stage on this machine."""
    from reflash.core.files import require_file, write_text
    from reflash.report.benchmarks import check_names, render, run_benchmarks

    names = ["short"] if short else names
    check_names(names or ())
    if not quick:
        require_file(page, "run this in a clone of the project, or name the page with --page")
    try:
        if not only_render:
            run_benchmarks(names or (), folder, device, threads, quick)
    finally:
        if not quick:
            write_text(page, render(page, folder / "results"))
