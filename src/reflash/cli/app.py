"""The command line: the only door for the workflow, and useful by itself.

Every command imports what it needs when it runs, so that ``reflash --help`` and commands without
networks start in a fraction of a second. Settings are a YAML file, or YAML/JSON text that starts
with ``{``, as the workflow passes them.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from reflash import __version__
from reflash.core.errors import ReflashError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # formatting help with rich takes as long as all the rest
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Reflash Dropout in Image Super-Resolution (CVPR 2022), reproducible: "
    "degrade, train, evaluate, interpret.",
)
data_app = typer.Typer(no_args_is_help=True, help="Get, make and check images.")
store_app = typer.Typer(no_args_is_help=True, help="Publish and restore results with DVC.")
config_app = typer.Typer(no_args_is_help=True, help="Check and document the configuration.")
app.add_typer(data_app, name="data")
app.add_typer(config_app, name="config")
app.add_typer(store_app, name="store")


class Weights(StrEnum):
    """Which weights of a file."""

    params = "params"
    params_ema = "params_ema"


class KeyLayout(StrEnum):
    """Names of the weights in a .pth file."""

    basicsr = "basicsr"
    authors = "authors"


Device = Annotated[str, typer.Option(help="auto (a free GPU if there is one), cpu, cuda, cuda:N.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 leaves the choice to PyTorch.", min=0)]
SettingsText = Annotated[str, typer.Option(help="YAML file, or YAML/JSON text starting with {.")]


def parse_settings(model: Any, text: str) -> Any:
    """Return the settings in the YAML file ``text``, or in ``text`` itself if it starts with {."""
    from reflash.study.config import parse_yaml, read_yaml, validate

    if text.lstrip().startswith("{"):
        return validate(model, parse_yaml(text, "settings"), "settings")
    return validate(model, read_yaml(Path(text)), text)


def set_threads(threads: int) -> None:
    """Limit PyTorch to ``threads`` CPU threads (0: its own choice) and let it keep its memory."""
    from reflash.core.allocation import keep_freed_memory

    keep_freed_memory()
    if threads:
        import torch

        torch.set_num_threads(threads)


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


@data_app.command("list")
def data_list(
    raw: Annotated[Path, typer.Option(help="Folder the sets lie in.")] = Path("data/raw"),
) -> None:
    """Show the known datasets: images, size, use, terms, and whether they are here."""
    from reflash.datasets.table import print_datasets

    print_datasets(raw)


@data_app.command("fetch")
def data_fetch(
    names: Annotated[list[str], typer.Argument(help="Names of `reflash data list`.")],
    source: Annotated[
        str | None,
        typer.Option(
            envvar="REFLASH_MIRROR",
            metavar="FOLDER|URL",
            help="Mirror: a folder, an archive, or the address of one; default: where each set "
            "is published.",
        ),
    ] = None,
    raw: Annotated[Path, typer.Option(help="Folder to put them in.")] = Path("data/raw"),
    accept_terms: Annotated[
        bool,
        typer.Option(
            "--accept-terms",
            envvar="REFLASH_ACCEPT_TERMS",
            help="Accept the terms of the sets (see `reflash data list`).",
        ),
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds without data after which a transfer failed.")
    ] = 30,
    retries: Annotated[
        int, typer.Option(min=0, help="Further attempts before the next source is tried.")
    ] = 4,
) -> None:
    """Get datasets, by download or from a mirror, and verify every image."""
    from reflash.datasets.download import Network
    from reflash.datasets.fetch import fetch
    from reflash.datasets.registry import find

    network = Network(stall_timeout=timeout, retries=retries)
    for name in names:
        find(name)
    for name in names:
        manifest = fetch(name, source, raw, accept_terms=accept_terms, network=network)
        typer.echo(f"{name}: verified, {manifest.parent}")


@data_app.command("verify")
def data_verify(
    names: Annotated[list[str], typer.Argument(help="Names of `reflash data list`.")],
    raw: Annotated[Path, typer.Option(help="Folder the sets lie in.")] = Path("data/raw"),
) -> None:
    """Check every image of fetched datasets against its pixel hash."""
    from reflash.datasets.verify import verify

    problems = [line for name in names for line in verify(name, raw)]
    for line in problems:
        typer.echo(line, err=True)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ReflashError(f"{count} in {', '.join(names)}; run: reflash data fetch NAME")
    typer.echo(f"{', '.join(names)}: every image is as it should be")


@data_app.command("leaks")
def data_leaks(
    train: Annotated[list[Path], typer.Option(help="Folder of training images; repeat.")],
    test: Annotated[list[Path], typer.Option(help="Folder of test images; repeat.")],
    out: Annotated[Path | None, typer.Option(help="CSV to write, also without leaks.")] = None,
) -> None:
    """Look for test images among the training images: equal, scaled, flipped or cropped."""
    from reflash.datasets.leaks import find_leaks, write_leaks

    leaks = find_leaks(train, test)
    if out is not None:
        write_leaks(out, leaks)
    for leak in leaks:
        how = "has the same pixels as" if leak.kind == "pixels" else "is the same photograph as"
        typer.echo(
            f"{leak.train}: {how} {leak.test} (correlation {leak.correlation:.2f})", err=True
        )
    if leaks:
        count = "1 leak" if len(leaks) == 1 else f"{len(leaks)} leaks"
        raise ReflashError(
            f"{leaks[0].train}: is the test image {leaks[0].test} ({count}); "
            "remove it from the training images"
        )
    typer.echo("no test image is among the training images")


@data_app.command("training-images")
def data_training_images(
    out: Annotated[Path, typer.Argument(help="Folder to fill.")],
    settings: SettingsText,
    raw: Annotated[Path, typer.Option(help="Folder of named datasets.")] = Path("data/raw"),
) -> None:
    """Make or gather the HR training images and write their manifest."""
    from reflash.datasets.settings import TrainingImagesSettings
    from reflash.datasets.sources import prepare_training_images

    prepare_training_images(parse_settings(TrainingImagesSettings, settings), out, raw)


@data_app.command("cache")
def data_cache(
    source: Annotated[Path, typer.Argument(help="Folder of images.")],
    out: Annotated[Path, typer.Argument(help="Folder of the cache.")],
) -> None:
    """Decode a folder of images once into the memory-mapped cache that training reads."""
    from reflash.datasets.cache import build_cache

    build_cache(source, out)


@data_app.command("test-set")
def data_test_set(
    out: Annotated[Path, typer.Argument(help="Folder to fill.")],
    settings: SettingsText,
    mod: Annotated[int, typer.Option(help="Crop to a multiple of this many pixels.")] = 12,
    raw: Annotated[Path, typer.Option(help="Folder of named datasets.")] = Path("data/raw"),
) -> None:
    """Make the HR images of a test set: gathered, cropped, with their manifest."""
    from reflash.datasets.settings import TestSetSettings
    from reflash.datasets.sources import prepare_test_set

    prepare_test_set(parse_settings(TestSetSettings, settings), out, mod, raw)


@data_app.command("pictures")
def data_pictures(
    out: Annotated[Path, typer.Argument(help="Folder to fill.")],
    pictures: Annotated[
        str | None, typer.Option(help="Folder or dataset; default: sample photographs.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Only the first N by name.", min=1)] = 3,
    raw: Annotated[Path, typer.Option(help="Folder of named datasets.")] = Path("data/raw"),
) -> None:
    """Gather LR pictures without HR counterpart, with their manifest."""
    from reflash.datasets.pictures import prepare_pictures

    prepare_pictures(pictures, out, limit, raw)


@app.command()
def degrade(
    source: Annotated[Path, typer.Argument(help="HR image or folder of HR images.")],
    destination: Annotated[Path, typer.Argument(help="Folder for the LR PNGs.")],
    kind: Annotated[str, typer.Option(help="clean, blur, noise, jpeg, blur_noise, …")],
    seed: Annotated[int | None, typer.Option(help="Seed of the noise.")] = None,
    noise_sigma: Annotated[
        float | None, typer.Option(help="Noise sigma in grey levels (the paper: 20).")
    ] = None,
    noise_rounding: Annotated[
        str | None, typer.Option(help="truncate (the authors') or round.")
    ] = None,
    mod: Annotated[int | None, typer.Option(help="Crop HR to a multiple of this.")] = None,
    settings: SettingsText = "{}",
) -> None:
    """Make the LR images of one of the eight test degradations."""
    from reflash.degradations.benchmark import degrade_folder
    from reflash.degradations.settings import BenchmarkSettings

    given = {
        "seed": seed,
        "noise_sigma": noise_sigma,
        "noise_rounding": noise_rounding,
        "mod": mod,
    }
    values = parse_settings(BenchmarkSettings, settings).model_dump()
    values.update({k: v for k, v in given.items() if v is not None})
    from reflash.study.config import validate

    degrade_folder(source, destination, kind, validate(BenchmarkSettings, values, "options"))


@app.command()
def pairs(
    config: Annotated[str, typer.Option(help="YAML file or text of PoolSettings.")],
    images: Annotated[Path, typer.Option(help="Cache of training images.")],
    out: Annotated[Path, typer.Option(help="Folder of the pool.")],
    threads: Threads = 1,
) -> None:
    """Synthesise a pool of training pairs that all runs of a setting read."""
    from reflash.datasets.cache import ImageCache
    from reflash.training.pool import build_pool
    from reflash.training.settings import PoolSettings

    settings = parse_settings(PoolSettings, config)
    set_threads(threads)
    build_pool(settings, ImageCache.open(images), out, threads=threads)


@app.command()
def train(
    config: Annotated[
        list[str], typer.Option(help="YAML file or text of a run's settings; repeat for several.")
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
    save_every: Annotated[float, typer.Option(help="Seconds between saved states.")] = 120,
    time_budget: Annotated[
        float | None, typer.Option(help="Stop, resumable, after this many seconds.")
    ] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard.")] = None,
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Fuse operations with torch.compile.")
    ] = False,
    graphs: Annotated[
        bool, typer.Option("--graphs/--no-graphs", help="On a GPU, replay steps as CUDA graphs.")
    ] = True,
    ahead: Annotated[
        bool | None,
        typer.Option(
            "--ahead/--no-ahead",
            help="Make each batch one iteration early; default: on a GPU only.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train one run, or several on the same pairs, resumably.

    Killed or stopped, the same command continues bit by bit. Several runs (--config and --out as
    often) see the same pairs, made once for all of them, and end as if each had been trained alone.
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
    from reflash.core.devices import choose_device
    from reflash.core.progress import training_progress
    from reflash.datasets.cache import ImageCache
    from reflash.training.pairs import OnlinePairs, PoolPairs
    from reflash.training.trainer import Job, Options, check_agreement, train_together
    from reflash.training.validation import Validation

    check_agreement(runs)
    chosen = choose_device(device)
    source: OnlinePairs | PoolPairs
    if settings.pairs.synthesis == "pool":
        source = PoolPairs(given, settings.training.batch, settings.seed, chosen, settings)
    else:
        cache = ImageCache.open(given)
        source = OnlinePairs(settings, cache, chosen, graphs=graphs, compiled=compiled)
    jobs = [
        Job(run, Validation(run.training.validation, validation), folder)
        for run, folder in zip(runs, out, strict=True)
    ]
    name = settings.id if len(runs) == 1 else f"{len(runs)} runs"
    with training_progress(name, max(run.training.iterations for run in runs)) as report:
        options = Options(
            save_seconds=save_every,
            time_budget=time_budget,
            tensorboard=tensorboard,
            report=report,
            graphs=graphs,
            compiled=compiled,
            ahead=ahead,
        )
        train_together(jobs, source, chosen, options)


def _by_kind(folders: list[Path]) -> dict[str, Path]:
    """Return the folders of --lr by their names, which are the kinds."""
    found = {folder.resolve().name: folder for folder in folders}
    if len(found) < len(folders):
        raise ReflashError("--lr: two folders have the same name; the name is the kind")
    return found


@app.command()
def evaluate(
    weights: Annotated[str, typer.Option(help="Weights file, or the word bicubic.")],
    hr: Annotated[Path, typer.Option(help="Folder of HR images.")],
    lr: Annotated[list[Path], typer.Option(help="Folder of LR images, named by its kind; repeat.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    key: Annotated[
        Weights | None, typer.Option(help="Which weights of a .pth file; default: params.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="What the column run says.")] = None,
    test_set: Annotated[str | None, typer.Option("--set", help="What the column set says.")] = None,
    settings: SettingsText = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Write PSNR and SSIM of every image as tidy CSV."""
    from reflash.evaluation.evaluate import evaluate_to_csv
    from reflash.evaluation.settings import EvaluationSettings
    from reflash.evaluation.upscalers import open_upscaler

    chosen = parse_settings(EvaluationSettings, settings)
    if weights != "bicubic":
        set_threads(threads)
    folders = _by_kind(lr)
    upscaler = open_upscaler(
        weights, key.value if key else None, chosen.tile, chosen.overlap, device
    )
    evaluate_to_csv(
        out,
        upscaler,
        hr,
        folders,
        run or Path(weights).stem,
        test_set or hr.resolve().parent.name,
        chosen,
        max(threads, 1),
    )


@app.command()
def metrics(
    evaluation: Annotated[list[Path], typer.Argument(help="CSVs of `reflash evaluate`.")],
    out: Annotated[Path, typer.Option(help="JSON to write.")],
) -> None:
    """Write the mean PSNR per run, set and kind as JSON, and over kinds as CSV beside it.

    DVC shows them: `dvc metrics show` and `dvc plots show`.
    """
    import pandas as pd

    from reflash.core.files import write_csv, write_json
    from reflash.evaluation.summary import mean_psnr, nested_psnr
    from reflash.paper.scores import read_table

    columns = ("run", "set", "kind", "image", "psnr")
    table = pd.concat(read_table(p, columns, "make it with reflash evaluate") for p in evaluation)
    write_csv(out.with_suffix(".csv"), mean_psnr(table))
    write_json(out, nested_psnr(table))


@app.command()
def upscale(
    source: Annotated[Path, typer.Argument(help="Image or folder of images.")],
    destination: Annotated[Path, typer.Argument(help="Image file or folder to write.")],
    weights: Annotated[str, typer.Option(help="Weights file, or the word bicubic.")],
    key: Annotated[
        Weights | None, typer.Option(help="Which weights of a .pth file; default: params.")
    ] = None,
    tile: Annotated[int | None, typer.Option(help="Side of a tile in LR pixels.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N images of a folder.", min=1)
    ] = None,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="Write manifest.csv of what was made.")
    ] = False,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Enlarge your own images four times with trained weights (any size, alpha kept)."""
    if weights != "bicubic":
        set_threads(threads)
    from reflash.evaluation.upscale import upscale_path

    upscale_path(
        source,
        destination,
        weights,
        tile,
        device,
        key.value if key else None,
        limit=limit,
        manifest=manifest,
    )


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help=".pth or .safetensors")],
    destination: Annotated[Path, typer.Argument(help=".pth or .safetensors")],
    key: Annotated[
        Weights | None, typer.Option(help="Which weights of the file; default: what it holds.")
    ] = None,
    layout: Annotated[KeyLayout, typer.Option(help="Keys of a written .pth.")] = KeyLayout.basicsr,
) -> None:
    """Convert weights between the authors' or BasicSR's .pth and safetensors."""
    from reflash.models.weights import convert as convert_weights

    convert_weights(source, destination, key.value if key else None, layout.value)


AnalysedWeights = Annotated[Path, typer.Option(help="Weights file of the network analysed.")]
LrImages = Annotated[Path, typer.Option(help="LR image, or folder of LR images.")]
HrImages = Annotated[Path, typer.Option(help="HR image, or folder of HR images.")]
RunName = Annotated[str | None, typer.Option(help="What the column run says.")]


@app.command()
def saliency(
    weights: AnalysedWeights,
    lr: LrImages,
    out: Annotated[Path, typer.Option(help="Folder for saliency.csv and maps.")],
    arrays: Annotated[bool, typer.Option("--arrays", help="Also save the maps as .npz.")] = False,
    run: RunName = None,
    settings: SettingsText = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Channel saliency maps of every layer, in one backward pass per image."""
    set_threads(threads)
    from reflash.interpretation.saliency import run_saliency
    from reflash.interpretation.settings import AnalysisSettings

    chosen = parse_settings(AnalysisSettings, settings)
    run_saliency(weights, lr, out, chosen, run=run, device=device, arrays=arrays)


