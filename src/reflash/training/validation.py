"""The validation images of a run and what a network scores on them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from reflash.core.errors import ReflashError
from reflash.datasets.images import centre_crop, list_images, mod_crop, read_rgb
from reflash.degradations.benchmark import degrade
from reflash.degradations.settings import BenchmarkSettings
from reflash.evaluation.inference import upscale_image
from reflash.evaluation.metrics import psnr
from reflash.training.settings import ValidationSettings


class Validation:
    """Validation images through fixed test degradations (sigma 20, mod 4, PIL bicubic)."""

    def __init__(self, settings: ValidationSettings, folder: Path) -> None:
        benchmark = BenchmarkSettings(mod=4)
        self.kinds = settings.kinds
        self.examples = []
        digest = hashlib.sha256()
        for path in list_images(folder)[: settings.images]:
            hr = mod_crop(read_rgb(path), benchmark.mod)
            if settings.crop is not None:
                hr = centre_crop(hr, settings.crop - settings.crop % 4)
            if min(hr.shape[:2]) <= 8:
                raise ReflashError(
                    f"{path}: {hr.shape[1]}x{hr.shape[0]} pixels are too few to validate on; "
                    "leave it out"
                )
            digest.update(f"{path.stem} {hr.shape}".encode() + hr.tobytes())
            for kind in settings.kinds:
                self.examples.append((kind, hr, degrade(hr, kind, benchmark, path.stem)))

        self.key = digest.hexdigest()
        """Hash of the images, as they are cropped, with their names, which decide the noise."""

    def __call__(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return the mean PSNR (dB, RGB, crop 4) per kind of ``network``."""
        scores: dict[str, list[float]] = {kind: [] for kind in self.kinds}
        was_training = network.training
        network.eval()
        for kind, hr, lr in self.examples:
            scores[kind].append(psnr(upscale_image(network, lr, device=device), hr))
        network.train(was_training)
        return {f"psnr_{kind}": sum(v) / len(v) for kind, v in scores.items()}
