"""One network in training: its weights, their average, the optimiser, one step, and the log."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from reflash.core.devices import has_bf16
from reflash.core.errors import ReflashError
from reflash.core.keys import key_seed
from reflash.models.build import build_network
from reflash.models.weights import save_weights
from reflash.training.graphs import CaptureError, CUDAGraphStep
from reflash.training.optim import FusedAdam, learning_rate
from reflash.training.record import WEIGHTS
from reflash.training.regulariser import (
    ActsOn,
    Regulariser,
    blamed,
    changed_pairs,
    is_own,
    open_regularisers,
    penalty_of,
    title_of,
)
from reflash.training.settings import RunSettings
from reflash.training.validation import Validation


class Run:
    """One network in training.

    Parameters
    ----------
    settings : RunSettings
    device : torch.device
    graphs : bool
        On a GPU, replay a whole step (forward, backward, Adam, average) as a CUDA graph.
    compiled : bool
        Fuse the network's operations with torch.compile.

    Examples
    --------
    A training loop without log, resume state and results::

        run = Run(settings, torch.device("cpu"))
        for iteration in range(settings.training.iterations):
            loss = run.step(iteration, *pairs.batch(iteration))
    """

    def __init__(
        self,
        settings: RunSettings,
        device: torch.device,
        *,
        graphs: bool = True,
        compiled: bool = False,
    ) -> None:
        self.settings, self.device = settings, device
        torch.manual_seed(key_seed(settings.seed, "initial weights"))
        network = build_network(settings.network, settings.dropout).to(device)
        self.regularisers = open_regularisers(settings)
        for regulariser in self.regularisers:
            with self._blamed(regulariser, "attach"):
                regulariser.attach(network)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.train()
        self.forward = self.network
        if compiled:  # with PyTorch's own random numbers, so that dropout masks stay the same
            self.forward = torch.compile(
                self.network, dynamic=False, options={"fallback_random": True}
            )
        self.average = AveragedModel(self.network)
        self.average.n_averaged.fill_(1)  # the average starts at the initial weights, as released
        self._weights = list(self.network.parameters())
        self._averaged = list(self.average.module.parameters())
        self._buffers = list(self.network.buffers())
        self._averaged_buffers = list(self.average.module.buffers())
        self._average_weights = get_ema_multi_avg_fn(settings.training.ema)
        precision = settings.training.precision
        native = precision == "auto" and has_bf16(device)
        self.precision = "bf16" if precision == "bf16" or native else "fp32"
        gpu = device.type == "cuda"
        if gpu:  # the same bytes again: cuDNN may otherwise add gradients in any order
            torch.backends.cudnn.deterministic = True
        rate = settings.training.lr
        self.rate: float | Tensor = torch.tensor(rate, device=device) if gpu else rate
        self.optimiser = FusedAdam(self._weights, settings.training.betas)
        self.loss = self.whole_loss = torch.zeros((), device=device)
        self.loss_sum = torch.zeros((), device=device)
        self.loss_count = 0
        self.rows: list[dict[str, str | float]] = []
        self.stream = torch.cuda.Stream(device) if gpu else None
        self._mask_seed = 0
        self._update_step = CUDAGraphStep(
            self._update, snapshot=self._tensors, restore=self._restore, enabled=graphs
        )

    def step(self, iteration: int, lr: Tensor, hr: Tensor) -> Tensor:
        """Take one optimiser step on a batch and return its L1 loss (not synchronised).

        Terms that a regulariser adds to the loss count in the step, and not in what is returned.

        Parameters
        ----------
        iteration : int
            Counted from 0; decides learning rate and dropout masks.
        lr, hr : Tensor
            (B, 3, h, w) and (B, 3, 4h, 4w), of other tasks (B, 3, h, w); float in [0, 1].

        Notes
        -----
        The loss is overwritten by the next step where steps are replayed on a GPU.
        """
        rate = learning_rate(iteration, self.settings.training)
        if isinstance(self.rate, float):
            self.rate = rate
        else:
            self.rate.fill_(rate)  # a graph reads the rate from the tensor it was captured with
        for regulariser in self.regularisers:
            with self._blamed(regulariser, "begin"):
                regulariser.begin(iteration, self.settings.training.iterations)
        # Dropout masks and what regularisers draw are keyed by (seed, iteration): resuming draws
        # the same ones.
        self._mask_seed = key_seed(self.settings.seed, "dropout", iteration)
        self._seed_masks()
        self.loss, self.whole_loss = self._update_step(lr, hr, device=self.device)
        self.loss_count += 1
        return self.loss

    def _update(self, lr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
        """Do on the device all that a step does there; the L1 loss, and the whole one."""
        for regulariser in self.regularisers_of("pairs"):
            with self._blamed(regulariser, "pairs"):
                lr, hr = changed_pairs(regulariser, lr, hr)
        lr = lr.contiguous(memory_format=torch.channels_last)
        bf16 = self.precision == "bf16"
        penalties: list[Tensor] = []
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            with self._blamed(self.network, "the forward pass"):
                sr = self.forward(lr)
            for regulariser in self.regularisers_of("loss"):
                with self._blamed(regulariser, "penalty"):
                    penalties.append(penalty_of(regulariser, self.forward, lr, hr))
        loss = nn.functional.l1_loss(sr.float(), hr)
        self.optimiser.zero_grad()
        whole = sum(penalties, loss)
        with self._blamed(self.network, "the backward pass"):
            whole.backward()
        for regulariser in self.regularisers_of("optimiser"):
            with self._blamed(regulariser, "decay"):
                regulariser.decay(self._weights, self.rate)
        self.optimiser.step(self.rate)
        self._average_weights(self._averaged, self._weights, 1)
        with torch.no_grad():  # such as running statistics of BatchNorm: as they are, not averaged
            for average, buffer in zip(self._averaged_buffers, self._buffers, strict=True):
                average.copy_(buffer)
        loss = loss.detach()
        self.loss_sum += loss
        return loss, whole.detach()

    def _blamed(self, part: Regulariser | nn.Module, doing: str) -> AbstractContextManager[None]:
        """Name the user's code if it fails; what fails in the network may be any part of it."""
        named = [(title_of(one), one.factory) for one in self.settings.regularisers]
        if isinstance(part, Regulariser):
            title, factory = named[self.regularisers.index(part)]
            return blamed(title, doing, is_own(factory))
        factory = getattr(self.settings.network, "factory", "")
        own = [factory] * bool(factory) + [title for title, place in named if is_own(place)]
        return blamed(", ".join(own), doing) if own else nullcontext()

    def regularisers_of(self, part: ActsOn) -> list[Regulariser]:
        """Return the regularisers that act on a part of a step, in order of their names."""
        return [one for one in self.regularisers if one.acts_on == part]

    def _seed_masks(self) -> None:
        """Seed the one generator that dropout draws from, not those of every device."""
        if self.device.type == "cuda":
            index = self.device.index or 0
            torch.cuda.default_generators[index].manual_seed(self._mask_seed)
        elif self.device.type == "cpu":
            torch.default_generator.manual_seed(self._mask_seed)
        else:
            torch.manual_seed(self._mask_seed)  # also of mps and xpu

    def _tensors(self) -> list[tuple[Tensor, Tensor]]:
        """Return all tensors that a step changes, each with a copy."""
        tensors = [*self._weights, *self._averaged, *self._buffers, *self._averaged_buffers]
        tensors += [self.loss_sum, *self.optimiser.tensors()]
        return [(tensor, tensor.detach().clone()) for tensor in tensors]

    @torch.no_grad()
    def _restore(self, before: Any) -> None:
        """Undo the steps of a warm-up."""
        for tensor, copy in before:
            tensor.copy_(copy)
        self._seed_masks()

    def is_finite(self) -> bool:
        """Whether the last loss and every weight are numbers; waits for the device."""
        return math.isfinite(self.whole_loss.item()) and bool(
            torch.stack([w.detach().isfinite().all() for w in self._weights]).all()
        )

    def log_row(self, done: int, validation: Validation) -> dict[str, str | float]:
        """Validate the averaged weights after ``done`` iterations and add a row to the log."""
        with self._blamed(self.network, "validation"):
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

    def log_text(self) -> str:
        """Return the log as CSV, 8 digits per number."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.rows[0])
        for row in self.rows:
            writer.writerow(f"{v:.8g}" if isinstance(v, float) else v for v in row.values())
        return text.getvalue()

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to continue; results are then bit-identical."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "loss_sum": self.loss_sum,
            "loss_count": self.loss_count,
            "rows": self.rows,
            "precision": self.precision,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state_dict``, taken on this device or another, before the first step.

        A run goes on in the arithmetic it began with, also where another device has it.
        """
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.loss_sum.copy_(state["loss_sum"])
        self.loss_count = state["loss_count"]
        self.rows = state["rows"]
        self.precision = state["precision"]

    def save_weights(self, folder: Path, metadata: dict[str, Any]) -> None:
        """Write raw and averaged weights with what ``load_network`` needs to read them."""
        described = {
            "network": self.settings.network.model_dump(mode="json"),
            "dropout": str(self.settings.dropout),
            "run": self.settings.id,
            **metadata,
        }
        for which, network in (("params", self.network), ("params_ema", self.average.module)):
            save_weights(
                folder / WEIGHTS[which], network.state_dict(), {**described, "which": which}
            )


def step_all(
    runs: Sequence[Run], iteration: int, lr: Tensor, hr: Tensor
) -> dict[Run, ReflashError]:
    """Take a step of every run on the same batch; on a GPU side by side on their own streams.

    Returns
    -------
    dict
        The runs whose own network or regulariser fails, with the reason.
    """
    failed: dict[Run, ReflashError] = {}

    def step(run: Run) -> None:
        try:
            run.step(iteration, lr, hr)
        except CaptureError:
            raise
        except ReflashError as error:
            failed[run] = error

    if len(runs) < 2 or runs[0].device.type != "cuda":
        for run in runs:
            step(run)
        return failed
    current = torch.cuda.current_stream(runs[0].device)
    ready = current.record_event()
    for run in runs:
        assert run.stream is not None
        run.stream.wait_event(ready)
        with torch.cuda.stream(run.stream):
            step(run)
    for run in runs:
        assert run.stream is not None
        current.wait_stream(run.stream)
    return failed
