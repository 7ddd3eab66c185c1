"""Speed and memory of verifying images and of building the cache that training reads.

    python benchmarks/bench_data.py [--images 500] [--out benchmarks/results/data.json]

Makes synthetic photographs of 480x320 pixels as PNG in a temporary folder, runs each step in a
process of its own, prints a table and writes the same as JSON with machine and versions. Memory is
measured with a fifth of the images too: streaming shows in that it hardly grows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from reflash.datasets.cache import build_cache
from reflash.datasets.images import Pixels, write_png
from reflash.datasets.manifest import check_folder, describe, read_manifest, write_manifest
from reflash.datasets.matching import image_files, scan
from reflash.datasets.parallel import core_count
from reflash.datasets.verify import compare, read_sums, write_sums
from reflash.files import write_json

HEIGHT, WIDTH = 320, 480
STEPS = {
    "verify a fetched set": "pixels and file hashes against manifest and SHA256SUMS",
    "verify a prepared folder": "pixels against manifest",
    "build the cache": "decode, verify, write one memory-mapped file",
}


def photograph(number: int) -> Pixels:
    """Return an image with the 1/f spectrum and the grain of photographs, (320, 480, 3) uint8."""
    rng = np.random.default_rng(number)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(HEIGHT), np.fft.rfftfreq(WIDTH), indexing="ij"))
    white = np.fft.rfft2(rng.normal(size=(HEIGHT, WIDTH)))
    grey = np.fft.irfft2(white / np.maximum(radius, 1 / WIDTH), s=(HEIGHT, WIDTH))
    grey *= 45 / grey.std()
    tint, grain = rng.normal(0, 12, 3), rng.normal(0, 2, (HEIGHT, WIDTH, 3))
    return (128 + grey[:, :, None] + tint + grain).clip(0, 255).astype(np.uint8)


def make(folder: Path, count: int) -> None:
    entries = []
    for i in range(count):
        rgb = photograph(i)
        write_png(folder / f"im{i:04d}.png", rgb)
        entries.append(describe(f"im{i:04d}.png", rgb))
    write_manifest(folder, entries)
    write_sums(folder, {item.path.name: item.sha256_file for item in scan(image_files(folder))})


def run(step: str, folder: Path) -> dict[str, float]:
    """Run one step in this process and return what it took."""
    began, cpu = time.perf_counter(), time.process_time()
    if step == "verify a fetched set":
        found = scan(image_files(folder))
        problems = compare(folder, read_manifest(folder), found)
        sums = read_sums(folder)
        problems += [f.path.name for f in found if f.sha256_file != sums[f.path.name]]
    elif step == "verify a prepared folder":
        problems = check_folder(folder)
    else:
        problems = []
        with tempfile.TemporaryDirectory() as cache:
            build_cache(folder, cache)
    if problems:
        raise SystemExit(f"error: {problems[0]}")
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    """Return the most memory this process had (on Linux not counting what its parent had)."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10
    except (OSError, IndexError):
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(step: str, folder: Path, repeats: int) -> dict[str, float]:
    """Run a step in processes of its own and return the fastest."""
    runs = []
    for _ in range(repeats):
        command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
        done = subprocess.run(command, check=True, capture_output=True)
        runs.append(json.loads(done.stdout))
    return min(runs, key=lambda values: values["seconds"])


def cpu_name() -> str:
    """Return the processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "data.json")
    parser.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(run(options.step, options.folder)))
        return
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        few, many = Path(temporary) / "few", Path(temporary) / "many"
        make(few, options.images // 5)
        make(many, options.images)
        size = sum(path.stat().st_size for path in image_files(many)) / options.images
        for step, what in STEPS.items():
            taken = measure(step, many, options.repeats)
            results.append(
                {
                    "step": step,
                    "what": what,
                    "images_per_second": round(options.images / taken["seconds"], 1),
                    "cpu_ms_per_image": round(1000 * taken["cpu_seconds"] / options.images, 2),
                    "peak_mib": round(taken["peak_mib"], 1),
                    "peak_mib_with_a_fifth": round(measure(step, few, 1)["peak_mib"], 1),
                }
            )
    print(f"{options.images} PNG images of {WIDTH}x{HEIGHT}, {size / 1000:.0f} kB each")
    print(f"{'step':26}{'images/s':>10}{'CPU ms/image':>14}{'peak MiB':>10}{'with 1/5':>10}")
    for row in results:
        print(
            f"{row['step']:26}{row['images_per_second']:10.0f}{row['cpu_ms_per_image']:14.2f}"
            f"{row['peak_mib']:10.0f}{row['peak_mib_with_a_fifth']:10.0f}"
        )
    packages = ("numpy", "opencv-python-headless", "pillow")
    write_json(
        options.out,
        {
            "images": {"count": options.images, "size": f"{WIDTH}x{HEIGHT}", "bytes": round(size)},
            "machine": {
                "cpu": cpu_name(),
                "cores": core_count(),
                "system": platform.system(),
                "load_average": [round(value, 2) for value in os.getloadavg()],
            },
            "versions": {"python": platform.python_version()}
            | {package: version(package) for package in packages},
            "results": results,
        },
    )


if __name__ == "__main__":
    main()
