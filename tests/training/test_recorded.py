"""What surrounds the recording of a step; recordings themselves need a GPU."""

from __future__ import annotations

import shutil

import pytest
import torch
from toy_run import run_settings

from reflash.datasets.cache import ImageCache
from reflash.training.pairs import OnlinePairs
from reflash.training.recorded import Recorded
from reflash.training.run import Run

CPU = torch.device("cpu")


def test_on_a_cpu_the_function_is_called() -> None:
    calls = []

    def double(x: torch.Tensor) -> tuple[torch.Tensor]:
        calls.append(x)
        return (2 * x,)

    recorded = Recorded(double)
    x = torch.ones(3)
    assert torch.equal(recorded(x, device=CPU)[0], 2 * x)
    assert calls == [x]
    assert recorded.graph is None


@pytest.mark.parametrize("before", [0, 3])
def test_a_warm_up_leaves_no_trace(cache: ImageCache, before: int) -> None:
    """Steps taken between snapshot and restoration change nothing, from the start or later."""
    settings = run_settings()
    batches = [OnlinePairs(settings, cache, CPU).batch(0) for _ in range(5)]
    plain, warmed = Run(settings, CPU), Run(settings, CPU)
    for t in range(before):
        assert torch.equal(plain.step(t, *batches[t]), warmed.step(t, *batches[t]))
    state = warmed._tensors()
    for _ in range(3):
        warmed._update(*batches[0])
    warmed._restore(state)
    assert torch.equal(plain.loss_sum, warmed.loss_sum)
    for t in (before, before + 1):
        assert torch.equal(plain.step(t, *batches[t]), warmed.step(t, *batches[t]))
    for a, b in zip(
        plain._weights + plain._averaged, warmed._weights + warmed._averaged, strict=True
    ):
        assert torch.equal(a, b)


def test_restoring_brings_back_the_masks(cache: ImageCache) -> None:
    run = Run(run_settings(), CPU)
    run._mask_seed = 5
    run._seed_masks()
    masks = torch.rand(4)
    state = run._tensors()
    torch.rand(9)
    run._restore(state)
    assert torch.equal(torch.rand(4), masks)


def test_loading_keeps_this_machine_s_options(cache: ImageCache) -> None:
    """A state saved on a GPU has Adam's options of a GPU; they do not come along."""
    settings = run_settings()
    batch = OnlinePairs(settings, cache, CPU).batch(0)
    run = Run(settings, CPU)
    run.step(0, *batch)
    state = run.state_dict()
    state["optimiser"]["param_groups"][0] |= {"capturable": True, "lr": torch.tensor(9.0)}
    other = Run(settings, CPU)
    other.load_state_dict(state)
    group = other.optimiser.param_groups[0]
    assert group["capturable"] is False
    assert group["lr"] == settings.training.lr
    assert torch.equal(other.step(1, *batch), run.step(1, *batch))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_steps_agree_with_eager_ones(cache: ImageCache) -> None:
    settings = run_settings(dropout="none")
    pairs = OnlinePairs(settings, cache, CPU)
    eager, compiled = Run(settings, CPU), Run(settings, CPU, compiled=True)
    for t in range(6):
        batch = pairs.batch(t)
        one, other = eager.step(t, *batch), compiled.step(t, *batch)
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)
    for a, b in zip(eager._weights, compiled._weights, strict=True):
        # Adam divides by the root of the second moment: small gradients magnify rounding.
        torch.testing.assert_close(b, a, rtol=0, atol=2e-4)
