"""Settings of the degradations: the released values, and what is refused."""

import math

import pytest
from pydantic import ValidationError

from reflash.degradations.settings import (
    BenchmarkSettings,
    KernelSettings,
    OrderSettings,
    SecondOrderSettings,
)

PI = math.pi
KERNEL = {
    "size": (7, 21),
    "sinc": 0.1,
    "sinc_cutoff_small": (PI / 3, PI),
    "sinc_cutoff_large": (PI / 5, PI),
    "iso": 0.45,
    "aniso": 0.25,
    "generalised_iso": 0.12,
    "generalised_aniso": 0.03,
    "plateau_iso": 0.12,
    "plateau_aniso": 0.03,
    "sigma": (0.2, 3.0),
    "rotation": (-PI, PI),
    "beta_generalised": (0.5, 4.0),
    "beta_plateau": (1.0, 2.0),
}


def test_defaults_are_the_released_config():
    assert SecondOrderSettings().model_dump() == {
        "scale": 4,
        "usm": True,
        "draws": "batch",
        "bicubic": "matlab",
        "group": 8,
        "first": {
            "blur": 1.0,
            "kernel": KERNEL,
            "resize_up": 0.2,
            "resize_down": 0.7,
            "resize_keep": 0.1,
            "resize_factor": (0.15, 1.5),
            "gaussian": 0.5,
            "noise_sigma": (1, 30),
            "poisson_scale": (0.05, 3),
            "grey": 0.4,
            "jpeg_quality": (30, 95),
        },
        "second": {
            "blur": 0.8,
            "kernel": KERNEL | {"sigma": (0.2, 1.5)},
            "resize_up": 0.3,
            "resize_down": 0.4,
            "resize_keep": 0.3,
            "resize_factor": (0.3, 1.2),
            "gaussian": 0.5,
            "noise_sigma": (1, 25),
            "poisson_scale": (0.05, 2.5),
            "grey": 0.4,
            "jpeg_quality": (30, 95),
        },
        "final": {
            "sinc": 0.8,
            "sinc_size": (7, 21),
            "sinc_cutoff": (PI / 3, PI),
            "jpeg_last": 0.5,
        },
    }


def test_defaults_are_the_test_protocol():
    assert BenchmarkSettings().model_dump() == {
        "scale": 4,
        "mod": 12,
        "bicubic": "pil",
        "blur_size": 21,
        "blur_sigma": 2.0,
        "noise_sigma": 20.0,
        "noise_only_sigma": None,
        "noise_rounding": "truncate",
        "jpeg_quality": 50,
        "seed": 0,
    }


def test_a_partly_given_second_order_keeps_its_own_defaults():
    settings = SecondOrderSettings.model_validate({"second": {"kernel": {"sinc": 0}, "grey": 0}})
    assert settings.second.noise_sigma == (1, 25)
    assert settings.second.kernel.sigma == (0.2, 1.5)


def test_settings_survive_json():
    settings = SecondOrderSettings(draws="image", usm=False)
    assert SecondOrderSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        (KernelSettings, {"iso": 0.5}, "sum to 1.05, not 1"),
        (KernelSettings, {"size": (7, 20)}, "odd"),
        (KernelSettings, {"size": (7, 23)}, "less than or equal to 21"),
        (KernelSettings, {"sigma": (3, 0.2)}, "exceeds"),
        (KernelSettings, {"sigma": (0, 1)}, "greater than 0"),
        (KernelSettings, {"beta_plateau": (1.5, 2)}, "beta_plateau must hold 1"),
        (OrderSettings, {"resize_up": 0.5}, "sum to 1.3, not 1"),
        (OrderSettings, {"resize_factor": (0.15, 0.9)}, "resize_factor must hold 1"),
        (OrderSettings, {"jpeg_quality": (30, 100)}, "less than 100"),
        (OrderSettings, {"grey": 1.5}, "less than or equal to 1"),
        (SecondOrderSettings, {"group": 0}, "greater than or equal to 1"),
        (SecondOrderSettings, {"draws": "pixel"}, "'batch' or 'image'"),
        (BenchmarkSettings, {"mod": 6}, "not a multiple of scale"),
        (BenchmarkSettings, {"blur_size": 20}, "odd"),
        (BenchmarkSettings, {"noise_rounding": "floor"}, "'truncate' or 'round'"),
        (BenchmarkSettings, {"sigma": 1}, "Extra inputs"),
        (BenchmarkSettings, {"noise_sigma": math.inf}, "finite number"),
        (BenchmarkSettings, {"noise_only_sigma": math.nan}, "finite number"),
        (BenchmarkSettings, {"blur_sigma": math.inf}, "finite number"),
        (OrderSettings, {"noise_sigma": (1, math.inf)}, "finite number"),
        (OrderSettings, {"poisson_scale": (math.nan, 1)}, "finite number"),
        (KernelSettings, {"sigma": (1, math.inf)}, "finite number"),
    ],
)
def test_wrong_values_are_refused(model, values, message):
    with pytest.raises(ValidationError, match=message):
        model(**values)
