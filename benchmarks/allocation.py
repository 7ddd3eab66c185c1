"""One command for a short GPU allocation: what is measured and trained in a quarter of an hour.

    python -m benchmarks.allocation --seconds 560 --out DIR [--images FOLDER] [--wheels FOLDER]

Run it in the project's folder, with Python, torch, its usual companions and pytest; where pydantic
is missing, it and what it needs can be given as wheels. Stages follow each other, each a
process of its own that ends in time and writes its file when it ends: a stage that fails or takes
too long costs nothing but itself, and later ones do without.

=========  ====  ============================================================================
stage      s     what
=========  ====  ============================================================================
data       40    ceilings of the machine; training images, decoded; a pool in the background
check      100   ``pytest -m gpu``; what is not found right is not used: CUDA graphs, online pairs
timing     150   ``reflash bench --short``: milliseconds of everything, a profile
training   530   SRResNet without and with dropout on one stream, as long as the time allows
archive    560   raw and averaged weights as fp16, in parts below 16 MiB
=========  ====  ============================================================================

``--device cpu --seconds 120`` rehearses it, with small networks; ``--fail STAGE`` lets one fail.
In DIR there are then allocation.json, ceilings.json, check.json, bench.json, profile.txt, log.txt
and weights.tar.0, .1, … (join them with ``cat weights.tar.* | tar x``).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARES = {
    "cuda": {"data": 40, "check": 100, "timing": 150, "training": 530, "archive": 560},
    "cpu": {"data": 25, "check": 70, "timing": 87, "training": 115, "archive": 120},
}
"""When each stage must have ended, in seconds of the whole."""
SIZES: dict[str, dict[str, Any]] = {
    "cuda": {
        "size": "paper",
        "window": 192,
        "count": 40_000,
        "images": 24,
        "side": 512,
        "crop": 256,
    },
    "cpu": {"size": "tiny", "window": 96, "count": 64, "images": 4, "side": 128, "crop": 48},
}
"""What is trained on, and how many synthetic images and pairs there are where they are needed."""
MODELS = ("srresnet/none", "srresnet/last_conv-channel-p0.7")
GUESS_MS = {"cuda": 6.0, "cpu": 500.0}
"""An iteration where the timing failed; a training that takes longer is stopped in time."""
START_UP = 8.0
"""Seconds before a training's first iteration."""
NEEDED = {
    "online": ("test_same_draws_and_fields_same_pixels", "test_pairs_are_those_of_the_cpu"),
    "bf16": ("test_bf16_is_near_fp32",),
    "graphs": (
        "test_graph_of_steps_equals_eager_steps",
        "test_graph_of_pairs_equals_eager_pairs",
        "test_runs_together_end_as_alone[graph]",
    ),
}
"""Tests that must have passed before something is used."""
PART = 15 << 20
"""Bytes of a part of the archive: small files are easily copied."""
DONE, FAILED, LATE = "done", "failed", "out of time"
SPENT = 75
"""Exit status of ``reflash train`` where its time is spent: there are weights, as far as it got."""


