"""The training loop: runs from their settings to their weights, resumable at any moment.

Run it with ``reflash train --config RUN.yaml --out DIR`` and ``--pairs`` (a pool) or ``--images``
(a cache, pairs online); several ``--config`` and ``--out`` train several runs on the same pairs.
`train` holds the loop. A step of it crosses `Prefetcher` (batches made early), `Run` (the network,
its optimiser and one step) and, on a GPU, `CUDAGraphStep` (that step replayed).

A run's folder then holds ``params.safetensors`` (raw weights), ``params_ema.safetensors`` (their
moving average), ``run.json`` (the record: settings, hashes, machine, duration) and ``log.csv``
(learning rate, loss, validation PSNR), which is written last. While it is under way there are
``state-*.pt`` (where it continues) and, once it was stopped, ``partial/`` (the weights so far).
"""

from __future__ import annotations

import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from reflash.core.errors import ReflashError
from reflash.core.files import write_text
from reflash.core.lock import only_one
from reflash.core.progress import say
from reflash.training.optim import learning_rate
from reflash.training.pairs import Pairs
from reflash.training.prefetcher import Prefetcher
from reflash.training.record import (
    LOG,
    RECORD,
    WEIGHTS,
    already_finished,
    check_record,
    read_record,
    recipe,
    write_record,
)
from reflash.training.run import Run, step_all
from reflash.training.settings import RunSettings
from reflash.training.state import discard_states, load_state, save_state, state_path
from reflash.training.validation import Validation

CHECK_EVERY = 100
"""Iterations between two checks of the loss (a CPU-GPU synchronisation) for NaN and progress."""

PARTIAL = "partial"
"""Folder in a run's folder for the weights of a run that was stopped."""

HELD = ".new"
"""Folder in a run's folder for results that are whole and not yet in their place."""


class Interrupted(ReflashError):  # noqa: N818 (not a failure)
    """Training stopped before its end with its state saved; run the command again to go on."""


@dataclass(frozen=True)
class Options:
    """What does not change a run's result (``compiled``: beyond float rounding)."""

    save_seconds: float = 120.0
    """Seconds between two saved states: what a killed job loses at most."""
    time_budget: float | None = None
    """Seconds after which to save and stop, resumable; None: no limit."""
    again: bool = False
    """Train again what is finished; the old results stay until the new ones replace them."""
    tensorboard: Path | None = None
    """Folder to write TensorBoard events to."""
    report: Callable[[int, float, float], None] | None = None
    """Called with iteration, loss and learning rate at least every ``CHECK_EVERY`` iterations."""
    clock: Callable[[], float] = field(default=time.monotonic)
    """Source of seconds."""
    graphs: bool = True
    """Replay steps as CUDA graphs (on a GPU)."""
    compiled: bool = False
    """Fuse the network's operations with torch.compile."""
    prefetch: bool | None = None
    """Make each batch one iteration early; None: on a GPU."""

    def __post_init__(self) -> None:
        for name in ("save_seconds", "time_budget"):
            seconds = getattr(self, name)
            if seconds is not None and (math.isnan(seconds) or seconds < 0):
                raise ReflashError(f"{name}: {seconds} is not a number of seconds; give 0 or more")


