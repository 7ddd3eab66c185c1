"""Correctness on a real GPU: ``pytest -m gpu``; elsewhere these tests are skipped.

``REFLASH_GPU_TESTS=cpu`` runs them on the CPU, to try the tests themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_trainer import Clock, _results
from torch import Tensor
from toy_run import STRENGTHS, regularised, run_settings

from reflash.datasets.cache import ImageCache
from reflash.degradations import static
from reflash.degradations.draws import Draws, draw
from reflash.degradations.settings import SecondOrderSettings
from reflash.evaluation.inference import upscale_image
from reflash.models.build import build_network
from reflash.training.pairs import OnlinePairs
from reflash.training.prefetcher import Prefetcher
from reflash.training.run import Run, step_all
from reflash.training.settings import RunSettings
from reflash.training.trainer import Interrupted, Options, Trainer, train
from reflash.training.validation import Validation

pytestmark = pytest.mark.gpu

CPU = torch.device("cpu")
QUIET = {
    "group": 4,
    "first": {"noise_sigma": (0, 0), "poisson_scale": (0, 0)},
    "second": {"noise_sigma": (0, 0), "poisson_scale": (0, 0)},
}
"""A degradation without noise, whose fields differ between devices."""


@pytest.fixture(scope="module")
def device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if os.environ.get("REFLASH_GPU_TESTS") == "cpu":
        return CPU
    pytest.skip("no GPU here; REFLASH_GPU_TESTS=cpu tries the tests on the CPU")


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions in full precision, so that devices can be compared."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """Raise where the host waits for the GPU."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def training(**changes: Any) -> dict[str, Any]:
    return run_settings().training.model_dump(mode="json") | changes


def batch(settings: RunSettings, cache: ImageCache) -> tuple[Tensor, Tensor]:
    """Return a batch of the CPU's, whatever is tested."""
    return OnlinePairs(settings, cache, CPU).batch(0)