class Allocation:
    """The stages of one allocation and what they found."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.out = given, given.out
        self.began = time.monotonic()
        self.kind = "cpu" if given.device == "cpu" else "cuda"
        self.work = Path(tempfile.mkdtemp(prefix="allocation-"))
        install(given.wheels, self.work / "site")
        self.log = (self.out / "log.txt").open("w", buffering=1)
        self.record: dict[str, Any] = {"device": given.device, "seconds": given.seconds}
        self.record["stages"] = {}
        self.pool: subprocess.Popen[bytes] | None = None
        self.trusted = dict.fromkeys(NEEDED, False)
        self.iterations = 0
        self.environment = {**os.environ, "PYTHONUNBUFFERED": "1", "REFLASH_GPU_TESTS": self.kind}

    def left(self, stage: str) -> float:
        """Return the seconds until a stage must have ended."""
        shares = SHARES[self.kind]
        end = self.given.seconds * shares[stage] / shares["archive"]
        return end - (time.monotonic() - self.began)

    def say(self, line: str) -> None:
        """Print a line, and keep it in the log."""
        line = f"[{time.monotonic() - self.began:6.1f} s] {line}"
        print(line, flush=True)
        self.log.write(line + "\n")

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Begin a process of its own group, with its output in the log."""
        self.say("$ " + " ".join(part if len(part) < 200 else "…" for part in command))
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, stage: str, *command: str, grace: float = 0.0) -> str:
        """Run a command until it or the stage's time ends; ``grace`` seconds before, ask it to."""
        if stage in self.given.fail:
            command = ("-c", f"raise SystemExit('rehearsal: {stage} fails')")
        if self.left(stage) - grace < 1:
            return LATE
        process = self.start(*command)
        try:
            status = process.wait(self.left(stage) - grace)
        except subprocess.TimeoutExpired:
            stop(process, max(self.left(stage), 0.5))
            return LATE
        return {0: DONE, SPENT: LATE}.get(status, f"{FAILED} (status {status})")

    def stage(self, name: str, work: Callable[[], str]) -> None:
        """Do a stage, whatever happens in it, and record how it ended."""
        self.say(f"== {name}")
        try:
            outcome = work() if self.left(name) > 1 else LATE
        except Exception as error:
            traceback.print_exc(file=self.log)
            outcome = f"{FAILED} ({type(error).__name__}: {error})"
        ended = round(time.monotonic() - self.began, 1)
        self.record["stages"][name] = {"outcome": outcome, "ended": ended}
        self.say(f"{name}: {outcome}")
        self.save()

    def save(self) -> None:
        """Write what is known so far."""
        (self.out / "allocation.json").write_text(json.dumps(self.record, indent=1) + "\n")

    # The stages

    def data(self) -> str:
        """Measure ceilings, decode the training images, and begin a pool."""
        given, work, sizes = self.given, self.work, SIZES[self.kind]
        outcomes = [self.bench("data", "--side", "ceilings")]
        self.take(f"ceilings-{self.kind}.json", "ceilings.json")
        images: list[dict[str, Any]] = [
            {"source": "dead_leaves", "count": sizes["images"], "size": sizes["side"]}
        ]
        if given.images:  # synthetic images only where there are no others
            images.insert(0, {"source": "folder", "folder": str(given.images.resolve())})
        for chosen in images:
            shutil.rmtree(work / "images", ignore_errors=True)
            command = ["training-images", str(work / "images"), "--settings", json.dumps(chosen)]
            outcomes.append(self.reflash("data", "data", *command))
            if outcomes[-1] == DONE:
                self.record["images"] = chosen
                break
        validation: dict[str, Any] = {"source": "sample_photos", "crop": sizes["crop"]}
        if given.validation:
            validation = {"source": "folder", "folder": str(given.validation.resolve())}
        command = ["test-set", str(work / "validation"), "--mod", "4"]
        outcomes += [
            self.reflash("data", "data", *command, "--settings", json.dumps(validation)),
            self.reflash("data", "data", "cache", str(work / "images"), str(work / "cache")),
        ]
        self.make_pool()
        return next((outcome for outcome in outcomes if outcome != DONE), DONE)

    def check(self) -> str:
        """Run the tests for a GPU; what has not passed all of its tests is not used."""
        if importlib.util.find_spec("pytest") is None:
            return f"{FAILED} (pytest is not installed: nothing is trusted; pip install pytest)"
        report = self.log.tell()
        outcome = self.run(
            "check", "-m", "pytest", "-v", "-o", "addopts=", "-p", "no:cacheprovider",
            "-m", "gpu and not slow", "tests/training/test_gpu.py",
        )  # fmt: skip
        with (self.out / "log.txt").open(errors="replace") as log:
            log.seek(report)
            tests = dict(re.findall(r"::(\S+) (PASSED|FAILED|ERROR)", log.read()))
        self.trusted = trusted(tests)
        found = {"tests": tests, "trusted": self.trusted}
        (self.out / "check.json").write_text(json.dumps(found, indent=1) + "\n")
        self.say(f"trusted: {self.trusted}")
        return outcome

    def timing(self) -> str:
        """Measure iterations; keep what was measured if the time runs out."""
        if self.trusted["online"] and self.pool:
            stop(self.pool, 1)  # it is not needed and would disturb
        options = ["--seconds", f"{max(self.left('timing') - 4, 1):.0f}"]
        options += ["--no-graphs"] * (not self.trusted["graphs"])
        outcome = self.bench("timing", *options)
        self.take(f"short-{self.kind}.json", "bench.json")
        self.take("profile.txt", "profile.txt")
        return outcome

    def training(self) -> str:
        """Train, and once more in a simpler way where that fails."""
        graphs, online = self.trusted["graphs"], self.trusted["online"]
        outcome = LATE
        for ways in dict.fromkeys([(graphs, online), (False, online), (False, False)]):
            if not ways[1] and not self.pool_is_ready():
                outcome = f"{FAILED} (no pool)"
                continue
            outcome = self.train(*ways)
            tried = {"graphs": ways[0], "online": ways[1], "outcome": outcome}
            self.record["training"] = [*self.record.get("training", []), tried]
            self.save()
            if outcome in (DONE, LATE):
                break
        return outcome

    def archive(self) -> str:
        """Pack the weights there are, whole or partial, as fp16 with their records and logs.

        A record's hashes are those of the weights before they were halved.
        """
        packed = self.work / "weights.tar"
        with tarfile.open(packed, "w") as tar:
            for run in sorted(self.work.glob("runs/*/*")):
                folder = run if (run / "log.csv").is_file() else run / "partial"
                for path in sorted(folder.glob("*.json")) + sorted(folder.glob("*.csv")):
                    tar.add(path, f"{run.relative_to(self.work / 'runs')}/{path.name}")
                for path in sorted(folder.glob("*.safetensors")):
                    tar.add(halved(path), f"{run.relative_to(self.work / 'runs')}/{path.name}")
            self.record["weights"] = tar.getnames()
        if not self.record["weights"]:
            return f"{FAILED} (no weights)"
        content = packed.read_bytes()
        for number, first in enumerate(range(0, len(content), PART)):
            (self.out / f"weights.tar.{number}").write_bytes(content[first : first + PART])
        return DONE

    # What they use

    def reflash(self, stage: str, *arguments: str) -> str:
        """Run a command of the package."""
        return self.run(stage, "-m", "reflash", *arguments)

    def bench(self, stage: str, *options: str) -> str:
        """Run the short benchmark."""
        command = ["benchmarks/bench_short.py", "--device", self.given.device, *options]
        command += ["--out", str(self.work)] + ["--quick"] * (self.kind == "cpu")
        return self.run(stage, *command)

    def take(self, name: str, kept: str) -> None:
        """Copy a file to what comes back, if it is there."""
        if (self.work / name).is_file():
            shutil.copyfile(self.work / name, self.out / kept)

    def settings(self, model: str, synthesis: str) -> dict[str, Any]:
        """Return the settings of a run: the scale's, the whole cosine in the time there is."""
        from benchmarks.inputs import run_settings

        network, dropout = model.split("/")
        sizes, photos = SIZES[self.kind], self.record["images"]["source"] == "folder"
        settings = run_settings(
            sizes["size"], network, dropout, synthesis=synthesis, window=sizes["window"],
            count=sizes["count"], sub_image=480 if photos else None,
            iterations=max(self.iterations, 1),
            precision="bf16" if self.trusted["bf16"] and self.kind == "cuda" else "fp32",
        ).model_dump(mode="json")  # fmt: skip
        every = max(1, self.iterations // 10)
        settings["training"]["schedule"] = {"kind": "cosine", "eta_min": 1e-7}
        settings["training"]["validation"] |= {"every": every, "crop": sizes["crop"]}
        return settings

    def make_pool(self) -> None:
        """Begin a pool on all cores but one, or go on with it."""
        keys = ("setting", "pairs", "degradation", "sub_image", "step")
        run = self.settings(self.given.model[0], "pool")
        settings = json.dumps({key: run[key] for key in keys})
        command = ["--config", settings, "--images", str(self.work / "cache")]
        command += ["--out", str(self.work / "pool"), "--threads", str(max(1, cores() - 1))]
        self.pool = self.start("-m", "reflash", "pairs", *command)

    def pool_is_ready(self) -> bool:
        """Wait for the pool for a third of the time that training has."""
        end = time.monotonic() + self.left("training") / 3
        if self.pool is None or self.pool.poll() not in (None, 0):
            self.make_pool()
        while self.pool.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
        return self.pool.poll() == 0

    def iteration_ms(self) -> float:
        """Return the milliseconds of an iteration of all runs, as measured or guessed."""
        network, count = self.given.model[0].split("/")[0], len(self.given.model)
        try:
            values = json.loads((self.out / "bench.json").read_text())["values"]
        except (OSError, ValueError):
            values = {}
        for runs, factor in ((count, 1), (1, count)):
            name = f"{network}, pairs of windows of {SIZES[self.kind]['window']}, runs: {runs}"
            if name in values:
                return 1000 * factor * float(sorted(values[name])[len(values[name]) // 2])
        return GUESS_MS[self.kind] * count

    def train(self, graphs: bool, online: bool) -> str:
        """Train all runs on one stream in the time that is left; stopped, they leave weights."""
        grace = max(5.0, self.given.seconds / 40)
        left = max(self.left("training") - START_UP - grace, 1.0)
        total = int(0.9 * 1000 * left / self.iteration_ms())
        self.iterations = max(20, min(total, self.given.iterations))
        source = ("--images", "cache") if online else ("--pairs", "pool")
        command = ["train", "--device", self.given.device, "--again", "--save-every", "1e6"]
        command += ["--validation", str(self.work / "validation"), "--threads", str(cores())]
        command += [source[0], str(self.work / source[1]), "--time-budget", f"{left:.0f}"]
        for model in self.given.model:
            settings = json.dumps(self.settings(model, "online" if online else "pool"))
            command += ["--config", settings, "--out", str(self.work / "runs" / model)]
        command += ["--no-graphs"] * (not graphs)
        return self.run("training", "-m", "reflash", *command, grace=grace)


def trusted(tests: dict[str, str]) -> dict[str, bool]:
    """Return what all needed tests have passed of; a test that was not run has not."""
    found = {}
    for name, needed in NEEDED.items():
        outcomes = [[tests[t] for t in tests if t.startswith(start)] for start in needed]
        found[name] = all(those and set(those) == {"PASSED"} for those in outcomes)
    return found


def stop(process: subprocess.Popen[bytes], grace: float) -> None:
    """Ask a process and its children to end, and end them after ``grace`` seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(grace)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def halved(path: Path) -> Path:
    """Write weights as fp16 beside a safetensors file; return where."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(path, "numpy") as file:
        weights = {name: file.get_tensor(name).astype("float16") for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    half = path.with_suffix(".fp16")
    save_file(weights, half, metadata)
    return half


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def install(wheels: Path | None, folder: Path) -> None:
    """Make the package and, where pydantic is missing, the wheels importable here and below."""
    paths = [str(ROOT / "src")]
    if wheels and importlib.util.find_spec("pydantic") is None:
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
        files = [str(path) for path in sorted(wheels.glob("*.whl"))]
        subprocess.run([*command, "--target", str(folder), *files], check=True)
        paths.append(str(folder))
    sys.path[:0] = paths
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *([known] if known else [])])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=560, help="when all must have ended")
    parser.add_argument("--out", type=Path, required=True, help="folder of what comes back")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for a rehearsal")
    parser.add_argument("--images", type=Path, help="training photographs; default: synthetic")
    parser.add_argument("--validation", type=Path, help="HR images; default: sample photographs")
    parser.add_argument("--wheels", type=Path, help="wheels of pydantic and what it needs")
    parser.add_argument("--model", action="append", help=f"default: {' and '.join(MODELS)}")
    parser.add_argument("--iterations", type=int, default=10**9, help="train at most so long")
    parser.add_argument("--fail", action="append", default=[], help="rehearse a stage's failure")
    given = parser.parse_args()
    given.model = given.model or list(MODELS)
    given.out.mkdir(parents=True, exist_ok=True)
    allocation = Allocation(given)
    try:
        for name in SHARES[allocation.kind]:
            allocation.stage(name, getattr(allocation, name))
    finally:
        if allocation.pool:
            stop(allocation.pool, 1)
        shutil.rmtree(allocation.work, ignore_errors=True)
    return int(not allocation.record.get("weights"))


if __name__ == "__main__":
    sys.exit(main())
