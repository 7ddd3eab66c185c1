from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from toy_run import run_settings

import reflash.training.run as training_run
from reflash.core.devices import has_bf16
from reflash.core.errors import ReflashError
from reflash.core.keys import key_seed
from reflash.datasets.cache import ImageCache
from reflash.datasets.images import read_rgb, write_png
from reflash.degradations.benchmark import degrade
from reflash.degradations.settings import BenchmarkSettings
from reflash.evaluation.metrics import psnr
from reflash.models.build import build_network
from reflash.models.weights import load_weights
from reflash.training.optim import learning_rate
from reflash.training.pairs import OnlinePairs
from reflash.training.record import read_record, recipe
from reflash.training.run import Run
from reflash.training.settings import RunSettings
from reflash.training.trainer import Interrupted, Options, Trainer, train
from reflash.training.validation import Validation

CPU = torch.device("cpu")


def start(
    settings: RunSettings, cache: ImageCache, images: Path, out: Path, **options: object
) -> None:
    pairs = OnlinePairs(settings, cache, CPU)
    validation = Validation(settings.training.validation, images)
    train([Trainer(settings, validation, out)], pairs, CPU, Options(**options))  # type: ignore[arg-type]


def test_weights_equal_a_plain_loop(cache: ImageCache, image_folder: Path, tmp_path: Path) -> None:
    """The trainer against the textbook: no trainer code but the schedule and the pairs."""
    settings = run_settings()
    start(settings, cache, image_folder, tmp_path)
    torch.manual_seed(key_seed(0, "initial weights"))
    network = build_network(settings.network, settings.dropout)
    average = {name: value.clone() for name, value in network.state_dict().items()}
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.9, 0.99), fused=True)
    pairs = OnlinePairs(settings, cache, CPU)
    for iteration in range(12):
        lr, hr = pairs.batch(iteration)
        adam.param_groups[0]["lr"] = learning_rate(iteration, settings.training)
        torch.manual_seed(key_seed(0, "dropout", iteration))
        loss = (network(lr.contiguous(memory_format=torch.channels_last)) - hr).abs().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        for name, value in network.state_dict().items():
            average[name] = 0.999 * average[name] + 0.001 * value
    trained, metadata = load_weights(tmp_path / "params.safetensors")
    averaged, _ = load_weights(tmp_path / "params_ema.safetensors")
    assert metadata["dropout"] == "last_conv-channel-p0.5"
    for name, value in network.state_dict().items():
        torch.testing.assert_close(trained[name], value, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(averaged[name], average[name], rtol=1e-5, atol=1e-6)


NORMALISED = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.unused = nn.Linear(2, 2)
        self.frozen = nn.Conv2d(3, 3, 1).requires_grad_(False)
        self.last = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        x = nn.functional.interpolate(self.frozen(self.norm(x)), scale_factor=4)
        return self.last(x)
"""


def test_running_statistics_and_unused_parameters_of_a_users_network(
    cache: ImageCache, image_folder: Path, tmp_path: Path
) -> None:
    """The average has the statistics of the network; what no gradient reaches stays."""
    (tmp_path / "net.py").write_text(NORMALISED)
    network = {"name": "factory", "factory": f"{tmp_path / 'net.py'}:Net"}
    settings = run_settings(id="mine/multi/none/seed0", network=network, dropout="none")
    start(settings, cache, image_folder, tmp_path / "run")
    raw, average = (
        load_weights(tmp_path / f"run/{name}.safetensors")[0] for name in ("params", "params_ema")
    )
    torch.manual_seed(key_seed(0, "initial weights"))
    initial = build_network(settings.network, settings.dropout).state_dict()
    for name in ("norm.running_mean", "norm.running_var"):
        assert torch.equal(raw[name], average[name])
        assert not torch.equal(raw[name], initial[name])
    for name in ("unused.weight", "frozen.weight"):
        assert torch.equal(raw[name], initial[name])
    assert not torch.equal(raw["last.weight"], initial["last.weight"])
    assert not torch.equal(raw["last.weight"], average["last.weight"])


def test_log_has_loss_rate_and_validation_of_the_average(
    cache: ImageCache, image_folder: Path, tmp_path: Path
) -> None:
    settings = run_settings()
    start(settings, cache, image_folder, tmp_path)
    log = pd.read_csv(tmp_path / "log.csv")
    assert list(log.columns) == [
        "run",
        "iteration",
        "learning_rate",
        "loss",
        "psnr_clean",
        "psnr_jpeg",
        "psnr",
    ]
    assert list(log.iteration) == [5, 10, 12]
    assert set(log.run) == {settings.id}
    assert log.learning_rate.iloc[0] == pytest.approx(learning_rate(4, settings.training))
    np.testing.assert_allclose(log.psnr, (log.psnr_clean + log.psnr_jpeg) / 2, rtol=1e-6)

    weights, _ = load_weights(tmp_path / "params_ema.safetensors")
    network = build_network(settings.network, settings.dropout).eval()
    network.load_state_dict(weights)
    hr = read_rgb(image_folder / "0.png")
    hr = hr[32 : 32 + 64, 48 : 48 + 64]  # the centre of 128 x 160
    lr = degrade(hr, "jpeg", BenchmarkSettings(mod=4), "0")
    with torch.no_grad():
        sr = network(torch.from_numpy(lr.copy()).permute(2, 0, 1)[None] / 255)[0]
    sr8 = (sr.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    assert log.psnr_jpeg.iloc[-1] == pytest.approx(psnr(sr8, hr), abs=0.01)


def test_one_stream_for_all_models(cache: ImageCache) -> None:
    """Runs of a comparison start from the same weights and see the same pairs."""
    with_dropout = Run(run_settings(), CPU)
    without = Run(run_settings(dropout="none"), CPU)
    first_pairs, second_pairs = (
        OnlinePairs(run.settings, cache, CPU) for run in (with_dropout, without)
    )
    for t in range(2):
        for a, b in zip(first_pairs.batch(t), second_pairs.batch(t), strict=True):
            assert torch.equal(a, b)
    other_seed = Run(run_settings(seed=1), CPU)
    for a, b in zip(with_dropout.network.parameters(), without.network.parameters(), strict=True):
        assert torch.equal(a, b)
    first, second = with_dropout.network, other_seed.network
    assert not torch.equal(next(first.parameters()), next(second.parameters()))


def test_training_lowers_the_loss(cache: ImageCache, image_folder: Path, tmp_path: Path) -> None:
    settings = run_settings(dropout="none", pairs={"window": 96, "patch": 32, "shuffle_pool": 0})
    run, pairs = Run(settings, CPU), OnlinePairs(settings, cache, CPU)
    lr, hr = pairs.batch(0)
    losses = [float(run.step(0, lr, hr)) for _ in range(40)]
    assert losses[-1] < 0.95 * losses[0]


class Clock:
    """A clock that advances by one second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_time_budget_stops_with_saved_state_and_resumes_exactly(
    cache: ImageCache, image_folder: Path, tmp_path: Path
) -> None:
    settings = run_settings()
    start(settings, cache, image_folder, tmp_path / "whole")
    stops = 0
    while True:
        try:
            start(settings, cache, image_folder, tmp_path / "parts", time_budget=3, clock=Clock())
            break
        except Interrupted as stop:
            stops += 1
            _require_usable(tmp_path / "parts/partial", str(stop), stops - 1)
    assert stops >= 2
    assert _results(tmp_path / "whole") == _results(tmp_path / "parts")
    assert _names(tmp_path / "parts") == _names(tmp_path / "whole") == RESULTS
    record = read_record(tmp_path / "parts")
    assert record is not None
    assert (record.resumes, record.done) == (stops, 12)


def _require_usable(folder: Path, message: str, resumes: int) -> None:
    """Check that the weights of a stopped run are there, with a record that fits them."""
    record = read_record(folder)
    assert record is not None
    assert (record.iterations, record.finished, record.resumes) == (12, None, resumes)
    assert f"after iteration {record.done} of 12; the weights so far are in partial/" in message
    for which, digest in record.weights.items():
        path = folder / f"{which}.safetensors"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
        assert load_weights(path)[1]["done"] == record.done


RESULTS = ["log.csv", "params.safetensors", "params_ema.safetensors", "run.json"]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULTS[:3]}


