"""What a study would cost here."""

from __future__ import annotations

from typing import Annotated

import typer

from reflash.cli.common import (
    CONFIG,
    ConfigFolder,
    Device,
    Overrides,
    examples,
    finite,
    make_app,
    set_threads,
)

app = make_app("")


@app.command(
    epilog=examples(
        "reflash plan --scale cpu --study main",
        "reflash plan --scale paper --cost",
        "reflash plan --scale cpu --study main --hours 10",
    )
)
def plan(
    scale: Annotated[str, typer.Option(help="Scale, a file of config/scale.")] = "demo",
    study: Annotated[
        str | None, typer.Option(help="Study, a file of config/study; default: the scale's own.")
    ] = None,
    overrides: Overrides = "{}",
    folder: ConfigFolder = CONFIG,
    iterations: Annotated[int, typer.Option(min=1, help="How many are measured.")] = 5,
    device: Device = "auto",
    cost: Annotated[
        bool, typer.Option("--cost", help="Say also how many jobs it is, and how much disk.")
    ] = False,
    hours: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            help="Say also how many iterations fit into so many hours, as a scale file.",
        ),
    ] = None,
) -> None:
    """Measure a few iterations and say how long a study's training would take on this machine."""
    from reflash.core.devices import choose_device
    from reflash.study.checks import load_plan
    from reflash.study.hours import estimate
    from reflash.study.reading import parse_yaml
    from reflash.study.size import describe_size

    values = {"scale": scale, "study": study, "overrides": parse_yaml(overrides, "--overrides")}
    chosen = load_plan(values, folder)
    set_threads(chosen.scale.threads)
    for line in estimate(chosen, choose_device(device), iterations, hours):
        typer.echo(line)
    for line in describe_size(chosen) if cost else ():
        typer.echo(line)
