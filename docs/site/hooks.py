"""What mkdocs does not do by itself: pages made from code, and links to files outside docs/."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from reflash.cli.app import app
from reflash.study.documents import page as configuration_page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

COPIED = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Pages that are files of the project."""

PLACES = {
    **{source: page for page, source in COPIED.items()},
    "README.md": "index.md",
    "config/README.md": "reference/config.md",
    "src/reflash/functions.py": "reference/functions.md",
}
"""Where a link to a file outside docs/ leads on the site."""

MADE = ("figures/", "results/")
"""Folders of which the site takes every file that a page links to or shows."""

LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]+)?\)")

PYTHON = {
    "functions": ("Python functions", ["functions"]),
    "degradations": (
        "Python: degradations",
        [f"degradations.{name}" for name in ("benchmark", "second_order", "kernels", "settings")],
    ),
    "models": (
        "Python: networks and dropout",
        [f"models.{name}" for name in ("dropout", "srresnet", "rrdbnet", "external", "layers")],
    ),
    "training": (
        "Python: training",
        [f"training.{name}" for name in ("trainer", "pairs", "settings", "regulariser")],
    ),
    "evaluation": (
        "Python: evaluation",
        [f"evaluation.{name}" for name in ("evaluate", "metrics", "inference", "upscale")],
    ),
    "interpretation": (
        "Python: interpretation",
        [
            f"interpretation.{name}"
            for name in ("saliency", "ablation", "masking", "representations", "sensitivity")
        ],
    ),
}
"""Pages made from docstrings: title and modules."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are generated."""
    pages = {page: (ROOT / source).read_text() for page, source in COPIED.items()}
    pages["reference/commands.md"] = commands_page()
    for kind in ("config", "study", "scale"):
        pages[f"reference/{kind}.md"] = configuration_page(kind)
    for name, (title, modules) in PYTHON.items():
        blocks = "\n\n".join(f"::: reflash.{module}" for module in modules)
        pages[f"reference/{name}.md"] = f"# {title}\n\n{blocks}\n"
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    for source in sorted({outside for page in DOCS.rglob("*.md") for outside in _outside(page)}):
        if source.startswith(MADE):
            files.append(File.generated(config, source, abs_src_path=str(ROOT / source)))
    return files


def _outside(page: Path) -> Iterator[str]:
    """Yield the files outside docs/ that a page links to, seen from the project."""
    for found in LINK.finditer(page.read_text()):
        path = Path(os.path.normpath(page.parent / found[1]))
        if not path.is_relative_to(DOCS):
            yield path.relative_to(ROOT).as_posix()


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to files of the project to their pages."""
    own = page.file.src_uri
    folder = (ROOT / COPIED[own]).parent if own in COPIED else (DOCS / own).parent

    def led(found: re.Match[str]) -> str:
        target, anchor = found[1], found[2] or ""
        path = Path(os.path.normpath(folder / target))
        if path.is_relative_to(DOCS):
            place = path.relative_to(DOCS).as_posix()
        else:
            source = path.relative_to(ROOT).as_posix()
            if source not in PLACES and not source.startswith(MADE):
                raise PluginError(f"{own}: a link to {source}, which has no page")
            place = PLACES.get(source, source)
        return f"]({os.path.relpath(place, Path(own).parent)}{anchor})"

    return LINK.sub(led, markdown)


def commands_page() -> str:
    """Return every command with its help, examples and options."""
    parts = [
        "# Commands\n\n`reflash COMMAND --help` shows the same. Exit status: 0; 1 after a mistake "
        "in files or settings, with one line that says what to do; 2 after a mistake in the "
        "command; 75 where a training was stopped and resumes when run again; 130 after Ctrl-C.\n\n"
        "Completion of commands and options in bash, zsh, fish and "
        "PowerShell:\n\n"
        "```bash\nreflash --install-completion\n```\n"
    ]
    for path, command in _leaves(typer.main.get_command(app)):
        parts.append(f"## reflash {' '.join(path)}\n\n{inspect.cleandoc(command.help or '')}\n")
        lines = (command.epilog or "").splitlines()[2:]
        parts.append("```text\n" + "\n".join(line.strip() for line in lines) + "\n```\n")
        rows = [_row(option) for option in command.params if not getattr(option, "hidden", False)]
        if rows:
            table = "\n".join(f"| {name} | {text} | {default} |" for name, text, default in rows)
            parts.append(f"| argument or option | meaning | default |\n|---|---|---|\n{table}\n")
    return "\n".join(parts)


def _leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*path, name))
        else:
            yield (*path, name), command


def _row(option: Any) -> tuple[str, str, str]:
    names = [*option.opts, *option.secondary_opts]
    if option.param_type_name == "argument":
        names = [option.name.upper()]
    text = " ".join((option.help or "").split()).replace("|", "\\|").replace("{", "&#123;")
    default = option.default
    shown = "required" if option.required else ""
    if not option.required and default not in (None, False, ()) and not callable(default):
        shown = f"`{default}`"
    return ", ".join(f"`{name}`" for name in names), text, shown
