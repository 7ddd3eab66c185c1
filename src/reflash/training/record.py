"""The record of a run: ``run.json`` in the run's folder says how its weights came about.

It holds the resolved settings, what identifies data and code, the hashes of the weights, and when,
where and with what the training took place. Whoever shows or reads weights can so tell whether
they are those that the run ended with (`check_record`). Reading a record needs no PyTorch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from reflash import __version__
from reflash.core.errors import ReflashError
from reflash.core.files import file_hash, require_file, write_json
from reflash.core.fingerprint import stage_fingerprint
from reflash.core.machine import cpu_name, source_commit
from reflash.training.settings import RunSettings

RECORD, LOG = "run.json", "log.csv"
WEIGHTS = {"params": "params.safetensors", "params_ema": "params_ema.safetensors"}
"""Files of a run's raw weights and of their moving average."""


class Record(BaseModel):
    """What ``run.json`` says of a run."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    """Name of the run."""
    settings: dict[str, Any]
    """Its resolved settings, every default included."""
    recipe: str
    """Hash of settings, data and training code: the same recipe, the same weights."""
    settings_key: str
    """Hash of the settings alone."""
    data: str
    """Hash of the content that the training pairs are made from."""
    made_from: str = ""
    """Hash of the images' settings and the code behind the pairs, from a workflow; empty: none."""
    code: str
    """Fingerprint of the training code."""
    weights: dict[str, str]
    """SHA-256 of the files of the weights: params and params_ema."""
    log: str = ""
    """SHA-256 of ``log.csv``; empty: not recorded."""
    iterations: int
    """Iterations of the whole training."""
    done: int
    """Iterations after which the weights were written; fewer where the run was stopped."""
    seconds: float
    """Duration of the training, interruptions left out."""
    device: str
    """Name of the GPU, or cpu."""
    processor: str
    """Name of the processor, and the widest vector instructions that PyTorch uses there."""
    precision: str = ""
    """Arithmetic of the network, fp32 or bf16; empty: not recorded."""
    threads: int
    """Threads of PyTorch."""
    runs_together: int
    """Number of runs trained on one stream of pairs."""
    versions: dict[str, str]
    """Versions of python, torch and reflash."""
    commit: str | None
    """Git commit of the source, ``+dirty`` where it was changed; null for an installed package."""
    finished: str | None
    """When the training ended, in UTC; null for a run that was stopped."""
    resumes: int
    """How many times the run was resumed."""


def settings_key(settings: RunSettings) -> str:
    """Return the hash of a run's settings."""
    return _hash(settings.model_dump(mode="json"))


def recipe(settings: RunSettings, data: str, validation: str, code: str | None = None) -> str:
    """Return the hash of all that decides a run's weights and log, nothing of the machine.

    Parameters
    ----------
    settings : RunSettings
    data, validation : str
        Keys of the training pairs and of the validation images.
    code : str, optional
        Fingerprint of the training code; by default that of this package.

    Examples
    --------
    >>> run = RunSettings.model_validate(
    ...     {"id": "a", "network": {"name": "srresnet"}, "dropout": "none", "setting": "multi",
    ...      "seed": 0})
    >>> recipe(run, "pairs", "photos") == recipe(run, "other pairs", "photos")
    False
    """
    code = stage_fingerprint("training") if code is None else code
    return _hash([settings.model_dump(mode="json"), data, validation, code])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def write_record(
    folder: Path,
    settings: RunSettings,
    *,
    recipe: str,
    data: str,
    made_from: str = "",
    done: int,
    seconds: float,
    device: str,
    precision: str,
    threads: int,
    runs_together: int,
    resumes: int,
    log: str = "",
) -> None:
    """Write ``run.json`` for the weights that lie in ``folder``; see `Record`.

    ``log`` is the text of the ``log.csv`` that will lie beside them.
    """
    import torch

    total = settings.training.iterations
    record = Record(
        run=settings.id,
        settings=settings.model_dump(mode="json"),
        recipe=recipe,
        settings_key=settings_key(settings),
        data=data,
        made_from=made_from,
        code=stage_fingerprint("training"),
        weights={name: file_hash(folder / file) for name, file in WEIGHTS.items()},
        log=hashlib.sha256(log.encode()).hexdigest() if log else "",
        iterations=total,
        done=done,
        seconds=seconds,
        device=device,
        processor=f"{cpu_name()}, {torch.backends.cpu.get_cpu_capability()}",
        precision=precision,
        threads=threads,
        runs_together=runs_together,
        versions={"python": python_version(), "torch": version("torch"), "reflash": __version__},
        commit=source_commit(),
        finished=datetime.now(UTC).isoformat(timespec="seconds") if done == total else None,
        resumes=resumes,
    )
    write_json(folder / RECORD, record.model_dump(mode="json"))


