"""Imports point down only, and nothing goes round in a circle: drawn from the sources."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src/reflash"

FLOORS = (
    ("core",),
    ("models",),
    ("datasets",),
    ("degradations",),
    ("evaluation",),
    ("training", "interpretation"),
    ("study",),
    ("paper", "functions"),
    ("report",),
    ("cli", "functions"),
)
"""Folders from the ground up; those of one floor know nothing of each other."""


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: set[str]) -> set[str]:
    """Modules of the package that a file imports, wherever in it; not those for types alone."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path}: relative import"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
            names.add(node.module)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    below = {name.removeprefix("reflash.") for name in names if name.startswith("reflash.")}
    return below & known


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports(path, set(known)) - {name} for name, path in known.items()}


def test_imports_point_down_only() -> None:
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    upward = []
    for module, targets in graph().items():
        here = module.split(".")[0]
        if not here or here == "__main__":
            continue
        assert here in floor, f"{here}: a folder without a floor"
        for target in targets:
            there = target.split(".")[0]
            if there != here and floor[there] >= floor[here]:
                upward.append(f"{module} -> {target}")
    assert upward == []


def test_no_circle() -> None:
    edges = graph()
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module in done:
            return
        # A package's __init__ runs before its modules; its own imports count, being in it does not.
        for target in sorted(edges[module]):
            if not module.startswith(f"{target}."):
                visit(target, (*path, module))
        done.add(module)

    for module in edges:
        visit(module, ())


def test_the_test_sees_imports_inside_functions() -> None:
    assert "evaluation.evaluate" in imports(PACKAGE / "cli/evaluation.py", set(modules()))
