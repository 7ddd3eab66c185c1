"""The script for a short GPU allocation, rehearsed on the CPU from one command."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from reflash.core.errors import INTERRUPTED_STATUS
from reflash.datasets.images import write_png

ROOT = Path(__file__).parents[2]
STAGES = ["data", "check", "timing", "training", "archive"]


@pytest.fixture(scope="module")
def script() -> Any:
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks import allocation
    finally:
        sys.path.remove(str(ROOT))
    return allocation


def test_nothing_is_used_that_has_not_passed_all_its_tests(script: Any) -> None:
    needed = {name: "PASSED" for names in script.NEEDED.values() for name in names}
    assert script.trusted(needed) == {"online": True, "bf16": True, "graphs": True}
    assert script.trusted({}) == {"online": False, "bf16": False, "graphs": False}
    variants = needed | {"test_pairs_are_those_of_the_cpu[single]": "FAILED"}
    assert script.trusted(variants) == {"online": False, "bf16": True, "graphs": True}
    del needed["test_runs_together_end_as_alone[graph]"]  # the time was over
    assert script.trusted(needed) == {"online": True, "bf16": True, "graphs": False}


def test_the_needed_tests_exist(script: Any) -> None:
    text = (ROOT / "tests/training/test_gpu.py").read_text()
    for name in (name for names in script.NEEDED.values() for name in names):
        assert f"def {name.split('[')[0]}(" in text


def test_parts_fit_what_comes_back(script: Any) -> None:
    assert script.PART < 16 << 20


def rehearse(out: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.allocation", "--device", "cpu", "--out", str(out)]
    environment = {k: v for k, v in os.environ.items() if k != "REFLASH_GPU_TESTS"}
    done = subprocess.run(
        [*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    record = json.loads((out / "allocation.json").read_text())
    assert list(record["stages"]) == STAGES, done.stderr
    return done, record


def outcomes(record: dict[str, Any]) -> list[str]:
    return [record["stages"][name]["outcome"] for name in STAGES]


def weights(out: Path) -> dict[str, dict[str, np.ndarray]]:
    """Join the parts of the archive and read its weights."""
    parts = sorted(out.glob("weights.tar.*"), key=lambda path: int(path.suffix[1:]))
    with tarfile.open(fileobj=io.BytesIO(b"".join(path.read_bytes() for path in parts))) as tar:
        names = [name for name in tar.getnames() if name.endswith(".safetensors")]
        return {name: load(tar.extractfile(name).read()) for name in names}  # type: ignore[union-attr]


def require_weights(out: Path) -> None:
    found = weights(out)
    runs = ("srresnet/last_conv-channel-p0.7", "srresnet/none")
    assert sorted(found) == [f"{run}/{name}.safetensors" for run in runs for name in FILES]
    for tensors in found.values():
        assert all(tensor.dtype == np.float16 for tensor in tensors.values())
        assert all(np.isfinite(tensor).all() for tensor in tensors.values())


FILES = ("params", "params_ema")


@pytest.mark.slow
def test_from_one_command(tmp_path: Path, photo_like: np.ndarray) -> None:
    """All stages, with photographs; the time is more than any machine needs."""
    for name in ("a", "b"):
        write_png(tmp_path / f"photos/{name}.png", np.tile(photo_like, (4, 4, 1)))
    options = ["--seconds", "900", "--iterations", "20", "--images", str(tmp_path / "photos")]
    done, record = rehearse(tmp_path / "out", *options)
    log = (tmp_path / "out/log.txt").read_text()
    assert done.returncode == 0, log
    assert outcomes(record) == ["done"] * 5, log
    assert record["images"]["source"] == "folder"
    assert record["training"] == [{"graphs": True, "online": True, "outcome": "done"}]
    check = json.loads((tmp_path / "out/check.json").read_text())
    assert check["trusted"] == {"online": True, "bf16": True, "graphs": True}
    assert set(check["tests"].values()) == {"PASSED"}
    measured = json.loads((tmp_path / "out/bench.json").read_text())["values"]
    assert "srresnet, pairs of windows of 96, runs: 2" in measured
    ceilings = json.loads((tmp_path / "out/ceilings.json").read_text())
    assert len(ceilings["values"]) == 2
    assert ceilings["machine"]["versions"]["torch"]
    assert "aten::" in (tmp_path / "out/profile.txt").read_text()
    require_weights(tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) <= 8


def test_without_pytest_it_says_so_and_trusts_nothing(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)
    given = argparse.Namespace(device="cpu", out=tmp_path, seconds=60.0, wheels=None)
    work = script.Allocation(given)
    work.stage("check", work.check)
    outcome = work.record["stages"]["check"]["outcome"]
    assert outcome.startswith("failed (pytest is not installed")
    assert not any(work.trusted.values())


def test_a_training_whose_time_is_spent_keeps_its_weights(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another try in a simpler way would start over and replace them."""
    given = argparse.Namespace(device="cpu", out=tmp_path, seconds=600.0, wheels=None, fail=[])
    work = script.Allocation(given)
    work.trusted = dict.fromkeys(script.NEEDED, True)
    stopped = ("training", "-c", f"raise SystemExit({INTERRUPTED_STATUS})")
    monkeypatch.setattr(work, "train", lambda graphs, online: work.run(*stopped))
    assert work.training() == "out of time"
    assert work.record["training"] == [{"graphs": True, "online": True, "outcome": "out of time"}]


@pytest.mark.slow
def test_stages_that_fail(tmp_path: Path) -> None:
    """No photographs, no check, no timing: synthetic images, a pool, no graphs, and weights."""
    options = ["--fail", "check", "--fail", "timing", "--images", str(tmp_path / "nowhere")]
    done, record = rehearse(tmp_path, "--seconds", "900", "--iterations", "20", *options)
    log = (tmp_path / "log.txt").read_text()
    assert done.returncode == 0, log
    data, check, timing, training, archive = outcomes(record)
    assert data == check == timing == "failed (status 1)"
    assert training == archive == "done", log
    assert "rehearsal: check fails" in log
    assert record["images"]["source"] == "dead_leaves"
    assert record["training"] == [{"graphs": False, "online": False, "outcome": "done"}]
    require_weights(tmp_path)


def test_a_training_that_fails_is_tried_in_simpler_ways(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail = ["training"]
    given = argparse.Namespace(device="cpu", out=tmp_path, seconds=600.0, wheels=None, fail=fail)
    given.model, given.iterations = list(script.MODELS), 20
    work = script.Allocation(given)
    work.record["images"] = {"source": "dead_leaves"}
    work.trusted = dict.fromkeys(script.NEEDED, True)
    monkeypatch.setattr(work, "pool_is_ready", lambda: True)
    for name in ("training", "archive"):
        work.stage(name, getattr(work, name))
    ended = [stage["outcome"] for stage in work.record["stages"].values()]
    assert ended == ["failed (status 1)", "failed (no weights)"]
    tried = [(one["graphs"], one["online"], one["outcome"]) for one in work.record["training"]]
    ways = [(True, True), (False, True), (False, False)]
    assert tried == [(*way, "failed (status 1)") for way in ways]


@pytest.mark.slow
def test_running_out_of_time(tmp_path: Path) -> None:
    """Too little for anything: every stage says so, and the script ends when it must."""
    began = time.monotonic()
    done, record = rehearse(tmp_path, "--seconds", "8")
    assert time.monotonic() - began < 60
    assert done.returncode == 1
    assert "out of time" in outcomes(record)
    assert re.search(r"archive: failed \(no weights\)|archive: out of time", done.stdout)
    assert not list(tmp_path.glob("weights.*"))
