"""The resolved configuration beside the results, from which commands take what they need.

``results/SCALE/config.json`` (``results/SCALE/STUDY/config.json`` for other studies than the
scale's own) holds the study, the scale with all it extends and overrides, and the style of figures.
A command such as ``reflash figure NAME --results results/demo`` needs nothing else.
"""

from __future__ import annotations

from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.files import require_file, write_text
from reflash.study.config import Resolved
from reflash.study.plan import Plan


def save_config(plan: Plan, path: Path | str | None = None) -> Path:
    """Write the resolved configuration, by default where the study's results lie."""
    out = Path(path or plan.files.config)
    write_text(out, plan.resolved.model_dump_json(indent=1) + "\n")
    return out


def open_results(folder: Path | str) -> tuple[Plan, Path]:
    """Return the plan of the results in ``folder`` and the project's folder they belong to.

    Raises
    ------
    ReflashError
        The folder holds no configuration, or one that this version cannot read.
    """
    folder = Path(folder)
    path = require_file(
        folder / "config.json",
        "name the folder of a study's results, such as results/demo, made by the workflow or "
        "`reflash config save`",
    )
    try:
        plan = Plan(Resolved.model_validate_json(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ReflashError(
            f"{path}: not a configuration of this version; save it again with the workflow"
        ) from error
    below = Path(plan.files.results)
    # As it is called: a link such as results -> /scratch/results is part of the project.
    places = (folder.absolute(), folder.resolve())
    here = next((at for at in places if at.parts[-len(below.parts) :] == below.parts), None)
    if here is None:
        raise ReflashError(
            f"{folder}: holds the configuration of {below}; name that folder of a project"
        )
    root = here.parents[len(below.parts) - 1]
    return plan, Path() if root.resolve() == Path.cwd() else root
