"""What a GPU would be given, on tensors without memory: no other device, nothing that waits.

Fake tensors say they are on ``cuda:7`` and compute shapes only, so that this needs no GPU. What
they cannot do runs on the device ``meta``, which is as far from the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from toy_run import STRENGTHS, regularised, run_settings

from reflash.datasets.cache import ImageCache
from reflash.degradations import static
from reflash.degradations.draws import COLUMNS
from reflash.degradations.static import Canvases, NoiseFields
from reflash.models.build import build_network
from reflash.training import run as run_module
from reflash.training.run import Run
from reflash.training.settings import RunSettings
from reflash.training.synthesis import StaticSynthesis
from reflash.training.windows import WindowSampler

CPU, META = torch.device("cpu"), torch.device("meta")
GPU = torch.device("cuda:7")
"""Constants are kept for each device: those of a real cuda:0 must not be fake ones."""

KINDS = ("channel", "element")

WAITING = (
    "_local_scalar_dense",
    "nonzero",
    "unique",
    "masked_select",
    "lift_fresh",
    "is_nonzero",
    "equal",
)


class OnDevice(TorchDispatchMode):
    """Refuses operations that make the host wait, and tensors that are elsewhere."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device, self.count = device, 0
        self.dtypes: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__
        assert not any(name.split(".")[0] == bad for bad in WAITING), f"{name} waits for the GPU"
        out = func(*args, **(kwargs or {}))
        for value in torch.utils._pytree.tree_leaves((args, kwargs, out)):
            if isinstance(value, Tensor):
                assert value.device == self.device, f"{name}: a tensor is on {value.device}"
        self.count += 1
        if isinstance(out, Tensor):
            self.dtypes.setdefault(name, set()).add(out.dtype)
        return out


@contextmanager
def autocast(kind: str, dtype: torch.dtype, enabled: bool = True) -> Iterator[None]:
    """`torch.autocast`, which refuses to begin where there is no such device."""
    torch.set_autocast_dtype(kind, dtype)
    torch.set_autocast_enabled(kind, enabled)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()
        torch.set_autocast_enabled(kind, False)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTensorMode:
    monkeypatch.setattr(torch, "autocast", autocast)
    return FakeTensorMode(allow_non_fake_inputs=True)


def synthesis_on(
    settings: RunSettings, cache: ImageCache, device: torch.device, resident: bool
) -> StaticSynthesis:
    sampler = WindowSampler(cache, settings.pairs, settings.sub_image, settings.step)
    made = StaticSynthesis(settings, sampler, CPU)
    made.device = device
    made.pixels = torch.empty(1000, dtype=torch.uint8, device=device) if resident else None
    return made


def make(synthesis: StaticSynthesis, canvases: Canvases, count: int = 4) -> tuple[Tensor, Tensor]:
    """Do the device's part of a batch; the numbers say nothing, only shapes matter."""
    settings, device = synthesis.settings, synthesis.device
    numbers = torch.full((count, len(COLUMNS)), 0.4, dtype=torch.float64, device=device)
    places = torch.zeros(count, 2 * settings.pairs.crops, dtype=torch.float64, device=device)
    inputs = [torch.cat([numbers, places], dim=1)]
    if synthesis.pixels is None:
        side = settings.pairs.window
        inputs.append(torch.zeros(count, side, side, 3, dtype=torch.uint8, device=device))
    else:
        inputs = [torch.cat([inputs[0], numbers[:, :9]], dim=1)]
    sides = (canvases.first, canvases.first, canvases.second, canvases.second)
    noise = NoiseFields(*(torch.zeros(count, 3, side, side, device=device) for side in sides))
    return synthesis._make(*inputs, noise=noise, canvases=canvases)


