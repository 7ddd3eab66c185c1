"""Resume state: where an interrupted run continues, and only the same run.

A state file is named after the hash of everything but code that decides the run's weights and log
(its settings, and the content of its training and validation data). A run with other settings does
not find it and starts afresh; the same run continues from it bit by bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from pathlib import Path
from typing import Any

import torch

from reflash.core.errors import ReflashError
from reflash.core.files import atomic
from reflash.training.settings import RunSettings

LAYOUT = 2
"""Number of the layout of a state: states of another layout are not looked at."""


def run_key(settings: RunSettings, data_key: str, validation_key: str = "") -> str:
    """Return the hash that identifies a run: settings and data, nothing of the machine."""
    keys = [LAYOUT, settings.model_dump(mode="json"), data_key, validation_key]
    text = json.dumps(keys, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def state_path(folder: Path, key: str) -> Path:
    """Return where the state of run ``key`` lies in the run's folder."""
    return folder / f"state-{key}.pt"


def save_state(folder: Path, key: str, state: dict[str, Any]) -> None:
    """Write the state whole or not at all; an older state stays until the new one is complete."""
    content = io.BytesIO()  # torch.save to a full disk raises no OSError
    torch.save(state, content)
    with atomic(state_path(folder, key)) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_state(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the state of run ``key``, or None where there is none.

    Raises
    ------
    ReflashError
        The file is damaged.
    """
    path = state_path(folder, key)
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ReflashError(
            f"{path}: damaged; remove it and run again, the run then starts over"
        ) from error
    return state


def discard_states(folder: Path) -> None:
    """Remove every resume state of the folder; called when a run has ended."""
    for path in folder.glob("state-*.pt"):
        path.unlink()