class Trainer:
    """Trains one run into a folder: what lies around its `Run` on the disk and in the log.

    Parameters
    ----------
    settings : RunSettings
    validation : Validation
    folder : Path or str
        Where the results go.
    made_from : str
        What the pairs are made from, as a workflow knows it; kept in the record.
    held : bool
        Leave the results aside in the folder; the next training of the run puts them in place.

    Examples
    --------
    ::

        trainer = Trainer(settings, Validation(settings.training.validation, images), "run")
        train([trainer], PoolPairs("pool", 16, seed=0, device=cpu), cpu)
    """

    run: Run
    data: str
    recipe: str

    def __init__(
        self,
        settings: RunSettings,
        validation: Validation,
        folder: Path | str,
        made_from: str = "",
        held: bool = False,
    ) -> None:
        self.settings, self.validation, self.folder = settings, validation, Path(folder)
        self.made_from, self.held = made_from, held
        self.total = settings.training.iterations
        self.start, self.elapsed, self.resumes = 0, 0.0, 0
        self.pairs_state: dict[str, Any] = {}
        self.writer: Any = None

    def has(self, data: str, part: str = "") -> bool:
        """Whether results of this very run lie in the folder, or in a ``part`` of it."""
        folder = self.folder / part
        if not (folder / LOG).is_file() or check_record(folder):
            return False
        record = read_record(folder)
        made = recipe(self.settings, data, self.validation.key), self.made_from
        return record is not None and (record.recipe, record.made_from) == made

    def has_held(self, data: str) -> bool:
        """Whether results of this very run lie whole in ``.new``, or were on their way from it."""
        new = self.folder / HELD
        if not (new / LOG).is_file():
            return False
        record = read_record(new) or read_record(self.folder)
        if record is None:
            return False
        made = recipe(self.settings, data, self.validation.key), self.made_from
        return (record.recipe, record.made_from) == made

    def close(self) -> None:
        """Write what TensorBoard has not been given yet."""
        if self.writer:
            self.writer.close()

    def open(self, data: str, device: torch.device, options: Options, together: int) -> None:
        """Build the network and continue from the saved state where there is one."""
        self.data, self.together = data, together
        self.recipe = recipe(self.settings, data, self.validation.key)
        self.run = Run(self.settings, device, graphs=options.graphs, compiled=options.compiled)
        events = options.tensorboard
        self.writer = _tensorboard(events and events / self.settings.id)
        state = load_state(self.folder, self.recipe)
        if state is not None:
            self.run.load_state_dict(state["run"])
            self.start, self.elapsed = state["iteration"], state["seconds"]
            self.resumes = state["resumes"] + 1
            self.pairs_state = state["pairs"]
            say(f"{self.settings.id}: continuing after iteration {self.start}")
        elif any(self.folder.glob(state_path(Path(), "*").name)):
            say(
                f"{self.settings.id}: starts over; the state saved in {self.folder} is of other "
                "settings, data or training code"
            )

    def is_active(self, iteration: int) -> bool:
        """Whether the iteration is still to be done; a run that is ahead of others waits."""
        return self.start <= iteration < self.total

    def is_validated(self, done: int) -> bool:
        """Whether a row of the log is due after ``done`` iterations."""
        return done % self.settings.training.validation.every == 0 or done == self.total

    def log(self, done: int) -> None:
        """Validate and add a row to the log."""
        row = self.run.log_row(done, self.validation)
        if self.writer:
            for name, number in row.items():
                if name != "run":
                    self.writer.add_scalar(name, number, done)

    def save(self, done: int, seconds: float, pairs_state: dict[str, Any]) -> None:
        """Write the resume state after ``done`` iterations and ``seconds`` of this process."""
        state = {
            "run": self.run.state_dict(),
            "pairs": pairs_state,
            "iteration": done,
            "seconds": self.elapsed + seconds,
            "resumes": self.resumes,
        }
        save_state(self.folder, self.recipe, state)

    def save_partial(self, done: int, seconds: float) -> None:
        """Write the weights of a run that is stopped, with their record, for use as they are."""
        self._write(self.folder / PARTIAL, done, seconds, {"done": done})

    def finish(self, seconds: float) -> None:
        """Write the results and, unless they are held, put them in the place of older ones."""
        new, log = self.folder / HELD, self.run.log_text()
        shutil.rmtree(new, ignore_errors=True)  # a log of older ones would make half of these whole
        try:
            self._write(new, self.total, seconds, {}, log)
            write_text(new / LOG, log)
        finally:
            if not self.held:
                _publish(self.folder)
        shutil.rmtree(self.folder / PARTIAL, ignore_errors=True)

    def _write(
        self, folder: Path, done: int, seconds: float, metadata: dict[str, Any], log: str = ""
    ) -> None:
        self.run.save_weights(folder, {"iterations": self.total, "data": self.data, **metadata})
        device = self.run.device
        write_record(
            folder,
            self.settings,
            recipe=self.recipe,
            data=self.data,
            made_from=self.made_from,
            done=done,
            seconds=self.elapsed + seconds,
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            precision=self.run.precision,
            threads=torch.get_num_threads(),
            runs_together=self.together,
            resumes=self.resumes,
            log=log,
        )


def train(
    trainers: Sequence[Trainer],
    pairs: Pairs,
    device: torch.device,
    options: Options | None = None,
) -> None:
    """Train runs to their end on one stream of pairs, continuing from saved states.

    Each ends as if it were trained alone, and each has its own resume state. A run that is further
    than the others waits for them; one that is finished already is left as it is, unless
    ``options.again``; one that fails does not stop the others.

    Raises
    ------
    Interrupted
        The time budget is spent or the process was told to stop; the states are saved, and the
        weights so far lie in ``partial/``.
    ReflashError
        The runs do not see the same pairs; a folder is in use by another process or holds the
        finished results of other settings; a loss is not a number (of a run that is held, that is
        only said); the disk is full. The last saved state of a run that fails stays.
    """
    options = options or Options()
    check_agreement([trainer.settings for trainer in trainers])
    if len({trainer.folder.resolve() for trainer in trainers}) < len(trainers):
        raise ReflashError(f"{trainers[0].folder}: given for several runs; give each its own")
    with ExitStack() as held:
        for trainer in trainers:
            trainer.folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(only_one(trainer.folder / ".lock", busy=str(trainer.folder)))
        todo = []
        for trainer in trainers:
            if trainer.held:
                if not (trainer.has(pairs.key) or trainer.has(pairs.key, HELD)):
                    todo.append(trainer)
                continue
            told = None
            if trainer.has_held(pairs.key):
                _publish(trainer.folder)
                if trainer.has(pairs.key):
                    told = f"{trainer.settings.id}: was trained together with others"
            else:
                shutil.rmtree(trainer.folder / HELD, ignore_errors=True)
            if not told and not options.again:
                told = already_finished(trainer.folder, trainer.settings, pairs.key)
            if told:
                say(told)
            else:
                todo.append(trainer)
        if not todo:
            return
        failures: dict[Trainer, str] = {}
        for trainer in todo:
            held.callback(trainer.close)
            try:
                trainer.open(pairs.key, device, options, len(todo))
            except ReflashError as error:
                failures[trainer] = f"{trainer.settings.id}: {error}"
                say(f"warning: {failures[trainer]}")
        if opened := [trainer for trainer in todo if trainer not in failures]:
            _loop(opened, pairs, device, options, failures)
        for trainer in trainers:
            if trainer not in failures:
                discard_states(trainer.folder)
        errors = [message for trainer, message in failures.items() if not trainer.held]
        if errors:
            raise ReflashError(errors[0])