def test_changed_settings_start_afresh(
    cache: ImageCache, image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Interrupted):
        start(run_settings(), cache, image_folder, tmp_path, time_budget=3, clock=Clock())
    changed = run_settings(dropout="last_conv-channel-p0.2")
    start(changed, cache, image_folder, tmp_path)
    told = capsys.readouterr().err
    assert "continuing" not in told
    assert "starts over; the state saved in" in told
    start(changed, cache, image_folder, tmp_path / "fresh")
    assert _results(tmp_path) == _results(tmp_path / "fresh")


def test_a_recipe_covers_settings_data_and_code() -> None:
    settings = run_settings()
    key = recipe(settings, "a", "x")
    assert recipe(run_settings(), "a", "x") == key
    assert recipe(settings, "b", "x") != key
    assert recipe(settings, "a", "y") != key
    assert recipe(run_settings(seed=2), "a", "x") != key
    assert recipe(settings, "a", "x", code="another") != key


def test_other_validation_images_have_another_key(image_folder: Path, tmp_path: Path) -> None:
    settings = run_settings().training.validation
    key = Validation(settings, image_folder).key
    assert Validation(settings, image_folder).key == key
    first = sorted(image_folder.glob("*.png"))[0]
    write_png(tmp_path / first.name, 255 - read_rgb(first))
    assert Validation(settings, tmp_path).key != key


