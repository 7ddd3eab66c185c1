"""What `--help` says: examples that each command accepts, and the keys of its settings."""

from __future__ import annotations

import os
import pydoc
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import reflash
from reflash.cli.app import app
from reflash.datasets.settings import (
    DatasetTestSettings,
    DatasetTrainingSettings,
    DeadLeavesSettings,
    FolderTestSettings,
    FolderTrainingSettings,
    SamplePhotosSettings,
)
from reflash.degradations.settings import BenchmarkSettings
from reflash.evaluation.settings import EvaluationSettings
from reflash.study.artefacts import FigureStyle
from reflash.training.settings import PoolSettings

PROGRAM: Any = typer.main.get_command(app)


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(leaves(PROGRAM))


def shown_help(path: tuple[str, ...]) -> str:
    context = COMMANDS[path].make_context(" ".join(path), [], resilient_parsing=True)
    return str(COMMANDS[path].get_help(context))


def option_help(path: tuple[str, ...], option: str) -> str:
    (found,) = [one for one in COMMANDS[path].params if option in one.opts]
    return str(found.help)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_shows_examples_that_it_accepts(path: tuple[str, ...]) -> None:
    text = shown_help(path)
    assert re.search(r"(?m)^ +Examples?:$", text)
    lines = [line.strip() for line in text.split("Example")[-1].splitlines()[1:]]
    assert lines
    own = 0
    for line in lines:
        program, *words = shlex.split(line.split(" > ")[0])
        assert program == "reflash"
        other = next(p for p in COMMANDS if tuple(words[: len(p)]) == p)
        COMMANDS[other].make_context(" ".join(other), words[len(other) :])
        own += other == path
    assert own, f"no example of {' '.join(path)}"


def test_options_that_take_settings_name_their_keys() -> None:
    models = {
        ("degrade", "--settings"): [BenchmarkSettings],
        ("evaluate", "--settings"): [EvaluationSettings],
        ("figure", "--style"): [FigureStyle],
        ("pairs", "--config"): [PoolSettings],
        ("data", "training-images", "--settings"): [
            DeadLeavesSettings,
            DatasetTrainingSettings,
            FolderTrainingSettings,
        ],
        ("data", "test-set", "--settings"): [
            SamplePhotosSettings,
            FolderTestSettings,
            DatasetTestSettings,
        ],
    }
    # What is not a choice there: the scale is 4, and a file is evaluated by its own key.
    without = {("degrade", "--settings"): {"scale"}, ("evaluate", "--settings"): {"weights"}}
    for (*path, option), of in models.items():
        text = option_help(tuple(path), option)
        keys = {key for model in of for key in model.model_fields}
        for key in keys - without.get((*path, option), set()):
            assert re.search(rf"\b{key}\b", text), f"{' '.join(path)}: {option} lacks {key}"


def test_settings_of_an_analysis_are_those_that_its_rule_passes(root: Path) -> None:
    rules = (root / "workflow/rules/interpretation.smk").read_text()
    passed = re.findall(
        r"analysis_settings\(([^)]*)\).*?reflash (\w+) ", rules, re.DOTALL
    )  # the command of a rule follows its params
    assert len(passed) == 5
    for keys, command in passed:
        names = set(re.findall(r'"(\w+)"', keys)) - {"kinds"}  # the folders of --lr
        listed = option_help((command,), "--settings").split("keys: ")[1].split(" (analysis")[0]
        assert set(listed.split(", ")) == names, command


def test_every_option_with_settings_names_keys_or_a_page() -> None:
    for path, command in COMMANDS.items():
        for option in command.params:
            if {"--settings", "--style", "--overrides", "--values", "--config"} & {*option.opts}:
                assert re.search(r"config/README\.md|reflash config run", option.help), path


@pytest.mark.parametrize(
    ("words", "expected"), [("reflash up", {"upscale"}), ("reflash data ve", {"verify"})]
)
def test_the_shell_completes_commands(words: str, expected: set[str]) -> None:
    environment = {
        **os.environ,
        "_REFLASH_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    command = [Path(sys.executable).with_name("reflash")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected


def test_help_of_the_package_lists_its_functions() -> None:
    page = pydoc.plain(pydoc.render_doc(reflash))
    functions = page.split("FUNCTIONS")[1].split("DATA")[0]
    names = set(re.findall(r"(?m)^    (\w+)(?: = \w+)?\(", functions))
    assert {"degrade", "evaluate", "load_network", "saliency", "upscale"} <= names
    assert {name for name in names if not name.startswith("__")} == set(reflash.__all__) - {
        "__version__"
    }
