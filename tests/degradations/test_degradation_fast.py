"""The CPU's path against the definition: same draws, same noise, same pixels."""

from __future__ import annotations

import degradation_reference as reference
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from reflash.degradations import draws, fast, kernels, noise, second_order, sharpen
from reflash.degradations.settings import SecondOrderSettings


def images(count: int, side: int, seed: int = 0) -> torch.Tensor:
    photos = [reference.photo(side, side, 100 * seed + i) for i in range(count)]
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255


def levels(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Differences in grey levels."""
    return ((one - other) * 255).abs()


@pytest.mark.parametrize("shared", ["batch", "image"])
@pytest.mark.parametrize(("side", "batches"), [(32, 8), (96, 10), (192, 4)])
def test_same_draws_same_pixels(side: int, batches: int, shared: str) -> None:
    """Float rounding may move a value over a rounding boundary: rarely, and not far."""
    settings = SecondOrderSettings(draws=shared, group=4)
    differing = []
    for batch in range(batches):
        hr, key = images(8, side, batch), (3, "fast", batch)
        lr, target = second_order.second_order(hr, settings, key)
        fast_lr, fast_target = fast.second_order(hr, settings, key)
        assert levels(target, fast_target).max() < 0.2
        difference = levels(lr, fast_lr)
        assert difference.max() < 8
        differing.append((difference > 0.5).float().mean().item())
    assert np.mean(differing) < 0.005


def test_it_sharpens_only_if_asked() -> None:
    settings = SecondOrderSettings(usm=False)
    hr = images(2, 64)
    assert torch.equal(fast.second_order(hr, settings, (0,))[1], hr)


def test_a_part_of_a_batch_is_that_part() -> None:
    hr, settings = images(12, 64), SecondOrderSettings(group=4)
    whole = fast.second_order(hr, settings, (1,))[0]
    part = fast.second_order(hr[4:], settings, (1,), first_image=4)[0]
    assert torch.equal(whole[4:], part)


def test_portions_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    hr, settings = images(8, 64), SecondOrderSettings()
    whole = fast.second_order(hr, settings, (2,))[0]
    monkeypatch.setattr(fast, "PORTION", 3 * 64 * 64)
    assert (levels(fast.second_order(hr, settings, (2,))[0], whole) > 0.5).float().mean() < 0.005


def test_what_does_not_fit_is_refused() -> None:
    settings = SecondOrderSettings()
    drawn = draws.draw(settings, 2, (0,))
    with pytest.raises(ValueError, match="3 images, but draws for 2"):
        fast.degrade(images(3, 32), drawn, settings, (0,))
    with pytest.raises(ValueError, match="not multiples of scale 4"):
        fast.degrade(images(2, 32)[..., :30], drawn, settings, (0,))
    with pytest.raises(ValueError, match="for the CPU, not meta"):
        fast.degrade(images(2, 32).to("meta"), drawn, settings, (0,))


@pytest.mark.parametrize("side", [5, 24, 64, 176])
def test_blur_of_every_kind_of_kernel(side: int) -> None:
    """Small sides reflect the image several times; large ones go through OpenCV."""
    drawn = draws.draw(SecondOrderSettings(), 48, (5, "kernels"))
    hr = torch.rand(48, 3, side, side, generator=torch.Generator().manual_seed(0))
    for order in ("first", "second", "final"):
        kernel = kernels.kernels(drawn.kernel(order))
        separable = drawn.kernel(order).kind == kernels.KERNEL_KINDS.index("iso")
        got = fast.blur(hr, kernel, fast.effective_radius(kernel), separable)
        assert (got - kernels.blur(hr, kernel)).abs().max() < 5e-6


def test_the_effective_radius_holds_all_weight_and_no_less() -> None:
    kernel = torch.zeros(3, 21, 21)
    kernel[0, 10, 10] = 1
    kernel[1, 10 - 4, 10 + 2] = 1e-6
    kernel[1, 10, 10] = 1 - 1e-6
    kernel[2, 10, 10 + 9] = 1e-8
    kernel[2, 10, 10] = 1 - 1e-8
    assert fast.effective_radius(kernel).tolist() == [0, 4, 0]
    ringing = kernel[:1].clone()
    ringing[0, 10, 3], ringing[0, 10, 17] = 0.2, -0.2
    assert fast.effective_radius(ringing).tolist() == [7]  # weights that cancel still count


@hypothesis_settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), grey=st.lists(st.booleans(), min_size=3, max_size=3))
def test_poisson_noise_is_the_definition_s(seed: int, grey: list[bool]) -> None:
    g = torch.Generator().manual_seed(seed)
    dark = torch.rand(3, 1, 1, 1, generator=g)  # few distinct levels as well as many
    x = (torch.rand(3, 3, 17, 23, generator=g) * dark).clamp(0, 1)
    field = torch.rand(3, 3, 17, 23, generator=g)
    scale = torch.rand(3, generator=g, dtype=torch.float64) * 3
    flags = torch.tensor(grey)
    expected = noise.poisson_noise(x, field, scale, flags)
    torch.testing.assert_close(
        fast.poisson_noise(x, field, scale, flags), expected, rtol=0, atol=2e-6
    )


def test_the_guide_finds_the_quantile_at_both_ends_of_every_slot() -> None:
    slots = torch.arange(2**fast.GUIDE_BITS) / 2**fast.GUIDE_BITS
    ends = torch.cat([slots, slots + 2.0**-fast.GUIDE_BITS - 2.0**-24])
    for exponent in (0, 5, 8):
        for level in (0, 1, 77, 255):
            wanted = noise.poisson_quantile(
                torch.full(ends.shape, level), torch.tensor(exponent), ends
            )
            got = fast.poisson_quantile(
                torch.full((1, 1, 1, len(ends)), level, dtype=torch.int32),
                torch.tensor([exponent]),
                ends.view(1, 1, 1, -1),
            )
            assert torch.equal(got.flatten().long(), wanted)


@pytest.mark.parametrize("side", [64, 170])
def test_sharpening(side: int) -> None:
    hr = images(2, side)
    got, wanted = fast.usm_sharpen(hr), sharpen.usm_sharpen(hr)
    # A pixel at the threshold may fall on the other side of it, which moves its surroundings.
    assert levels(got, wanted).max() < 0.2
    assert levels(got, wanted).mean() < 0.001
    assert levels(got, hr).max() > 5
