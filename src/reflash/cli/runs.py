"""Listing a study's runs and what has become of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reflash.cli.common import DEMO, Results, examples, make_app
from reflash.core.errors import ReflashError

app = make_app("")


@app.command(
    epilog=examples(
        "reflash runs --results results/demo",
        "reflash runs --results results/demo --tensorboard curves/",
        "reflash runs --results results/cpu/record --against results/cpu/record",
    )
)
def runs(
    results: Results = DEMO,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare weights with their record.")
    ] = True,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            help="Folder for TensorBoard: write the logs of finished runs there, for runs that "
            "were trained without training.tensorboard."
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Folder of runs on record, or with runs/ in it: say how the same runs made here "
            "agree with them."
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0,
            help="dB of validation PSNR by which a run on another machine may end off its record.",
        ),
    ] = 0.1,
) -> None:
    """List runs: state, iterations, hours, device, and what has changed since they were trained.

    With --against it ends with status 1 where a run of the recorded settings, images and code ends
    further from its record than the tolerance.
    """
    from reflash.paper.repetition import compare_runs
    from reflash.study.runs import all_states
    from reflash.study.saved import open_results

    plan, root = open_results(results)
    found = []
    if against is not None:
        below = against / "runs"
        found = compare_runs(root / plan.files.runs, below if below.is_dir() else against)
    repeated = {one.run: one for one in found}
    states = all_states(plan, root, verify)
    width = max((len(one.run) for one in states), default=0)
    for one in states:
        record = one.record
        if record is None:
            what = one.state + (", no record" if one.state == "finished" else "")
        else:
            what = (
                f"{one.state:8}  {record.done:>7,} of {record.iterations:,} iterations"
                f"  {one.hours:8.2f} h  {record.device}"
            )
        typer.echo(f"{one.run:{width}}  {what}" + ("" if one.planned else "  (not of this study)"))
        for line in one.changes:
            typer.echo(f"    changed since: {line}")
        for line in one.problems if record else ():
            typer.echo(f"    {line}")
        if one.run in repeated:
            typer.echo(f"    against the record: {repeated[one.run]}")
    if tensorboard is not None:
        from reflash.study.events import write_events

        written = write_events(plan, states, tensorboard, root)
        typer.echo(
            f"{tensorboard}: runs with curves: {len(written)}; tensorboard --logdir {tensorboard}"
        )
    finished = [one for one in states if one.state == "finished"]
    hours = sum(one.hours for one in finished)
    typer.echo(f"{len(finished)} of {len(states)} runs finished, {hours:.1f} hours of training")
    if against is not None:
        if not found:
            raise ReflashError(f"{against}: none of its runs is finished here; nothing to compare")
        equal = sum(one.equal for one in found)
        others = sum(bool(one.recipe) and not one.equal for one in found)
        beyond = [one.run for one in found if not one.recipe and abs(one.last) > tolerance]
        typer.echo(
            f"{against}: {len(found)} of its runs made here, {equal} bit for bit, "
            f"{len(beyond)} more than {tolerance:g} dB apart at the end"
            + (f"; not judged: {others} of other settings, images or code" if others else "")
        )
        if beyond:
            raise typer.Exit(1)
