"""What the commands share: options, settings from text, threads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from reflash.core.errors import ReflashError


def _device(name: str) -> str:
    from reflash.core.devices import check_device_name

    return check_device_name(name)


def finite(number: float | None) -> float | None:
    """Refuse NaN and infinity as the value of an option."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is not a finite number.")
    return number


Device = Annotated[
    str,
    typer.Option(help="auto (a free GPU if there is one), cpu, cuda, cuda:N.", callback=_device),
]
Results = Annotated[
    Path, typer.Option(help="Folder of a study's results (the one with config.json).")
]
Overrides = Annotated[
    str,
    typer.Option(help="YAML: keys of the scale to replace (scale/*.yaml in config/README.md)."),
]
ConfigFolder = Annotated[Path, typer.Option(help="Folder of study/ and scale/.")]
CONFIG, DEMO = Path("config"), Path("results/demo")
Threads = Annotated[int, typer.Option(help="CPU threads; 0 leaves the choice to PyTorch.", min=0)]


def settings_help(keys: str, of: str) -> str:
    """Return the help of an option that takes settings: its keys, and where they are explained."""
    return f"YAML file, or YAML text starting with {{; keys: {keys} ({of} in config/README.md)."


def examples(*commands: str) -> str:
    """Return the end of a command's help: commands to try, each on a line of its own."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {command}" for command in commands)])


def parse_settings(model: Any, text: str) -> Any:
    """Return the settings in the YAML file ``text``, or in ``text`` itself if it starts with {."""
    from reflash.study.reading import parse_yaml, read_yaml, validate

    if text.lstrip().startswith("{"):
        return validate(model, parse_yaml(text, "settings"), "settings")
    return validate(model, read_yaml(Path(text)), text)


def set_threads(threads: int) -> None:
    """Limit PyTorch to ``threads`` CPU threads (0: its own choice) and let it keep its memory."""
    from reflash.core.allocation import keep_freed_memory

    keep_freed_memory()
    if threads:
        import torch

        torch.set_num_threads(threads)


def folders_by_kind(folders: list[Path]) -> dict[str, Path]:
    """Return the folders of --lr by their names, which are the kinds."""
    found = {folder.resolve().name: folder for folder in folders}
    if len(found) < len(folders):
        raise ReflashError("--lr: two folders have the same name; the name is the kind")
    return found


def make_app(help: str, completion: bool = False) -> typer.Typer:
    """Return an empty group of commands; the whole program has ``completion``."""
    return typer.Typer(
        no_args_is_help=True,
        add_completion=completion,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # formatting help with rich takes as long as all the rest
        context_settings={"help_option_names": ["-h", "--help"]},
        help=help,
    )
