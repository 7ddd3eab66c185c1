"""The definition of the second-order degradation: the order of its steps, and its promises.

Each step is compared with an independent computation in a test file of its own.
"""

import degradation_reference as reference
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reflash.degradations import second_order as module
from reflash.degradations.draws import draw
from reflash.degradations.resize import RESIZE_MODES
from reflash.degradations.second_order import degrade, second_order
from reflash.degradations.settings import SecondOrderSettings
from reflash.degradations.sharpen import usm_sharpen

KEY = (7, "second order")


def images(count, side=96):
    photos = [reference.photo(side, side, seed) for seed in range(count)]
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255


def fixed(mode, **changes):
    """Draws of two images whose steps all leave an image as it is, except ``changes``."""
    off = {"gaussian": 1, "noise_sigma": (0, 0), "resize_up": 0, "resize_down": 0, "resize_keep": 1}
    settings = SecondOrderSettings.model_validate(
        {
            "draws": "image",
            "first": {**off, "blur": 0, "jpeg_quality": (99.999, 99.999)},
            "second": {**off, "blur": 0, "jpeg_quality": (99.999, 99.999)},
            "final": {"sinc": 0},
        }
    )
    draws = draw(settings, 2, KEY)
    for name in ("first_mode", "second_mode", "final_mode"):
        draws[name][:] = RESIZE_MODES.index(mode)
    for name, value in changes.items():
        draws[name][:] = value
    return draws, settings


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_with_every_step_switched_off_it_is_a_resize_by_four(mode):
    """In the second order's resize: the first keeps the HR size, the final one the LR size."""
    draws, settings = fixed(mode)
    hr = images(2).mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)  # JPEG would halve chroma
    got = degrade(hr, draws, settings, KEY)
    expected = F.interpolate(hr, scale_factor=0.25, mode=mode).clamp(0, 1)
    assert ((got - expected) * 255).abs().max() < 0.52


def steps(monkeypatch, **changes):
    """Return the steps that two images go through, with the sizes that they leave."""
    draws, settings = fixed("area", **changes)
    taken = []
    for name in ("blur", "resize_by", "resize_to", "add_noise", "jpeg"):
        work = getattr(module, name)

        def watched(x, *rest, name=name, work=work):
            out = work(x, *rest)
            taken.append((name, out.shape[-1]))
            return out

        monkeypatch.setattr(module, name, watched)
    degrade(images(1), draws.rows(slice(0, 1)), settings, KEY)
    return taken


def test_the_order_of_the_steps(monkeypatch):
    """Blur, resize, noise, JPEG; the same again; then the last two steps in either order."""
    first = [("blur", 96), ("resize_by", 48), ("add_noise", 48), ("jpeg", 48)]
    second = [("blur", 48), ("resize_to", 18), ("add_noise", 18)]
    sinc, last = [("resize_to", 24), ("blur", 24)], ("jpeg", 24)
    factors = {"first_factor": 0.5, "second_factor": 0.75}
    with monkeypatch.context() as patch:
        assert steps(patch, jpeg_last=1, **factors) == [*first, *second, *sinc, last]
    with monkeypatch.context() as patch:
        assert steps(patch, jpeg_last=0, **factors) == [*first, *second, ("jpeg", 18), *sinc]


def test_pairs_never_change_between_versions():
    lr, target = second_order(images(4), SecondOrderSettings(draws="image"), (0, "pairs", 7))
    mean, spread = lr.mean(dim=(1, 2, 3)), lr.std(dim=(1, 2, 3))
    assert (255 * mean).tolist() == pytest.approx([140.48, 126.64, 128.47, 136.46], abs=0.05)
    assert (255 * spread).tolist() == pytest.approx([56.57, 67.76, 45.82, 59.24], abs=0.05)
    spread = target.std(dim=(1, 2, 3))
    assert (255 * spread).tolist() == pytest.approx([74.82, 78.65, 59.0, 71.69], abs=0.05)


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
        alone = degrade(hr[i : i + 1], draws.rows(slice(i, i + 1)), settings, KEY)
        assert torch.equal(whole[i : i + 1], alone)
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
    with pytest.raises(ValueError, match="not multiples of scale 4"):
        degrade(images(2)[..., :94], draws, settings, KEY)
