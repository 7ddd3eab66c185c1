"""Small images and networks for the evaluation tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reflash.models.build import build_network
from reflash.models.settings import SRResNetSettings, parse_dropout
from reflash.models.weights import save_weights


@pytest.fixture
def photo() -> Callable[..., np.ndarray]:
    """Smooth random RGB images: photo(height, width, seed) -> (height, width, 3) uint8."""

    def make(height: int, width: int, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (height // 5 + 2, width // 5 + 2, 3), np.uint8)
        return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))

    return make


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw weights of a small SRResNet with dropout, away from their small start."""
    network = SRResNetSettings(features=8, blocks=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_network(network, parse_dropout("last_conv-channel-p0.5"))
        state = {
            name: value * (4 if name.startswith(("conv_last", "conv_hr")) else 1)
            for name, value in model.state_dict().items()
        }
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(
        path, state, {"network": network, "dropout": "last_conv-channel-p0.5", "which": "params"}
    )
    return path
