"""Resume state: where an interrupted run continues, and only the same run.

A state file is named after the run's recipe (`reflash.training.record.recipe`): its settings, the
content of its training and validation data, and the training code. A run of another recipe does
not find it and starts afresh; the same run continues, and its results are bit-identical.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path
from typing import Any

import torch

from reflash.core.errors import ReflashError
from reflash.core.files import atomic


def state_path(folder: Path, recipe: str) -> Path:
    """Return where the state of a run lies in the run's folder.

    Examples
    --------
    >>> state_path(Path("run"), "0123abcd").as_posix()
    'run/state-0123abcd.pt'
    """
    return folder / f"state-{recipe}.pt"


def save_state(folder: Path, recipe: str, state: dict[str, Any]) -> None:
    """Write the state whole or not at all; an older state stays until the new one is complete.

    Its SHA-256 stands before it: PyTorch reads a file with changed bits without a word.
    """
    content = io.BytesIO()  # torch.save to a full disk raises no OSError
    torch.save(state, content)
    content.seek(0)
    digest = hashlib.file_digest(content, "sha256").digest()
    content.seek(0)
    # No view of the content: where writing fails, collecting one crashes Python 3.12.1.
    with atomic(state_path(folder, recipe)) as temporary, temporary.open("wb") as file:
        file.write(digest)
        shutil.copyfileobj(content, file)


def load_state(folder: Path, recipe: str) -> dict[str, Any] | None:
    """Return the state of a run, or None where there is none.

    Raises
    ------
    ReflashError
        The file is damaged.
    """
    path = state_path(folder, recipe)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        known = file.read(hashlib.sha256().digest_size)
        start = file.tell()
        if hashlib.file_digest(file, "sha256").digest() != known:
            raise ReflashError(
                f"{path}: damaged; remove it and run again, the run then starts over"
            )
        file.seek(start)
        content = io.BytesIO(file.read())
    state: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
    return state


def discard_states(folder: Path) -> None:
    """Remove every resume state of the folder; called when a run has ended."""
    for path in folder.glob("state-*.pt"):
        path.unlink()
