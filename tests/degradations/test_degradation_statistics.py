"""Statistics of LR images over many draws: the faster paths and smaller windows against the plain.

Each comparison is paired (the same images and draws, other noise fields or other windows) and
judged by the standard error of the mean difference.
"""

from __future__ import annotations

from collections.abc import Callable

import degradation_reference as reference
import numpy as np
import pytest
import torch

from reflash.degradations import draws, fast, second_order, static
from reflash.degradations.bicubic import bicubic_downsample
from reflash.degradations.settings import SecondOrderSettings

COUNT, SIDE = 240, 96
SETTINGS = SecondOrderSettings(draws="image")


def images(count: int, side: int) -> torch.Tensor:
    photos = [reference.photo(side, side, i) for i in range(count)]
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255


def describe(lr: torch.Tensor, clean: torch.Tensor) -> dict[str, np.ndarray]:
    """Per image: mean, variance, PSNR against the clean LR, and power in four bands."""
    error = (lr - clean).square().mean(dim=(1, 2, 3)).clamp(min=1e-8)
    values = {
        "mean": lr.mean(dim=(1, 2, 3)),
        "variance": lr.var(dim=(1, 2, 3)),
        "psnr": -10 * error.log10(),
    }
    side = lr.shape[-1]
    power = torch.fft.fft2(lr - lr.mean(dim=(2, 3), keepdim=True)).abs().square().mean(dim=1)
    frequency = torch.fft.fftfreq(side)
    radius = (frequency[:, None].square() + frequency.square()).sqrt()
    for low in (0.0, 0.125, 0.25, 0.375):
        band = (radius > low) & (radius <= low + 0.125)
        values[f"power above {low}"] = (power[:, band].mean(dim=1) + 1e-4).log10()
    return {name: value.double().numpy() for name, value in values.items()}


def assert_equal_means(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Paired t statistics of all measures within 4, and spreads within 15 %."""
    for name, values in one.items():
        difference = values - other[name]
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        assert abs(difference.mean()) < 4 * error + 1e-4, name
        assert other[name].std() == pytest.approx(values.std(), rel=0.15), name


@pytest.fixture(scope="module")
def plain() -> dict[str, np.ndarray]:
    hr = images(COUNT, SIDE)
    lr, target = second_order.second_order(hr, SETTINGS, ("plain",))
    return describe(lr, bicubic_downsample(target, 4))


def fast_path(hr: torch.Tensor) -> torch.Tensor:
    drawn = draws.draw(SETTINGS, COUNT, ("plain",))
    return fast.degrade(hr, drawn, SETTINGS, ("other noise",))


def static_path(hr: torch.Tensor) -> torch.Tensor:
    canvases = static.canvas_choices(SETTINGS, SIDE)[-1]
    parts = []
    for start in range(0, COUNT, 48):
        drawn = draws.draw(SETTINGS, 48, ("plain",), first_image=start)
        noise = static.NoiseFields.empty(48, canvases, torch.device("cpu"))
        noise.draw(torch.Generator().manual_seed(start))
        parts.append(static.degrade(hr[start : start + 48], drawn, noise, SETTINGS, canvases))
    return torch.cat(parts)


@pytest.mark.parametrize("path", [fast_path, static_path])
def test_other_noise_same_statistics(
    path: Callable[[torch.Tensor], torch.Tensor], plain: dict[str, np.ndarray]
) -> None:
    target = fast.usm_sharpen(images(COUNT, SIDE))
    got = describe(path(target), bicubic_downsample(target, 4))
    assert not np.array_equal(got["mean"], plain["mean"])
    assert_equal_means(plain, got)


def test_the_statistics_would_show_a_changed_degradation(plain: dict[str, np.ndarray]) -> None:
    """Noise of nine tenths the strength is noticed."""
    weaker = SecondOrderSettings.model_validate(
        {
            "draws": "image",
            "first": {"noise_sigma": (0.9, 27), "poisson_scale": (0.045, 2.7)},
            "second": {"noise_sigma": (0.9, 22.5), "poisson_scale": (0.045, 2.25)},
        }
    )
    target = fast.usm_sharpen(images(COUNT, SIDE))
    drawn = draws.draw(weaker, COUNT, ("plain",))
    lr = fast.degrade(target, drawn, weaker, ("other noise",))
    with pytest.raises(AssertionError):
        assert_equal_means(plain, describe(lr, bicubic_downsample(target, 4)))


def test_smaller_windows_same_statistics() -> None:
    """A 32-pixel patch of a 96-pixel window is degraded like one of a 192-pixel window.

    The patch is the same part of the image; window and JPEG grid around it differ, as they do
    between any two crops.
    """
    count, patch = 96, 8
    large = fast.usm_sharpen(images(count, 192))
    small = large[..., 48:144, 48:144]
    drawn = draws.draw(SETTINGS, count, ("windows",))
    out = []
    for hr, key in ((large, "large"), (small, "small")):
        lr = fast.degrade(hr, drawn, SETTINGS, (key,))
        clean = bicubic_downsample(hr, 4)
        start = (lr.shape[-1] - patch) // 2
        cut = slice(start, start + patch)
        out.append(describe(lr[..., cut, cut], clean[..., cut, cut]))
    assert_equal_means(*out)
