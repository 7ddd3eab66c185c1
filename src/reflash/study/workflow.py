"""What the workflow files need of this machine and package, beside the plan of the study."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from reflash.core.imports import module_files
from reflash.study.config import Config


def prepare_environment(config: Config) -> None:
    """Set the environment that jobs inherit: where ``reflash`` is, the mirror, accepted terms.

    ``reflash`` of the environment that runs Snakemake is found also where that is not activated.
    A mirror reaches jobs this way and not as a parameter, because fetching the same images from
    elsewhere is no reason to train again.
    """
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    if config.mirror is not None:
        os.environ["REFLASH_MIRROR"] = config.mirror
    if config.accept_terms:
        os.environ["REFLASH_ACCEPT_TERMS"] = "1"


def code(*modules: str, data: bool = True) -> list[str]:
    """Return the files that a stage imports, below the working directory as relative paths.

    As inputs of a rule they make a change to one of them rerun the stage. Without ``data`` only
    source files count: what the registry says of a dataset reaches a stage through the dataset.
    """
    here = Path.cwd()
    files = module_files(*modules, data=data)
    return [str(f.relative_to(here) if f.is_relative_to(here) else f) for f in files]


def text(settings: BaseModel | Mapping[str, Any]) -> str:
    """Return settings as the JSON text that a command takes."""
    values = settings.model_dump(mode="json") if isinstance(settings, BaseModel) else settings
    return json.dumps(values, sort_keys=True)
