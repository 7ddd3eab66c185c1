"""Pairs of images, crops that match, and settings."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reflash.core.errors import ReflashError
from reflash.datasets.images import centre_crop, read_rgb, write_png
from reflash.interpretation.inputs import (
    batch_size,
    opened,
    read_images,
    read_pairs,
    to_batch,
)
from reflash.interpretation.settings import AnalysisSettings


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50))
def test_centre_crop_leaves_equal_margins(height, width, size):
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(height)[:, None]
    image[..., 1] = np.arange(width)
    part = centre_crop(image, size)
    assert part.shape == (min(size, height), min(size, width), 3)
    above, below = part[0, 0, 0], height - 1 - part[-1, 0, 0]
    left, right = part[0, 0, 1], width - 1 - part[0, -1, 1]
    assert 0 <= below - above <= 1
    assert 0 <= right - left <= 1


@pytest.mark.parametrize("crop", [None, 9, 11, 17, 100])
def test_hr_crops_show_what_lr_crops_show(tmp_path, crop):
    for name, shape in {"wide": (13, 23), "x": (20, 6)}.items():
        small = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
        write_png(tmp_path / "lr" / f"{name}x4.png", small)
        write_png(tmp_path / "hr" / f"{name}.png", small.repeat(4, 0).repeat(4, 1))
    samples = list(
        read_pairs(tmp_path / "lr", tmp_path / "hr", 4, AnalysisSettings(crop=crop, border=0), "x")
    )
    assert [sample.name for sample in samples] == ["wide", "x"]
    for sample in samples:
        assert crop is None or max(sample.lr.shape) <= max(crop, 3)
        np.testing.assert_array_equal(sample.hr, sample.lr.repeat(4, 0).repeat(4, 1))


def test_the_first_images_by_name(lr_folders, hr_folder):
    assert [p.name for p in read_images(lr_folders["clean"], AnalysisSettings(images=2), "x")] == [
        "a",
        "b",
    ]
    pairs = read_pairs(lr_folders["clean"], hr_folder, 4, AnalysisSettings(images=1), "x")
    assert [p.name for p in pairs] == ["a"]
    assert [
        p.name for p in read_images(lr_folders["clean"] / "c.png", AnalysisSettings(), "x")
    ] == ["c"]


def test_images_that_do_not_belong_together(lr_folders, hr_folder):
    with pytest.raises(ReflashError, match="are a file and a folder"):
        next(read_pairs(lr_folders["clean"] / "a.png", hr_folder, 4, AnalysisSettings(), "x"))
    with pytest.raises(ReflashError, match=r"c\.png: 64x72 pixels are not 4 times .*a\.png"):
        next(
            read_pairs(
                lr_folders["clean"] / "a.png", hr_folder / "c.png", 4, AnalysisSettings(), "x"
            )
        )


def test_batches_hold_colours_in_zero_to_one(srresnet, lr_folders):
    image = read_rgb(lr_folders["clean"] / "a.png")
    batch = to_batch(image[:, ::-1], srresnet)
    assert batch.shape == (1, 3, 16, 20)
    np.testing.assert_array_equal(
        batch[0].permute(1, 2, 0).numpy(), image[:, ::-1].astype(np.float32) / 255
    )
    assert to_batch(np.stack([image, image]), srresnet).shape == (2, 3, 16, 20)


def test_batches_shrink_as_images_grow(srresnet):
    sizes = [batch_size(srresnet, torch.empty(1, 3, side, side)) for side in (8, 16, 4000)]
    assert sizes[0] // 4 <= sizes[1] < sizes[0]
    assert sizes[2] == 1


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "crop or the device cpu"),
        (RuntimeError("[x] . DefaultCPUAllocator: can't allocate memory: you tried"), "crop"),
    ],
)
def test_a_device_without_enough_memory_is_named(weights, error, says):
    with (
        pytest.raises(ReflashError, match=f"device cpu: out of memory; .* analysis.{says}$"),
        opened(weights, None, "cpu"),
    ):
        raise error


def test_other_errors_stay_what_they_are(weights):
    with pytest.raises(RuntimeError, match="a fault"), opened(weights, None, "cpu"):
        raise RuntimeError("a fault")


def test_networks_are_opened_to_be_looked_at(weights):
    with opened(weights, None, "cpu") as network:
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    "wrong",
    [
        {"kinds": ("clean",)},
        {"kinds": ("clean", "fog")},
        {"kinds": ("clean", "clean")},
        {"layers": ("b0",)},
        {"layers": ("last", "last")},
        {"layers": ()},
        {"ratios": (0.5, 1.5)},
        {"images": 0},
        {"pca": 1},
        {"unknown": 1},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValidationError):
        AnalysisSettings(**wrong)


def test_defaults_are_the_published_ones_where_known():
    settings = AnalysisSettings()
    assert settings.crop is None
    assert (settings.pca, settings.seed) == (300, 0)
    assert settings.layers == ("body", "last")  # the published one, and ours before it


def test_settings_need_no_torch():
    code = "import sys, reflash.interpretation.settings; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
