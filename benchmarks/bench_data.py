"""Speed and memory of verifying images and of building the cache that training reads.

    python benchmarks/bench_data.py

500 synthetic photographs of 480x320 pixels as PNG. Each step runs in a process of its own, which
imports no PyTorch, and uses all cores: its time is wall time. Memory is measured with a fifth of
the images, too: streaming shows in that it hardly grows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from inputs import photograph

from reflash.datasets.cache import build_cache
from reflash.datasets.images import write_png
from reflash.datasets.manifest import check_folder, describe, read_manifest, write_manifest
from reflash.datasets.matching import image_files, scan
from reflash.datasets.parallel import core_count
from reflash.datasets.verify import compare, read_sums, write_sums
from reflash.report.benchmarks import Result, Spread, Table, digits, options, peak_mib

STEPS = {
    "verify a fetched set": "pixels and file hashes against manifest and SHA256SUMS",
    "verify a prepared folder": "pixels against manifest",
    "build the cache": "decode, verify, write one memory-mapped file",
}


def make(folder: Path, count: int) -> None:
    """Fill a folder with images, their manifest and their sums."""
    entries = []
    for i in range(count):
        rgb = photograph(320, 480, i)
        write_png(folder / f"im{i:04d}.png", rgb)
        entries.append(describe(f"im{i:04d}.png", rgb))
    write_manifest(folder, entries)
    write_sums(folder, {item.path.name: item.sha256_file for item in scan(image_files(folder))})


def carry_out(step: str, folder: Path) -> None:
    """Run one step in this process, and print its seconds and this process's memory as JSON."""
    began, problems = time.perf_counter(), []
    if step == "verify a fetched set":
        found = scan(image_files(folder))
        problems = compare(folder, read_manifest(folder), found)
        sums = read_sums(folder)
        problems += [f.path.name for f in found if f.sha256_file != sums[f.path.name]]
    elif step == "verify a prepared folder":
        problems = check_folder(folder)
    else:
        with tempfile.TemporaryDirectory() as cache:
            build_cache(folder, cache)
    if problems:
        raise SystemExit(f"error: {problems[0]}")
    print(json.dumps([time.perf_counter() - began, peak_mib()]))


def measure(step: str, folder: Path) -> tuple[float, float]:
    """Return what ``carry_out`` finds in a process of its own."""
    command = [sys.executable, __file__, "--step", step, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds, mib = json.loads(done.stdout)
    return seconds, mib


def main() -> None:
    if sys.argv[1:2] == ["--step"]:
        carry_out(sys.argv[2], Path(sys.argv[3]))
        return
    given = options(__doc__)
    count, rounds = (20, 1) if given.quick else (500, 3)
    settings = {"threads": core_count(), "rounds": rounds, "images": count}
    result = Result("data", "cpu", settings)
    table = Table(
        f"{count} PNG images of 480x320",
        ["step", "what", "images per second", "peak MiB", "with a fifth of the images"],
    )
    result.tables.append(table)
    with tempfile.TemporaryDirectory() as temporary:
        few, many = Path(temporary) / "few", Path(temporary) / "many"
        make(few, count // 5)
        make(many, count)
        for step, what in STEPS.items():
            seconds, mib = zip(*(measure(step, many) for _ in range(rounds)), strict=True)
            speed, memory = Spread(seconds).per_second(count), Spread(mib)
            result.keep(f"images per second, {step}", speed)
            result.keep(f"peak MiB, {step}", memory)
            few_mib = measure(step, few)[1]
            table.rows.append([step, what, str(speed), digits(memory.median), digits(few_mib)])
    result.save(given.out)


if __name__ == "__main__":
    main()
