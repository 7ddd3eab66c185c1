"""Tiny networks with weights large enough that every channel matters, and a few images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reflash.datasets.images import write_png
from reflash.degradations.benchmark import degrade
from reflash.degradations.settings import BenchmarkSettings
from reflash.models.build import build_network
from reflash.models.settings import RRDBSettings, SRResNetSettings
from reflash.models.staged import StagedNetwork
from reflash.models.weights import save_weights

KINDS = ("clean", "blur", "noise", "jpeg")
SETTINGS = {
    "srresnet": SRResNetSettings(features=5, blocks=2),
    "rrdb": RRDBSettings(features=5, blocks=1, growth=2),
}


def lively(name: str) -> StagedNetwork:
    """A network in evaluation mode whose weights are away from their small start."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build_network(SETTINGS[name]).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.25 if parameter.ndim > 1 else 0.1)
    return network.requires_grad_(False)


@pytest.fixture(params=["srresnet", "rrdb"])
def network(request: pytest.FixtureRequest) -> StagedNetwork:
    """Either network in double precision."""
    return lively(request.param).double()


@pytest.fixture
def srresnet() -> StagedNetwork:
    return lively("srresnet")


@pytest.fixture
def lr() -> torch.Tensor:
    """(1, 3, 6, 5) double in [0, 1]."""
    return torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(1)).double()


@pytest.fixture
def hr() -> np.ndarray:
    """(24, 20, 3) uint8."""
    return np.random.default_rng(2).integers(0, 256, (24, 20, 3), np.uint8)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the SRResNet of `lively`, scaled so that its output resembles an image."""
    network = lively("srresnet")
    network.conv_last.weight.mul_(0.05)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    described = {"network": SETTINGS["srresnet"], "dropout": "none", "which": "params"}
    save_weights(path, network.state_dict(), described)
    return path


@pytest.fixture(scope="session")
def hr_folder(tmp_path_factory: pytest.TempPathFactory, photo_like: np.ndarray) -> Path:
    """Three HR images of two sizes: a, b (64 x 80) and c (72 x 64)."""
    folder = tmp_path_factory.mktemp("images") / "hr"
    for name, image in {
        "a": photo_like[:64, :80],
        "b": photo_like[64:, 80:],
        "c": photo_like[10:82, 20:84],
    }.items():
        write_png(folder / f"{name}.png", np.ascontiguousarray(image))
    return folder


@pytest.fixture(scope="session")
def lr_folders(hr_folder: Path) -> dict[str, Path]:
    """A folder of LR images per kind, beside the HR images."""
    from reflash.datasets.images import list_images, read_rgb

    folders = {kind: hr_folder.parent / kind for kind in KINDS}
    for kind, folder in folders.items():
        for path in list_images(hr_folder):
            image = degrade(read_rgb(path), kind, BenchmarkSettings(), path.stem)
            write_png(folder / path.name, image)
    return folders


@pytest.fixture(scope="session")
def eight_bit_psnr() -> Callable[[torch.Tensor, np.ndarray], float]:
    """PSNR of a float image, clamped and rounded, written out."""

    def compute(sr: torch.Tensor, hr: np.ndarray) -> float:
        image = np.rint(sr[0].double().clamp(0, 1).numpy().transpose(1, 2, 0) * 255)
        return float(10 * np.log10(255**2 / np.mean((image - hr.astype(float)) ** 2)))

    return compute
