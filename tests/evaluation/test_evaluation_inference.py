"""Tiled inference equals whole-image inference."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from reflash.core.errors import ReflashError
from reflash.evaluation import inference
from reflash.evaluation.inference import (
    MAX_OVERLAP,
    NetworkUpscaler,
    default_overlap,
    receptive_radius,
    upscale_image,
    upscale_tensor,
)
from reflash.models.build import build_network
from reflash.models.settings import RRDBSettings, SRResNetSettings


class Tiny(nn.Module):
    """A x4 network of two hidden convolutions with a bilinear global residual."""

    scale = 4

    def __init__(self, seed: int = 0, channels: int = 6) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Conv2d(3, channels, 5, padding=2)
        self.up = nn.Conv2d(channels, channels * 16, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Conv2d(channels, 3, 3, padding=1)
        self.windows: list[tuple[int, ...]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.windows.append(tuple(x.shape))
        features = F.pixel_shuffle(self.up(torch.relu(self.first(x))), 4)
        residual = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
        return self.last(self.drop(torch.relu(features))) + residual


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def quantised(model: nn.Module, lr: np.ndarray) -> np.ndarray:
    """The whole image at once, by the definition."""
    with torch.no_grad():
        x = torch.from_numpy(lr.astype(np.float32) / 255).permute(2, 0, 1)[None]
        sr = model.eval()(x)[0].permute(1, 2, 0).numpy()
    return np.rint(np.clip(sr, 0, 1) * np.float32(255)).astype(np.uint8)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    tile=st.integers(4, 45),
    extra=st.integers(0, 9),
    seed=st.integers(0, 1000),
)
def test_tiled_equals_whole(height, width, tile, extra, seed):
    model = Tiny(seed).double()
    lr = torch.rand(2, 3, height, width, dtype=torch.float64)
    whole = upscale_tensor(model, lr, tile=0)
    with torch.no_grad():
        torch.testing.assert_close(whole, model.eval()(lr), rtol=0, atol=1e-12)
    tiled = upscale_tensor(model, lr, tile, default_overlap(model) + extra)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def srresnet() -> nn.Module:
    """SRResNet's 16 blocks, two channels wide, with positive weights: nothing cancels."""
    torch.manual_seed(0)
    model = build_network(SRResNetSettings(features=2)).double().eval()
    for parameter in model.parameters():
        parameter.data.abs_()
    return model


def test_srresnet_sees_35_pixels_to_each_side(srresnet):
    lr = torch.rand(1, 3, 77, 77, dtype=torch.float64, requires_grad=True)
    srresnet(lr)[..., 4 * 38 : 4 * 39, 4 * 38 : 4 * 39].sum().backward()
    for axes in ((0, 1, 2), (0, 1, 3)):
        seen = lr.grad.abs().sum(axes).nonzero().flatten()
        assert seen.tolist() == list(range(38 - 35, 38 + 36))
    assert receptive_radius(srresnet) == default_overlap(srresnet) == 37


def test_srresnet_in_tiles_is_srresnet(srresnet):
    lr = torch.rand(1, 3, 81, 78, dtype=torch.float64)
    whole = upscale_tensor(srresnet, lr, tile=0)
    for overlap, equal in ((None, True), (35, True), (2, False)):
        tiled = upscale_tensor(srresnet, lr, tile=20, overlap=overlap)
        error = ((tiled - whole).abs().max() / whole.abs().max()).item()
        assert (error < 1e-14) is equal


def test_rrdb_in_tiles_is_rrdb_to_float_rounding():
    """All 23 blocks, with weights ten times those that training starts from."""
    torch.manual_seed(0)
    model = build_network(RRDBSettings(features=8, growth=4)).eval()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    assert default_overlap(model) == MAX_OVERLAP < receptive_radius(model)
    lr = torch.rand(1, 3, 130, 20)
    whole = upscale_tensor(model, lr, tile=0)
    error = (upscale_tensor(model, lr, tile=20) - whole).abs().max() / whole.abs().max()
    assert error < 1e-5
    bare = (upscale_tensor(model, lr, tile=20, overlap=2) - whole).abs().max() / whole.abs().max()
    assert bare > 1e-3


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (50, 41), (64, 64)])
@pytest.mark.parametrize("tile", [None, 0, 1, 16, 23])
def test_eight_bit_images_of_any_size(size, tile):
    model, lr = Tiny(3), image(*size)
    if tile == 1:
        lr = lr[:8, :8]
    sr = upscale_image(model, lr, tile)
    assert sr.dtype == np.uint8
    expected = quantised(model, lr)
    # Float32 sums may be ordered differently in a tile; only a value beside a half can move.
    difference = np.abs(sr.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).sum() <= 1
    assert sr.shape == (4 * lr.shape[0], 4 * lr.shape[1], 3)


