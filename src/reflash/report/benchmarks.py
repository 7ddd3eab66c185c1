"""Measuring speed and memory, and the command that runs every benchmark of a clone.

``reflash bench`` runs the scripts ``benchmarks/bench_*.py`` one after another, each in a process
of its own, and writes their tables into ``docs/performance.md``. A script measures all sides of a
comparison in one run, in turns, and saves a `Result`: medians and spreads, the raw numbers, and
machine, versions and settings. On a CPU seconds are processor seconds, so that other work on the
machine counts little; on a GPU they are taken between two events.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from reflash.core.errors import ReflashError
from reflash.core.files import require_folder, write_csv, write_json
from reflash.core.machine import cpu_name, package_versions
from reflash.report.marked import replace_marked

if TYPE_CHECKING:
    import torch

NAMES = (
    "data",
    "degradation",
    "training",
    "several",
    "precision",
    "evaluation",
    "growth",
    "memory",
    "interpretation",
    "cost",
    "short",
)
"""The benchmarks, in the order in which they run."""

FOLDER = Path("benchmarks")
PACKAGES = ("torch", "numpy", "opencv-python-headless", "pillow")


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.values)

    def per_second(self, count: int) -> Spread:
        """Return how many of ``count`` things that take these seconds are done in one."""
        return Spread(tuple(count / value for value in self.values))

    def times(self, factor: float) -> Spread:
        """Return the measurements in another unit."""
        return Spread(tuple(value * factor for value in self.values))

    def over(self, other: Spread) -> Spread:
        """Return the ratios of measurements taken in the same rounds."""
        return Spread(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))

    def __str__(self) -> str:
        """Median and range, with three digits."""
        low, high = min(self.values), max(self.values)
        return f"{digits(self.median)} ({digits(low)}–{digits(high)})"


def digits(value: float) -> str:
    """Return a number with three significant digits and no exponent."""
    if value == 0:
        return "0"
    text = f"{float(f'{value:.3g}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass
class Table:
    """A table of a page: strings, ready to be shown."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [f"**{self.title}**", "", f"| {' | '.join(self.columns)} |"]
        lines.append("|" + "---|" * len(self.columns))
        return "\n".join(lines + [f"| {' | '.join(row)} |" for row in self.rows])


@dataclass
class Result:
    """What a benchmark found."""

    name: str
    device: str
    """``cpu`` or ``cuda``."""
    settings: dict[str, Any]
    tables: list[Table] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)

    def keep(self, name: str, spread: Spread) -> None:
        """Store all measurements under a name."""
        self.values[name] = [float(f"{value:.5g}") for value in spread.values]

    def markdown(self) -> str:
        """Return tables and notes as Markdown, with the machine they were measured on."""
        machine = self.machine
        where = machine.get("gpu") or f"{machine['cpu']}, {self.settings['threads']} thread(s)"
        line = f"*{where}; torch {machine['versions']['torch']}, {machine['date']}.*"
        notes = [f"- {note}" for note in self.notes]
        return "\n\n".join([t.markdown() for t in self.tables] + ["\n".join([*notes, "", line])])

    def write(self, folder: Path) -> Path:
        """Write ``NAME-DEVICE.json``, as far as it is measured."""
        self.machine = self.machine or machine(self.device)
        path = folder / f"{self.name}-{self.device}.json"
        write_json(path, asdict(self))
        return path

    def save(self, folder: Path) -> Path:
        """Write ``NAME-DEVICE.json`` and print the tables."""
        path = self.write(folder)
        print(self.markdown() + "\n", flush=True)
        return path


def load(path: Path) -> Result:
    """Read a result."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["tables"] = [Table(**table) for table in stored["tables"]]
    return Result(**stored)


def machine(device: str) -> dict[str, Any]:
    """Describe the machine, the versions and how busy it was."""
    described: dict[str, Any] = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": platform.system(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": {"python": platform.python_version(), **package_versions(PACKAGES)},
    }
    if device == "cuda":
        import torch

        described["gpu"] = torch.cuda.get_device_name()
        described["versions"]["cuda"] = str(torch.version.cuda)
    return described


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that a call takes: processor seconds, or a GPU's between two events."""
    if device.type != "cuda":
        began = time.process_time()
        work()
        return time.process_time() - began
    import torch

    torch.cuda.synchronize(device)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    torch.cuda.synchronize(device)
    return start.elapsed_time(end) / 1000


