"""The second-order degradation in tensors of fixed shape, for a GPU.

The reference resizes a batch to sizes that differ from one group of images to the next. A GPU can
replay recorded work (a CUDA graph) only where shapes stay, and launching some 200 operations one
by one takes longer than computing them. Here every image lies in the corner of a canvas as large
as the largest size can be, resizing is a product with a matrix whose other rows are zero, and all
draws are columns of a table on the device, so that nothing depends on the host and nothing waits
for it. Images of a batch may differ in every draw.

Pixels equal the reference's for the same draws and noise fields up to float rounding (and what
that does to values at a rounding boundary; a test bounds it).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from reflash.degradations.draws import Draws
from reflash.degradations.jpeg import _code, quantisation_factor
from reflash.degradations.kernels import kernels
from reflash.degradations.noise import HALF_BIN, LUMA, _poisson_table
from reflash.degradations.resize import RESIZE_MODES
from reflash.degradations.settings import SecondOrderSettings

AREA, BILINEAR, BICUBIC = (RESIZE_MODES.index(mode) for mode in ("area", "bilinear", "bicubic"))
CUBIC = -0.75
FOURIER = 64
"""Side from which a CPU blurs through Fourier transforms; a GPU always does."""


@dataclass(frozen=True)
class Canvases:
    """Sides of the canvases that hold an image after the first and after the second resize."""

    first: int
    second: int


@dataclass(frozen=True)
class NoiseFields:
    """Random numbers of both orders on their canvases, (B, 3, side, side) float32 each.

    An image of n x n pixels uses the corner [:, :n, :n].
    """

    normal_first: Tensor
    uniform_first: Tensor
    normal_second: Tensor
    uniform_second: Tensor

    @classmethod
    def empty(cls, batch: int, canvases: Canvases, device: torch.device) -> NoiseFields:
        """Return fields that `draw` fills."""
        sides = (canvases.first, canvases.first, canvases.second, canvases.second)
        return cls(*(torch.empty(batch, 3, side, side, device=device) for side in sides))

    def draw(self, generator: torch.Generator) -> NoiseFields:
        """Fill the fields in place and return them."""
        self.normal_first.normal_(generator=generator)
        self.uniform_first.uniform_(generator=generator)
        self.normal_second.normal_(generator=generator)
        self.uniform_second.uniform_(generator=generator)
        return self


def canvas_choices(settings: SecondOrderSettings, window: int) -> list[Canvases]:
    """Return the canvases for windows of a side, smallest first.

    There are few, because each needs its own recording: half the window, the window, and the
    largest enlargement. `choose_canvas` takes the smallest that holds an image.
    """
    largest = max(1.0, settings.first.resize_factor[1])
    small = window // settings.scale
    second = _multiple(small * max(1.0, settings.second.resize_factor[1]))
    firsts = {_multiple(window * factor) for factor in (0.5, 1.0, largest)}
    return [Canvases(first, second) for first in sorted(firsts)]


def first_side(window: int, factor: float) -> int:
    """Return the side of a window after the first resize."""
    return max(math.floor(window * factor), 1)


def choose_canvas(choices: list[Canvases], side: int) -> Canvases:
    """Return the smallest of the canvases that holds images of ``side`` after the first resize."""
    return next(canvases for canvases in choices if canvases.first >= side)


def _multiple(side: float) -> int:
    """Return ``side`` rounded up to the next multiple of 16, the unit of JPEG."""
    return -(-int(side) // 16) * 16


def degrade(
    hr: Tensor,
    draws: Draws,
    noise: NoiseFields,
    settings: SecondOrderSettings,
    canvases: Canvases,
) -> Tensor:
    """Degrade square HR images as the rows of ``draws`` say.

    Parameters
    ----------
    hr : (B, 3, W, W) float32 in [0, 1]
    draws : Draws
        Of B images, on the same device.
    noise : NoiseFields
    settings : SecondOrderSettings
        Only ``scale`` is read.
    canvases : Canvases
        At least as large as every image becomes.

    Returns
    -------
    (B, 3, W / scale, W / scale) float32, the values k / 255
    """
    window = hr.shape[-1]
    small = window // settings.scale
    whole = torch.full_like(draws["image"], window)
    target = torch.full_like(whole, small)
    first = (whole * draws["first_factor"]).floor().clamp(min=1)
    second = (target * draws["second_factor"]).floor().clamp(min=1)

    x = blur(hr, kernels(draws.kernel("first")), whole)
    step = 1 / draws["first_factor"]
    mode = draws["first_mode"]
    x = resize(x, resize_matrix(canvases.first, window, first, whole, step, mode))
    x = _add_noise(x, draws, "first", first, noise.normal_first, noise.uniform_first)
    x = jpeg(x, draws["first_quality"])

    x = blur(x, kernels(draws.kernel("second")), first)
    mode = draws["second_mode"]
    matrix = resize_matrix(canvases.second, canvases.first, second, first, first / second, mode)
    x = resize(x, matrix)
    x = _add_noise(x, draws, "second", second, noise.normal_second, noise.uniform_second)

    last = _each(draws["jpeg_last"]) > 0
    quality = draws["second_quality"]
    x = torch.where(last, x, jpeg(x, quality))
    mode = draws["final_mode"]
    matrix = resize_matrix(small, canvases.second, target, second, second / target, mode)
    x = blur(resize(x, matrix), kernels(draws.kernel("final")), target)
    x = torch.where(last, jpeg(_padded(x.clamp(0, 1)), quality)[..., :small, :small], x)
    return (x * 255).round().clamp(0, 255) / 255


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _padded(x: Tensor) -> Tensor:
    """Pad with black to a multiple of 16."""
    return F.pad(x, (0, -x.shape[3] % 16, 0, -x.shape[2] % 16))


def _inside(canvas: int, side: Tensor) -> Tensor:
    """Return which pixels of the canvas belong to the images: (B, 1, canvas, canvas) bool."""
    within = torch.arange(canvas, device=side.device) < side[:, None]
    return within[:, None, :, None] & within[:, None, None, :]


def resize_matrix(
    out_canvas: int, in_canvas: int, out_side: Tensor, in_side: Tensor, step: Tensor, mode: Tensor
) -> Tensor:
    """Return the matrices that resize one side of each image by plain interpolation.

    Parameters
    ----------
    out_canvas, in_canvas : int
    out_side, in_side : (B,) float64, whole numbers
    step : (B,) float64
        Distance of two samples in input pixels (bilinear and bicubic).
    mode : (B,) float64
        Index into ``RESIZE_MODES``.

    Returns
    -------
    (B, out_canvas, in_canvas) float32; rows from ``out_side`` on and columns from ``in_side`` on
    are zero, so that what lies outside an image stays outside
    """
    device = step.device
    n, m = in_side[:, None], out_side[:, None]
    row = torch.arange(out_canvas, device=device)
    col = torch.arange(in_canvas, device=device)

    low = torch.div(row * n, m, rounding_mode="floor")
    high = -torch.div(-(row + 1) * n, m, rounding_mode="floor")
    covered = (col >= low[..., None]) & (col < high[..., None])
    area = covered.float() / (high - low)[..., None].float()

    # Positions in float32, as torch's interpolation computes them.
    position = step.float()[:, None] * (row + 0.5) - 0.5
    linear = (mode == BILINEAR)[:, None]
    same = linear & (n == m)  # bilinear copies where the size stays
    position = torch.where(linear, position.clamp(min=0), position)
    position = torch.where(same, row.float(), position)
    base = position.floor()
    t = position - base
    near, far = _cubic_near, _cubic_far
    cubic = (far(t + 1), near(t), near(1 - t), far(2 - t))
    hat = (torch.zeros_like(t), 1 - t, t, torch.zeros_like(t))
    taps = torch.zeros_like(area)
    for offset, (at_cubic, at_hat) in enumerate(zip(cubic, hat, strict=True), start=-1):
        index = (base + offset).clamp(min=0).minimum((n - 1).float())
        weight = torch.where(linear, at_hat, at_cubic)
        taps = taps + weight[..., None] * (col == index[..., None])
    matrix = torch.where((mode == AREA)[:, None, None], area, taps)
    return matrix * (row < m)[..., None]


def _cubic_near(x: Tensor) -> Tensor:
    return ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1


def _cubic_far(x: Tensor) -> Tensor:
    return ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC


def resize(x: Tensor, matrix: Tensor) -> Tensor:
    """Apply the matrices (B, M, N) to both sides of square images (B, 3, N, N)."""
    matrix = matrix[:, None]
    return matrix @ x @ matrix.mT


def blur(x: Tensor, kernel: Tensor, side: Tensor) -> Tensor:
    """Correlate each image with its own kernel, reflected at the border of the image.

    Parameters
    ----------
    x : (B, 3, N, N) float32
    kernel : (B, K, K) float32, K odd
    side : (B,) float64
        Side of each image in its canvas; what lies beyond is arbitrary before and after.
    """
    batch, channels, canvas, _ = x.shape
    margin = kernel.shape[-1] // 2
    index = _reflected(canvas, margin, side)
    images = torch.arange(batch, device=x.device)[:, None, None, None]
    planes = torch.arange(channels, device=x.device)[None, :, None, None]
    padded = x[images, planes, index[:, None, :, None], index[:, None, None, :]]
    if canvas < FOURIER and x.device.type == "cpu":
        weight = kernel[:, None].expand(-1, channels, -1, -1).reshape(-1, 1, *kernel.shape[1:])
        stacked = padded.reshape(1, batch * channels, *padded.shape[2:])
        return F.conv2d(stacked, weight, groups=batch * channels).view(x.shape)
    length = _smooth(padded.shape[-1])
    spectrum = torch.fft.rfft2(padded, s=(length, length))
    filters = torch.fft.rfft2(kernel.flip(1, 2), s=(length, length))
    out = torch.fft.irfft2(spectrum * filters[:, None], s=(length, length))
    end = 2 * margin + canvas
    return out[..., 2 * margin : end, 2 * margin : end]


def _reflected(canvas: int, margin: int, side: Tensor) -> Tensor:
    """Index rows of ``side`` pixels, each in its canvas, with a reflected margin: int64."""
    last = side.long()[:, None] - 1
    period = (2 * last).clamp(min=1)
    index = torch.arange(-margin, canvas + margin, device=side.device).remainder(period)
    return index.minimum(period - index).minimum(last)


@lru_cache(maxsize=64)
def _smooth(length: int) -> int:
    """Return the least number from ``length`` on whose only prime factors are 2, 3, 5."""
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


def _add_noise(
    x: Tensor, draws: Draws, order: str, side: Tensor, normal: Tensor, uniform: Tensor
) -> Tensor:
    """Add Gaussian or Poisson noise, clip, and blacken what lies outside the images."""
    grey = _each(draws[f"{order}_grey"]) > 0
    inside = _inside(x.shape[-1], side)
    sigma = _each(draws[f"{order}_noise_sigma"] / 255).float()
    gaussian = x + torch.where(grey, normal[:, :1], normal) * sigma
    scale = _each(draws[f"{order}_poisson_scale"]).float()
    poisson = x + _poisson(x, torch.where(grey, uniform[:, :1], uniform), grey, inside) * scale
    chosen = torch.where(_each(draws[f"{order}_gaussian"]) > 0, gaussian, poisson)
    return chosen.clamp(0, 1) * inside


def _poisson(x: Tensor, uniform: Tensor, grey: Tensor, inside: Tensor) -> Tensor:
    """Return Poisson noise of unit scale, see `reflash.degradations.noise.poisson_noise`."""
    luma = LUMA[0] * x[:, :1] + LUMA[1] * x[:, 1:2] + LUMA[2] * x[:, 2:]
    levels = (torch.where(grey, luma, x) * 255).round().clamp(0, 255)
    seen = torch.zeros(len(x), 257, dtype=torch.bool, device=x.device)
    seen.scatter_(1, torch.where(inside, levels, 256).flatten(1).long(), True)
    distinct = seen[:, :256].sum(dim=1, keepdim=True)
    powers = torch.exp2(torch.arange(8, device=x.device))
    exponent = _each((distinct > powers).sum(dim=1))
    table, starts = _poisson_table(x.device)
    row = exponent * 256 + levels.long()
    counts = torch.searchsorted(table, row + (uniform.double() + HALF_BIN)) - starts[row]
    return counts / torch.exp2(exponent.float()) - levels / 255


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """Compress and decompress as `reflash.degradations.jpeg.jpeg`, on whole units of 16 pixels.

    The same arithmetic without constants that travel from the host.
    """
    r, g, b = (x[:, i : i + 1] * 255 for i in range(3))
    factor = quantisation_factor(quality).to(x.dtype)
    y = 0.299 * r + 0.587 * g + 0.114 * b - 128
    cb = -0.168736 * r - 0.331264 * g + 0.5 * b
    cr = 0.5 * r - 0.418688 * g - 0.081312 * b
    y = _code(y, factor, "luma") + 128
    chroma = _code(F.avg_pool2d(torch.cat([cb, cr], 1), 2), factor, "chroma")
    cb, cr = F.interpolate(chroma, scale_factor=2, mode="nearest").split(1, dim=1)
    decoded = torch.cat([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], 1)
    return decoded.clamp(0, 255) / 255
