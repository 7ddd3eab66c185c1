"""The training loop: one run from its settings to its weights, resumable at any moment.

Run it with ``reflash train --config RUN.yaml --out DIR`` and ``--pairs`` (a pool) or ``--images``
(a cache, pairs online). The run's folder then holds ``params.safetensors`` (raw weights),
``params_ema.safetensors`` (their moving average), ``log.csv`` (learning rate, loss, validation
PSNR), ``settings.json`` (the resolved settings) and ``timing.json``.
"""

from __future__ import annotations

import math
import platform
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from reflash.datasets.images import list_images, mod_crop, read_rgb
from reflash.degradations.benchmark import degrade
from reflash.degradations.settings import BenchmarkSettings
from reflash.errors import ReflashError
from reflash.evaluation.inference import upscale_image
from reflash.evaluation.metrics import psnr
from reflash.files import write_csv, write_json
from reflash.keys import key_seed
from reflash.models.build import build_network
from reflash.models.weights import save_weights
from reflash.training.pairs import Pairs
from reflash.training.schedule import learning_rate
from reflash.training.settings import RunSettings, ValidationSettings
from reflash.training.state import discard_states, load_state, run_key, save_state

CHECK_EVERY = 100
"""Iterations between two looks at the loss (a CPU-GPU synchronisation) for NaN and progress."""

PARAMS, PARAMS_EMA, LOG = "params.safetensors", "params_ema.safetensors", "log.csv"


class Interrupted(ReflashError):  # noqa: N818 (not a failure)
    """Training stopped before its end with its state saved; run the command again to go on."""


@dataclass(frozen=True)
class Options:
    """What does not change a run's result."""

    save_seconds: float = 120.0
    """Seconds between two saved states: what a killed job loses at most."""
    time_budget: float | None = None
    """Seconds after which to save and stop, resumable; None: no limit."""
    tensorboard: Path | None = None
    """Folder to write TensorBoard events to."""
    report: Callable[[int, float, float], None] | None = None
    """Called with iteration, loss and learning rate every ``CHECK_EVERY`` iterations."""
    clock: Callable[[], float] = field(default=time.monotonic)
    """Source of seconds."""


