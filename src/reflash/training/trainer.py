"""The training loop: runs from their settings to their weights, resumable at any moment.

Run it with ``reflash train --config RUN.yaml --out DIR`` and ``--pairs`` (a pool) or ``--images``
(a cache, pairs online); several ``--config`` and ``--out`` train several runs on the same pairs.
A run's folder then holds ``params.safetensors`` (raw weights), ``params_ema.safetensors`` (their
moving average), ``log.csv`` (learning rate, loss, validation PSNR), ``settings.json`` (the resolved
settings) and ``timing.json``.
"""

from __future__ import annotations

import math
import platform
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from reflash.core.errors import ReflashError
from reflash.core.files import write_json
from reflash.training.ahead import Ahead
from reflash.training.pairs import Pairs
from reflash.training.run import Run
from reflash.training.schedule import learning_rate
from reflash.training.settings import RunSettings
from reflash.training.state import discard_states, load_state, run_key, save_state
from reflash.training.validation import Validation

CHECK_EVERY = 100
"""Iterations between two looks at the loss (a CPU-GPU synchronisation) for NaN and progress."""


class Interrupted(ReflashError):  # noqa: N818 (not a failure)
    """Training stopped before its end with its state saved; run the command again to go on."""


@dataclass(frozen=True)
class Options:
    """What does not change a run's result (``compiled``: beyond float rounding)."""

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
    graphs: bool = True
    """Replay steps as CUDA graphs (on a GPU)."""
    compiled: bool = False
    """Fuse the network's operations with torch.compile."""
    ahead: bool | None = None
    """Make each batch one iteration early; None: on a GPU."""


@dataclass(frozen=True)
class Job:
    """A run to train: its settings, its validation and the folder of its results."""

    settings: RunSettings
    validation: Validation
    folder: Path


