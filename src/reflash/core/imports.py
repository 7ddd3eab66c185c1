"""Which files of this package a stage imports, so that the workflow can depend on them.

Snakemake compares a rule's inputs, parameters and its own text; it does not see that a command
imports modules. Each rule therefore lists the files its stage imports, found here from the
source text without importing anything.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _path(module: str) -> Path | None:
    """File of ``module`` (``reflash.a.b``), or None where it is no module of this package."""
    base = ROOT.joinpath(*module.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _imports(path: Path) -> frozenset[str]:
    """Modules of this package that the file at ``path`` imports, at any depth of its code.

    Imports under ``if TYPE_CHECKING`` do not run and do not count.
    """
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for branch in node.orelse:
                visit(branch)
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(n for n in names if n == "reflash" or n.startswith("reflash."))


@cache
def _data_files(path: Path) -> frozenset[Path]:
    """Find data files beside the module at ``path`` that its text names, alone or by folder."""
    files: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if not re.fullmatch(r"[\w-]+(\.[\w-]+)*", node.value):
                continue
            named = path.parent / node.value
            if named.is_dir() and not (named / "__init__.py").exists():
                files.update(f for f in named.iterdir() if f.is_file())
            elif named.is_file() and named.suffix != ".py":
                files.add(named)
    return frozenset(files)


def module_files(*modules: str, data: bool = True) -> list[Path]:
    """Return the files of ``modules`` and of everything of this package they import.

    Parameters
    ----------
    modules
        Dotted names, e.g. ``reflash.training.trainer``.
    data : bool
        Also list the data files beside them that their text names.

    Returns
    -------
    list of Path
        Sorted absolute paths.
    """
    todo, seen = list(modules), set()
    for module in modules:
        if _path(module) is None:
            raise ValueError(f"no module {module} in the package")
    files: set[Path] = set()
    while todo:
        module = todo.pop()
        path = _path(module)
        if module in seen or path is None:
            continue
        seen.add(module)
        files.add(path)
        if data:
            files |= _data_files(path)
        todo += _imports(path)
        if "." in module:
            todo.append(module.rsplit(".", 1)[0])
    return sorted(files)
