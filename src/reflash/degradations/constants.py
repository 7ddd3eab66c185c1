"""Values that are computed once for each device or size and kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


def constant(make: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """Let a function that makes constants make them once for each of its arguments.

    Tensors are made outside of inference mode, so that training may use what an evaluation made.
    `torch.compile` takes them as they are: it would look past a plain ``lru_cache``, make them
    again inside every compiled graph, and so break the graph and copy from the host.
    """
    cached = lru_cache(maxsize=64)(torch.inference_mode(mode=False)(make))

    @wraps(make)
    def kept(*arguments: Arguments.args, **named: Arguments.kwargs) -> Made:
        return cached(*arguments, **named)  # type: ignore[arg-type]

    kept._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return kept
