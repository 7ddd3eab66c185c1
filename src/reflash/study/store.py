"""Datasets and checkpoints in DVC: publishing what a finished workflow made, and restoring it.

DVC is the content store, never a second scheduler: it runs before and after the workflow, not in
its jobs. ``dvc.yaml`` declares, per scale, one frozen stage whose outputs are the test sets, the
runs, the resolved configuration and the provenance, and one for the datasets in ``data/raw``.

The provenance file holds what Snakemake knows of every stored file: its rule, settings and
fingerprint of code, the checksums of its inputs, and its time. Put back with the files, a restored
result is as current, or as outdated, as it was where it was made.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from reflash.core.errors import ReflashError
from reflash.core.files import file_hash, require_file, write_json
from reflash.study.checks import load_plan
from reflash.study.files import Files

WRITABLE_CACHES = {"reflink", "copy"}
"""DVC cache types that leave outputs writable; Snakemake fails on read-only ones."""


def publish(scale: str, datasets: bool = False) -> None:
    """Record the finished results of ``scale`` in DVC, and push them where a remote is set.

    With ``datasets`` those of ``data/raw`` go with them: most may not be passed on to others.

    Raises
    ------
    ReflashError
        The workflow has something left to do, DVC is missing or misconfigured, or a push failed.
    """
    remote = _checked_remote()
    declared = yaml.safe_load(require_file("dvc.yaml", "take it from git").read_text())
    scales = declared["stages"]["publish"]["foreach"]
    if scale not in scales:
        raise ReflashError(f"dvc.yaml: publish.foreach: add {scale} to {', '.join(scales)}")
    study = load_plan({"scale": scale}).scale.study  # whatever config/config.yaml names
    words = (f"scale={scale}", f"study={study}", "weights=trained")
    planned = _run("snakemake", "--dry-run", "--config", *words)
    if planned.returncode:
        raise ReflashError(f"scale {scale}: cannot be planned: {_last(planned)}")
    if "Nothing to be done" not in planned.stdout:
        raise ReflashError(
            f"scale {scale}: the workflow is not finished; run "
            f"`snakemake --cores all --config {' '.join(words)}` first"
        )
    _record_provenance(scale)
    stages = [f"publish@{scale}"]
    if datasets:
        stages.append("datasets")
    for stage in stages:
        _dvc("commit", "--force", stage, remedy="fix what DVC names")
        print(f"{stage}: recorded in dvc.lock; commit it to git")
    if remote is None:
        print("no DVC remote is set: nothing was pushed (dvc remote add --default NAME PLACE)")
        return
    _dvc("push", *stages, remedy="check the remote and publish again")
    print(f"pushed to the remote {remote}")


def restore(scale: str) -> None:
    """Bring back what dvc.lock records of ``scale``; Snakemake then finds nothing to train.

    Every file is checked against its recorded hash; a damaged one is removed, so that the next
    try fetches it again.

    Raises
    ------
    ReflashError
        Nothing was published, the remote is missing or incomplete, or a file is damaged.
    """
    remote = _checked_remote()
    stage = f"publish@{scale}"
    text = require_file("dvc.lock", "nothing was published").read_text()
    try:
        recorded = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ReflashError("dvc.lock: not valid YAML; resolve its conflicts with git") from error
    if stage not in recorded.get("stages", {}):
        raise ReflashError(f"dvc.lock: scale {scale} was not published; run make publish first")
    if remote is None:
        _dvc("checkout", stage, remedy="set the remote: dvc remote add --default …")
    else:
        remedy = "the remote is missing, incomplete or damaged: publish to an empty one"
        _dvc("pull", stage, remedy=remedy)
    damaged = list(_damaged(recorded["stages"][stage]["outs"]))
    if damaged:
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        raise ReflashError(
            f"{damaged[0]}: its content is not what was published{more}; it was removed, run "
            "again, and if this stays publish to an empty remote from a good copy"
        )
    _restore_provenance(scale)
    print(f"scale {scale}: restored")


RECORDS = Path(".snakemake/metadata")
"""Where Snakemake keeps one JSON record per output, named by the base64 of the output's path."""


def _provenance_path(scale: str) -> Path:
    return Path(Files(scale).results, "provenance.json")


