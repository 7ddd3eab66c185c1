"""Stands in for a program in a page's commands: it checks the arguments and does no work.

It is put on the path under the names of programs. `snakemake` plans for real (--dry-run), `make`
says what it would do (-n), `tensorboard` reads the folder and ends; `reflash` runs, except for what
needs a network connection or measures this machine, whose arguments are parsed.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARSED = (("data", "fetch"), ("data", "verify"), ("weights", "fetch"), ("bench",), ("plan",))


def real(name: str) -> str:
    """The program itself: what the path has behind the folder of stand-ins."""
    found = shutil.which(name, path=os.environ["REAL_PATH"])
    assert found, f"{name} is not installed"
    return found


def snakemake(words: list[str]) -> None:
    """Plan for real, once on pages that ask for it, as it takes seconds; else load the plan."""
    from reflash.study.checks import load_plan
    from reflash.study.reading import parse_yaml, read_yaml

    at = words.index("--config") + 1 if "--config" in words else len(words)
    given = [word for word in words[at:] if not word.startswith("-")]
    values = dict(word.split("=", 1) for word in given)
    typed = {key: parse_yaml(f"value: {text}", key)["value"] for key, text in values.items()}
    load_plan({**read_yaml(Path("config/config.yaml")), **typed})
    if "--workflow-profile" in words:
        profile = Path(words[words.index("--workflow-profile") + 1])
        assert (profile / "config.yaml").is_file(), profile
    planned = Path(os.environ["HOME"], "planned")
    # With a mirror or accepted terms it would ask for images that are not here.
    here = not {"mirror", "accept_terms"} & set(values)
    if os.environ["DRY_RUNS"] and here and not planned.exists():
        planned.touch()
        os.execv(real("snakemake"), ["snakemake", *words, "--dry-run"])


def reflash(words: list[str]) -> None:
    """Run, or where that needs more than this machine parse the arguments."""
    if not os.environ["PARSE_ALL"] and not any(tuple(words[: len(p)]) == p for p in PARSED):
        # Completion is for the shell that asks for it; the others are those of warm_commands.
        program = real("reflash") if "completion" in " ".join(words[:1]) else os.environ["REFLASH"]
        os.execv(program, ["reflash", *words])
    import typer

    from reflash.cli.app import app

    command, path = typer.main.get_command(app), ["reflash"]
    while hasattr(command, "commands"):
        path.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    command.make_context(" ".join(path), words)


def main() -> None:
    """Do what the name says that this runs under."""
    name, words = Path(sys.argv[0]).name, sys.argv[1:]
    if name == "make":
        os.execv(real("make"), ["make", "-n", *words])
    elif name == "tensorboard":
        os.execv(real("tensorboard"), ["tensorboard", "--inspect", *words])
    elif name == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for wanted in re.findall(r"reflash\[([\w,]+)\]", " ".join(words)):
            assert set(wanted.split(",")) <= set(extras["optional-dependencies"]), wanted
    elif name in ("dvc", "git"):  # test_store drives them for real
        assert words
    else:
        {"snakemake": snakemake, "reflash": reflash}[name](words)


if __name__ == "__main__":
    main()
