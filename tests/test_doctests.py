"""The examples in docstrings are run: they say what a function returns, so they must be true."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest
import torch

import reflash

NAMES = [
    "reflash",
    *(
        module.name
        for module in pkgutil.walk_packages(reflash.__path__, "reflash.")
        if not module.name.endswith("__main__")
    ),
]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def with_examples() -> list[str]:
    """Modules whose text holds an example: others need not be imported."""
    found = []
    for name in NAMES:
        path = Path(reflash.__path__[0], *name.split(".")[1:])
        file = (
            path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        )
        if ">>> " in file.read_text():
            found.append(name)
    return found


@pytest.mark.parametrize("name", with_examples())
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # an example may write files
    torch.manual_seed(0)
    result = doctest.testmod(import_module(name), optionflags=FLAGS)
    assert result.attempted
    assert not result.failed


def test_the_functions_that_make_pairs_and_test_sets_have_examples() -> None:
    names = {name.removeprefix("reflash.") for name in with_examples()}
    folder = "degradations."
    assert {f"{folder}{n}" for n in ("benchmark", "jpeg", "kernels", "sharpen", "draws")} <= names
