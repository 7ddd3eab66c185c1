"""The whole second-order degradation against an independent chain, and its promises."""

import degradation_reference as reference
import numpy as np
import pytest
import torch

from reflash.degradations.kernels import KERNEL_KINDS
from reflash.degradations.keyed import generator
from reflash.degradations.noise import noise_fields
from reflash.degradations.second_order import degrade, draw, second_order
from reflash.degradations.settings import SecondOrderSettings
from reflash.degradations.sharpen import usm_sharpen

KEY = (7, "second order")


def images(count, side=96):
    photos = [reference.photo(side, side, seed) for seed in range(count)]
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255


def differing_levels(one, other):
    """Share of differing values and the largest difference, in grey levels."""
    levels = ((one - other) * 255).abs()
    return (levels > 0.5).float().mean().item(), levels.max().item()


def chain(image, draws, group, i):
    """One image through the steps as they are described, in float64."""
    row = slice(i, i + 1)

    def kernel(k):
        values = (k.size, k.sigma_x, k.sigma_y, k.rotation, k.beta, k.cutoff)
        return reference.kernel(
            KERNEL_KINDS[int(k.kind[i])], *(v[i].item() for v in values), canvas=21
        )

    def noise(x, shared, order, stage):
        keyed = generator(*KEY, stage, "noise", draws.images[i])
        field = noise_fields(shared.noise, [keyed], *x.shape[:2])[0].permute(1, 2, 0).numpy()
        if shared.noise == "gaussian":
            return reference.gaussian(x, field, order.noise_sigma[i].item(), bool(order.grey[i]))
        return reference.poisson(x, field, order.poisson_scale[i].item(), bool(order.grey[i]))

    height, width = image.shape[0] // 4, image.shape[1] // 4
    first, second = draws.first[row], draws.second[row]
    factor = group.first.factor
    x = reference.blur(image, kernel(draws.first.kernel))
    size = (int(image.shape[0] * factor), int(image.shape[1] * factor))
    x = reference.resize(x, size, group.first.mode, step=1 / factor)
    x = noise(x, group.first, draws.first, "first")
    x = reference.jpeg(x, first.quality.item())
    if group.second.blur:
        x = reference.blur(x, kernel(draws.second.kernel))
    factor = group.second.factor
    x = reference.resize(x, (int(height * factor), int(width * factor)), group.second.mode)
    x = noise(x, group.second, draws.second, "second")
    if not group.jpeg_last:
        x = reference.jpeg(x, second.quality.item())
    x = reference.resize(x, (height, width), group.final_mode)
    x = reference.blur(x, kernel(draws.final_kernel))
    if group.jpeg_last:
        x = reference.jpeg(x.clip(0, 1), second.quality.item())
    return (x * 255).round().clip(0, 255) / 255


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_the_steps_written_out(seed):
    settings = SecondOrderSettings(draws="image")
    hr = images(8)
    draws = draw(settings, 8, KEY, first_image=8 * seed)
    got = degrade(hr, draws, settings, KEY)
    for i, group in enumerate(draws.groups):
        expected = chain(hr[i].permute(1, 2, 0).double().numpy(), draws, group, i)
        share, largest = differing_levels(got[i].permute(1, 2, 0), torch.from_numpy(expected))
        # A coefficient or level at a rounding boundary may fall on the other side in float32.
        assert share < 0.005
        assert largest < 4


@pytest.mark.parametrize("shared", ["batch", "image"])
def test_lr_is_a_quarter_of_hr_on_the_8_bit_grid(shared):
    lr, target = second_order(images(3, 128), SecondOrderSettings(draws=shared), KEY)
    assert lr.shape == (3, 3, 32, 32)
    assert target.shape == (3, 3, 128, 128)
    levels = (lr * 255).round()
    assert torch.equal(lr, levels / 255)
    assert levels.min() >= 0
    assert levels.max() <= 255
    assert levels.std() > 10


def test_usm_sharpens_what_is_degraded_and_the_target():
    hr = images(2)
    on, off = SecondOrderSettings(), SecondOrderSettings(usm=False)
    lr_on, target_on = second_order(hr, on, KEY)
    lr_off, target_off = second_order(hr, off, KEY)
    assert torch.equal(target_on, usm_sharpen(hr))
    assert torch.equal(target_off, hr)
    draws = draw(on, 2, KEY)
    assert torch.equal(lr_on, degrade(target_on, draws, on, KEY))
    assert torch.equal(lr_off, degrade(hr, draws, off, KEY))
    assert not torch.equal(lr_on, lr_off)


def test_pairs_are_a_function_of_the_key():
    hr, settings = images(4), SecondOrderSettings()
    torch.manual_seed(0)
    first = second_order(hr, settings, KEY)[0]
    torch.rand(7)
    assert torch.equal(first, second_order(hr, settings, KEY)[0])
    assert not torch.equal(first, second_order(hr, settings, (*KEY, 1))[0])


@pytest.mark.parametrize("shared", ["batch", "image"])
def test_images_do_not_depend_on_their_batch(shared):
    hr, settings = images(12), SecondOrderSettings(draws=shared)
    draws = draw(settings, 12, KEY)
    whole = degrade(hr, draws, settings, KEY)
    for i in range(12):
        alone = degrade(hr[i : i + 1], draws[i : i + 1], settings, KEY)
        share, largest = differing_levels(whole[i : i + 1], alone)
        assert share < 0.01
        assert largest < 4
    workers = [
        second_order(hr[rows], settings, KEY, first_image=rows.start)[0]
        for rows in (slice(0, 8), slice(8, 12))
    ]
    assert torch.equal(torch.cat(workers), second_order(hr, settings, KEY)[0])


def test_two_images_have_different_noise():
    hr = torch.full((2, 3, 96, 96), 0.5)
    settings = SecondOrderSettings.model_validate(
        {
            order: {"noise_sigma": (20, 20), "gaussian": 1, "jpeg_quality": (95, 95)}
            for order in ("first", "second")
        }
    )
    lr = degrade(hr, draw(settings, 2, KEY), settings, KEY)
    assert abs(np.corrcoef(lr[0].flatten(), lr[1].flatten())[0, 1]) < 0.2


def test_windows_smaller_than_the_kernels_are_reflected_as_often_as_it_takes():
    settings = SecondOrderSettings(draws="image")
    lr, _ = second_order(images(16, 32), settings, KEY)
    assert lr.shape == (16, 3, 8, 8)
    assert torch.isfinite(lr).all()


def test_another_scale_gives_another_size():
    lr, _ = second_order(images(2), SecondOrderSettings(scale=2), KEY)
    assert lr.shape == (2, 3, 48, 48)


def test_sizes_that_do_not_fit_are_refused():
    settings = SecondOrderSettings()
    draws = draw(settings, 2, KEY)
    with pytest.raises(ValueError, match="3 images, but draws for 2"):
        degrade(images(3), draws, settings, KEY)
    with pytest.raises(ValueError, match="no multiple of scale 4"):
        degrade(images(2)[..., :94], draws, settings, KEY)
    with pytest.raises(ValueError, match="step 1"):
        draws[::2]
