"""What surrounds the capture of a step; captures themselves need a GPU."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from toy_run import run_settings

from reflash.datasets.cache import ImageCache
from reflash.training import graphs
from reflash.training.graphs import CaptureError, CUDAGraphStep, first_cause
from reflash.training.pairs import OnlinePairs
from reflash.training.record import check_record
from reflash.training.run import Run

CPU = torch.device("cpu")


def test_on_a_cpu_the_function_is_called() -> None:
    calls = []

    def double(x: torch.Tensor) -> tuple[torch.Tensor]:
        calls.append(x)
        return (2 * x,)

    step = CUDAGraphStep(double)
    x = torch.ones(3)
    assert torch.equal(step(x, device=CPU)[0], 2 * x)
    assert calls == [x]
    assert step.graph is None


@pytest.mark.parametrize("before", [0, 3])
def test_a_warm_up_leaves_no_trace(cache: ImageCache, before: int) -> None:
    """Steps taken between snapshot and restoration change nothing, from the start or later."""
    settings = run_settings()
    pairs = OnlinePairs(settings, cache, CPU)
    batches = [pairs.batch(t) for t in range(5)]
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
def test_compiled_steps_agree_with_eager_ones(
    cache: ImageCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # not what a killed process left
    settings = run_settings(dropout="last_conv-element-p0.5")  # with the same masks
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
    """A graph that calls the function again: what a GPU would replay by itself."""

    owner: CUDAGraphStep

    def replay(self) -> None:
        values = self.owner.function(*self.owner.inputs)
        for static, value in zip(self.owner.outputs, values, strict=True):
            static.copy_(value)


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stand-ins for the parts of torch.cuda that captures use, on CPU tensors."""
    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(graphs, "to_static", lambda value, device: value)
    monkeypatch.setattr(graphs, "_pinned", lambda value: value)
    return SimpleNamespace(type="cuda")


def test_a_graph_reads_its_own_inputs(fake_gpu: SimpleNamespace) -> None:
    log: list[str] = []
    step = CUDAGraphStep(
        lambda x, y: (x + y,),
        snapshot=lambda: log.append("before"),
        restore=lambda state: log.append("restored"),
    )
    FakeGraph.owner = step
    one = step(torch.ones(2), torch.zeros(2), device=fake_gpu)  # type: ignore[arg-type]
    assert log == ["before", "restored"]
    two = step(torch.full((2,), 3.0), torch.ones(2), device=fake_gpu)  # type: ignore[arg-type]
    assert two[0].tolist() == [4, 4]
    assert one[0] is two[0]  # overwritten, as documented
    assert log == ["before", "restored"]


class FailingCapture:
    """A capture during which work fails; its end fails then, too, as PyTorch's does."""

    def __init__(self, graph: FakeGraph) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        raise RuntimeError("CUDA error: capture failed because of a previous error\nmore")


@pytest.fixture
def failing(fake_gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setattr(torch.cuda, "graph", FailingCapture)
    return fake_gpu


def test_the_first_cause_of_a_failed_capture_is_shown(failing: SimpleNamespace) -> None:
    calls: list[object] = []

    def work(x: torch.Tensor) -> tuple[torch.Tensor]:
        calls.append("call")
        if len(calls) > graphs.WARM_UP:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        return (2 * x,)

    undone: list[object] = []
    step = CUDAGraphStep(work, snapshot=lambda: "state", restore=undone.append)
    expected = (
        "the GPU cannot capture a step as a CUDA graph (RuntimeError: operation not permitted "
        "when stream is capturing); run with --no-graphs"
    )
    with pytest.raises(CaptureError) as caught:
        step(torch.ones(1), device=failing)  # type: ignore[arg-type]
    assert str(caught.value) == expected
    assert undone == []  # a copy on the GPU would fail, and its error hide the cause


def test_memory_that_runs_out_in_a_capture_is_said_as_such(failing: SimpleNamespace) -> None:
    calls: list[object] = []

    def work(x: torch.Tensor) -> tuple[torch.Tensor]:
        calls.append("call")
        if len(calls) > graphs.WARM_UP:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (x,)

    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        CUDAGraphStep(work)(torch.ones(1), device=failing)  # type: ignore[arg-type]


def test_the_first_cause_is_neither_a_hidden_one_nor_the_last() -> None:
    def hide() -> None:
        try:
            raise KeyError("how a library looks for something")
        except KeyError:
            raise ValueError("cause") from None

    def fail_twice() -> None:
        try:
            hide()
        finally:
            raise RuntimeError("second")

    with pytest.raises(RuntimeError) as caught:
        fail_twice()
    assert str(first_cause(caught.value)) == "cause"


def test_the_command_goes_on_without_graphs_in_a_new_process(
    cache: ImageCache, image_folder: Path, tmp_path: Path
) -> None:
    """A capture that fails as often as it is tried: the run ends all the same."""
    code = """if True:
        import sys
        from reflash.cli import main
        from reflash.training import run
        from reflash.training.graphs import CaptureError

        class Failing(run.CUDAGraphStep):
            def __call__(self, *values, device):
                if self.enabled:
                    raise CaptureError("cannot capture (RuntimeError: x); run with --no-graphs")
                return super().__call__(*values, device=device)

        run.CUDAGraphStep = Failing
        main(sys.argv[1:])
    """
    arguments = ["train", "--images", str(cache.folder), "--validation", str(image_folder)]
    arguments += ["--config", run_settings().model_dump_json(), "--out", str(tmp_path / "run")]
    command = [sys.executable, "-c", code, *arguments, "--device", "cpu", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning: cannot capture (RuntimeError: x); going on without" in done.stderr
    assert (tmp_path / "run/log.csv").is_file()
    assert check_record(tmp_path / "run") == []


def test_errors_of_the_work_itself_are_not_about_recording(fake_gpu: SimpleNamespace) -> None:
    def fail(x: torch.Tensor) -> tuple[torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        CUDAGraphStep(fail)(torch.ones(1), device=fake_gpu)  # type: ignore[arg-type]
