"""Getting, making and checking images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from reflash.cli.common import examples, finite, make_app, parse_settings, settings_help
from reflash.core.errors import ReflashError

Recursive = Annotated[
    bool, typer.Option("--recursive", help="Also the images in subfolders (source: folder).")
]

TrainingImagesText = Annotated[
    str,
    typer.Option(
        help=settings_help(
            "source: dead_leaves with count, size, seed, r_min, r_max, texture, blur; dataset with "
            "names; or folder with folder, recursive; and sub_image, step",
            "training_images",
        )
    ),
]
TestSetText = Annotated[
    str,
    typer.Option(
        help=settings_help(
            "source: sample_photos; folder with folder, recursive; or dataset with name; and "
            "limit, crop",
            "test_sets",
        )
    ),
]

data_app = make_app("Get, make and check images.")


@data_app.command("list", epilog=examples("reflash data list"))
def data_list(
    raw: Annotated[Path, typer.Option(help="Folder the sets lie in.")] = Path("data/raw"),
) -> None:
    """Show the known datasets: images, size, use, terms, and whether they are here."""
    from reflash.datasets.table import print_datasets

    print_datasets(raw)


@data_app.command(
    "fetch",
    epilog=examples(
        "reflash data fetch Set5 Set14 --accept-terms", "reflash data fetch Set5 --source /data/sr"
    ),
)
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
        float,
        typer.Option(
            min=0.1, callback=finite, help="Seconds without data after which a transfer failed."
        ),
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


@data_app.command("verify", epilog=examples("reflash data verify Set5 Set14"))
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
    typer.echo(f"{', '.join(names)}: all images verified")


@data_app.command("leaks", epilog=examples("reflash data leaks --train train/ --test test/hr"))
def data_leaks(
    train: Annotated[list[Path], typer.Option(help="Folder of training images; repeat.")],
    test: Annotated[list[Path], typer.Option(help="Folder of test images; repeat.")],
    out: Annotated[
        Path | None,
        typer.Option(help="CSV to write; leaks that are found go beside it, to NAME.found.csv."),
    ] = None,
) -> None:
    """Look for test images among the training images: equal, scaled, flipped or cropped."""
    from reflash.datasets.leaks import find_leaks, write_leaks

    leaks = find_leaks(train, test)
    for leak in leaks:
        how = "has the same pixels as" if leak.kind == "pixels" else "is the same photograph as"
        typer.echo(
            f"{leak.train}: {how} {leak.test} (correlation {leak.correlation:.2f})", err=True
        )
    if leaks:
        if out is not None:
            # A job that failed may count as done by what lies there.
            out.unlink(missing_ok=True)
            write_leaks(out.with_suffix(".found.csv"), leaks)
        count = "1 leak" if len(leaks) == 1 else f"{len(leaks)} leaks"
        raise ReflashError(
            f"{leaks[0].train}: is the test image {leaks[0].test} ({count}); "
            "remove it from the training images"
        )
    if out is not None:
        write_leaks(out, leaks)
    typer.echo("no test image is among the training images")


@data_app.command(
    "training-images",
    epilog=examples(
        "reflash data training-images train/ --settings '{source: dead_leaves, count: 8}'"
    ),
)
def data_training_images(
    out: Annotated[Path, typer.Argument(help="Folder to fill.")],
    settings: TrainingImagesText,
    raw: Annotated[Path, typer.Option(help="Folder of named datasets.")] = Path("data/raw"),
    recursive: Recursive = False,
) -> None:
    """Make or gather the HR training images and write their manifest."""
    from reflash.datasets.settings import TrainingImagesSettings
    from reflash.datasets.sources import prepare_training_images

    chosen = _with_subfolders(parse_settings(TrainingImagesSettings, settings), recursive)
    prepare_training_images(chosen, out, raw)


@data_app.command("cache", epilog=examples("reflash data cache train/ cache/"))
def data_cache(
    source: Annotated[Path, typer.Argument(help="Folder of images.")],
    out: Annotated[Path, typer.Argument(help="Folder of the cache.")],
) -> None:
    """Decode a folder of images once into the memory-mapped cache that training reads."""
    from reflash.datasets.cache import build_cache

    build_cache(source, out)


@data_app.command(
    "test-set",
    epilog=examples("reflash data test-set test/hr --settings '{source: folder, folder: photos}'"),
)
def data_test_set(
    out: Annotated[Path, typer.Argument(help="Folder to fill.")],
    settings: TestSetText,
    mod: Annotated[int, typer.Option(min=1, help="Crop to a multiple of this many pixels.")] = 12,
    raw: Annotated[Path, typer.Option(help="Folder of named datasets.")] = Path("data/raw"),
    recursive: Recursive = False,
) -> None:
    """Make the HR images of a test set: gathered, cropped, with their manifest."""
    from reflash.datasets.settings import TestSetSettings
    from reflash.datasets.sources import prepare_test_set

    chosen = _with_subfolders(parse_settings(TestSetSettings, settings), recursive)
    prepare_test_set(chosen, out, mod, raw)


@data_app.command("join", epilog=examples("reflash data join test/*/manifest.csv --out images.csv"))
def data_join(
    files: Annotated[list[Path], typer.Argument(help="Manifests, or other CSV files.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
) -> None:
    """Join CSV files with the same columns into one, which changes when any of them does."""
    from reflash.datasets.manifest import join_tables

    join_tables(files, out)


def _with_subfolders(settings: Any, recursive: bool) -> Any:
    """Return settings of a folder of images with the option --recursive."""
    if not recursive:
        return settings
    if not hasattr(settings, "recursive"):
        raise ReflashError(f"--recursive: source {settings.source} has no subfolders; leave it out")
    return settings.model_copy(update={"recursive": True})


@data_app.command(
    "real-photos", epilog=examples("reflash data real-photos real/ --photos photos/ --limit 5")
)
def data_real_photos(
    out: Annotated[Path, typer.Argument(help="Folder to fill.")],
    photos: Annotated[
        str | None, typer.Option(help="Folder or dataset; default: sample photographs.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Only the first N by name.", min=1)] = 3,
    raw: Annotated[Path, typer.Option(help="Folder of named datasets.")] = Path("data/raw"),
) -> None:
    """Gather LR photographs without HR counterpart, with their manifest."""
    from reflash.datasets.real_photos import prepare_real_photos

    prepare_real_photos(photos, out, limit, raw)
