"""What surrounds the recording of a step; recordings themselves need a GPU."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from toy_run import run_settings

import reflash.training.recorded as recorded_module
from reflash.core.errors import ReflashError
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


class FakeGraph:
    """A recording that calls the function again: what a GPU would replay by itself."""

    owner: Recorded

    def replay(self) -> None:
        values = self.owner.function(*self.owner.inputs)
        for static, value in zip(self.owner.outputs, values, strict=True):
            static.copy_(value)


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stand-ins for the parts of torch.cuda that recordings use, on CPU tensors."""
    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(recorded_module, "to_static", lambda value, device: value)
    monkeypatch.setattr(recorded_module, "_pinned", lambda value: value)
    return SimpleNamespace(type="cuda")


def test_a_recording_reads_its_own_inputs(fake_gpu: SimpleNamespace) -> None:
    log: list[str] = []
    recorded = Recorded(
        lambda x, y: (x + y,),
        before=lambda: log.append("before"),
        restore=lambda state: log.append("restored"),
    )
    FakeGraph.owner = recorded
    one = recorded(torch.ones(2), torch.zeros(2), device=fake_gpu)  # type: ignore[arg-type]
    assert log == ["before", "restored"]
    two = recorded(torch.full((2,), 3.0), torch.ones(2), device=fake_gpu)  # type: ignore[arg-type]
    assert two[0].tolist() == [4, 4]
    assert one[0] is two[0]  # overwritten, as documented
    assert log == ["before", "restored"]


def test_work_that_cannot_be_recorded_says_how_to_go_on(
    fake_gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(graph: FakeGraph) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    undone: list[object] = []
    recorded = Recorded(lambda x: (2 * x,), before=lambda: "state", restore=undone.append)
    with pytest.raises(ReflashError, match=r"\(operation not permitted .*--no-graphs$"):
        recorded(torch.ones(1), device=fake_gpu)  # type: ignore[arg-type]
    assert undone == ["state"]


def test_errors_of_the_work_itself_are_not_about_recording(fake_gpu: SimpleNamespace) -> None:
    def fail(x: torch.Tensor) -> tuple[torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Recorded(fail)(torch.ones(1), device=fake_gpu)  # type: ignore[arg-type]
