"""The results page: one HTML file with everything in it, and an archive of the page and its files.

The page opens with what was found: for the paper's study its claims, for a study of the user's own
that study's results. Tables and figures are numbered in the order in which they stand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from pydantic import ValidationError

from reflash.core.errors import ReflashError
from reflash.core.files import require_file, with_ending, write_text
from reflash.core.machine import cpu_name, source_commit, source_remote
from reflash.models.names import BICUBIC, parse_model
from reflash.paper.tables.layout import Layout, column_groups
from reflash.report.attachments import Attachment, attach, smaller, write_archive
from reflash.report.claims import claims_section
from reflash.report.comparison import headline, main_comparison, restated_notes
from reflash.report.provenance import (
    AUTHORS_CODE,
    PAPER,
    SOURCE,
    installed_versions,
    run_row,
    short,
    source_link,
    training_facts,
)
from reflash.study.context import Context, evidence_sentence, listing
from reflash.training.record import require_record

PACKAGE = Path(__file__).parents[1]
TABLE_FILES = {"CSV": ".csv", "LaTeX": ".tex", "Markdown": ".md"}
FIGURE_FILES = {"CSV": ".csv", "PDF": ".pdf"}
OF_THE_PAPER = ("paper", "main", "short")
"""Studies whose page opens with the paper's claims; that of any other opens with its results."""

SCREEN = 1.3
"""How much larger than printed a figure is shown."""

Address = Callable[[Attachment], str]
"""Gives the address under which the page finds an attachment."""


def write_report(
    out_html: Path | str,
    context: Context,
    tables: Sequence[Path | str],
    figures: Sequence[Path | str],
    runs: Sequence[Path | str] = (),
    command: str = "make reproduce",
    versions: Mapping[str, str] | None = None,
    claims: Path | str | None = None,
    weights: Sequence[tuple[str, str, str]] = (),
    results: Path | str = "results/demo",
    archive: Path | str | None = None,
) -> None:
    """Write the results page of a study at a scale.

    Parameters
    ----------
    out_html
        The page; images, tables and the files behind them are inside it.
    context
        The study and scale; its models and test sets are those of the whole study.
    tables, figures
        Paths without suffix, as given to ``write_table`` and ``write_figure``, in order.
    runs
        Folders of runs, each with its record ``run.json``.
    command
        The command that regenerates all of this.
    versions
        Software and its version; by default what is installed here.
    claims
        ``claims.json``; the table ``claims`` is then shown as the summary of the claims.
    weights
        Model, file and its SHA-256 of weights that were not trained here.
    results
        Folder of the study's results, as the commands shown name it.
    archive
        A zip of the page with the files beside it, the PNG of each figure among them.

    Raises
    ------
    ReflashError
        A file of a table, figure or run is missing or not readable.
    """
    page = _Page(commit=source_commit(), results=str(results))
    records = [require_record(folder) for folder in runs]
    shown_tables = [page.table(Path(stem)) for stem in tables]
    shown_figures = [page.figure(Path(stem)) for stem in figures]
    shown_claims = None
    if claims is not None:
        own = [table for table in shown_tables if table["name"] == "claims"]
        shown_tables = [table for table in shown_tables if table not in own]
        files = [file for table in own for file in table["files"]]
        files.append(("JSON", attach(claims, "tables", "regenerate it with reflash claims")))
        shown_claims = claims_section(claims, files)
    multi = next((Path(s) for s in tables if Path(s).name == "multi_degradation"), None)
    multi_csv = with_ending(multi, ".csv") if multi else None
    found = _shown(headline(context, multi_csv)) if multi_csv else None
    summaries = [shown for shown in (shown_claims, found) if shown]
    if context.study not in OF_THE_PAPER:
        summaries.reverse()
    comparison = _shown(main_comparison(context, multi_csv))
    _number([*summaries, *shown_tables, comparison])
    _number(shown_figures)
    values = {
        "context": context,
        "warning": evidence_sentence(context),
        "models": by_setting(context),
        "bicubic": context.label(BICUBIC),
        "sets": listing(context.test_sets),
        "seeds": listing([str(seed) for seed in context.seeds]),
        "summaries": summaries,
        "comparison": comparison,
        "restated": restated_notes(),
        "claims": shown_claims,
        "tables": shown_tables,
        "figures": shown_figures,
        "runs": [run_row(record) for record in records],
        "training": training_facts(records) if records else None,
        "weights": list(weights),
        "results": page.results,
        "command": command,
        "paper": PAPER,
        "authors_code": AUTHORS_CODE,
        "commit": short(page.commit),
        "source": source_link(page.repository, page.commit),
        "commit_link": lambda commit: source_link(page.repository, commit),
        "short": short,
        "processor": cpu_name(),
        "versions": dict(versions) if versions is not None else installed_versions(),
    }
    out = Path(out_html)
    packed = {figure["image"].name: smaller(figure["image"]) for figure in shown_figures}
    write_text(out, _render(values, lambda file: packed.get(file.name, file).uri, inside=True))
    if archive is not None:
        write_archive(archive, lambda address: _render(values, address, inside=False))