@app.command()
def ablate(
    weights: AnalysedWeights,
    lr: LrImages,
    hr: HrImages,
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    layer: Annotated[list[str] | None, typer.Option(help="last, hr, b1, …; repeat.")] = None,
    run: RunName = None,
    settings: SettingsText = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """PSNR after removing each channel of a layer, one at a time."""
    set_threads(threads)
    from reflash.interpretation.ablation import run_ablation
    from reflash.interpretation.settings import AnalysisSettings

    chosen = parse_settings(AnalysisSettings, settings)
    layers = tuple(layer or ("last",))
    run_ablation(weights, lr, hr, out, chosen, run=run, device=device, layers=layers)


@app.command()
def mask(
    weights: AnalysedWeights,
    lr: LrImages,
    hr: HrImages,
    out: Annotated[Path, typer.Option(help="CSV to write; areas go to NAME_area.csv.")],
    layer: Annotated[str, typer.Option(help="last, hr, b1, …")] = "last",
    run: RunName = None,
    settings: SettingsText = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """PSNR while the channels of a layer are masked one after another."""
    set_threads(threads)
    from reflash.interpretation.masking import run_masking
    from reflash.interpretation.settings import AnalysisSettings

    chosen = parse_settings(AnalysisSettings, settings)
    run_masking(weights, lr, hr, out, chosen, run=run, device=device, layer=layer)


@app.command()
def represent(
    weights: AnalysedWeights,
    lr: Annotated[list[Path], typer.Option(help="Folder of LR images, named by its kind; repeat.")],
    out: Annotated[Path, typer.Option(help="Folder for points.csv and chi.csv.")],
    run: RunName = None,
    settings: SettingsText = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Deep representations of several degradations: PCA, t-SNE, Calinski-Harabasz index."""
    set_threads(threads)
    from reflash.interpretation.representations import run_representations
    from reflash.interpretation.settings import AnalysisSettings

    chosen = parse_settings(AnalysisSettings, settings)
    run_representations(weights, _by_kind(lr), out, chosen, run=run, device=device)


@app.command()
def sensitivity(
    weights: AnalysedWeights,
    lr: LrImages,
    hr: HrImages,
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    run: RunName = None,
    settings: SettingsText = "{}",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Drop features at test time: an SR network beside a small digit classifier."""
    set_threads(threads)
    from reflash.interpretation.sensitivity import run_sensitivity
    from reflash.interpretation.settings import AnalysisSettings

    chosen = parse_settings(AnalysisSettings, settings)
    run_sensitivity(weights, lr, hr, out, chosen, run=run, device=device)


ContextText = Annotated[str, typer.Option(help="YAML file or text: study, scale, models, labels.")]
RunFiles = Annotated[list[Path] | None, typer.Option(help="The CSV of a run; repeat.")]
ModelFolders = Annotated[
    list[Path] | None, typer.Option(help="A folder for each model, in order; repeat.")
]
SrFolders = Annotated[
    list[Path] | None,
    typer.Option(help="Folder of SR images, for bicubic and each model in order; repeat."),
]


def _by_model(option: str, models: tuple[str, ...], folders: list[Path] | None) -> dict[str, Path]:
    """Return the folders of an option by model."""
    if folders and len(folders) != len(models):
        raise ReflashError(
            f"{option}: {len(folders)} folders for {len(models)} models; give one for each"
        )
    return dict(zip(models, folders or (), strict=False))


@app.command()
def table(
    name: Annotated[str, typer.Argument(help="multi_degradation, dropout_grid, …")],
    context: ContextText,
    out: Annotated[Path, typer.Option(help="File to write; other formats go beside it.")],
    settings: SettingsText = "{}",
    evaluation: RunFiles = None,
    chi: RunFiles = None,
    cost: Annotated[Path | None, typer.Option(help="CSV of the benchmark of dropout.")] = None,
    claims: Annotated[Path | None, typer.Option(help="JSON of `reflash claims`.")] = None,
) -> None:
    """Make a table of the paper: CSV, Markdown and LaTeX."""
    from reflash.paper.tables.registry import make_table
    from reflash.study.artefacts import Tables
    from reflash.study.context import Context
    from reflash.study.inputs import Inputs

    inputs = Inputs(evaluations=evaluation or (), chi=chi or (), cost=cost, claims=claims)
    own = parse_settings(_artefact_settings(Tables, "table", name), settings)
    make_table(name, parse_settings(Context, context), own, inputs, out.with_suffix(""))


@app.command()
def figure(
    name: Annotated[str, typer.Argument(help="teaser_bars, training_curves, …")],
    out: Annotated[Path, typer.Option(help="File to write; other formats go beside it.")],
    redraw_from: Annotated[
        Path | None, typer.Option("--from", help="CSV of the figure: only draw it again.")
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="YAML file or text: study, scale, models, labels.")
    ] = None,
    settings: SettingsText = "{}",
    style: SettingsText = "{}",
    evaluation: RunFiles = None,
    log: RunFiles = None,
    saliency: RunFiles = None,
    concentration: RunFiles = None,
    ablation: RunFiles = None,
    masking: RunFiles = None,
    masking_area: RunFiles = None,
    points: RunFiles = None,
    chi: RunFiles = None,
    sensitivity: RunFiles = None,
    maps: ModelFolders = None,
    features: ModelFolders = None,
    sr: SrFolders = None,
    hr: Annotated[Path | None, typer.Option(help="Folder of HR images.")] = None,
    lr: Annotated[Path | None, typer.Option(help="Folder of LR images.")] = None,
    real: Annotated[Path | None, typer.Option(help="Folder of LR pictures without HR.")] = None,
    network: Annotated[str | None, typer.Option(help="YAML file or text of a network.")] = None,
) -> None:
    """Draw a figure of the paper (PDF, PNG) from results, or again from its own CSV."""
    from reflash.models.names import BICUBIC
    from reflash.models.settings import NetworkSettings
    from reflash.paper.figures.drawing import redraw
    from reflash.paper.figures.make import make_figure
    from reflash.study.artefacts import Figures, FigureStyle
    from reflash.study.context import Context
    from reflash.study.inputs import Inputs

    stem = out.with_suffix("")
    own = _artefact_settings(Figures, "figure", name)
    if redraw_from is not None:
        redraw(redraw_from, stem, None if style == "{}" else parse_settings(FigureStyle, style))
        return
    if context is None:
        raise ReflashError(f"figure {name}: give --context, or --from to draw it again")
    chosen = parse_settings(Context, context)
    inputs = Inputs(
        evaluations=evaluation or (),
        logs=log or (),
        saliency=saliency or (),
        concentration=concentration or (),
        ablation=ablation or (),
        masking=masking or (),
        masking_area=masking_area or (),
        points=points or (),
        chi=chi or (),
        sensitivity=sensitivity or (),
        maps=_by_model("--maps", chosen.models, maps),
        features=_by_model("--features", chosen.models, features),
        sr=_by_model("--sr", (BICUBIC, *chosen.models), sr),
        hr=hr,
        lr=lr,
        real=real,
        network=parse_settings(NetworkSettings, network) if network else None,
    )
    figure_style = parse_settings(FigureStyle, style)
    make_figure(name, chosen, parse_settings(own, settings), inputs, figure_style, stem)


@app.command()
def claims(
    context: ContextText,
    out: Annotated[Path, typer.Option(help="JSON to write.")],
    evaluation: RunFiles = None,
    settings: SettingsText = "{}",
    concentration: RunFiles = None,
    ablation: RunFiles = None,
    masking_area: RunFiles = None,
    points: RunFiles = None,
    chi: RunFiles = None,
    sensitivity: RunFiles = None,
    cost: Annotated[Path | None, typer.Option(help="CSV of the benchmark of dropout.")] = None,
) -> None:
    """Test the paper's claims: effect, interval and verdict of each, as JSON."""
    from reflash.paper.claims.model import write_claims
    from reflash.paper.claims.tests import examine_claims
    from reflash.study.artefacts import Claims
    from reflash.study.context import Context
    from reflash.study.inputs import Inputs

    inputs = Inputs(
        evaluations=evaluation or (),
        concentration=concentration or (),
        ablation=ablation or (),
        masking_area=masking_area or (),
        points=points or (),
        chi=chi or (),
        sensitivity=sensitivity or (),
        cost=cost,
    )
    chosen = parse_settings(Context, context)
    write_claims(out, examine_claims(chosen, parse_settings(Claims, settings), inputs))


def _artefact_settings(declared: Any, kind: str, name: str) -> Any:
    """Return the settings model of a table or figure, from the study's declaration of all."""
    fields = declared.model_fields
    if name not in fields:
        raise ReflashError(f"{kind} {name!r}: no such {kind}; there are: {', '.join(fields)}")
    return fields[name].annotation.__args__[0]


@app.command()
def report(
    out: Annotated[Path, typer.Argument(help="The page to write, e.g. report/index.html.")],
    context: Annotated[str, typer.Option(help="YAML file or text: study, scale, models, labels.")],
    table: Annotated[list[Path] | None, typer.Option(help="Table without suffix; repeat.")] = None,
    figure: Annotated[
        list[Path] | None, typer.Option(help="Figure without suffix; repeat.")
    ] = None,
    run: Annotated[list[Path] | None, typer.Option(help="Folder of a run; repeat.")] = None,
    claims: Annotated[Path | None, typer.Option(help="JSON of `reflash claims`.")] = None,
    command: Annotated[str, typer.Option(help="What makes all of this again.")] = "make reproduce",
) -> None:
    """Write the page that shows tables and figures with the paper's values beside."""
    from reflash.report.page import write_report
    from reflash.study.context import Context

    chosen = parse_settings(Context, context)
    write_report(out, chosen, table or (), figure or (), run or (), command, claims=claims)


@app.command()
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
    render: Annotated[
        bool, typer.Option("--render", help="Measure nothing, only write the page again.")
    ] = False,
) -> None:
    """Measure speed and memory of each stage on this machine."""
    from reflash.core.files import require_file
    from reflash.report.benchmarks import check_names, render_page, run_benchmarks

    check_names(names or ())
    if not quick:
        require_file(page, "run this in a clone of the project, or name the page with --page")
    try:
        if not render:
            run_benchmarks(names or (), folder, device, threads, quick)
    finally:
        if not quick:
            render_page(page, folder / "results")


@config_app.command("check")
def config_check(
    config: Annotated[Path, typer.Argument(help="The config.yaml to check.")] = Path(
        "config/config.yaml"
    ),
) -> None:
    """Check the configuration and show what it would make."""
    from reflash.study.plan import load_plan

    plan = load_plan(config)
    for model in plan.models:
        for run in plan.runs(model):
            typer.echo(f"run     {run}")
    for kind in ("tables", "figures"):
        for name in plan.artefacts(kind):
            typer.echo(f"{kind[:-1]:7} {name}")


@config_app.command("run")
def config_run(
    model: Annotated[str, typer.Argument(help="Model, network/setting/dropout.")],
    scale: Annotated[str, typer.Option(help="Scale that decides the rest.")] = "demo",
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    overrides: Annotated[
        str, typer.Option(help="YAML: keys of the scale to replace, as the workflow's overrides.")
    ] = "{}",
    folder: Annotated[Path, typer.Option(help="Folder of study/ and scale/.")] = Path("config"),
) -> None:
    """Print every setting of one run as JSON, to change and give to `reflash train --config`."""
    from reflash.study.config import load, parse_yaml
    from reflash.study.plan import Plan

    values = {"scale": scale, "overrides": parse_yaml(overrides, "--overrides")}
    settings = Plan(load(values, folder)).run_settings(f"{model}/seed{seed}")
    typer.echo(settings.model_dump_json(indent=2))


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON schema of the configuration (config/schema.json)."""
    import json

    from reflash.study.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, sort_keys=True))


@config_app.command("dvc")
def config_dvc(
    folder: Annotated[Path, typer.Option(help="Folder of study/ and scale/.")] = Path("config"),
) -> None:
    """Print dvc.yaml: what is stored of every scale."""
    from reflash.study.config import load
    from reflash.study.plan import Plan
    from reflash.study.store import STORED_SCALES, dvc_yaml

    plans = {scale: Plan(load({"scale": scale}, folder)) for scale in STORED_SCALES}
    seeds = {scale: plan.scale.seeds for scale, plan in plans.items()}
    typer.echo(dvc_yaml(list(plans["paper"].models), seeds), nl=False)


@store_app.command("publish")
def store_publish(
    scale: Annotated[str, typer.Option(help="Scale whose results are published.")] = "demo",
    datasets: Annotated[
        bool, typer.Option("--datasets", help="Also data/raw, where its terms let you pass it on.")
    ] = False,
) -> None:
    """Record finished results in DVC and push them where a remote is set."""
    from reflash.study.store import publish

    publish(scale, datasets)


@store_app.command("restore")
def store_restore(
    scale: Annotated[str, typer.Option(help="Scale whose results are restored.")] = "demo",
) -> None:
    """Bring back published results; the workflow then has nothing to train or fetch."""
    from reflash.study.store import restore

    restore(scale)


@config_app.command("readme")
def config_readme() -> None:
    """Print every key of the configuration as Markdown (config/README.md)."""
    from reflash.study.config import readme

    typer.echo(readme(), nl=False)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a mistake of the user is one line and exit status 1."""
    from reflash.core.files import explained

    try:
        app(args=arguments)
    except (ReflashError, OSError) as error:
        problem = explained(error) if isinstance(error, OSError) else error
        if not isinstance(problem, ReflashError):
            raise
        typer.echo(f"error: {problem}", err=True)
        sys.exit(1)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's; not imported here
            raise
        first = str(error).strip().splitlines()[0]
        typer.echo(
            f"error: the GPU's memory does not suffice ({first}); free it, use a smaller "
            "training.batch or evaluation.tile, or --device cpu",
            err=True,
        )
        sys.exit(1)