def on(device: torch.device, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return pair[0].to(device), pair[1].to(device)


def test_same_draws_and_fields_same_pixels(device: torch.device, photo_like: np.ndarray) -> None:
    settings = SecondOrderSettings(draws="image", group=8)
    side, count = 96, 8
    hr = torch.from_numpy(photo_like[:side, :side].copy()).permute(2, 0, 1).float().div(255)
    hr = hr.expand(count, -1, -1, -1).contiguous()
    differing = []
    for number in range(4):
        draws = draw(settings, count, ("gpu", number))
        canvases = static.canvas_choices(settings, side)[-1]
        noise = static.NoiseFields.empty(count, canvases, CPU)
        noise.draw(torch.Generator().manual_seed(number))
        there = static.NoiseFields(*(field.to(device) for field in vars(noise).values()))
        wanted = static.degrade(hr, draws, noise, settings, canvases)
        table = Draws(draws.table.to(device))
        got = static.degrade(hr.to(device), table, there, settings, canvases).cpu()
        difference = ((got - wanted) * 255).abs()
        assert difference.max() < 8
        differing.append((difference > 0.5).float().mean().item())
    assert np.mean(differing) < 0.005


@pytest.mark.parametrize("setting", ["multi", "single"])
def test_pairs_are_those_of_the_cpu(device: torch.device, cache: ImageCache, setting: str) -> None:
    settings = run_settings(setting=setting, degradation=QUIET)
    there = OnlinePairs(settings, cache, device, static=True, graphs=False)
    here = OnlinePairs(settings, cache, CPU, static=True)
    for iteration in range(5):  # the queue is full after two
        for got, wanted in zip(there.batch(iteration), here.batch(iteration), strict=True):
            difference = ((got.cpu() - wanted) * 255).abs()
            assert difference.max() < 8
            assert (difference > 0.5).float().mean() < 0.01


def test_one_step_is_that_of_the_cpu(device: torch.device, cache: ImageCache) -> None:
    settings = run_settings(dropout="none")
    pair = batch(settings, cache)
    there, here = Run(settings, device, graphs=False), Run(settings, CPU)
    got, wanted = there.step(0, *on(device, pair)), here.step(0, *pair)
    assert got.item() == pytest.approx(wanted.item(), rel=1e-4)
    gradients = [torch.cat([w.grad.flatten().cpu() for w in run._weights]) for run in (there, here)]
    assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[1].norm()


def test_bf16_is_near_fp32(device: torch.device, cache: ImageCache) -> None:
    settings = run_settings()
    half = run_settings(training=training(precision="bf16"))
    pair = on(device, batch(settings, cache))
    runs = [Run(one, device, graphs=False) for one in (half, settings)]
    got, wanted = (run.step(0, *pair).item() for run in runs)
    assert got == pytest.approx(wanted, rel=1e-2)
    gradients = [torch.cat([w.grad.flatten() for w in run._weights]) for run in runs]
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_upscaling_is_that_of_the_cpu(device: torch.device, photo_like: np.ndarray) -> None:
    settings = run_settings()
    torch.manual_seed(0)
    network = build_network(settings.network, settings.dropout).eval()
    wanted = upscale_image(network, photo_like, device=CPU).astype(int)
    got = upscale_image(network.to(device), photo_like, device=device).astype(int)
    assert abs(got - wanted).max() <= 1


def test_resumed_and_whole_training_agree(
    device: torch.device, cache: ImageCache, image_folder: Path, tmp_path: Path
) -> None:
    settings = run_settings(training=training(precision="bf16", iterations=20))
    start([settings], device, cache, image_folder, tmp_path / "whole", graphs=False)
    stops = 0
    while stops < 20:
        try:
            start(
                [settings], device, cache, image_folder, tmp_path / "parts",
                graphs=False, time_budget=6, clock=Clock(),
            )  # fmt: skip
            break
        except Interrupted:
            stops += 1
            assert list((tmp_path / "parts/0").glob("state-*"))
    assert 20 > stops >= 1
    assert _results(tmp_path / "whole/0") == _results(tmp_path / "parts/0")


def start(
    runs: list[RunSettings],
    device: torch.device,
    cache: ImageCache,
    images: Path,
    out: Path,
    **options: Any,
) -> None:
    trainers = [
        Trainer(run, Validation(run.training.validation, images), out / str(number))
        for number, run in enumerate(runs)
    ]
    pairs = OnlinePairs(runs[0], cache, device, static=True, graphs=options.get("graphs", True))
    train(trainers, pairs, device, Options(**options))


def test_nothing_waits_for_the_gpu(device: torch.device, cache: ImageCache) -> None:
    """A batch and a step of runs with each regulariser, after the first ones."""
    settings = [run_settings(), run_settings(id="b", dropout="none")]
    settings += [regularised(name, id=name) for name in STRENGTHS]
    runs = [Run(one, device, graphs=False) for one in settings]
    pairs = OnlinePairs(settings[0], cache, device, static=True, graphs=False)
    batches = Prefetcher(pairs, device, enabled=device.type == "cuda", total=100)
    for iteration in range(12):  # all canvases and the full queue
        assert not step_all(runs, iteration, *batches.batch(iteration))
    with no_waiting(device):
        for iteration in range(12, 16):
            assert not step_all(runs, iteration, *batches.batch(iteration))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("dropout", ["last_conv-element-p0.5", "last_conv-channel-p0.5"])
def test_graph_of_steps_equals_eager_steps(
    device: torch.device, cache: ImageCache, dropout: str, precision: str
) -> None:
    settings = run_settings(dropout=dropout, training=training(precision=precision))
    compare_graph(settings, device, cache)


@pytest.mark.parametrize("name", STRENGTHS)
def test_graph_of_regularised_steps_equals_eager_steps(
    device: torch.device, cache: ImageCache, name: str
) -> None:
    compare_graph(regularised(name), device, cache)


def compare_graph(settings: RunSettings, device: torch.device, cache: ImageCache) -> None:
    other = settings.model_copy(update={"seed": 1})
    pair = on(device, batch(settings, cache))
    eager, graph, different = (
        Run(settings, device, graphs=False), Run(settings, device), Run(other, device)
    )  # fmt: skip
    for iteration in range(5):
        losses = [run.step(iteration, *pair).item() for run in (eager, graph, different)]
        assert losses[0] == losses[1] != losses[2]
    if device.type == "cuda":
        assert graph._update_step.graph is not None
    for one, same in zip(eager._tensors(), graph._tensors(), strict=True):
        assert torch.equal(one[0], same[0])


def test_graph_of_pairs_equals_eager_pairs(device: torch.device, cache: ImageCache) -> None:
    settings = run_settings(pairs={"window": 96, "patch": 32, "crops": 1, "shuffle_pool": 8})
    eager, graph = (
        OnlinePairs(settings, cache, device, static=True, graphs=graphs) for graphs in (False, True)
    )
    for iteration in range(8):
        for one, same in zip(eager.batch(iteration), graph.batch(iteration), strict=True):
            assert torch.equal(one, same)


@pytest.mark.parametrize("graphs", [False, True], ids=["eager", "graph"])
def test_runs_together_end_as_alone(
    device: torch.device, cache: ImageCache, image_folder: Path, tmp_path: Path, graphs: bool
) -> None:
    runs = [
        run_settings(id="a", dropout="last_conv-element-p0.5"),
        run_settings(id="b", dropout="none"),
    ]
    start(runs, device, cache, image_folder, tmp_path / "both", graphs=graphs)
    for number, run in enumerate(runs):
        start([run], device, cache, image_folder, tmp_path / run.id, graphs=graphs)
        assert _results(tmp_path / f"both/{number}") == _results(tmp_path / run.id / "0")


@pytest.mark.slow
def test_compiled_steps_keep_the_dropout_masks(device: torch.device, cache: ImageCache) -> None:
    """With other masks losses would differ by far more than rounding does."""
    settings = run_settings(dropout="last_conv-element-p0.5")
    pair = on(device, batch(settings, cache))
    eager, compiled = Run(settings, device), Run(settings, device, compiled=True)
    for iteration in range(3):
        got, wanted = compiled.step(iteration, *pair).item(), eager.step(iteration, *pair).item()
        assert got == pytest.approx(wanted, rel=1e-4)
