"""The degradation as released: BasicSR 1.4.2's functions, driven as Real-ESRGAN drives them.

BasicSR does not import with a current torchvision and is no dependency of this project. Where the
environment variable REFLASH_BASICSR names a folder that holds the package ``basicsr`` (its source,
version 1.4.2), four of its modules are loaded from there without running the package's own
``__init__``; the one function they need of torchvision is stood in for.
"""

from __future__ import annotations

import importlib
import math
import os
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

VARIABLE = "REFLASH_BASICSR"
WINDOW, PATCH, SCALE, QUEUE = 400, 128, 4, 16
SIZES = range(7, 22, 2)
FAMILIES = ["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]
SHARES = [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
MODES = ["area", "bilinear", "bicubic"]


def available() -> bool:
    """Whether the source is there."""
    folder = os.environ.get(VARIABLE)
    return folder is not None and Path(folder, "basicsr", "data", "degradations.py").is_file()


def _load() -> dict[str, ModuleType]:
    root = Path(os.environ[VARIABLE])
    stand_in = ModuleType("torchvision.transforms.functional_tensor")
    stand_in.rgb_to_grayscale = _grey  # type: ignore[attr-defined]
    for name in ("torchvision", "torchvision.transforms"):
        sys.modules.setdefault(name, ModuleType(name))
    sys.modules[stand_in.__name__] = stand_in
    for name in ("basicsr", "basicsr.data", "basicsr.utils"):
        package = ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")))]
        sys.modules[name] = package
    names = ("data.degradations", "data.transforms", "utils.diffjpeg", "utils.img_process_util")
    return {name.split(".")[1]: importlib.import_module(f"basicsr.{name}") for name in names}


def _grey(image: torch.Tensor, num_output_channels: int = 1) -> torch.Tensor:
    r, g, b = image.unbind(dim=-3)
    grey = (0.2989 * r + 0.587 * g + 0.114 * b).unsqueeze(dim=-3)
    return grey.expand_as(image) if num_output_channels == 3 else grey


class Released:
    """Batches of pairs as the released training makes them on one GPU.

    The window is sharpened once, and the target is cut from it: `RealESRNetModel` of the authors.
    Images are decoded already, which the released data set does for every crop.
    """

    def __init__(self, images: list[np.ndarray], batch: int, device: torch.device) -> None:
        self.modules = _load()
        self.images, self.batch_size, self.device = images, batch, device
        self.jpeg = self.modules["diffjpeg"].DiffJPEG(differentiable=False).to(device)
        self.sharpen = self.modules["img_process_util"].USMSharp().to(device)
        self.queue: tuple[torch.Tensor, torch.Tensor] | None = None
        self.filled = 0

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return lr (B, 3, 32, 32) and its sharpened target (B, 3, 128, 128)."""
        samples = [self._sample() for _ in range(self.batch_size)]
        hr, first, second, final = (
            torch.stack(values).to(self.device) for values in zip(*samples, strict=True)
        )
        with torch.no_grad():
            hr = self.sharpen(hr)
            lr = self._degrade(hr, first, second, final)
            crop = self.modules["transforms"].paired_random_crop
            hr, lr = crop([hr], [lr], PATCH, SCALE)
            lr, hr = self._exchange(lr, hr[0] if isinstance(hr, list) else hr)
            return lr.contiguous(), hr.contiguous()

    def _sample(self) -> tuple[torch.Tensor, ...]:
        image = random.choice(self.images).astype(np.float32) / 255
        image = image[:, ::-1] if random.random() < 0.5 else image
        top, left = (random.randint(0, side - WINDOW) for side in image.shape[:2])
        crop = np.ascontiguousarray(image[top : top + WINDOW, left : left + WINDOW])
        kernels = [self._kernel([0.2, 3.0]), self._kernel([0.2, 1.5]), self._final_kernel()]
        hr = torch.from_numpy(crop.transpose(2, 0, 1).copy())
        return hr, *(torch.from_numpy(kernel.astype(np.float32)) for kernel in kernels)

    def _kernel(self, sigma: list[float]) -> np.ndarray:
        functions: Any = self.modules["degradations"]
        size = random.choice(SIZES)
        if random.random() < 0.1:
            low = math.pi / 3 if size < 13 else math.pi / 5
            kernel = functions.circular_lowpass_kernel(random.uniform(low, math.pi), size)
        else:
            kernel = functions.random_mixed_kernels(
                FAMILIES, SHARES, size, sigma, sigma, [-math.pi, math.pi], [0.5, 4.0], [1, 2]
            )
        return np.pad(kernel, (21 - size) // 2)

    def _final_kernel(self) -> np.ndarray:
        if random.random() < 0.8:
            size, cutoff = random.choice(SIZES), random.uniform(math.pi / 3, math.pi)
            kernel: np.ndarray = self.modules["degradations"].circular_lowpass_kernel(
                cutoff, size, pad_to=21
            )
            return kernel
        pulse = np.zeros((21, 21))
        pulse[10, 10] = 1
        return pulse

    def _degrade(
        self, x: torch.Tensor, first: torch.Tensor, second: torch.Tensor, final: torch.Tensor
    ) -> torch.Tensor:
        filter2d = self.modules["img_process_util"].filter2D

        def blur(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
            out = filter2d(x.contiguous(), kernel)  # it views, and newer torch keeps strides
            assert isinstance(out, torch.Tensor)
            return out

        height, width = x.shape[2:]
        small = (height // SCALE, width // SCALE)
        x = blur(x, first)
        scale = self._factor([0.2, 0.7, 0.1], (0.15, 1.5))
        x = F.interpolate(x, scale_factor=scale, mode=random.choice(MODES))
        x = self._noise(x, [1, 30], [0.05, 3])
        x = self._jpeg(x)
        if random.random() < 0.8:
            x = blur(x, second)
        scale = self._factor([0.3, 0.4, 0.3], (0.3, 1.2))
        size = (int(height / SCALE * scale), int(width / SCALE * scale))
        x = F.interpolate(x, size=size, mode=random.choice(MODES))
        x = self._noise(x, [1, 25], [0.05, 2.5])
        if random.random() < 0.5:
            x = blur(F.interpolate(x, size=small, mode=random.choice(MODES)), final)
            x = self._jpeg(x)
        else:
            x = self._jpeg(x)
            x = blur(F.interpolate(x, size=small, mode=random.choice(MODES)), final)
        return torch.clamp((x * 255).round(), 0, 255) / 255

    def _factor(self, shares: list[float], bounds: tuple[float, float]) -> float:
        direction = random.choices(["up", "down", "keep"], shares)[0]
        if direction == "keep":
            return 1.0
        return float(random.uniform(*((1, bounds[1]) if direction == "up" else (bounds[0], 1))))

    def _noise(self, x: torch.Tensor, sigma: list[float], scale: list[float]) -> torch.Tensor:
        functions: Any = self.modules["degradations"]
        if random.random() < 0.5:
            out = functions.random_add_gaussian_noise_pt(x, sigma_range=sigma, gray_prob=0.4)
        else:
            out = functions.random_add_poisson_noise_pt(x, scale_range=scale, gray_prob=0.4)
        assert isinstance(out, torch.Tensor)
        return out

    def _jpeg(self, x: torch.Tensor) -> torch.Tensor:
        quality = x.new_zeros(len(x)).uniform_(30, 95)
        out = self.jpeg(torch.clamp(x, 0, 1), quality=quality)
        assert isinstance(out, torch.Tensor)
        return out

    def _exchange(self, lr: torch.Tensor, hr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        count = len(lr)
        if self.queue is None:
            self.queue = lr.new_zeros(QUEUE, *lr.shape[1:]), hr.new_zeros(QUEUE, *hr.shape[1:])
        if self.filled < QUEUE:
            for store, new in zip(self.queue, (lr, hr), strict=True):
                store[self.filled : self.filled + count] = new
            self.filled += count
            return lr, hr
        order = torch.randperm(QUEUE)
        self.queue = self.queue[0][order], self.queue[1][order]
        out = self.queue[0][:count].clone(), self.queue[1][:count].clone()
        for store, new in zip(self.queue, (lr, hr), strict=True):
            store[:count] = new
        return out
