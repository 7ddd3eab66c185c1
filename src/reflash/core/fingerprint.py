r"""Fingerprints of code: what a stage's numbers depend on, and nothing else of the source.

Snakemake compares a rule's inputs and parameters; it does not see that a command imports modules.
Each rule therefore carries, as a parameter, the fingerprint of its stage: a hash over the syntax
trees of the modules that the stage imports. What cannot change a number is left out of the trees
(docstrings, comments, formatting, annotations, the texts of errors and messages), and modules
that decide no number are left out whole (``PLUMBING``). So a better error message reruns nothing,
and a changed operator reruns what it decides.

>>> source = "def f(x: int) -> int:\n    return x + 1\n"
>>> tree_text(source) == tree_text('def f(x):\n    "Add one."\n    return x + 1  # one')
True
>>> tree_text(source) == tree_text(source.replace("+ 1", "+ 2"))
False
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
"""Folder of this package."""

_NETWORKS = ("models.build",)
"""What weights are opened as: known to what reads weights (plumbing) and to no other module."""

STAGES: dict[str, tuple[str, ...]] = {
    "images": ("datasets.sources", "datasets.photos"),
    "cache": ("datasets.cache",),
    "leaks": ("datasets.leaks",),
    "degradation": ("degradations.benchmark",),
    "pairs": ("training.pairs", "training.pool"),
    "training": ("training.trainer", "training.pairs"),
    "evaluation": ("evaluation.evaluate", *_NETWORKS),
    "upscaling": ("evaluation.upscale", *_NETWORKS),
    "saliency": ("interpretation.saliency", *_NETWORKS),
    "ablation": ("interpretation.ablation", *_NETWORKS),
    "masking": ("interpretation.masking", *_NETWORKS),
    "representations": ("interpretation.representations", *_NETWORKS),
    "sensitivity": ("interpretation.sensitivity", *_NETWORKS),
    "metrics": ("evaluation.summary",),
    "claims": ("paper.claims.tests",),
    "report": ("report.page",),
}
"""Modules that each stage starts from; beside them there are ``table/NAME`` and ``figure/NAME``."""

PLUMBING = (
    "core.errors",  # what a failure says
    "core.files",  # how a file is written, whole or not at all; what is in it is decided elsewhere
    "core.failures",
    "core.progress",  # what is shown meanwhile
    "core.lock",  # who waits for whom
    "core.allocation",  # how memory is kept
    "core.machine",  # what a record says of the machine
    "core.devices",  # where it runs; results per device are the device's
    "core.fingerprint",  # this
    "core.settings",  # settings reach a stage as parameters of its rule, with every default
    "datasets.settings",
    "degradations.settings",
    "training.settings",
    "evaluation.settings",
    "interpretation.settings",
    "study",
    "datasets.registry",  # another dataset known; each dataset's images are inputs by their hashes
    "datasets.public_weights",  # how weights are fetched; their hashes are inputs
    "datasets.space",  # whether the disk has room
    "datasets.parallel",  # how work is spread
    "datasets.download",  # how files travel; their hashes are checked
    "datasets.fetch",
    "datasets.meter",
    "training.record",  # what is said of a run
    "training.state",  # how a resume state is kept
    "models.weights",  # file formats: weights arrive as they were saved or not at all
    "models.foreign",
    "models.factory",  # calls a user's own function; its file is in the run's settings by its hash
)
"""Modules that decide no number, and why. A prefix counts for the modules below it."""

MONITORS: dict[str, tuple[str, ...]] = {
    # The validation curve is drawn while training and decides no weight: a changed metric
    # evaluates again, and does not train again.
    "training": ("training.validation", "evaluation", "degradations.benchmark"),
}
"""Modules that a stage imports to watch or record itself."""

_MESSAGES = re.compile(r"print|say|echo|warn|log|debug|info|warning|track|report")


@cache
def stage_fingerprint(stage: str) -> str:
    """Return the fingerprint of a stage of ``STAGES``, of ``table/NAME`` or ``figure/NAME``.

    Raises
    ------
    ValueError
        There is no such stage.

    Examples
    --------
    >>> stage_fingerprint("training") == stage_fingerprint("training")
    True
    """
    kind, _, name = stage.partition("/")
    if name and kind in ("table", "figure"):
        shared = {"table": "tables.registry", "figure": "figures.drawing"}[kind]
        roots: tuple[str, ...] = (f"paper.{kind}s.{name}", f"paper.{shared}")
    elif stage in STAGES:
        roots = STAGES[stage]
    else:
        raise ValueError(f"no stage {stage!r}; use one of {', '.join(STAGES)}")
    return fingerprint(*roots, without=MONITORS.get(stage, ()))


def fingerprint(*roots: str, without: tuple[str, ...] = ()) -> str:
    """Hash the code of modules and of all they import, leaving out plumbing and ``without``.

    Parameters
    ----------
    *roots : str
        Modules below the package, for example ``training.trainer``.
    without : tuple of str
        Further modules to leave out; what only they import is left out too.
    """
    digest = blake2b(digest_size=10)
    for module in modules_of(*roots, without=without):
        path = module_path(module)
        assert path is not None
        digest.update(f"{module}\n{_read(path).essence}\n".encode())
        for file in _data_files(path):
            digest.update(f"{file.name}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def modules_of(*roots: str, without: tuple[str, ...] = ()) -> list[str]:
    """Return the modules behind a fingerprint, in order of name.

    Raises
    ------
    ValueError
        A root is no module of the package.
    """
    for root in roots:
        if module_path(root) is None:
            raise ValueError(f"no module {root} in the package")
    left_out = (*PLUMBING, *without)
    seen: set[str] = set()
    todo = list(roots)
    while todo:
        module = todo.pop()
        path = module_path(module)
        if module in seen or path is None:
            continue
        if any(module == name or module.startswith(f"{name}.") for name in left_out):
            continue
        seen.add(module)
        own = (name for name in _read(path).imports if name.startswith("reflash."))
        todo += (name.removeprefix("reflash.") for name in own)
    return sorted(seen)


def tree_text(source: str) -> str:
    """Return the syntax tree of ``source`` as text, without what cannot change a number.

    The text is the same in every version of Python that can read the source.
    """
    return _Walk(ast.parse(source)).essence


def _called(call: ast.Call) -> str:
    """Return the last name of what is called: ``echo`` of ``typer.echo(...)``."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


