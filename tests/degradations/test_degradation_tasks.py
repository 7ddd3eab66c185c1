"""Degradations of other tasks: operators by their definition, levels trained and tested."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from reflash.core.errors import ReflashError
from reflash.core.keys import numpy_generator
from reflash.degradations.benchmark import degrade, degrade_folder
from reflash.degradations.settings import KINDS, BenchmarkSettings
from reflash.degradations.tasks import (
    KIND,
    TASKS,
    degrade_to,
    degrade_window,
    factor_of,
    is_task_kind,
)
from reflash.models import names
from reflash.training.settings import PairSettings
from reflash.training.synthesis import make_pairs


@pytest.fixture
def image(photo_like: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(photo_like[:64, :80])


def test_settings_are_those_of_models() -> None:
    assert tuple(TASKS) == names.TASKS
    assert [factor_of(name) for name in names.SETTINGS] == [4, 4, 1, 1, 1]


@pytest.mark.parametrize("name", TASKS)
def test_kinds_lie_within_the_range_trained_and_beyond_it(name: str) -> None:
    task = TASKS[name]
    assert len(set(task.kinds)) == len(task.kinds)
    for kinds, is_inside in ((task.inside, True), (task.outside, False)):
        for kind in kinds:
            match = KIND.fullmatch(kind)
            assert match is not None
            low, high = task.trained[match[1]]
            assert (low <= int(match[2]) <= high) == is_inside
    assert not [kind for kind in KINDS if is_task_kind(kind)]


def test_gaussian_noise(image: np.ndarray) -> None:
    noise = numpy_generator(0, "gaussian25", "a").standard_normal(image.shape)
    expected = np.floor(np.clip(image + 25 * noise, 0, 255) + 0.5)
    got = degrade_to(image, "gaussian25", 0, "a")
    assert got.dtype == np.uint8
    assert np.abs(got - expected).max() <= 1  # halves round to even
    assert (got != expected).mean() < 1e-3
    assert not np.array_equal(got, degrade_to(image, "gaussian25", 0, "b"))


def test_poisson_noise_grows_with_brightness() -> None:
    for level, scale in ((40, 1), (160, 1), (100, 2)):
        flat = np.full((200, 200, 3), level, np.uint8)
        got = degrade_to(flat, f"poisson{scale}", 0, "a").astype(float)
        assert got.mean() == pytest.approx(level, abs=0.3)
        assert got.std() == pytest.approx(scale * level**0.5, rel=0.03)


def test_jpeg_is_pillows(image: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=10)
    assert np.array_equal(degrade_to(image, "jpeg10", 0, "a"), np.array(Image.open(buffer)))


def test_blur_is_gaussian(image: np.ndarray) -> None:
    expected = gaussian_filter(image.astype(float), (2, 2, 0), mode="mirror", truncate=4)
    assert np.abs(degrade_to(image, "blur2", 0, "a") - expected).max() < 1.5


def test_an_unknown_kind_is_named(image: np.ndarray) -> None:
    with pytest.raises(ReflashError, match="fog3: no such degradation; choose one such as gauss"):
        degrade_to(image, "fog3", 0, "a")


def test_the_benchmark_makes_them_in_the_size_of_hr(image: np.ndarray, tmp_path) -> None:
    settings = BenchmarkSettings(seed=3, mod=4)
    expected = degrade_to(image, "gaussian15", 3, "a")
    assert np.array_equal(degrade(image, "gaussian15", settings, "a"), expected)
    Image.fromarray(image).save(tmp_path / "a.png")
    (path,) = degrade_folder(tmp_path / "a.png", tmp_path / "lr", "gaussian15", settings)
    assert np.array_equal(np.array(Image.open(path)), expected)


def test_a_window_gets_a_level_of_the_range_by_its_key(image: np.ndarray) -> None:
    flat = np.full((64, 64, 3), 128, np.uint8)
    levels = [degrade_window(flat, "denoise", 0, n).astype(float).std() for n in range(40)]
    assert 4 < min(levels) < 12  # Gaussian from 5, Poisson from 5.7
    assert 20 < max(levels) < 31
    first = degrade_window(image, "deblur", 0, 7)
    assert np.array_equal(first, degrade_window(image, "deblur", 0, 7))
    assert not np.array_equal(first, degrade_window(image, "deblur", 0, 8))


@pytest.mark.parametrize("name", TASKS)
def test_pairs_show_the_same_place(name: str, image: np.ndarray) -> None:
    windows = torch.from_numpy(np.stack([image[:64, :64], image[:64, 16:]])).permute(0, 3, 1, 2)
    windows = windows.float() / 255
    pairs = PairSettings(window=64, patch=32, crops=2)
    lr, hr = make_pairs(windows, name, pairs, None, 0, "pool", 5)  # type: ignore[arg-type]
    assert lr.shape == hr.shape == (4, 3, 32, 32)
    for n in range(4):
        window = (windows[n // 2].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        whole = degrade_window(window, name, 0, "pool", 5, "task", n // 2)
        patch = (hr[n].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        top, left = place(window, patch)
        cut = whole[top : top + 32, left : left + 32]
        np.testing.assert_allclose(lr[n].permute(1, 2, 0).numpy() * 255, cut, atol=1e-3)


def place(window: np.ndarray, patch: np.ndarray) -> tuple[int, int]:
    size = patch.shape[0]
    for top in range(window.shape[0] - size + 1):
        for left in range(window.shape[1] - size + 1):
            if np.array_equal(window[top : top + size, left : left + size], patch):
                return top, left
    raise AssertionError("the patch is not in the window")


def test_a_part_of_the_windows_gets_what_the_whole_gets(image: np.ndarray) -> None:
    windows = torch.from_numpy(np.stack([image[:64, :64]] * 2)).permute(0, 3, 1, 2).float() / 255
    pairs = PairSettings(window=64, patch=64)
    whole, _ = make_pairs(windows, "denoise", pairs, None, 0, 1)  # type: ignore[arg-type]
    part, _ = make_pairs(windows[1:], "denoise", pairs, None, 0, 1, first_image=1)  # type: ignore[arg-type]
    assert torch.equal(whole[1:], part)
