"""The results page: one HTML file with everything in it, and links to the files beside it."""

from __future__ import annotations

import base64
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from pydantic import ValidationError

from reflash.core.errors import ReflashError
from reflash.core.files import require_file, write_text
from reflash.models.names import BICUBIC, parse_model
from reflash.paper.tables.layout import Layout, column_groups
from reflash.report.claims import claims_section
from reflash.report.comparison import main_comparison, restated_notes
from reflash.study.context import Context, evidence_sentence, listing
from reflash.training.record import RECORD, read_record

TABLE_FILES = {"CSV": ".csv", "Markdown": ".md", "LaTeX": ".tex"}
FIGURE_FILES = {"PDF": ".pdf", "PNG": ".png", "CSV": ".csv"}
PACKAGES = (
    "reflash",
    "torch",
    "numpy",
    "pandas",
    "opencv-python-headless",
    "pillow",
    "matplotlib",
    "scikit-learn",
)
SCREEN = 1.3
"""How much larger than printed a figure is shown."""


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
) -> None:
    """Write the results page of a study at a scale.

    Parameters
    ----------
    out_html
        The page; tables and figures are embedded, links to their files are relative to it.
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
        ``claims.json``; the table ``claims`` is then shown as a section of its own.
    weights
        Model, file and its SHA-256 of weights that were not trained here.

    Raises
    ------
    ReflashError
        A file of a table, figure or run is missing or not readable.
    """
    out = Path(out_html)
    shown_tables = [_table(Path(stem), out) for stem in tables]
    shown_claims = None
    if claims is not None:
        own = [table for table in shown_tables if table["layout"].name == "claims"]
        shown_tables = [table for table in shown_tables if table not in own]
        links = [link for table in own for link in table["files"]]
        shown_claims = claims_section(claims, [*links, ("JSON", _relative(Path(claims), out))])
    shown_figures = [_figure(Path(stem), out) for stem in figures]
    multi = [Path(stem) for stem in tables if Path(stem).name == "multi_degradation"]
    comparison = main_comparison(context, _with(multi[0], ".csv") if multi else None)
    values = {
        "context": context,
        "warning": evidence_sentence(context),
        "models": by_setting(context),
        "bicubic": context.label(BICUBIC),
        "sets": listing(context.test_sets),
        "seeds": listing([str(seed) for seed in context.seeds]),
        "comparison": {"layout": comparison, "groups": list(column_groups(comparison.columns))},
        "restated": restated_notes(),
        "claims": shown_claims,
        "tables": shown_tables,
        "figures": shown_figures,
        "runs": [_run(Path(folder)) for folder in runs],
        "weights": list(weights),
        "command": command,
        "versions": dict(versions) if versions is not None else installed_versions(),
    }
    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    css = (here / "page.css").read_text(encoding="utf-8")
    write_text(out, environment.get_template("page.html.j2").render(values, css=css))


def by_setting(context: Context) -> dict[str, list[str]]:
    """Return the names shown for the models, by the setting they are trained in."""
    names: dict[str, list[str]] = {}
    for model in context.models:
        names.setdefault(parse_model(model).setting, []).append(context.label(model))
    return names


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that make the results."""
    versions = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _table(stem: Path, page: Path) -> dict[str, Any]:
    path = require_file(_with(stem, ".json"), "make the table with reflash table")
    try:
        layout = Layout.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ReflashError(f"{path}: not a table file; regenerate it with reflash table") from error
    return {
        "id": f"table-{layout.name}",
        "layout": layout,
        "groups": list(column_groups(layout.columns)),
        "files": _links(stem, TABLE_FILES, page),
    }


def _figure(stem: Path, page: Path) -> dict[str, Any]:
    remedy = "make the figure with reflash figure"
    meta = _read_json(_with(stem, ".json"), remedy)
    png = require_file(_with(stem, ".png"), remedy).read_bytes()
    try:
        name, title, caption, alt = (str(meta[k]) for k in ("name", "title", "caption", "alt"))
        dpi = float(meta["style"]["dpi"])
    except (KeyError, TypeError, ValueError) as error:
        path = _with(stem, ".json")
        raise ReflashError(f"{path}: does not describe a figure; {remedy}") from error
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    shown = 96 * SCREEN / dpi
    return {
        "id": f"figure-{name}",
        "title": title,
        "caption": caption,
        "alt": alt,
        "data": base64.b64encode(png).decode("ascii"),
        "width": round(width * shown),
        "height": round(height * shown),
        "files": _links(stem, FIGURE_FILES, page),
    }


def _links(stem: Path, suffixes: Mapping[str, str], page: Path) -> list[tuple[str, str]]:
    """Return (name, relative address) of the files beside a stem; all must be there."""
    links = []
    for name, suffix in suffixes.items():
        path = require_file(_with(stem, suffix), "regenerate the table or figure")
        links.append((name, _relative(path, page)))
    return links


def _relative(path: Path, page: Path) -> str:
    """Return the address of a file as seen from the page."""
    return quote(Path(os.path.relpath(path.absolute(), page.absolute().parent)).as_posix())


def _run(folder: Path) -> dict[str, str]:
    """Return what the page says about one run."""
    remedy = "train the run again with reflash train --again"
    path = require_file(folder / RECORD, remedy)
    record = read_record(folder)
    assert record is not None
    try:
        network, training = record.settings["network"], record.settings["training"]
        size = network.get("factory") or (
            f"{network['name']}, {network['blocks']} blocks, {network['features']} features"
        )
        return {
            "id": record.run,
            "network": size,
            "iterations": f"{record.iterations:,}",
            "batch": f"{training['batch']} × {record.settings['pairs']['patch']} px",
            "time": duration(record.seconds),
            "device": record.device,
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ReflashError(f"{path}: does not describe a run ({error!r}); {remedy}") from error


def duration(seconds: float) -> str:
    """Return seconds as people read them: 12.3 s, 5 min 02 s, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    require_file(path, remedy)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReflashError(f"{path}: is not valid JSON; {remedy}") from error
    if not isinstance(value, dict):
        raise ReflashError(f"{path}: expected a JSON object; {remedy}")
    return value


def _with(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)