class _Training:
    """A job under way."""

    def __init__(
        self, job: Job, pairs_key: str, device: torch.device, options: Options, together: bool
    ) -> None:
        self.settings, self.validation, self.folder = job.settings, job.validation, job.folder
        self.total = job.settings.training.iterations
        self.every = job.settings.training.validation.every
        self.pairs_key = pairs_key
        self.key = run_key(job.settings, pairs_key, job.validation.key)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run = Run(job.settings, device, graphs=options.graphs, compiled=options.compiled)
        self.start, self.elapsed = 0, 0.0
        self.pairs_state: dict[str, Any] = {}
        self.loss = torch.zeros(())
        events = options.tensorboard
        self.writer = _tensorboard(events / job.settings.id if together and events else events)
        state = load_state(self.folder, self.key)
        if state is not None:
            self.run.load_state_dict(state["run"])
            self.start, self.elapsed = state["iteration"], state["seconds"]
            self.pairs_state = state["pairs"]
            print(f"{self.settings.id}: continuing after iteration {self.start}", flush=True)

    def active(self, iteration: int) -> bool:
        """Whether the iteration is still to be done."""
        return self.start <= iteration < self.total

    def at_row(self, done: int) -> bool:
        """Whether a row of the log is due after ``done`` iterations."""
        return done % self.every == 0 or done == self.total

    def rate(self, iteration: int) -> float:
        """Return the learning rate of an iteration."""
        return learning_rate(iteration, self.settings.training)

    def save(self, done: int, seconds: float, pairs_state: dict[str, Any]) -> None:
        """Write the resume state."""
        values = {"run": self.run.state_dict(), "pairs": pairs_state}
        seconds += self.elapsed
        save_state(self.folder, self.key, {**values, "iteration": done, "seconds": seconds})

    def log(self, done: int) -> None:
        """Validate and add a row to the log."""
        row = self.run.log_row(done, self.validation)
        if self.writer:
            for name, number in row.items():
                if name != "run":
                    self.writer.add_scalar(name, number, done)

    def finish(self, seconds: float, together: int, device: torch.device) -> None:
        """Write the results."""
        if self.writer:
            self.writer.close()
        write_json(
            self.folder / "timing.json",
            {
                "seconds": self.elapsed + seconds,
                "iterations": self.total,
                "runs_together": together,
                "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        )
        self.run.write(self.folder, {"iterations": self.total, "data": self.pairs_key})


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
    train_together([Job(settings, validation, Path(folder))], pairs, device, options)


def check_agreement(settings: Sequence[RunSettings]) -> None:
    """Check that runs can be trained on the same pairs.

    Raises
    ------
    ReflashError
        Two runs have the same name, or differ in what decides the pairs.
    """
    first, *others = settings
    for other in others:
        for name in ("seed", "setting", "pairs", "degradation", "sub_image", "step"):
            if getattr(first, name) != getattr(other, name):
                raise ReflashError(
                    f"{other.id}: {name} differs from that of {first.id}, and runs trained "
                    "together see the same pairs; train them by separate commands"
                )
        if first.training.batch != other.training.batch:
            raise ReflashError(
                f"{other.id}: training.batch is {other.training.batch}, that of {first.id} "
                f"{first.training.batch}, and runs trained together see the same pairs; "
                "train them by separate commands"
            )
    names = [one.id for one in settings]
    for name in names:
        if names.count(name) > 1:
            raise ReflashError(f"{name}: given twice; give each run once")


def train_together(
    jobs: Sequence[Job], pairs: Pairs, device: torch.device, options: Options | None = None
) -> None:
    """Train several runs on the same stream of pairs; each ends as if it were trained alone.

    Every run has its own resume state. A run that is further than the others waits for them.

    Raises
    ------
    Interrupted
        The time budget is spent or the process was told to stop; the states are saved.
    ReflashError
        The runs do not see the same pairs, a loss is not a number, or the disk is full. The state
        of the other runs is saved, the last saved state of this one stays.
    """
    options = options or Options()
    check_agreement([job.settings for job in jobs])
    if len({job.folder.resolve() for job in jobs}) < len(jobs):
        raise ReflashError(f"{jobs[0].folder}: given for several runs; give each its own folder")
    together = len(jobs) > 1
    trainings = [_Training(job, pairs.key, device, options, together) for job in jobs]
    start, total = min(t.start for t in trainings), max(t.total for t in trainings)
    use_ahead = device.type == "cuda" if options.ahead is None else options.ahead
    source = Ahead(pairs, device, enabled=use_ahead, total=total)
    if start:
        source.load_state_dict(min(trainings, key=lambda t: t.start).pairs_state)
    stop: list[str] = []
    with closing(source), _stop_on_signals(stop):
        _loop(trainings, source, range(start, total), device, options, stop)
    for training in trainings:
        discard_states(training.folder)


def _loop(
    trainings: list[_Training],
    source: Ahead,
    iterations: range,
    device: torch.device,
    options: Options,
    stop: list[str],
) -> None:
    began = saved = options.clock()

    def save(which: Sequence[_Training], done: int) -> None:
        state = source.state_dict()
        for training in which:
            training.save(done, options.clock() - began, state)

    for iteration in iterations:
        active = [t for t in trainings if t.active(iteration)]
        _step(active, iteration, *source.batch(iteration), device)
        done = iteration + 1
        now = options.clock()
        out_of_time = options.time_budget is not None and now - began > options.time_budget
        due = now - saved > options.save_seconds
        rows = [t for t in active if t.at_row(done)]
        failed: list[_Training] = []
        if done % CHECK_EVERY == 0 or rows or due or out_of_time or stop:
            losses = [t.loss.item() for t in active]  # CPU-GPU synchronisation
            failed = [
                t
                for t, loss in zip(active, losses, strict=True)
                if not (math.isfinite(loss) and t.run.finite())
            ]
            if options.report and active and not failed:
                options.report(done, sum(losses) / len(losses), active[0].rate(iteration))
        for training in rows:
            if training not in failed:
                training.log(done)
                if done == training.total:
                    training.finish(options.clock() - began, len(trainings), device)
        if failed:
            save([t for t in active if t not in failed], done)
            raise ReflashError(
                f"{failed[0].settings.id}: the loss is {failed[0].loss.item()} at iteration "
                f"{done}, or a weight is not a number; lower training.lr or look at the training "
                "images (the last saved state is kept)"
            )
        if done == iterations.stop:
            return
        ended = [t for t in rows if done == t.total]
        if due or out_of_time or stop or ended:
            save([t for t in active if due or out_of_time or stop or t in ended], done)
            saved = options.clock() if due else saved
        if out_of_time or stop:
            why = f"on {stop[0]}" if stop else "because its time budget is spent"
            names = ", ".join(t.settings.id for t in trainings)
            raise Interrupted(
                f"{names}: stopped {why} after iteration {done} of {iterations.stop}; "
                "run the same command to continue"
            )


def _step(
    active: list[_Training], iteration: int, lr: Tensor, hr: Tensor, device: torch.device
) -> None:
    """Take a step of every run; on a GPU several run side by side on streams of their own."""
    if device.type != "cuda" or len(active) == 1:
        for training in active:
            training.loss = training.run.step(iteration, lr, hr)
        return
    current = torch.cuda.current_stream(device)
    ready = current.record_event()
    for training in active:
        stream = training.run.stream
        assert stream is not None
        stream.wait_event(ready)
        with torch.cuda.stream(stream):
            training.loss = training.run.step(iteration, lr, hr)
    for training in active:
        assert training.run.stream is not None
        current.wait_stream(training.run.stream)


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