def test_nan_loss_stops_and_keeps_the_last_state(
    cache: ImageCache, image_folder: Path, tmp_path: Path
) -> None:
    settings = run_settings()
    pairs = OnlinePairs(settings, cache, CPU)
    real = pairs.batch

    def poisoned(iteration: int) -> tuple[torch.Tensor, torch.Tensor]:
        lr, hr = real(iteration)
        return (lr * float("nan"), hr) if iteration == 7 else (lr, hr)

    pairs.batch = poisoned  # type: ignore[method-assign]
    validation = Validation(settings.training.validation, image_folder)
    options = Options(save_seconds=0)
    with pytest.raises(
        ReflashError, match="iteration 8: the loss is nan, or a weight is not a number; lower"
    ):
        train([Trainer(settings, validation, tmp_path)], pairs, CPU, options)
    assert not (tmp_path / "params.safetensors").exists()
    start(settings, cache, image_folder, tmp_path)  # continues after iteration 7
    start(settings, cache, image_folder, tmp_path / "whole")
    assert _results(tmp_path) == _results(tmp_path / "whole")


def test_bf16_follows_fp32(cache: ImageCache) -> None:
    curves = {}
    for precision in ("fp32", "bf16"):
        training = {"iterations": 30, "batch": 4, "lr": 1e-3, "precision": precision}
        settings = run_settings(dropout="none", training=training)
        run, pairs = Run(settings, CPU), OnlinePairs(settings, cache, CPU)
        curves[precision] = [float(run.step(t, *pairs.batch(t))) for t in range(30)]
        assert next(run.network.parameters()).dtype == torch.float32
    np.testing.assert_allclose(curves["bf16"], curves["fp32"], rtol=0.03)
    assert curves["bf16"] != curves["fp32"]


@pytest.mark.parametrize("native", [False, True])
def test_auto_is_bf16_where_the_processor_has_it(
    native: bool, cache: ImageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a run that moves to another processor goes on in what it began with."""
    monkeypatch.setattr(training_run, "has_bf16", lambda device: native)
    pairs = OnlinePairs(run_settings(), cache, CPU)
    first, second = pairs.batch(0), pairs.batch(1)

    def run_in(precision: str) -> Run:
        return Run(run_settings(training={"batch": 4, "precision": precision}), CPU)

    auto, plain = run_in("auto"), run_in("bf16" if native else "fp32")
    other = run_in("fp32" if native else "bf16")
    for run in (auto, plain, other):
        run.step(0, *first)
    assert torch.equal(auto.loss, plain.loss)
    assert not torch.equal(auto.loss, other.loss)
    monkeypatch.setattr(training_run, "has_bf16", lambda device: not native)
    moved = run_in("auto")
    moved.load_state_dict(auto.state_dict())
    for run in (moved, plain):
        run.step(1, *second)
    assert torch.equal(moved.loss, plain.loss)


def test_the_record_says_the_arithmetic(
    cache: ImageCache, image_folder: Path, tmp_path: Path
) -> None:
    settings = run_settings(training={"iterations": 1, "precision": "auto"})
    start(settings, cache, image_folder, tmp_path)
    record = read_record(tmp_path)
    assert record is not None
    assert record.precision == ("bf16" if has_bf16(CPU) else "fp32")
    assert record.settings["training"]["precision"] == "auto"


@pytest.fixture
def command(cache: ImageCache, image_folder: Path, tmp_path: Path) -> list[str]:
    settings = tmp_path / "run.yaml"
    training = {
        "iterations": 60,
        "batch": 4,
        "validation": {"every": 25, "images": 1, "crop": 64, "kinds": ["clean"]},
    }
    settings.write_text(json.dumps(run_settings(training=training).model_dump(mode="json")))
    arguments = f"train --config {settings} --images {cache.folder} --validation {image_folder}"
    return [sys.executable, "-m", "reflash", *arguments.split(), "--threads", "1"]


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_weights(
    command: list[str], tmp_path: Path
) -> None:
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, capture_output=True)
    out, rng, kills = tmp_path / "killed", random.Random(3), 0
    while kills < 5:
        process = subprocess.Popen(
            [*command, "--out", str(out), "--save-every", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        before = _state(out)
        while kills < 3 and process.poll() is None and _state(out) == before:
            time.sleep(0.005)  # until it has saved something new
        if kills < 3 and process.poll() is None:
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert process.returncode == 0
    assert kills >= 1
    assert _results(tmp_path / "whole") == _results(out)


def _state(folder: Path) -> list[int]:
    try:
        return [path.stat().st_mtime_ns for path in folder.glob("state-*.pt")]
    except FileNotFoundError:  # removed in between
        return []


@pytest.mark.slow
def test_told_to_stop_it_saves_and_says_how_to_go_on(command: list[str], tmp_path: Path) -> None:
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, capture_output=True)
    out = tmp_path / "stopped"
    process = subprocess.Popen(
        [*command, "--out", str(out), "--save-every", "0"], stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not _state(out):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 75  # stopped, resumes
    assert "stopped on SIGTERM after iteration" in errors
    assert errors.strip().splitlines()[-1].endswith("run the same command to continue")
    subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
    assert _results(tmp_path / "whole") == _results(out)
