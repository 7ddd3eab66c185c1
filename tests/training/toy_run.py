"""Settings of a run of a few seconds."""

from __future__ import annotations

from reflash.training.settings import RunSettings


def run_settings(**changes: object) -> RunSettings:
    """A run of a few seconds; ``changes`` replace top-level keys."""
    values: dict[str, object] = {
        "id": "srresnet/multi/last_conv-channel-p0.5/seed0",
        "network": {"name": "srresnet", "features": 8, "blocks": 2},
        "dropout": "last_conv-channel-p0.5",
        "setting": "multi",
        "seed": 0,
        "pairs": {"window": 96, "patch": 32, "crops": 1, "shuffle_pool": 8},
        "degradation": {"group": 4},
        "training": {
            "iterations": 12,
            "batch": 4,
            "lr": 1e-3,
            "schedule": {"kind": "cosine"},
            "validation": {"every": 5, "images": 1, "crop": 64, "kinds": ["clean", "jpeg"]},
        },
        "sub_image": None,
    }
    return RunSettings.model_validate(values | changes)


STRENGTHS = {
    "adaptive_dropout": 0.3,
    "additive_noise": 0.5,
    "cutblur": 1.0,
    "dropblock": 0.3,
    "feature_alignment": 0.1,
    "mixup": 1.0,
    "multiplicative_noise": 0.5,
    "second_view": 1.0,
    "stochastic_depth": 0.5,
    "weight_decay": 0.1,
}
"""Every regulariser with a strength that it shows with."""


def regularised(name: str, strength: float | None = None, **changes: object) -> RunSettings:
    """Return the settings of a run with one regulariser and without dropout."""
    one = {
        "name": name,
        "strength": STRENGTHS[name] if strength is None else strength,
        "factory": f"reflash.training.regularisers.{name}:build",
    }
    return run_settings(dropout="none", regularisers=[one], **changes)
