"""Making the next batch while the network is busy with this one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from reflash.training.pairs import Pairs

Batch = tuple[Tensor, Tensor]


class Prefetcher:
    """The batches of ``pairs``, each made one iteration early if ``enabled``.

    On a GPU the work goes to a second stream, where it runs beside the step; on a CPU to a thread,
    which only pays where cores are idle. Batches are the same either way, and so is what is saved:
    a state taken while a batch is prefetched holds that batch, and can be continued with or
    without prefetching.

    Parameters
    ----------
    pairs : Pairs
    device : torch.device
    enabled : bool
    total : int
        Iterations of the training: no batch beyond them is made.

    Examples
    --------
    A step of the training loop::

        batches = Prefetcher(pairs, device, enabled=True, total=1000)
        lr, hr = batches.batch(iteration)
    """

    def __init__(self, pairs: Pairs, device: torch.device, *, enabled: bool, total: int) -> None:
        self.pairs, self.device, self.enabled, self.total = pairs, device, enabled, total
        self.held: Batch | None = None
        self.waiting: tuple[int, Future[Batch]] | None = None
        self.thread: ThreadPoolExecutor | None = None
        self.stream: torch.cuda.Stream | None = None
        if enabled and device.type == "cuda":
            self.stream = torch.cuda.Stream(device)
        elif enabled:
            # A new thread computes with as many cores as this one was given.
            threads = torch.get_num_threads()
            self.thread = ThreadPoolExecutor(
                1, initializer=torch.set_num_threads, initargs=(threads,)
            )

    def batch(self, iteration: int) -> Batch:
        """Return lr and hr of ``iteration``, and begin the next batch; see ``Pairs.batch``."""
        batch = self._take(iteration)
        if self.enabled and iteration + 1 < self.total:
            self._begin(iteration + 1)
        return batch

    def _take(self, iteration: int) -> Batch:
        if self.held is not None:
            batch, self.held = self.held, None
            return batch
        if self.waiting is None or self.waiting[0] != iteration:
            if self.stream is None:
                return self.pairs.batch(iteration)
            self._begin(iteration)  # what pairs keep between batches belongs to the second stream
        assert self.waiting is not None
        (_, future), self.waiting = self.waiting, None
        batch = future.result()
        if self.stream is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(self.stream)
            for tensor in batch:
                tensor.record_stream(current)  # or its memory could be reused before the step
        return batch

    def _begin(self, iteration: int) -> None:
        if self.thread is not None:
            self.waiting = iteration, self.thread.submit(self.pairs.batch, iteration)
            return
        assert self.stream is not None
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        future: Future[Batch] = Future()
        with torch.cuda.stream(self.stream):
            future.set_result(self.pairs.batch(iteration))
        self.waiting = iteration, future

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the pairs, and the prefetched batch."""
        if self.waiting is not None:
            iteration, _ = self.waiting
            self.held = self._take(iteration)
        if self.stream is not None:
            self.stream.synchronize()
        state = self.pairs.state_dict()
        return state if self.held is None else {**state, "prefetched": list(self.held)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken."""
        state = dict(state)
        if "prefetched" in state:
            lr, hr = (tensor.to(self.device) for tensor in state.pop("prefetched"))
            self.held = lr, hr
        if self.stream is None:
            self.pairs.load_state_dict(state)
            return
        with torch.cuda.stream(self.stream):
            self.pairs.load_state_dict(state)

    def close(self) -> None:
        """End the thread."""
        if self.thread is not None:
            self.thread.shutdown(cancel_futures=True)
