"""Tables, figures, claims and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from reflash.cli.common import (
    SettingsText,
    make_app,
    parse_settings,
)
from reflash.core.errors import ReflashError

app = make_app("")

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
