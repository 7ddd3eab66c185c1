"""Work that a GPU replays by itself: a function of tensors recorded as a CUDA graph.

Launching an operation takes the host some 5 microseconds, whatever its size; a recording of
hundreds of them is launched at once. Elsewhere than on a GPU the function is simply called, so that
the code around it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from reflash.core.errors import ReflashError

WARM_UP = 3
"""Calls before recording: libraries choose algorithms and allocate memory in the first ones."""


class Recorded:
    """A function of tensors of fixed shapes, recorded on its first call on a GPU.

    Parameters
    ----------
    function
        From tensors to a tuple of tensors. It must not read values on the host.
    restore
        Called after the warm-up and the recording, with whatever ``before`` returned, for a
        function that changes something besides its outputs.
    before
        Called before the warm-up.
    enabled
        Whether to record; otherwise the function is called as it is.

    Notes
    -----
    Outputs of a recording are overwritten by the next call.
    """

    def __init__(
        self,
        function: Callable[..., tuple[Tensor, ...]],
        *,
        before: Callable[[], object] | None = None,
        restore: Callable[[object], None] | None = None,
        enabled: bool = True,
    ) -> None:
        self.function, self.before, self.restore = function, before, restore
        self.enabled = enabled
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: tuple[Tensor, ...] = ()
        self.outputs: tuple[Tensor, ...] = ()

    def __call__(self, *values: Tensor, device: torch.device) -> tuple[Tensor, ...]:
        """Return the function's outputs for ``values``, which are copied to ``device``."""
        if device.type != "cuda" or not self.enabled:
            return self.function(*(to_static(value, device) for value in values))
        if self.graph is None:
            self.graph = self._record(values, device)
        for static, value in zip(self.inputs, values, strict=True):
            static.copy_(_pinned(value), non_blocking=True)
        self.graph.replay()
        return self.outputs

    def _record(self, values: Sequence[Tensor], device: torch.device) -> torch.cuda.CUDAGraph:
        """Warm up and record.

        Raises
        ------
        ReflashError
            The GPU cannot record the work. A broken recording leaves PyTorch's streams and random
            states unusable, so there is no going on without in the same process.
        """
        self.inputs = tuple(to_static(value, device).clone() for value in values)
        state = self.before() if self.before else None
        current = torch.cuda.current_stream(device)
        side = torch.cuda.Stream(device)
        side.wait_stream(current)
        try:
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    self.function(*self.inputs)
            current.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            try:
                with torch.cuda.graph(graph):
                    self.outputs = self.function(*self.inputs)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[0]
                raise ReflashError(
                    f"the GPU cannot record this work as a CUDA graph ({reason}); "
                    "run with --no-graphs"
                ) from error
        finally:
            if self.restore:
                self.restore(state)
        return graph


def to_static(value: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device without waiting, keeping its memory format."""
    return _pinned(value).to(device, non_blocking=True) if device.type == "cuda" else value


def _pinned(value: Tensor) -> Tensor:
    return value.pin_memory() if value.device.type == "cpu" else value