def _loop(
    trainers: Sequence[Trainer],
    pairs: Pairs,
    device: torch.device,
    options: Options,
    failures: dict[Trainer, str],
) -> None:
    """Train to the end; add the runs that fail to ``failures``, with the reason, and say so."""

    def fail(trainer: Trainer, done: int, reason: object) -> None:
        failures[trainer] = f"{trainer.settings.id}: iteration {done}: {reason}"
        say(f"warning: {failures[trainer]}")

    start, total = min(t.start for t in trainers), max(t.total for t in trainers)
    prefetch = device.type == "cuda" if options.prefetch is None else options.prefetch
    batches = Prefetcher(pairs, device, enabled=prefetch, total=total)
    if start:
        batches.load_state_dict(min(trainers, key=lambda t: t.start).pairs_state)
    for trainer in trainers:
        if trainer.start == trainer.total:  # stopped before the others had come to their end
            trainer.finish(0.0)
    began = saved = options.clock()
    with closing(batches), _stop_on_signals() as signals:
        for iteration in range(start, total):
            lr, hr = batches.batch(iteration)
            active = [t for t in trainers if t.is_active(iteration)]
            raised = step_all([t.run for t in active], iteration, lr, hr)
            done, now = iteration + 1, options.clock()
            for trainer in active:
                if trainer.run in raised:
                    fail(trainer, done, raised[trainer.run])
            active = [t for t in active if t not in failures]

            save_due = now - saved > options.save_seconds
            validated = [t for t in active if t.is_validated(done)]
            stop = f"on {signals[0]}" if signals else ""
            if options.time_budget is not None and now - began > options.time_budget:
                stop = stop or "because its time budget is spent"
            # What follows reads values of the device, which makes the host wait: not every time.
            if not (done % CHECK_EVERY == 0 or validated or save_due or stop or raised):
                continue

            for trainer in active:
                if not trainer.run.is_finite():
                    loss = trainer.run.whole_loss.item()
                    reason = (
                        f"the loss is {loss}, or a weight is not a number; lower training.lr or "
                        "look at the training images (the last saved state is kept)"
                    )
                    fail(trainer, done, reason)
                elif trainer in validated:
                    try:
                        trainer.log(done)
                    except ReflashError as error:  # of the user's network or regulariser
                        fail(trainer, done, error)
            active = [t for t in active if t not in failures]
            ended = [t for t in active if done == t.total]
            if options.report and active:
                loss = sum(t.run.loss.item() for t in active) / len(active)
                options.report(done, loss, learning_rate(iteration, active[0].settings.training))
            for trainer in ended:
                trainer.finish(options.clock() - began)
            failed = [t for t in trainers if t in failures]
            trainers = [t for t in trainers if t not in failures]
            if all(t.total <= done for t in trainers):
                return
            if save_due or stop or failed or ended:
                # A run that ended is saved, too: it would start over if the others are stopped.
                state = batches.state_dict()
                for trainer in active:
                    trainer.save(done, options.clock() - began, state)
                saved = options.clock()
            if stop:
                for trainer in active:
                    if trainer not in ended:
                        trainer.save_partial(done, options.clock() - began)
                names = ", ".join(t.settings.id for t in trainers)
                raise Interrupted(
                    f"{names}: stopped {stop} after iteration {done} of {total}; the weights so "
                    f"far are in {PARTIAL}/; run the same command to continue"
                    + "".join(f"; failed: {message}" for message in failures.values())
                )


@contextmanager
def _stop_on_signals() -> Iterator[list[str]]:
    """Yield a list that receives the names of SIGTERM and SIGINT instead of their effect.

    A scheduler that takes a machine back sends one, and kills some seconds later.
    """
    received: list[str] = []

    def handler(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number).name)

    old = {s: signal.signal(s, handler) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, previous in old.items():
            signal.signal(number, previous)


def _publish(folder: Path) -> None:
    """Move the results that are whole in ``.new`` to the run's folder; remove what is not.

    The log is the last to be written to ``.new`` and the last to leave it: a process that is killed
    in between has either changed nothing, or the next one completes the move.
    """
    new = folder / HELD
    if (new / LOG).is_file():
        for name in (*WEIGHTS.values(), RECORD, LOG):
            if (new / name).is_file():
                (new / name).replace(folder / name)
    shutil.rmtree(new, ignore_errors=True)


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
