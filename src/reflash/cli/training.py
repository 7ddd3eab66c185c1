"""Training: pairs and runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reflash.cli.common import (
    Device,
    Threads,
    examples,
    finite,
    make_app,
    parse_settings,
    set_threads,
)
from reflash.core.errors import ReflashError

if TYPE_CHECKING:
    from reflash.training.settings import RunSettings
    from reflash.training.trainer import Trainer

app = make_app("")


@app.command(epilog=examples("reflash pairs --config pool.yaml --images cache/ --out pool/"))
def pairs(
    config: Annotated[
        str,
        typer.Option(
            help="YAML file, or YAML text starting with {; keys: setting, pairs, degradation, "
            "sub_image, step, seed (config/README.md explains pairs and degradation)."
        ),
    ],
    images: Annotated[Path, typer.Option(help="Cache of training images.")],
    out: Annotated[Path, typer.Option(help="Folder of the pool.")],
    threads: Threads = 1,
) -> None:
    """Synthesise a pool of training pairs that all runs of a setting read."""
    from reflash.core.lock import only_one
    from reflash.datasets.cache import ImageCache
    from reflash.training.pool import build_pool
    from reflash.training.settings import PoolSettings

    settings = parse_settings(PoolSettings, config)
    set_threads(threads)
    with only_one(out / ".lock", busy=str(out)):
        build_pool(settings, ImageCache.open(images), out, threads=threads)


def with_code(run: RunSettings) -> RunSettings:
    """Return the settings of a run with the hashes of what a user's network and regularisers are.

    Raises
    ------
    ReflashError
        A file holds other code than when the settings were made.
    """

    def hashed(part: Any) -> Any:
        from reflash.models.factory import factory_code, factory_file

        code = factory_code(part.factory)
        if part.code not in ("", code):
            raise ReflashError(
                f"--config: {factory_file(part.factory)} has changed since {run.id} was described; "
                "make the configuration again with reflash config run"
            )
        return part.model_copy(update={"code": code})

    own = {"regularisers": tuple(map(hashed, run.regularisers))}
    if hasattr(run.network, "factory"):
        own["network"] = hashed(run.network)
    return run.model_copy(update=own)


def missing_companions(results: Path, trainer: Trainer, data: str) -> list[Trainer]:
    """Return trainers of the batch's runs that are to be trained beside that of ``trainer``."""
    from reflash.study.runs import made_from
    from reflash.study.saved import open_results
    from reflash.training.trainer import HELD, Trainer

    plan, root = open_results(results)
    run = trainer.settings.id
    found: list[Trainer] = []
    if run not in plan.batches:
        raise ReflashError(f"--together {results}: its study has no run {run}; leave it out")
    for name in plan.batches[run]:
        if name == run:
            continue
        folder, made = root / plan.files.run(name), made_from(plan, name)
        settings = plan.run_settings(name)
        other = Trainer(settings, trainer.validation, folder, made, held=True)
        if not (other.has(data) or other.has(data, HELD)):
            found.append(other)
    return found


