"""Interpreting trained networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from reflash.interpretation.settings import AnalysisSettings

app = make_app("")

AnalysedWeights = Annotated[
    str, typer.Option(help="Weights file of the network, or {weights: FILE, factory: …}.")
]
LrImages = Annotated[Path, typer.Option(help="LR image, or folder of LR images.")]
HrImages = Annotated[Path, typer.Option(help="HR image, or folder of HR images.")]
SettingsText = Annotated[
    str,
    typer.Option(help=settings_help("images, crop, border", "analysis")),
]
SaliencySettings = Annotated[
    str,
    typer.Option(help=settings_help("images, crop", "analysis")),
]
MaskingSettings = Annotated[
    str,
    typer.Option(help=settings_help("images, crop, border, masking_draws, seed", "analysis")),
]
RepresentationSettings = Annotated[
    str,
    typer.Option(
        help=settings_help(
            "layers, representation_images, representation_crop, pca, perplexity, seed", "analysis"
        )
    ),
]
SensitivitySettings = Annotated[
    str,
    typer.Option(
        help=settings_help(
            "images, crop, border, seed, ratios, sensitivity_draws, sensitivity_layer, "
            "sensitivity_dimension, sensitivity_rescale",
            "analysis",
        )
    ),
]
RunName = Annotated[str | None, typer.Option(help="What the column run says.")]


def _analysis_settings(text: str) -> AnalysisSettings:
    from reflash.interpretation.settings import AnalysisSettings

    return parse_settings(AnalysisSettings, text)


@app.command(
    epilog=examples("reflash saliency --weights net.pth --lr photo.png --out saliency/ --arrays")
)
def saliency(
    weights: AnalysedWeights,
    lr: LrImages,
    out: Annotated[Path, typer.Option(help="Folder for saliency.csv and maps.")],
    arrays: Annotated[bool, typer.Option("--arrays", help="Also save the maps as .npz.")] = False,
    layer: Annotated[
        list[str] | None, typer.Option(help="last, hr, b1, …; repeat; default: all.")
    ] = None,
    run: RunName = None,
    settings: SaliencySettings = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Channel saliency maps of every layer, in one backward pass per image."""
    set_threads(threads)
    from reflash.interpretation.saliency import run_saliency

    chosen = _analysis_settings(settings)
    run_saliency(weights, lr, out, chosen, run=run, device=device, arrays=arrays, layers=layer)


@app.command(
    epilog=examples(
        "reflash ablate --weights net.pth --lr test/clean --hr test/hr --out ablation.csv"
    )
)
def ablate(
    weights: AnalysedWeights,
    lr: LrImages,
    hr: HrImages,
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    layer: Annotated[
        list[str] | None, typer.Option(help="last, hr, b1, …; repeat; default: last.")
    ] = None,
    run: RunName = None,
    settings: SettingsText = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """PSNR after removing each channel of a layer, one at a time."""
    set_threads(threads)
    from reflash.interpretation.ablation import run_ablation

    chosen = _analysis_settings(settings)
    layers = tuple(layer or ("last",))
    run_ablation(weights, lr, hr, out, chosen, run=run, device=device, layers=layers)


@app.command(
    epilog=examples("reflash mask --weights net.pth --lr test/clean --hr test/hr --out masking.csv")
)
def mask(
    weights: AnalysedWeights,
    lr: LrImages,
    hr: HrImages,
    out: Annotated[Path, typer.Option(help="CSV to write; areas go to NAME_area.csv.")],
    layer: Annotated[str, typer.Option(help="last, hr, b1, …")] = "last",
    run: RunName = None,
    settings: MaskingSettings = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """PSNR while the channels of a layer are masked one after another."""
    set_threads(threads)
    from reflash.interpretation.masking import run_masking

    chosen = _analysis_settings(settings)
    run_masking(weights, lr, hr, out, chosen, run=run, device=device, layer=layer)


@app.command(
    epilog=examples(
        "reflash represent --weights net.pth --lr test/clean --lr test/blur --out clusters/"
    )
)
def represent(
    weights: AnalysedWeights,
    lr: Annotated[list[Path], typer.Option(help="Folder of LR images, named by its kind; repeat.")],
    out: Annotated[Path, typer.Option(help="Folder for points.csv and chi.csv.")],
    run: RunName = None,
    settings: RepresentationSettings = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Deep representations of several degradations: PCA, t-SNE, Calinski-Harabasz index."""
    set_threads(threads)
    from reflash.interpretation.representations import run_representations

    chosen = _analysis_settings(settings)
    run_representations(weights, folders_by_kind(lr), out, chosen, run=run, device=device)


@app.command(
    epilog=examples(
        "reflash sensitivity --weights net.pth --lr test/clean --hr test/hr --out dropped.csv"
    )
)
def sensitivity(
    weights: AnalysedWeights,
    lr: LrImages,
    hr: HrImages,
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    run: RunName = None,
    settings: SensitivitySettings = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Drop features at test time: an SR network beside a small digit classifier."""
    set_threads(threads)
    from reflash.interpretation.sensitivity import run_sensitivity

    chosen = _analysis_settings(settings)
    run_sensitivity(weights, lr, hr, out, chosen, run=run, device=device)