def _render(values: Mapping[str, Any], address: Address, inside: bool) -> str:
    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Base64 needs no escaping, and escaping megabytes of it takes long.
    environment.globals["address"] = lambda file: Markup(address(file))
    css = (here / "page.css").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(values, css=css, inside=inside)


class _Page:
    """Reads tables and figures as the page shows them."""

    def __init__(self, commit: str | None, results: str) -> None:
        self.commit = commit
        self.repository = source_remote()
        self.results = results

    def table(self, stem: Path) -> dict[str, Any]:
        remedy = "make the table with reflash table"
        path = require_file(with_ending(stem, ".json"), remedy)
        try:
            layout = Layout.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise ReflashError(
                f"{path}: not a table file; regenerate it with reflash table"
            ) from error
        files = [
            (name, attach(with_ending(stem, suffix), "tables", remedy))
            for name, suffix in TABLE_FILES.items()
        ]
        return _shown(layout) | {"files": files, **self._made("table", layout.name)}

    def figure(self, stem: Path) -> dict[str, Any]:
        remedy = "make the figure with reflash figure"
        meta = _read_json(with_ending(stem, ".json"), remedy)
        image = attach(with_ending(stem, ".png"), "figures", remedy)
        try:
            name, title, caption, alt = (str(meta[k]) for k in ("name", "title", "caption", "alt"))
            dpi = float(meta["style"]["dpi"])
        except (KeyError, TypeError, ValueError) as error:
            path = with_ending(stem, ".json")
            raise ReflashError(f"{path}: does not describe a figure; {remedy}") from error
        width, height = (int.from_bytes(image.content[at : at + 4], "big") for at in (16, 20))
        shown = 96 * SCREEN / dpi
        files = [
            (kind, attach(with_ending(stem, suffix), "figures", remedy))
            for kind, suffix in FIGURE_FILES.items()
        ]
        return {
            "name": name,
            "title": title,
            "caption": caption,
            "alt": alt,
            "image": image,
            "width": round(width * shown),
            "height": round(height * shown),
            "files": files,
            **self._made("figure", name),
        }

    def _made(self, kind: str, name: str) -> dict[str, Any]:
        """Return the command that makes a table or figure, and its code with a link to it."""
        module = f"paper/{kind}s/{name}.py"
        path = PACKAGE / module
        code = None
        if path.is_file():
            code = Attachment(f"code/{kind}s/{name}.py", path.read_bytes())
        return {
            "command": f"reflash {kind} {name} --results {self.results}",
            "code": code,
            "code_link": source_link(self.repository, self.commit, f"{SOURCE}/{module}"),
        }


def _shown(layout: Layout) -> dict[str, Any]:
    return {
        "name": layout.name,
        "title": layout.title,
        "layout": layout,
        "groups": list(column_groups(layout.columns)),
        "files": [],
        "command": None,
        "code": None,
        "code_link": None,
    }


def _number(items: Iterable[dict[str, Any]]) -> None:
    """Give tables or figures their numbers, in the order in which the page shows them."""
    for number, item in enumerate(items, 1):
        item["number"] = number


def by_setting(context: Context) -> dict[str, list[str]]:
    """Return the names shown for the models, by the setting they are trained in."""
    names: dict[str, list[str]] = {}
    for model in context.models:
        names.setdefault(parse_model(model).setting, []).append(context.label(model))
    return names


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    require_file(path, remedy)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReflashError(f"{path}: is not valid JSON; {remedy}") from error
    if not isinstance(value, dict):
        raise ReflashError(f"{path}: expected a JSON object; {remedy}")
    return value