@app.command(
    epilog=examples(
        "reflash config run srresnet/multi/last_conv-channel-p0.7 > run.json",
        "reflash train --config run.json --pairs pool/ --validation test/hr --out run/",
    )
)
def train(
    config: Annotated[
        list[str],
        typer.Option(
            help="YAML file, or YAML text starting with {: what `reflash config run` prints; "
            "repeat for several."
        ),
    ],
    out: Annotated[list[Path], typer.Option(help="Folder of the run; one for each --config.")],
    validation: Annotated[Path, typer.Option(help="Folder of HR validation images.")],
    pool: Annotated[
        Path | None, typer.Option("--pairs", help="Pool of `reflash pairs` (synthesis: pool).")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Cache of training images (synthesis: online).")
    ] = None,
    device: Device = "auto",
    threads: Threads = 0,
    save_every: Annotated[
        float, typer.Option(min=0, callback=finite, help="Seconds between saved states.")
    ] = 120,
    time_budget: Annotated[
        float | None,
        typer.Option(min=0, callback=finite, help="Stop, resumable, after this many seconds."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Train again what is finished, and replace it.")
    ] = False,
    made_from: Annotated[
        str, typer.Option(help="Kept in the record: what the pairs were made from.")
    ] = "",
    together: Annotated[
        Path | None,
        typer.Option(
            envvar="REFLASH_TOGETHER",
            show_envvar=False,
            help="Folder of a study's results: train missing runs of the same batch (runs_per_job "
            "of its scale) on the same pairs; their own commands then find them.",
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            envvar="REFLASH_TENSORBOARD",
            show_envvar=False,
            help="Folder for TensorBoard, where each run has a folder of its name.",
        ),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Fuse operations with torch.compile.")
    ] = False,
    graphs: Annotated[
        bool, typer.Option("--graphs/--no-graphs", help="On a GPU, replay steps as CUDA graphs.")
    ] = True,
    prefetch: Annotated[
        bool | None,
        typer.Option(
            "--prefetch/--no-prefetch",
            help="Make each batch one iteration early; default: on a GPU only.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train one run, or several on the same pairs, resumably.

    Killed or stopped, the same command resumes; results are bit-identical. Stopped by its time
    budget or a signal, a run leaves its weights so far in partial/. A finished run is left as it
    is (--again). Several runs (--config and --out as often) see the same pairs, made once for all
    of them, and end as if each had been trained alone.
    """
    from reflash.training.settings import RunSettings

    runs: list[RunSettings] = [parse_settings(RunSettings, text) for text in config]
    if len(runs) != len(out):
        raise ReflashError(f"--out: {len(out)} folders for {len(runs)} runs; give one for each")
    settings = runs[0]
    needed, given, other = ("--pairs", pool, images)
    if settings.pairs.synthesis == "online":
        needed, given, other = ("--images", images, pool)
    if given is None or other is not None:
        raise ReflashError(
            f"pairs.synthesis is {settings.pairs.synthesis}: give {needed} and not the other source"
        )
    set_threads(threads)
    runs = [with_code(run) for run in runs]
    settings = runs[0]
    from reflash.core.devices import choose_device
    from reflash.core.progress import say, training_progress
    from reflash.datasets.cache import ImageCache
    from reflash.training.graphs import CaptureError
    from reflash.training.pairs import OnlinePairs, PoolPairs
    from reflash.training.pool import read_pool
    from reflash.training.record import already_finished
    from reflash.training.trainer import HELD, Options, Trainer, check_agreement
    from reflash.training.trainer import train as train_runs
    from reflash.training.validation import Validation

    check_agreement(runs)
    cache = ImageCache.open(given) if settings.pairs.synthesis == "online" else None
    data = cache.key if cache else read_pool(given)["key"]
    trainers = [
        Trainer(run, Validation(run.training.validation, validation), folder, made_from)
        for run, folder in zip(runs, out, strict=True)
    ]
    # `train_runs` looks again, but only after this process has waited for a GPU.
    told = [
        not again and already_finished(one.folder, one.settings, data, one.validation.key)
        for one in trainers
    ]
    if all(told):
        for line in told:
            say(str(line))
        return
    chosen = choose_device(device)
    source: OnlinePairs | PoolPairs
    if cache:
        source = OnlinePairs(settings, cache, chosen, graphs=graphs, compiled=compiled)
    else:
        source = PoolPairs(given, settings.training.batch, settings.seed, chosen, settings)
    if together is not None and not trainers[0].has(data, HELD):
        trainers += missing_companions(together, trainers[0], data)
    name = settings.id if len(trainers) == 1 else f"{len(trainers)} runs"
    try:
        with training_progress(name, max(one.total for one in trainers)) as report:
            options = Options(
                save_seconds=save_every,
                time_budget=time_budget,
                again=again,
                tensorboard=tensorboard,
                report=report,
                graphs=graphs,
                compiled=compiled,
                prefetch=prefetch,
            )
            train_runs(trainers, source, chosen, options)
    except CaptureError as error:
        # Nothing on the GPU works after a failed capture, so a new process goes on in this one's
        # place: the same command with one option more.
        say(f"warning: {str(error).removesuffix('; run with --no-graphs')}; going on without")
        os.execv(sys.executable, [*sys.orig_argv, "--no-graphs"])
