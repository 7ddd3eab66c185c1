"""Public weights, and those that the authors released."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reflash.cli.common import examples, make_app

weights_app = make_app("Get public weights, and import the authors'.")

Folder = Annotated[Path, typer.Option(help="Folder of public weights.")]
WEIGHTS = Path("data/weights")


@weights_app.command("list", epilog=examples("reflash weights list"))
def weights_list(folder: Folder = WEIGHTS) -> None:
    """Show the known public weights: size, whether they are here, terms."""
    from reflash.datasets.public_weights import weights_rows
    from reflash.datasets.table import print_table

    print_table(("name", "size", "here", "terms", "remark"), list(weights_rows(folder)))


@weights_app.command("fetch", epilog=examples("reflash weights fetch RealESRNet_x4plus"))
def weights_fetch(
    names: Annotated[list[str], typer.Argument(help="Names of `reflash weights list`.")],
    source: Annotated[
        str | None,
        typer.Option(
            envvar="REFLASH_MIRROR",
            metavar="FILE|FOLDER|URL",
            help="Mirror: the file, or what holds it; default: where they are published.",
        ),
    ] = None,
    folder: Folder = WEIGHTS,
) -> None:
    """Get public weights, by download or from a mirror, and verify them."""
    from reflash.datasets.public_weights import fetch_weights, find_weights

    for name in names:
        find_weights(name)
    for name in names:
        typer.echo(f"{name}: verified, {fetch_weights(name, source, folder)}")


@weights_app.command(
    "import",
    epilog=examples("reflash weights import ~/Downloads/Real-SRResNet.pth srresnet/multi/none"),
)
def weights_import(
    source: Annotated[Path, typer.Argument(help="Weights file, or a folder of the four.")],
    model: Annotated[
        str | None,
        typer.Argument(
            help="What the file is, e.g. rrdb/multi/none; default: by its content and name."
        ),
    ] = None,
) -> None:
    """Check the authors' weights and keep them for `weights: released` (docs/released.md)."""
    from reflash.study.released import import_weights

    for line in import_weights(source, model):
        typer.echo(line)
