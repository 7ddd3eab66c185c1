"""Making the LR images of the test sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reflash.cli.common import examples, make_app, parse_settings, settings_help
from reflash.core.errors import ReflashError

app = make_app("")

BenchmarkText = Annotated[
    str,
    typer.Option(
        help=settings_help(
            "mod, bicubic, blur_size, blur_sigma, noise_sigma, noise_only_sigma, noise_rounding, "
            "jpeg_quality, seed",
            "benchmark",
        )
    ),
]


@app.command(
    epilog=examples(
        "reflash degrade photos/ lr/blur_noise_jpeg --kind blur_noise_jpeg --noise-sigma 30"
    )
)
def degrade(
    source: Annotated[Path, typer.Argument(help="HR image or folder of HR images.")],
    destination: Annotated[Path, typer.Argument(help="Folder for the LR PNGs.")],
    kind: Annotated[
        str,
        typer.Option(
            help="clean, blur, noise, jpeg, blur_noise, …, or of another task gaussian25, "
            "poisson1, jpeg10, blur2."
        ),
    ],
    seed: Annotated[int | None, typer.Option(help="Seed of the noise; default: 0.")] = None,
    noise_sigma: Annotated[
        float | None, typer.Option(help="Noise sigma in grey levels; default: 20, the paper's.")
    ] = None,
    noise_rounding: Annotated[
        str | None, typer.Option(help="truncate (the authors', default) or round.")
    ] = None,
    mod: Annotated[
        int | None, typer.Option(help="Crop HR to a multiple of this; default: 12.")
    ] = None,
    settings: BenchmarkText = "{}",
) -> None:
    """Make the LR images of one of the eight test degradations, or of another task."""
    from reflash.degradations.benchmark import degrade_folder
    from reflash.degradations.settings import BenchmarkSettings, checked_level
    from reflash.degradations.tasks import is_task_kind

    given = {
        "seed": seed,
        "noise_sigma": noise_sigma,
        "noise_rounding": noise_rounding,
        "mod": mod,
    }
    values = parse_settings(BenchmarkSettings, settings).model_dump()
    values.update({k: v for k, v in given.items() if v is not None})
    from reflash.study.config import validate

    if is_task_kind(kind):
        try:
            checked_level(kind)
        except ValueError as error:
            raise ReflashError(f"--kind {error}") from error
    degrade_folder(source, destination, kind, validate(BenchmarkSettings, values, "options"))
