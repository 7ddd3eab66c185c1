"""Evaluating, upscaling and converting."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from reflash.cli.common import (
    Device,
    Threads,
    examples,
    folders_by_kind,
    make_app,
    parse_settings,
    set_threads,
    settings_help,
)
from reflash.core.errors import ReflashError
from reflash.evaluation.shipped import shipped_weights

app = make_app("")

Which = Literal["params", "params_ema"]
Key = Annotated[Which | None, typer.Option(help="Which weights of a .pth file; default: params.")]

EvaluationText = Annotated[
    str, typer.Option(help=settings_help("crop, metrics, tile, overlap", "evaluation"))
]


@app.command(
    epilog=examples(
        "reflash evaluate --weights net.pth --hr Set5/hr --lr Set5/clean --out net.csv",
        "reflash evaluate --sr results/swinir --hr Set5/hr --kind clean --out swinir.csv",
    )
)
def evaluate(
    hr: Annotated[Path, typer.Option(help="Folder of HR images.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    weights: Annotated[
        str | None,
        typer.Option(
            help="Weights file, {weights: FILE, factory: …}, or bicubic.", show_default=False
        ),
    ] = None,
    lr: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of LR images, named by its kind; repeat.", show_default=False),
    ] = None,
    sr: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --weights and --lr: folder of images that are upscaled already.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="With --sr: what the column kind says; default: the folder's name."),
    ] = None,
    key: Key = None,
    run: Annotated[str | None, typer.Option(help="What the column run says.")] = None,
    test_set: Annotated[str | None, typer.Option("--set", help="What the column set says.")] = None,
    settings: EvaluationText = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Write PSNR and SSIM of every image as CSV: of a network, or of upscaled images (--sr)."""
    from reflash.evaluation.evaluate import evaluate_to_csv
    from reflash.evaluation.pairs import set_name
    from reflash.evaluation.settings import EvaluationSettings
    from reflash.evaluation.upscalers import Upscaler, open_upscaler

    chosen = parse_settings(EvaluationSettings, settings)
    upscaler: Upscaler | None = None
    if sr is not None:
        if weights is not None or lr or key is not None:
            raise ReflashError("--sr: SR images need no --weights, --key or --lr")
        folders, name = {kind or sr.resolve().name: sr}, sr.resolve().name
    else:
        if weights is None or not lr or kind is not None:
            raise ReflashError(
                "--weights and --lr: give both, or --sr FOLDER (and --kind) for enlarged images"
            )
        if weights != "bicubic":
            set_threads(threads)
        folders = folders_by_kind(lr)
        if "weights" in chosen.model_fields_set and weights != "bicubic":
            key = key or chosen.weights
        upscaler = open_upscaler(weights, key, chosen.tile, chosen.overlap, device)
        name = Path(getattr(upscaler, "name", weights)).stem
    means = evaluate_to_csv(
        out,
        upscaler,
        hr,
        folders,
        run or name,
        test_set or set_name(hr),
        chosen,
        max(threads, 1),
    )
    typer.echo(means)


@app.command(
    epilog=examples(
        "reflash upscale photo.jpg",
        "reflash upscale photos/ upscaled/ --recursive --weights net.pth",
    )
)
def upscale(
    source: Annotated[Path, typer.Argument(help="Image or folder of images.")],
    destination: Annotated[
        Path | None,
        typer.Argument(
            help="Image file or folder to write; default: NAME_x4 beside the source.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Weights file, {weights: FILE, factory: …}, or bicubic; default: those that come "
            "with reflash.",
            show_default=False,
        ),
    ] = None,
    key: Key = None,
    tile: Annotated[
        int | None, typer.Option(min=0, help="Side of a tile in LR pixels; 0: the whole image.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="LR pixels around a tile that it is computed with.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N images of a folder.", min=1)
    ] = None,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="Write manifest.csv of what was made.")
    ] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Also the images of subfolders.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Upscale your own images four times with trained weights (any size, alpha kept)."""
    if weights is None:
        shipped, description = shipped_weights()
        typer.echo(f"weights: {description}", err=True)
        weights = str(shipped)
    if destination is None:
        place = source.absolute() if source.name else source.resolve()  # `.` has no name
        name = f"{place.name}_x4" if source.is_dir() else f"{place.stem}_x4.png"
        destination = place.with_name(name)
    if weights != "bicubic":
        set_threads(threads)
    from reflash.evaluation.upscale import upscale_path

    upscale_path(
        source,
        destination,
        weights,
        tile,
        device,
        key,
        limit=limit,
        manifest=manifest,
        overwrite=overwrite,
        recursive=recursive,
        overlap=overlap,
    )


@app.command(epilog=examples("reflash convert net_g_500000.pth weights.safetensors"))
def convert(
    source: Annotated[Path, typer.Argument(help=".pth or .safetensors")],
    destination: Annotated[Path, typer.Argument(help=".pth or .safetensors")],
    key: Annotated[
        Which | None, typer.Option(help="Which weights of the file; default: what it holds.")
    ] = None,
    layout: Annotated[
        Literal["basicsr", "authors"], typer.Option(help="Keys of a written .pth.")
    ] = "basicsr",
    half: Annotated[
        bool, typer.Option("--half", help="16-bit floats, half the size (.safetensors).")
    ] = False,
) -> None:
    """Convert weights between the authors' or BasicSR's .pth and safetensors."""
    from reflash.models.weights import convert as convert_weights

    convert_weights(source, destination, key, layout, half=half)
