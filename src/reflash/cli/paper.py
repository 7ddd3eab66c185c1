"""Tables, figures, claims, metrics and the report, each from the results of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reflash.cli.common import DEMO, Results, examples, make_app, parse_settings, settings_help
from reflash.core.errors import ReflashError
from reflash.core.files import with_ending

app = make_app("")

SUFFIXES = (".csv", ".json", ".md", ".tex", ".pdf", ".png")


def without_suffix(path: Path) -> Path:
    """Return ``path`` without the suffix of a format we write; ``fig_p0.7`` has none."""
    return path.with_suffix("") if path.suffix in SUFFIXES else path


@app.command(
    epilog=examples(
        "reflash table multi_degradation --results results/demo",
        "reflash table multi_degradation --from results/demo/tables/multi_degradation.csv "
        "--settings '{kinds: [clean, noise, mean], caption: short}' --out paper/main.tex",
    )
)
def table(
    name: Annotated[str, typer.Argument(help="multi_degradation, dropout_grid, …")],
    results: Results = DEMO,
    out: Annotated[
        Path | None, typer.Option(help="File to write, other formats beside it; default: there.")
    ] = None,
    printed_from: Annotated[
        Path | None, typer.Option("--from", help="CSV of the table: only print it again.")
    ] = None,
    settings: Annotated[
        str | None,
        typer.Option(
            help=settings_help("metric, decimals, kinds, sets, caption, …", "the table's settings")
        ),
    ] = None,
) -> None:
    """Make a table of a study: CSV, Markdown and LaTeX; or print it again from its own CSV."""
    from reflash.paper.tables.registry import make_table, print_again
    from reflash.study.inputs import read_inputs
    from reflash.study.runs import artefact_context
    from reflash.study.saved import open_results

    plan, root = open_results(results)
    chosen = plan.artefact("tables", name)
    if settings is not None:
        if out is None:
            raise ReflashError("--settings: give --out, the table to write")
        given = parse_settings(type(chosen), settings)
        changes = {key: getattr(given, key) for key in given.model_fields_set}
        chosen = chosen.model_copy(update=changes)
    context = artefact_context(plan, "tables", name, root)
    if printed_from is not None:
        if out is None:
            raise ReflashError("--from: give --out, the table to write")
        print_again(name, printed_from, context, chosen, without_suffix(out))
        return
    stem = without_suffix(out) if out else root / plan.files.table(name)
    make_table(name, context, chosen, read_inputs(plan, "tables", name, root), stem)


@app.command(
    epilog=examples(
        "reflash figure teaser_bars --results results/demo",
        "reflash figure teaser_bars --from figures/demo/teaser_bars.csv --out bars.pdf",
    )
)
def figure(
    name: Annotated[str, typer.Argument(help="teaser_bars, training_curves, …")],
    results: Results = DEMO,
    out: Annotated[
        Path | None, typer.Option(help="File to write, other formats beside it; default: there.")
    ] = None,
    redraw_from: Annotated[
        Path | None, typer.Option("--from", help="CSV of the figure: only draw it again.")
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(help=settings_help("font_size, width, dpi, font_family, palette", "style")),
    ] = None,
) -> None:
    """Draw a figure of a study (PDF, PNG) from results, or again from its own CSV."""
    from reflash.paper.figures.drawing import make_figure, redraw
    from reflash.study.artefacts import FigureStyle
    from reflash.study.inputs import read_inputs
    from reflash.study.runs import artefact_context
    from reflash.study.saved import open_results

    own_style = parse_settings(FigureStyle, style) if style else None
    if redraw_from is not None:
        if out is None:
            raise ReflashError("--from: give --out, the figure to write")
        redraw(redraw_from, without_suffix(out), own_style)
        return
    plan, root = open_results(results)
    settings = plan.artefact("figures", name)
    stem = without_suffix(out) if out else root / plan.files.figure(name)
    context = artefact_context(plan, "figures", name, root)
    inputs = read_inputs(plan, "figures", name, root)
    make_figure(name, context, settings, inputs, own_style or plan.config.style, stem)


@app.command(epilog=examples("reflash claims --results results/demo"))
def claims(
    results: Results = DEMO,
    out: Annotated[Path | None, typer.Option(help="JSON to write; default: there.")] = None,
) -> None:
    """Test the paper's claims: effect, interval and verdict of each, as JSON."""
    from reflash.paper.claims.model import write_claims
    from reflash.paper.claims.tests import examine_claims
    from reflash.study.inputs import read_inputs
    from reflash.study.runs import artefact_context
    from reflash.study.saved import open_results

    plan, root = open_results(results)
    settings = plan.artefact("tables", "claims")
    context = artefact_context(plan, "tables", "claims", root)
    findings = examine_claims(context, settings, read_inputs(plan, "claims", root=root))
    write_claims(out or root / plan.files.claims, findings)


@app.command(epilog=examples("reflash metrics --results results/demo"))
def metrics(
    results: Results = DEMO,
    out: Annotated[Path | None, typer.Option(help="JSON to write; default: there.")] = None,
) -> None:
    """Write the main models' mean PSNR: JSON of the first test set for `dvc metrics show`, CSV."""
    import pandas as pd

    from reflash.core.files import write_csv, write_json
    from reflash.evaluation.summary import main_psnr
    from reflash.paper.scores import read_table
    from reflash.study.inputs import evaluation_files
    from reflash.study.saved import open_results

    plan, root = open_results(results)
    path = out or root / plan.files.metrics
    columns, remedy = ("run", "set", "kind", "image", "psnr"), "make it with reflash evaluate"
    parts = [read_table(root / file, columns, remedy) for file in evaluation_files(plan)]
    table = main_psnr(pd.concat(parts), plan.main_labels)
    write_csv(with_ending(without_suffix(path), ".csv"), table)
    first = table[table["set"] == plan.test_sets[0]]
    write_json(path, dict(zip(first["label"], first["psnr"].round(4).tolist(), strict=True)))


@app.command(epilog=examples("reflash report --results results/demo"))
def report(
    results: Results = DEMO,
    out: Annotated[Path | None, typer.Option(help="Page to write; default: there.")] = None,
) -> None:
    """Write the page that shows claims, figures and tables, and report.zip beside it."""
    from reflash.report.page import write_report
    from reflash.study.runs import study_context
    from reflash.study.saved import open_results

    plan, root = open_results(results)
    files, names = plan.files, plan.resolved
    page = out or root / files.report
    write_report(
        page,
        study_context(plan, root),
        [root / files.table(name) for name in plan.artefacts("tables")],
        [root / files.figure(name) for name in plan.artefacts("figures")],
        [root / files.run(run) for run in plan.trained_runs],
        f"snakemake --cores all --config study={names.study_name} scale={names.scale_name}"
        + (" weights=released" if plan.released else ""),
        claims=root / files.claims if plan.claim_needs else None,
        weights=plan.origins(root),
        results=files.results,
        archive=page.with_name(Path(files.report_archive).name),
    )


@app.command(
    epilog=examples(
        "reflash findings README.md", "reflash findings notes.md --results results/demo"
    )
)
def findings(
    page: Annotated[
        Path,
        typer.Argument(
            help="Markdown with lines <!-- findings FOLDER --> and <!-- end -->; FOLDER holds a "
            "study's claims.json and tables. FOLDER claims 1, 3 shows these claims alone."
        ),
    ],
    results: Annotated[
        Path | None, typer.Option(help="Results for lines that name no folder.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Page to write; default: the same.")] = None,
) -> None:
    """Write a study's scores and claims into a Markdown page, between its two marks."""
    from reflash.report.findings import write_findings

    write_findings(page, results, out)
