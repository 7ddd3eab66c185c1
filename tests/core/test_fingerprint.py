"""What of the source counts for a stage's numbers, and what does not."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys

import pytest

from reflash.core import fingerprint as code
from reflash.core.fingerprint import MONITORS, PACKAGE, PLUMBING, STAGES, modules_of, tree_text

SOURCE = '''
"""A module."""

from reflash.core.errors import ReflashError

FACTOR = 0.5


def sharpen(x: float, weight: float = FACTOR) -> float:
    """Sharpen a value."""
    if x < 0:
        raise ReflashError(f"{x}: is below 0; give a value from 0 on")
    print("sharpening", x)  # tell the user
    return x + weight * x
'''

HARMLESS = {
    "a comment": ("# tell the user", "# say so"),
    "a docstring": ("Sharpen a value.", "Unsharp masking of one value."),
    "the module's docstring": ("A module.", "What this module holds."),
    "no docstring": ('    """Sharpen a value."""\n', ""),
    "no message": ('    print("sharpening", x)  # tell the user\n', ""),
    "formatting": ("def sharpen(x: float, weight", "def sharpen(\n    x: float,\n    weight"),
    "an error text": ("is below 0; give a value from 0 on", "negative; use a value >= 0"),
    "a message": ('print("sharpening", x)', 'print(f"now sharpening {x}")'),
    "a type": ("weight: float = ", "weight: int = "),
}

HARMFUL = {
    "a constant": ("0.5", "0.25"),
    "an operator": ("x + weight", "x - weight"),
    "a condition": ("x < 0", "x <= 0"),
    "the kind of error": ("raise ReflashError(", "raise ValueError("),
    "a default": ("= FACTOR", "= 1.0"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_changes_no_number_changes_no_fingerprint(name: str) -> None:
    old, new = HARMLESS[name]
    assert old in SOURCE
    assert tree_text(SOURCE.replace(old, new)) == tree_text(SOURCE)


@pytest.mark.parametrize("name", HARMFUL)
def test_what_may_change_a_number_changes_it(name: str) -> None:
    old, new = HARMFUL[name]
    assert old in SOURCE
    assert tree_text(SOURCE.replace(old, new)) != tree_text(SOURCE)


def test_progress_around_a_loop_is_not_its_content() -> None:
    plain = "for x in images:\n    f(x)"
    shown = "for x in track(images, 5, 'Evaluating'):\n    f(x)"
    assert tree_text(plain) == tree_text(shown) == tree_text(shown.replace("Evalu", "Calcul"))


def test_plumbing_and_monitors_are_modules() -> None:
    names = [*PLUMBING, *(name for names in MONITORS.values() for name in names)]
    for name in names:
        path = PACKAGE.joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), name


@pytest.mark.parametrize("stage", STAGES)
def test_stages_are_found_and_leave_out_plumbing(stage: str) -> None:
    modules = modules_of(*STAGES[stage], without=MONITORS.get(stage, ()))
    assert set(STAGES[stage]) <= set(modules)
    assert not set(PLUMBING) & set(modules)
    assert not any(name.startswith(("cli", "study")) for name in modules)


def test_training_depends_on_networks_and_degradation_but_not_on_metrics() -> None:
    modules = modules_of(*STAGES["training"], without=MONITORS["training"])
    assert {"models.srresnet", "models.rrdbnet", "degradations.second_order"} <= set(modules)
    assert not any(name.startswith(("evaluation", "paper", "report")) for name in modules)
    assert "degradations.benchmark" not in modules


@pytest.mark.parametrize(
    "stage",
    [
        *("evaluation", "upscaling", "saliency", "ablation", "masking"),
        *("representations", "sensitivity"),
    ],
)
def test_what_weights_are_opened_as_counts(stage: str) -> None:
    """Public weights stay as they are where the code of their network changes."""
    assert {"models.srresnet", "models.rrdbnet"} <= set(modules_of(*STAGES[stage]))


def test_everything_python_imports_is_found() -> None:
    """The text of the modules says what really importing them loads."""
    roots = [root for roots in STAGES.values() for root in roots]
    command = "; ".join(f"import reflash.{root}" for root in roots)
    script = f"import sys; {command}; print(*[m for m in sys.modules if m.startswith('reflash.')])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = {name.removeprefix("reflash.") for name in done.stdout.split()}
    packages = {n for n in loaded if PACKAGE.joinpath(*n.split(".")).is_dir()}
    left_out = {n for n in loaded if n.startswith(tuple(PLUMBING))}
    found = set(modules_of(*roots))
    assert loaded - packages - left_out <= found


def test_figures_and_tables_have_stages_of_their_own() -> None:
    bars = code.stage_fingerprint("figure/teaser_bars")
    assert bars != code.stage_fingerprint("figure/probability")
    assert bars == code.stage_fingerprint("figure/teaser_bars")


def test_unknown_stages_and_modules_are_refused() -> None:
    with pytest.raises(ValueError, match="no stage 'trainin'"):
        code.stage_fingerprint("trainin")
    with pytest.raises(ValueError, match="no module nothing"):
        code.fingerprint("nothing")


def test_data_files_that_a_module_names_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code.stage_fingerprint("report")
    assert any(f.name == "page.css" for f in code._data_files(PACKAGE / "report/page.py"))
    monkeypatch.setattr(code, "_data_files", lambda path: ())
    assert code.stage_fingerprint.__wrapped__("report") != before


def test_every_python_makes_the_same_of_a_source() -> None:
    """A newer Python is no reason to train again; CI runs this on each."""
    rare = 'async def f(*, a, b=1):\n    return {None: a, **b, "c": f"{a!r:>{b}} x"}\n'
    text = tree_text(SOURCE + rare)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "3bc90dffae1d2bd1"
    assert tree_text("x = {None: a}") != tree_text("x = {**a}")


def test_what_runs_only_for_type_checkers_is_no_import() -> None:
    module = code._Walk(ast.parse("if TYPE_CHECKING:\n    import a\nelse:\n    import b\n"))
    assert module.imports == {"b"}