def read_record(folder: Path | str) -> Record | None:
    """Return the record of the run in ``folder``, or None where there is none.

    Raises
    ------
    ReflashError
        The file is damaged.
    """
    path = Path(folder) / RECORD
    try:
        return Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ReflashError(
            f"{path}: not the record of a run ({where or 'JSON'}: {first['msg']}); "
            "train the run again with reflash train --again"
        ) from error


def require_record(folder: Path | str) -> Record:
    """Return the record of the run in ``folder``; say so where it is missing or damaged."""
    require_file(Path(folder) / RECORD, "train the run again with reflash train --again")
    record = read_record(folder)
    assert record is not None
    return record


def check_record(
    folder: Path | str, run: str | None = None, weights: Literal["all", "if any"] = "all"
) -> list[str]:
    """Return what is wrong with the run in ``folder``: one line for each problem, none if sound.

    Found are a missing or damaged record, weights or a log that are missing or not those the
    training ended with, a run that was stopped before its end, and another run than ``run`` (by
    default, any will do). With ``weights="if any"`` a run may be without its weights, as a
    repository keeps it (`reflash.study.kept`).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [problem.split(": ")[1] for problem in check_record(folder)]
    ['no such file; train the run with reflash train']
    """
    folder = Path(folder)
    try:
        record = read_record(folder)
    except ReflashError as error:
        return [str(error)]
    if record is None:
        return [f"{folder / RECORD}: no such file; train the run with reflash train"]
    problems = []
    if run not in (None, record.run):
        problems.append(
            f"{folder}: holds run {record.run} instead of {run}; "
            "restore it, or train it again with reflash train --again"
        )
    held = any((folder / file).is_file() for file in WEIGHTS.values())
    for name, file in WEIGHTS.items() if held or weights == "all" else ():
        path = folder / file
        if not path.is_file():
            problems.append(f"{path}: no such file; train the run with reflash train")
        elif file_hash(path) != record.weights.get(name):
            problems.append(
                f"{path}: not the weights that run {record.run} ended with (see {RECORD}); "
                "restore them, or train the run again with reflash train --again"
            )
    if record.finished is None:
        problems.append(
            f"{folder}: stopped after iteration {record.done} of {record.iterations}; "
            "go on with reflash train"
        )
    elif not (folder / LOG).is_file():
        problems.append(f"{folder / LOG}: no such file; train the run with reflash train")
    elif record.log and file_hash(folder / LOG) != record.log:
        problems.append(
            f"{folder / LOG}: not the log of run {record.run} (see {RECORD}); "
            "restore it, or train the run again with reflash train --again"
        )
    return problems


def already_finished(
    folder: Path | str, settings: RunSettings, data: str, validation: str | None = None
) -> str | None:
    """Return a line to tell the user where ``folder`` holds this very run, finished; or None.

    ``data`` is the key of the training pairs, ``validation`` that of the validation images; without
    it, the log may be of others.

    Where one of the results is missing (a workflow removes them to make them again), nothing is
    finished.

    Raises
    ------
    ReflashError
        The folder holds results that training would replace: of other settings or images, weights
        that are not what the record says, or results without a record.
    """
    folder = Path(folder)
    if not all((folder / file).is_file() for file in (*WEIGHTS.values(), LOG)):
        return None
    record = read_record(folder)
    if record is None:
        raise ReflashError(
            f"{folder}: holds weights without a record ({RECORD}); give another folder, or "
            "replace them with --again"
        )
    changed = [key for key, *_ in differences(record.settings, settings.model_dump(mode="json"))]
    if record.data != data:
        changed.append("the training data")
    same_code = record.code == stage_fingerprint("training")
    known = validation is not None and same_code and not changed
    if known and record.recipe != recipe(settings, data, str(validation)):
        changed.append("the validation images")
    if changed:
        raise ReflashError(
            f"{folder}: holds run {record.run}, finished {record.finished} with other settings "
            f"({', '.join(changed)}); give another folder, or replace it with --again"
        )
    problems = check_record(folder)
    if problems:
        raise ReflashError(problems[0])
    other = "" if same_code else " with other training code"
    return (
        f"{settings.id}: already finished {record.finished}{other} in {folder}; "
        "train it again with --again"
    )


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = ""
) -> Iterable[tuple[str, Any, Any]]:
    """Yield (dotted key, old value, new value) where two nested mappings differ.

    >>> list(differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}))
    [('b.c', 2, 3)]
    """
    for key in dict.fromkeys((*before, *after)):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}", old, new
