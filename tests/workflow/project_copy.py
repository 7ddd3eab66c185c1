"""Copies of the project in temporary folders, driven by real Snakemake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml

from reflash.study.artefacts import Figures, Tables
from warm_commands import warm_commands

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "config", "src", "dvc.yaml", "benchmarks/results")


def small_study(title: str, models: list[str], *shown: str) -> str:
    """Return a study file that shows the named tables and figures alone."""
    kinds = {"tables": Tables, "figures": Figures}
    artefacts = {
        kind: {name: {} if name in shown else None for name in sorted(declared.model_fields)}
        for kind, declared in kinds.items()
    }
    return yaml.safe_dump({"title": title, "models": models, **artefacts})


class Project:
    """One copy of the project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self, *command: str, check: bool = True, warm: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy, with the copy's own package first on the path.

        With ``warm`` it and its jobs are those of `warm_commands`.
        """
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        if warm:
            environment["PATH"] = f"{warm_commands()}{os.pathsep}{environment['PATH']}"
            environment["BASH_ENV"] = str(warm_commands() / "functions")
            if not self._same_code():
                environment["OWN_CODE"] = "yes"
        result = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        if check and result.returncode:
            raise AssertionError(f"{' '.join(command)}\n{result.stdout}\n{result.stderr}")
        return result

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake on two cores at scale tiny (unless the arguments name another)."""
        if not any(argument.startswith("scale=") for argument in arguments):
            arguments = (*arguments, "--config", "scale=tiny")
        return self.run("snakemake", "--cores", "2", *arguments, check=check, warm=True)

    def _same_code(self) -> bool:
        """Whether the copy's package is this project's, file by file."""
        for path in (self.folder / "src").rglob("*.py"):
            own = ROOT / path.relative_to(self.folder)
            if not own.is_file() or own.read_bytes() != path.read_bytes():
                return False
        return True

    def planned(self, *arguments: str) -> Counter[str]:
        """Return the rules a dry run would run and how often, without ``all``."""
        output = self.snakemake("--dry-run", *arguments).stdout
        if "Nothing to be done" in output:
            return Counter()
        table = output.split("Job stats:")[1].split("\n\n")[0]
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE))
        assert jobs.pop("total")
        return Counter({rule: int(count) for rule, count in jobs.items() if rule != "all"})

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file of the copy; it must be there."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} does not hold {old!r}"
        path.write_text(text.replace(old, new))


def copy_project(source: Path, target: Path, parts: tuple[str, ...] = PARTS) -> Project:
    """Copy the named parts with their times, as Snakemake looks at those."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    target.mkdir(parents=True, exist_ok=True)
    for part in parts:
        path = source / part
        if path.is_dir():
            shutil.copytree(path, target / part, ignore=ignore)
        elif path.exists():
            shutil.copy2(path, target / part)
    return Project(target)