@pytest.mark.parametrize("setting", ["multi", "single"])
@pytest.mark.parametrize("resident", [True, False])
def test_pairs_are_made_on_one_device(
    cache: ImageCache,
    fake: FakeTensorMode,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    resident: bool,
) -> None:
    """On ``meta`` where PyTorch is built without CUDA: it cannot index fake GPU tensors."""
    device = GPU if torch.version.cuda else META
    table = static._poisson_table(CPU)  # made from values, which fake tensors do not have
    fakes = {CPU: table}
    with fake:
        fakes[device] = tuple(t.new_empty(t.shape, device=device) for t in table)
    monkeypatch.setattr(static, "_poisson_table", fakes.__getitem__)
    settings = run_settings(setting=setting)
    for canvases in synthesis_on(settings, cache, CPU, False).canvases:
        make(synthesis_on(settings, cache, CPU, False), canvases)  # the host's constants
        with fake:
            synthesis = synthesis_on(settings, cache, device, resident)
            make(synthesis, canvases)  # the device's constants, sent once
            with OnDevice(device) as watched:
                lr, hr = make(synthesis, canvases)
        assert (lr.shape, hr.shape) == ((4, 3, 8, 8), (4, 3, 32, 32))
        assert watched.count > (100 if setting == "multi" else 20)


def fake_network(settings: RunSettings, device: torch.device) -> nn.Module:
    """Build a network whose weights are on a fake device (fake tensors cannot be moved there)."""
    network = build_network(settings.network, settings.dropout)
    for module in network.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = nn.Parameter(torch.empty(weight.shape, device=device))
    return network


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(
    ("network", "dropout"),
    [
        ({"name": "srresnet", "features": 8, "blocks": 4}, "none"),
        ({"name": "srresnet", "features": 8, "blocks": 4}, "all-element-p0.5"),
        ({"name": "rrdb", "features": 8, "blocks": 1}, "last_conv-channel-p0.5"),
    ],
)
def test_the_forward_pass_stays_on_the_gpu(
    fake: FakeTensorMode, network: dict[str, Any], dropout: str, bf16: bool
) -> None:
    settings = run_settings(network=network, dropout=dropout)
    with fake, torch.no_grad():
        built = fake_network(settings, GPU).requires_grad_(False)
        lr = torch.empty(2, 3, 8, 8, device=GPU)
        with OnDevice(GPU) as watched, torch.autocast("cuda", torch.bfloat16, enabled=bf16):
            sr = built(lr)
    assert (sr.shape, sr.device) == ((2, 3, 32, 32), GPU)
    assert watched.dtypes["convolution.default"] == {torch.bfloat16 if bf16 else torch.float32}


@pytest.mark.parametrize(
    "settings",
    [
        *(run_settings(dropout=d) for d in ("none", *(f"last_conv-{k}-p0.5" for k in KINDS))),
        *map(regularised, STRENGTHS),
    ],
    ids=lambda one: str([str(one.dropout), *(r.name for r in one.regularisers)]),
)
def test_a_step_neither_leaves_its_device_nor_waits_for_it(
    fake: FakeTensorMode, monkeypatch: pytest.MonkeyPatch, settings: RunSettings
) -> None:
    """Forward, backward, Adam, average and the sum of the losses, as a graph would capture them.

    On ``meta``: the backward pass of fake GPU tensors asks for a GPU.
    """
    monkeypatch.setattr(nn.Module, "to", lambda self, *args, **named: self)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # meta has none
    monkeypatch.setattr(torch, "_sample_dirichlet", torch.empty_like)  # nor this, of mixup's Beta
    monkeypatch.setattr(run_module, "build_network", lambda *_: fake_network(settings, META))
    with fake:
        run = Run(settings, META)
        run.rate = 1e-3
        lr, hr = (torch.empty(4, 3, side, side, device=META) for side in (8, 32))
        run._update(lr, hr)
        with OnDevice(META) as watched:
            for regulariser in run.regularisers:
                regulariser.begin(1, 10)
            loss, whole = run._update(lr, hr)
    assert loss.shape == whole.shape == ()
    assert all(weight.grad.device == META for weight in run._weights)
    assert watched.count > 100
