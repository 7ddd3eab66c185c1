"""JPEG in tensor operations against scipy's DCT and against libjpeg."""

import io

import degradation_reference as reference
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from reflash.degradations.jpeg import jpeg

# No round numbers: coefficients of flat blocks would lie halfway between two steps.
QUALITIES = st.integers(500, 9800).map(lambda hundredths: (hundredths + 0.123456) / 100)


def tensor(images):
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), QUALITIES, st.integers(0, 1000))
def test_it_equals_an_independent_implementation(height, width, quality, seed):
    image = reference.photo(height, width, seed) / 255
    got = jpeg(tensor([image]), torch.tensor([quality], dtype=torch.float64))
    np.testing.assert_allclose(
        got[0].permute(1, 2, 0), reference.jpeg(image, quality), rtol=0, atol=1e-9
    )


def test_single_precision_differs_only_where_a_coefficient_is_rounded_the_other_way():
    image = reference.photo(128, 128) / 255
    got = jpeg(tensor([image]).float(), torch.tensor([60.0]))[0].permute(1, 2, 0).numpy()
    difference = np.abs(got - reference.jpeg(image, 60.0))
    assert (difference > 1e-5).mean() < 0.02
    assert difference.max() < 0.05


def test_every_image_has_its_own_quality():
    images = [reference.photo(40, 56, seed) / 255 for seed in range(3)]
    quality = torch.tensor([30.0, 49.9, 95.0], dtype=torch.float64)
    together = jpeg(tensor(images), quality)
    for i, image in enumerate(images):
        torch.testing.assert_close(together[i], jpeg(tensor([image]), quality[i : i + 1])[0])
    errors = (together - tensor(images)).square().mean(dim=(1, 2, 3))
    assert errors[0] > errors[2]


def libjpeg(image, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", subsampling="4:2:0", **options)
    return np.asarray(Image.open(buffer)).astype(float)


def natural(height, width):
    return data.astronaut()[40 : 40 + height, 150 : 150 + width]


@pytest.mark.parametrize(("quality", "tolerance"), [(30, 3.5), (50, 3.0), (75, 2.5), (95, 1.75)])
def test_it_stays_near_libjpeg(quality, tolerance):
    """Mean absolute difference in grey levels; the docstring of the module says what differs."""
    image = natural(128, 192)
    expected = libjpeg(image, quality=quality)
    got = jpeg(tensor([image / 255]), torch.tensor([float(quality)]))[0].permute(1, 2, 0) * 255
    assert np.abs(got.numpy() - expected).mean() < min(tolerance, np.abs(expected - image).mean())


def test_it_is_libjpeg_with_the_luma_table_transposed():
    """On grey images at quality 50, where tables are whole and chroma is empty, nothing else is."""
    grey = np.repeat(natural(128, 192)[..., 1:2], 3, axis=2)
    got = jpeg(tensor([grey / 255]), torch.tensor([50.0]))[0].permute(1, 2, 0).numpy() * 255
    tables = [reference.ANNEX_K_LUMA.T, reference.ANNEX_K_CHROMA]
    transposed = libjpeg(grey, qtables=[table.astype(int).flatten().tolist() for table in tables])
    assert np.abs(got - transposed).mean() < 0.5
    assert np.abs(got - libjpeg(grey, quality=50)).mean() > 1.5


def test_a_flat_grey_survives_and_the_result_is_in_range():
    grey = torch.full((1, 3, 32, 48), 128 / 255)
    torch.testing.assert_close(jpeg(grey, torch.tensor([30.0])), grey)
    checks = torch.randint(2, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0)).float()
    coded = jpeg(checks, torch.tensor([30.0]))
    assert coded.min() == 0
    assert coded.max() == 1