def _record_provenance(scale: str) -> None:
    """Write Snakemake's record of every output in data and runs of ``scale``, with its time.

    Records of training data are kept although the data are not stored: with them Snakemake knows,
    without making the data again, that their settings and code are still the same.
    """
    files, outputs = Files(scale), {}
    recorded = (f"{files.data}/", f"{files.runs}/", f"{files.results}/metrics.", files.config)
    for path in sorted(RECORDS.rglob("*")):
        name = path.relative_to(RECORDS).as_posix()
        output = _output_of(name)
        if path.is_file() and output.startswith(recorded):
            time = Path(output).stat().st_mtime_ns if Path(output).exists() else None
            outputs[output] = {
                "mtime_ns": time,
                "record_name": name,
                "record": json.loads(path.read_text()),
            }
    write_json(_provenance_path(scale), {"outputs": outputs})


def _output_of(record_name: str) -> str:
    """Return the output that a record is of; long names are split over folders marked by @."""
    encoded = "".join(part.removeprefix("@") for part in record_name.split("/"))
    try:
        return base64.urlsafe_b64decode(encoded).decode()
    except ValueError:
        return ""  # not a record of Snakemake's


def _restore_provenance(scale: str) -> None:
    """Give restored outputs their times, and Snakemake its records of them."""
    RECORDS.with_name("incomplete").mkdir(parents=True, exist_ok=True)  # the layout it expects
    files, path = Files(scale), require_file(_provenance_path(scale), "publish again")
    for output, known in json.loads(path.read_text())["outputs"].items():
        name = PurePosixPath(known["record_name"])
        if _output_of(str(name)) != output or name.is_absolute() or ".." in name.parts:
            raise ReflashError(f"{path}: {name} is no record of {output}; publish again")
        present = Path(output).exists()
        if present and not output.startswith((f"{files.data}/test/", f"{files.results}/")):
            continue  # training data of this clone: what is known of them here is right
        write_json(RECORDS / known["record_name"], known["record"])
        if present and known["mtime_ns"] is not None:  # null: not there when it was published
            os.utime(output, ns=(known["mtime_ns"], known["mtime_ns"]))


def _damaged(outs: list[dict[str, Any]]) -> Iterator[Path]:
    """Yield (and remove, with its cache object) each restored file that has another content."""
    cache = Path(_dvc("cache", "dir", remedy="fix .dvc/config").stdout.strip()) / "files" / "md5"
    for out in outs:
        digest, root = out["md5"], Path(out["path"])
        if digest.endswith(".dir"):
            listing = json.loads((cache / digest[:2] / digest[2:]).read_text())
            files = [(root / entry["relpath"], entry["md5"]) for entry in listing]
        else:
            files = [(root, digest)]
        for path, expected in files:
            if file_hash(path, "md5") != expected:
                path.unlink()
                (cache / expected[:2] / expected[2:]).unlink(missing_ok=True)
                yield path


def _checked_remote() -> str | None:
    """Return the name of DVC's remote, None without; raise where DVC cannot be used."""
    if shutil.which("dvc", path=_search_path()) is None:
        raise ReflashError("DVC is not installed; pip install 'reflash[dvc]'")
    # Of a key that several files set, the last is DVC's choice.
    lines = _run("dvc", "config", "--list").stdout.splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    types = settings.get("cache.type", "")
    read_only = [kind for kind in types.split(",") if kind and kind not in WRITABLE_CACHES]
    if read_only:
        raise ReflashError(
            f".dvc/config: cache.type {types}: {read_only[0]}s make outputs read-only and the "
            "workflow fails; set it with: dvc config --local cache.type reflink,copy"
        )
    return settings.get("core.remote") or None


def _dvc(*arguments: str, remedy: str) -> subprocess.CompletedProcess[str]:
    """Run DVC; its last word and ``remedy`` become the error."""
    result = _run("dvc", *arguments)
    if result.returncode:
        raise ReflashError(f"dvc {arguments[0]}: {_last(result)}; {remedy}")
    return result


def _last(result: subprocess.CompletedProcess[str]) -> str:
    """Return the first line of what went wrong."""
    lines = [line.strip() for line in (result.stderr or result.stdout).splitlines()]
    errors = [
        line.removeprefix("ERROR: ").removeprefix("error: ")
        for line in lines
        if line.lower().startswith("error: ")
    ]
    return (errors or [line for line in lines if line] or ["exited without output"])[0]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which(command[0], path=_search_path()) or command[0], *command[1:]],
        capture_output=True,
        text=True,
    )


def _search_path() -> str:
    """Return the path that finds the tools of this environment first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