def in_turns(
    sides: Mapping[str, Callable[[], object]], rounds: int, device: torch.device, warm_up: int = 1
) -> dict[str, Spread]:
    """Measure the sides of a comparison, one after another in every round.

    A single round is a try whose times mean nothing: it has no warm-up.
    """
    for work in sides.values():
        for _ in range(warm_up if rounds > 1 else 0):
            work()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            seconds[name].append(timed(work, device))
    return {name: Spread(tuple(values)) for name, values in seconds.items()}


def in_processes(
    script: str, sides: Sequence[str], rounds: int, given: argparse.Namespace
) -> dict[str, list[Any]]:
    """Run a script with ``--side SIDE``, one side after another, each in a process of its own.

    Returns what each process printed in its last line, read as JSON.
    """
    command = [sys.executable, script, "--device", str(given.device)]
    command += ["--threads", str(given.threads), *(["--quick"] if given.quick else [])]
    found: dict[str, list[Any]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            done = subprocess.run(
                [*command, "--side", side], check=True, stdout=subprocess.PIPE, text=True
            )
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
    return found


def peak_mib() -> float:
    """Return the most memory this process had (on Linux not counting what its parent had)."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10
    except (OSError, IndexError):
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def options(
    description: str | None, add: Callable[[argparse.ArgumentParser], None] | None = None
) -> argparse.Namespace:
    """Parse what every benchmark takes: device, threads, folder of results, and whether in short.

    Options of its own are those that ``add`` adds. Limits PyTorch and OpenCV to the threads.
    """
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", type=Path, default=FOLDER / "results", help="folder of results")
    parser.add_argument("--quick", action="store_true", help="sizes of a test")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    if add is not None:
        add(parser)
    given = parser.parse_args()
    import cv2
    import torch

    from reflash.core.devices import choose_device

    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    given.device = choose_device(given.device)
    return given


def check_names(names: Sequence[str]) -> None:
    """Raise where a name is not that of a benchmark."""
    for name in names:
        if name not in NAMES:
            raise ReflashError(f"{name}: no such benchmark; there are: {', '.join(NAMES)}")


def run_benchmarks(
    names: Sequence[str],
    folder: Path = FOLDER,
    device: str = "auto",
    threads: int = 1,
    quick: bool = False,
) -> None:
    """Run the benchmarks ``names`` (default all) of a clone, each in a process of its own.

    Results go to ``folder / "results"``, or nowhere if ``quick``.

    Raises
    ------
    ReflashError
        There is no such benchmark, no clone here, or one failed; the others are run all the same.
    """
    folder = require_folder(folder, "run this in a clone of the project, which holds the scripts")
    check_names(names)
    failed = []
    with TemporaryDirectory() as nowhere:
        out = nowhere if quick else folder / "results"
        for name in names or NAMES:
            script = folder / f"bench_{name}.py"
            command = [sys.executable, str(script), "--out", str(out)]
            command += ["--device", device, "--threads", str(threads)]
            print(f"{name}: measuring", file=sys.stderr, flush=True)
            done = subprocess.run(command + ["--quick"] * quick, check=False)
            if done.returncode:
                failed.append(f"{script} (status {done.returncode})")
    if failed:
        raise ReflashError(f"{', '.join(failed)}: failed; see above. The others are measured")


def render(page: Path, results: Path) -> str:
    """Return the page with every table between its markers made anew from the results.

    A marker ``<!-- bench NAME -->`` is followed by the tables of ``NAME-cpu.json`` and
    ``NAME-cuda.json``, as far as they exist, and ends with ``<!-- end -->``.
    """

    def tables(found: re.Match[str]) -> str:
        paths = [results / f"{found['name']}-{device}.json" for device in ("cpu", "cuda")]
        shown = [load(path).markdown() for path in paths if path.is_file()]
        return "\n\n".join(shown or ["Not measured yet: `reflash bench`."])

    text = page.read_text(encoding="utf-8")
    return replace_marked(text, r"bench (?P<name>[\w-]+)", tables, page)[0]


def write_rows(path: Path, rows: Iterable[Mapping[str, object]], device: str) -> None:
    """Write rows as CSV, in place of the rows that the file has of the same ``device``."""
    import pandas as pd

    table = pd.DataFrame(list(rows), dtype=object)
    if path.is_file():
        before = pd.read_csv(path, dtype=object, keep_default_na=False)
        table = pd.concat([before[before["device"] != device], table])
    write_csv(path, table, float_format=None)
