"""The record of a run, and what protects a finished run and a run under way."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from test_trainer import RESULTS, Clock, _names, _results, start
from toy_run import run_settings

from reflash.core.errors import ReflashError
from reflash.core.fingerprint import stage_fingerprint
from reflash.core.lock import only_one
from reflash.datasets.cache import ImageCache
from reflash.datasets.images import write_png
from reflash.training import trainer as trainer_module
from reflash.training.record import check_record, read_record, settings_key
from reflash.training.trainer import Interrupted, Options
from reflash.training.validation import Validation


@pytest.fixture(scope="module")
def trained(
    cache: ImageCache, image_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    start(run_settings(), cache, image_folder, folder)
    return folder


@pytest.fixture
def finished(trained: Path, tmp_path: Path) -> Path:
    """A finished run of its own, to change."""
    return shutil.copytree(trained, tmp_path / "run")


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_the_record_says_how_the_weights_came_about(finished: Path, cache: ImageCache) -> None:
    settings = run_settings()
    record = json.loads((finished / "run.json").read_text())
    assert record["run"] == settings.id
    assert record["settings"] == settings.model_dump(mode="json")
    assert record["settings_key"] == settings_key(settings)
    assert record["data"] == cache.key
    assert record["code"] == stage_fingerprint("training")
    for which in ("params", "params_ema"):
        content = (finished / f"{which}.safetensors").read_bytes()
        assert record["weights"][which] == hashlib.sha256(content).hexdigest()
    assert record["log"] == hashlib.sha256((finished / "log.csv").read_bytes()).hexdigest()
    assert (record["iterations"], record["done"], record["resumes"]) == (12, 12, 0)
    assert record["device"] == "cpu"
    assert record["threads"] == torch.get_num_threads()
    assert record["versions"]["torch"] == version("torch")  # without +cu130 in CUDA builds
    assert record["seconds"] > 0
    assert record["finished"].endswith("+00:00")
    assert check_record(finished) == []
    assert _names(finished) == RESULTS


def test_the_log_is_written_last(finished: Path) -> None:
    written = times(finished)
    assert max(written, key=lambda name: written[name]) == "log.csv"


def test_another_log_is_reported(finished: Path) -> None:
    path = finished / "log.csv"
    path.write_text(path.read_text().replace("1", "2"))
    (problem,) = check_record(finished)
    assert problem.startswith(f"{path}: not the log of run {run_settings().id}")


def test_what_is_wrong_with_a_run_is_one_line_each(finished: Path) -> None:
    path = finished / "params.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (problem,) = check_record(finished)
    assert problem.startswith(f"{path}: not the weights that run {run_settings().id} ended with")
    (finished / "params_ema.safetensors").unlink()
    (finished / "log.csv").unlink()
    assert [p.split(": ")[0] for p in check_record(finished)] == [
        str(finished / name) for name in ("params.safetensors", "params_ema.safetensors", "log.csv")
    ]
    (finished / "run.json").write_text('{"run": 3}')
    assert len(check_record(finished)) == 1
    with pytest.raises(ReflashError, match=r"run\.json: not the record of a run \(run: "):
        read_record(finished)


def test_a_finished_run_is_left_as_it_is(
    finished: Path, cache: ImageCache, image_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = times(finished)
    capsys.readouterr()
    start(run_settings(), cache, image_folder, finished)
    assert times(finished) == before
    told = capsys.readouterr().err
    assert f"already finished {read_record(finished).finished}" in told  # type: ignore[union-attr]
    assert told.endswith("train it again with --again\n")


def test_a_folder_that_holds_another_run_is_named(finished: Path) -> None:
    assert check_record(finished, run_settings().id) == []
    (problem,) = check_record(finished, "rrdb/multi/none/seed0")
    assert problem.startswith(f"{finished}: holds run {run_settings().id} instead of rrdb/multi")


def test_again_trains_from_scratch_and_replaces_at_the_end(
    finished: Path, cache: ImageCache, image_folder: Path
) -> None:
    whole, before = _results(finished), times(finished)
    with pytest.raises(Interrupted):
        start(
            run_settings(), cache, image_folder, finished, again=True, time_budget=3, clock=Clock()
        )
    assert before.items() <= times(finished).items()  # until the end the old results stay
    start(run_settings(), cache, image_folder, finished, again=True)
    assert _results(finished) == whole
    assert all(times(finished)[name] > before[name] for name in RESULTS)
    assert _names(finished) == RESULTS


def test_missing_results_are_made_again(
    finished: Path, cache: ImageCache, image_folder: Path
) -> None:
    """As after a workflow has removed them to run the job again."""
    whole = _results(finished)
    (finished / "params.safetensors").unlink()
    start(run_settings(), cache, image_folder, finished)
    assert _results(finished) == whole


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dropout": "none"}, r"\(dropout\)"),
        (
            {"training": {**run_settings().training.model_dump(), "lr": 1e-4, "ema": 0.9}},
            r"\(training\.ema, training\.lr\)",
        ),
    ],
)
def test_other_settings_do_not_replace_a_finished_run(
    finished: Path,
    cache: ImageCache,
    image_folder: Path,
    changes: dict[str, object],
    named: str,
) -> None:
    before = times(finished)
    with pytest.raises(ReflashError, match=rf"other settings {named}.*--again$"):
        start(run_settings(**changes), cache, image_folder, finished)
    assert times(finished) == before


def test_damaged_or_unrecorded_results_are_not_replaced_without_a_word(
    finished: Path, cache: ImageCache, image_folder: Path
) -> None:
    path = finished / "params.safetensors"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ReflashError, match=r"params\.safetensors: not the weights.*--again$"):
        start(run_settings(), cache, image_folder, finished)
    (finished / "run.json").unlink()
    with pytest.raises(ReflashError, match=r"holds weights without a record.*--again$"):
        start(run_settings(), cache, image_folder, finished)


def test_a_move_that_was_cut_off_is_completed(
    finished: Path, cache: ImageCache, image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two of the files: the next process finishes the move."""
    real, moved = Path.replace, []

    def killed(path: Path, target: Path) -> Path:
        if path.parent.name == ".new" and target.parent == finished:
            if len(moved) == 2:
                raise KeyboardInterrupt
            moved.append(path.name)
        return real(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    monkeypatch.setattr(trainer_module.shutil, "rmtree", lambda *a, **k: None)
    with pytest.raises(KeyboardInterrupt):
        start(run_settings(), cache, image_folder, finished, again=True)
    monkeypatch.undo()
    record = json.loads((finished / ".new/run.json").read_text())
    start(run_settings(), cache, image_folder, finished)
    assert json.loads((finished / "run.json").read_text()) == record
    assert check_record(finished) == []
    assert not (finished / ".new").exists()


def test_two_trainings_do_not_share_a_folder(
    cache: ImageCache, image_folder: Path, tmp_path: Path
) -> None:
    code = (
        "import sys, time\nfrom reflash.core.lock import only_one\n"
        "with only_one(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        wanted = rf"{tmp_path}: in use by process {holder.pid} on .*; wait .* or stop it \(kill"
        with pytest.raises(ReflashError, match=wanted):
            start(run_settings(), cache, image_folder, tmp_path)
        assert _names(tmp_path) == [".lock"]
        holder.kill()  # nobody cleans up after it
    start(run_settings(), cache, image_folder, tmp_path)
    assert check_record(tmp_path) == []


@pytest.mark.parametrize("seconds", [math.nan, -1.0])
def test_seconds_that_are_none_are_refused(seconds: float) -> None:
    for name in ("save_seconds", "time_budget"):
        with pytest.raises(ReflashError, match=f"{name}: {seconds} is not a number of seconds"):
            Options(**{name: seconds})  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["lr", "ema"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_settings_are_finite_numbers(key: str, value: float) -> None:
    with pytest.raises(ValueError, match="finite number|less than 1"):
        run_settings(training={key: value})


def test_a_run_with_a_damaged_record_is_trained_again(
    finished: Path, cache: ImageCache, image_folder: Path
) -> None:
    before = (finished / "run.json").read_bytes()
    (finished / "run.json").write_text('{"broken')
    with pytest.raises(ReflashError, match="train the run again with reflash train --again"):
        start(run_settings(), cache, image_folder, finished)
    start(run_settings(), cache, image_folder, finished, again=True)
    keys = ("recipe", "log", "params")
    old, new = (json.loads(text) for text in (before, (finished / "run.json").read_bytes()))
    assert [old.get(key) for key in keys] == [new.get(key) for key in keys]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"degradation": {"scale": 8}}, "degradation.scale: 8, where it must be 4"),
        ({"setting": "denoise"}, "network.scale: 4, where it must be 1"),
        ({"sub_image": 0}, "greater than or equal to 1"),
        ({"step": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_settings(**changes)


def test_the_validation_key_knows_names(tmp_path: Path) -> None:
    """They decide the noise."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 48, 3), np.uint8)
    settings = run_settings().training.validation
    keys = []
    for name in ("a", "b"):
        write_png(tmp_path / name / f"{name}.png", image)
        keys.append(Validation(settings, tmp_path / name).key)
    assert keys[0] != keys[1]


def test_the_state_of_an_attempt_survives_a_look_at_the_finished_run(
    finished: Path, cache: ImageCache, image_folder: Path
) -> None:
    with pytest.raises(Interrupted):
        start(
            run_settings(), cache, image_folder, finished, again=True, time_budget=3, clock=Clock()
        )
    states = list(finished.glob("state-*"))
    assert states
    start(run_settings(), cache, image_folder, finished)
    assert list(finished.glob("state-*")) == states


def test_a_lock_is_free_at_the_end(tmp_path: Path) -> None:
    for _ in range(2):
        with only_one(tmp_path / "lock", busy="it"):
            time.sleep(0)
    assert not list(tmp_path.iterdir())
