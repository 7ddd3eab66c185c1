"""Steps that a GPU replays by itself: a function of tensors captured as a CUDA graph.

Launching an operation takes the host some 5 microseconds, whatever its size; a graph of hundreds
of them is launched at once. Elsewhere than on a GPU the function is simply called, so that the code
around it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from reflash.core.errors import ReflashError

WARM_UP = 3
"""Calls before the capture: libraries choose algorithms and allocate memory in the first ones."""


class CaptureError(ReflashError):
    """The GPU cannot capture a step as a CUDA graph; a new process can do without.

    A failed capture leaves PyTorch's streams, allocator and random states unusable, so there is no
    going on in the same process. ``reflash train`` starts itself again with ``--no-graphs``.
    """


class CUDAGraphStep:
    """A function of tensors of fixed shapes, captured at its first call on a GPU.

    Parameters
    ----------
    function
        From tensors to a tuple of tensors. It must not read values on the host.
    snapshot
        Called before the warm-up, for a function that changes something besides its outputs.
    restore
        Called after the warm-up and a successful capture with what ``snapshot`` returned.
    enabled
        Whether to capture; otherwise the function is called as it is.

    Notes
    -----
    The outputs of a graph are overwritten by the next call.

    Examples
    --------
    >>> double = CUDAGraphStep(lambda x: (2 * x,))
    >>> double(torch.ones(2), device=torch.device("cpu"))
    (tensor([2., 2.]),)
    """

    def __init__(
        self,
        function: Callable[..., tuple[Tensor, ...]],
        *,
        snapshot: Callable[[], object] | None = None,
        restore: Callable[[object], None] | None = None,
        enabled: bool = True,
    ) -> None:
        self.function, self.snapshot, self.restore = function, snapshot, restore
        self.enabled = enabled
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: tuple[Tensor, ...] = ()
        self.outputs: tuple[Tensor, ...] = ()

    def __call__(self, *values: Tensor, device: torch.device) -> tuple[Tensor, ...]:
        """Return the function's outputs for ``values``, which are copied to ``device``.

        Raises
        ------
        CaptureError
            The GPU cannot capture the function. CUDA out of memory is raised as it is.
        """
        if device.type != "cuda" or not self.enabled:
            return self.function(*(to_static(value, device) for value in values))
        if self.graph is None:
            self.graph = self._capture(values, device)
        for static, value in zip(self.inputs, values, strict=True):
            static.copy_(_pinned(value), non_blocking=True)
        self.graph.replay()
        return self.outputs

    def _capture(self, values: Sequence[Tensor], device: torch.device) -> torch.cuda.CUDAGraph:
        self.inputs = tuple(to_static(value, device).clone() for value in values)
        state = self.snapshot() if self.snapshot else None
        current = torch.cuda.current_stream(device)
        side = torch.cuda.Stream(device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self.function(*self.inputs)
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.outputs = self.function(*self.inputs)
        except RuntimeError as error:
            # Nothing is restored here: any work on the GPU would fail now, and hide the cause.
            cause = first_cause(error)
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            raise CaptureError(
                f"the GPU cannot capture a step as a CUDA graph ({_summary(cause)}); "
                "run with --no-graphs"
            ) from cause
        if self.restore:
            self.restore(state)
        return graph


def first_cause(error: BaseException) -> BaseException:
    """Return the error that was raised first of those that led to ``error``.

    Whatever fails inside a capture makes ending the capture fail, too, and only the second error
    arrives; Python keeps the first one as its context.

    Examples
    --------
    >>> try:
    ...     try:
    ...         raise ValueError("copied from the host")
    ...     finally:
    ...         raise RuntimeError("capture failed")
    ... except RuntimeError as error:
    ...     print(first_cause(error))
    copied from the host
    """
    while True:
        hidden = None if error.__suppress_context__ else error.__context__
        earlier = error.__cause__ or hidden
        if earlier is None:
            return error
        error = earlier


def _summary(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def to_static(value: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device without waiting, keeping its memory format."""
    return _pinned(value).to(device, non_blocking=True) if device.type == "cuda" else value


def _pinned(value: Tensor) -> Tensor:
    return value.pin_memory() if value.device.type == "cpu" else value