class Validation:
    """Validation images through fixed test degradations (sigma 20, mod 4, PIL bicubic)."""

    def __init__(self, settings: ValidationSettings, folder: Path) -> None:
        benchmark = BenchmarkSettings(mod=4)
        self.kinds = settings.kinds
        self.examples = []
        for path in list_images(folder)[: settings.images]:
            hr = mod_crop(read_rgb(path), benchmark.mod)
            if settings.crop is not None:
                hr = _centre(hr, settings.crop)
            for kind in settings.kinds:
                self.examples.append((kind, hr, degrade(hr, kind, benchmark, path.stem)))

    def __call__(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return the mean PSNR (dB, RGB, crop 4) per kind of ``network``."""
        scores: dict[str, list[float]] = {kind: [] for kind in self.kinds}
        was_training = network.training
        network.eval()
        for kind, hr, lr in self.examples:
            scores[kind].append(psnr(upscale_image(network, lr, device=device), hr))
        network.train(was_training)
        return {f"psnr_{kind}": sum(v) / len(v) for kind, v in scores.items()}


def _centre(hr: Any, side: int) -> Any:
    side -= side % 4
    top, left = (max(0, (n - side) // 2) for n in hr.shape[:2])
    return hr[top : top + side, left : left + side]


class Run:
    """One network in training: its weights, their average, the optimiser and the log."""

    def __init__(self, settings: RunSettings, device: torch.device) -> None:
        self.settings, self.device = settings, device
        torch.manual_seed(key_seed(settings.seed, "initial weights"))
        network = build_network(settings.network, settings.dropout).to(device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.train()
        decay = settings.training.ema
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.average.n_averaged.fill_(1)  # the average starts at the initial weights, as released
        self.optimiser = torch.optim.Adam(
            self.network.parameters(),
            lr=settings.training.lr,
            betas=settings.training.betas,
            fused=True,
        )
        self.loss_sum = torch.zeros((), device=device)
        self.loss_count = 0
        self.rows: list[dict[str, str | float]] = []

    def step(self, iteration: int, lr: Tensor, hr: Tensor) -> Tensor:
        """Take one optimiser step on a batch and return its L1 loss (not synchronised)."""
        training = self.settings.training
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(iteration, training)
        # Dropout masks are keyed by (seed, iteration): resuming draws the same ones.
        torch.manual_seed(key_seed(self.settings.seed, "dropout", iteration))
        lr = lr.contiguous(memory_format=torch.channels_last)
        bf16 = training.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            sr = self.network(lr)
        loss = nn.functional.l1_loss(sr.float(), hr)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.average.update_parameters(self.network)
        loss = loss.detach()
        self.loss_sum += loss
        self.loss_count += 1
        return loss

    def log_row(self, done: int, validation: Validation) -> dict[str, str | float]:
        """Validate the averaged weights after ``done`` iterations and add a row to the log."""
        scores = validation(self.average.module, self.device)
        row: dict[str, str | float] = {
            "run": self.settings.id,
            "iteration": done,
            "learning_rate": learning_rate(done - 1, self.settings.training),
            "loss": float(self.loss_sum) / self.loss_count,
            **scores,
            "psnr": sum(scores.values()) / len(scores),
        }
        self.rows.append(row)
        self.loss_sum.zero_()
        self.loss_count = 0
        return row

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to continue bit by bit."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "loss_sum": self.loss_sum,
            "loss_count": self.loss_count,
            "rows": self.rows,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.loss_sum = state["loss_sum"].to(self.device)
        self.loss_count = state["loss_count"]
        self.rows = state["rows"]

    def write(self, folder: Path, metadata: dict[str, Any]) -> None:
        """Write weights and log; each file whole or not at all, the log last."""
        described = {
            "network": self.settings.network.model_dump(mode="json"),
            "dropout": str(self.settings.dropout),
            "run": self.settings.id,
            **metadata,
        }
        averaged = self.average.module.state_dict()
        for name, weights in ((PARAMS, self.network.state_dict()), (PARAMS_EMA, averaged)):
            save_weights(folder / name, weights, {**described, "which": Path(name).stem})
        write_json(folder / "settings.json", self.settings.model_dump(mode="json"))
        write_csv(folder / LOG, pd.DataFrame(self.rows), float_format="%.8g")


@contextmanager
def _stop_on_signals(stop: list[str]) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into a wish to stop, for a scheduler that takes a machine back."""

    def handler(number: int, frame: FrameType | None) -> None:
        stop.append(signal.Signals(number).name)

    old = {s: signal.signal(s, handler) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, previous in old.items():
            signal.signal(number, previous)


def train(
    settings: RunSettings,
    pairs: Pairs,
    validation: Validation,
    folder: Path | str,
    device: torch.device,
    options: Options | None = None,
) -> None:
    """Train one run to its end, continuing from saved state where there is one.

    Raises
    ------
    Interrupted
        The time budget is spent or the process was told to stop; the state is saved.
    ReflashError
        The loss is not a number, or the disk is full; the last saved state stays.
    """
    options = options or Options()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    key = run_key(settings, pairs.key)
    run = Run(settings, device)
    start = 0
    elapsed = 0.0
    state = load_state(folder, key)
    if state is not None:
        run.load_state_dict(state["run"])
        pairs.load_state_dict(state["pairs"])
        start, elapsed = state["iteration"], state["seconds"]
        print(f"{settings.id}: continuing after iteration {start}", flush=True)

    began = saved = options.clock()
    total, every = settings.training.iterations, settings.training.validation.every
    writer = _tensorboard(options.tensorboard)
    stop: list[str] = []

    def save(done: int) -> None:
        seconds = elapsed + options.clock() - began
        values = {"run": run.state_dict(), "pairs": pairs.state_dict()}
        save_state(folder, key, {**values, "iteration": done, "seconds": seconds})

    with _stop_on_signals(stop):
        for iteration in range(start, total):
            loss = run.step(iteration, *pairs.batch(iteration))
            done = iteration + 1
            at_row = done % every == 0 or done == total
            now = options.clock()
            out_of_time = options.time_budget is not None and now - began > options.time_budget
            due = now - saved > options.save_seconds
            if done % CHECK_EVERY == 0 or at_row or due or out_of_time or stop:
                value = loss.item()  # CPU-GPU synchronisation
                if not math.isfinite(value):
                    raise ReflashError(
                        f"{settings.id}: the loss is {value} at iteration {done}; "
                        "lower training.lr or look at the training images "
                        "(the last saved state is kept)"
                    )
                if options.report:
                    options.report(done, value, learning_rate(iteration, settings.training))
            if at_row:
                row = run.log_row(done, validation)
                if writer:
                    for name, number in row.items():
                        if name != "run":
                            writer.add_scalar(name, number, done)
            if done == total:
                break
            if due or out_of_time or stop:
                save(done)
                saved = options.clock()
            if out_of_time or stop:
                why = f"on {stop[0]}" if stop else "because its time budget is spent"
                raise Interrupted(
                    f"{settings.id}: stopped {why} after iteration {done} of {total}; "
                    "run the same command to continue"
                )
    if writer:
        writer.close()
    write_json(
        folder / "timing.json",
        {
            "seconds": elapsed + options.clock() - began,
            "iterations": total,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    )
    run.write(folder, {"iterations": total, "data": pairs.key})
    discard_states(folder)


def _tensorboard(folder: Path | None) -> Any:
    if folder is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ReflashError(
            "--tensorboard: TensorBoard is not installed; pip install 'reflash[tensorboard]'"
        ) from error
    return SummaryWriter(str(folder))