def test_values_are_clamped_and_halves_go_to_even():
    class Constant(nn.Module):
        scale = 1

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            values = torch.tensor([-1.0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 254.6 / 255, 7.0])
            return values.expand(1, 3, 1, 6)

    sr = upscale_image(Constant(), image(1, 6))
    assert sr[0, :, 0].tolist() == [0, 0, 2, 2, 255, 255]


def test_a_narrower_overlap_is_seen():
    """The tiles do depend on their overlap: what the equality above rests on."""
    torch.manual_seed(1)
    model = Tiny(1).double()
    lr = torch.rand(1, 3, 30, 30, dtype=torch.float64)
    whole = upscale_tensor(model, lr, tile=0)
    bare = upscale_tensor(model, lr, tile=10, overlap=0)
    assert (bare - whole).abs().max() > 1e-3
    # Away from the seams nothing has changed.
    inner = slice(4 * 5, 4 * 5 + 4)
    torch.testing.assert_close(bare[..., inner, inner], whole[..., inner, inner])


def test_receptive_radius_bounds_the_true_one():
    model = Tiny(2).double()
    for parameter in model.parameters():
        parameter.data.abs_()  # nothing cancels, no unit is off
    lr = torch.rand(1, 3, 31, 31, dtype=torch.float64, requires_grad=True)
    model.eval()(lr)[0, :, 60:64, 60:64].sum().backward()
    rows = lr.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert rows.tolist() == list(range(15 - 4, 15 + 5))
    assert receptive_radius(model) == 2 + 1 + 1


def test_windows_are_bounded_and_even(monkeypatch):
    monkeypatch.setattr(inference, "WINDOW", 20)
    model = Tiny()
    upscale_image(model, image(20, 20))
    assert model.windows == [(1, 3, 20, 20)]
    model.windows.clear()
    sr = upscale_image(model, image(50, 21))
    assert max(max(shape[-2:]) for shape in model.windows) <= 20
    # 20 - 2 x 4 = 12 kept pixels at most: 5 x 2 tiles of 10 x 10 or 10 x 11.
    assert len(model.windows) == 10
    assert {shape[-2] for shape in model.windows} == {14, 18}
    np.testing.assert_array_equal(sr, quantised(model, image(50, 21)))


def test_dropout_is_off_and_the_mode_is_given_back():
    model = Tiny()
    model.train()
    model.first.eval()
    lr = torch.rand(1, 3, 9, 9)
    first, second = upscale_tensor(model, lr), upscale_tensor(model, lr)
    assert torch.equal(first, second)
    assert model.training
    assert model.drop.training
    assert not model.first.training

    class Broken(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ArithmeticError

    broken = Broken().train()
    with pytest.raises(ArithmeticError):
        upscale_tensor(broken, lr)
    assert broken.training
    assert not torch.is_inference_mode_enabled()


def test_convolutions_are_reproducible_and_exact_on_a_gpu():
    seen = []

    class Spy(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            cudnn = torch.backends.cudnn
            precise = (
                cudnn.conv.fp32_precision == "ieee"
                if hasattr(cudnn, "conv")
                else not cudnn.allow_tf32
            )
            seen.append((cudnn.benchmark, cudnn.deterministic, precise))
            return super().forward(x)

    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    upscale_tensor(Spy(), torch.rand(1, 3, 4, 4))
    assert seen == [(False, True, True)]
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic) == before


def test_a_network_without_a_scale_enlarges_four_times():
    model = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
    lr = image(12, 10)
    np.testing.assert_array_equal(NetworkUpscaler(model, tile=5)(lr), quantised(model, lr))


def test_a_device_without_enough_memory_is_named():
    class Hungry(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(ReflashError, match=r"device cpu: .* tiles of 32; choose a smaller tile"):
        upscale_image(Hungry(), image(40, 40), tile=32)


@pytest.mark.slow
def test_memory_stays_bounded_for_a_large_image():
    """A DIV2K-sized image (HR 2040 x 1360) through features of SRResNet's width, in 3 GiB.

    Without derivatives, memory does not grow with the number of blocks.
    """
    code = """
import resource, sys
import numpy as np, torch
from reflash.evaluation.inference import upscale_image
from reflash.models.build import build_network
from reflash.models.settings import SRResNetSettings
torch.set_num_threads(2)
lr = np.random.default_rng(0).integers(0, 256, (340, 510, 3), np.uint8)
sr = upscale_image(build_network(SRResNetSettings(blocks=2)), lr)
assert sr.shape == (1360, 2040, 3), sr.shape
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak / (2**30 if sys.platform == "darwin" else 2**20))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 3