@cache
def module_path(module: str) -> Path | None:
    """File of a module below the package, or None where there is none."""
    base = PACKAGE.joinpath(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


class _Walk(ast.NodeVisitor):
    """What a fingerprint needs to know of a syntax tree; each node is visited once.

    Attributes
    ----------
    essence : str
        As `tree_text` returns it.
    imports : set of str
        Modules that it imports, at any depth of its code. Imports under ``if TYPE_CHECKING`` do
        not run and do not count.
    texts : set of str
        Its constants that are texts.
    """

    def __init__(self, tree: ast.AST) -> None:
        self.imports: set[str] = set()
        self.texts: set[str] = set()
        self._out: list[str] = []
        self._runs = True
        self.visit(tree)
        self.essence = "".join(self._out)

    def generic_visit(self, node: ast.AST, without: str = "") -> None:
        """Write a node's kind and what it has; which empty fields there are differs by Python."""
        self._out.append(f"{type(node).__name__}(")
        for field in node._fields:
            value = getattr(node, field, None)
            if value is None or value == [] or field == "ctx":
                continue
            items = value if isinstance(value, list) else [value]
            if field == without:
                self._only_read(items)
                continue
            self._out.append(f"{field}=")
            for item in items:
                before = len(self._out)
                if isinstance(item, ast.AST):
                    self.visit(item)
                else:
                    self._out.append(f"~{item!r}")  # no constant of the program
                if len(self._out) > before:
                    self._out.append(",")
        self._out.append(")")

    def _only_read(self, nodes: Sequence[ast.AST]) -> None:
        """Find imports and texts in what is left out of the essence."""
        written, self._out = self._out, []
        for node in nodes:
            self.visit(node)
        self._out = written

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.texts.add(node.value)
        self._out.append(repr(node.value))

    def visit_Name(self, node: ast.Name) -> None:
        self._out.append(node.id)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        # some versions of Python end the format of a value with an empty text
        node.values = [v for v in node.values if not isinstance(v, ast.Constant) or v.value]
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        value = node.value
        docstring = isinstance(value, ast.Constant) and isinstance(value.value, str)
        if docstring or (isinstance(value, ast.Call) and _MESSAGES.fullmatch(_called(value))):
            self._only_read([value])
        else:
            self.generic_visit(node)

    def visit_Pass(self, node: ast.Pass) -> None:
        pass  # a body of nothing but a docstring is as empty

    def visit_Call(self, node: ast.Call) -> None:
        if _called(node).endswith(("Error", "Exception", "Warning")):
            self.visit(node.func)  # which error it is counts, its text does not
        elif _called(node) == "track" and node.args:
            self.visit(node.args[0])  # what is gone through counts, its progress does not
        else:
            self.generic_visit(node)
            return
        self._only_read([*node.args, *node.keywords])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node, without="annotation")

    def visit_arg(self, node: ast.arg) -> None:
        self.generic_visit(node, without="annotation")

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.generic_visit(node, without="returns")

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_If(self, node: ast.If) -> None:
        if not isinstance(node.test, ast.Name) or node.test.id != "TYPE_CHECKING":
            self.generic_visit(node)
            return
        runs, self._runs = self._runs, False
        self._only_read(node.body)
        self._runs = runs
        for other in node.orelse:
            self.visit(other)

    def visit_Import(self, node: ast.Import) -> None:
        if self._runs:
            self.imports.update(alias.name for alias in node.names)
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if self._runs and node.module and not node.level:
            self.imports.add(node.module)
            self.imports.update(f"{node.module}.{alias.name}" for alias in node.names)
        self.generic_visit(node)


@cache
def _read(path: Path) -> _Walk:
    return _Walk(ast.parse(path.read_text(encoding="utf-8")))


@cache
def _data_files(path: Path) -> tuple[Path, ...]:
    """Find data files beside a module that its text names, alone or by their folder."""
    files: set[Path] = set()
    for named in path.parent.iterdir():
        if named.name not in _read(path).texts or named.suffix == ".py":
            continue
        if not named.is_dir():
            files.add(named)
        elif not (named / "__init__.py").exists():
            files.update(f for f in named.iterdir() if f.is_file())
    return tuple(sorted(files))
