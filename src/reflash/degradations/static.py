"""The second-order degradation in tensors of fixed shape, for a GPU.

The definition resizes each image to a size of its own. A GPU can replay recorded work (a CUDA
graph) only where shapes stay, and launching operations one by one takes longer than computing
them. Here every image lies in the corner of a canvas as large as the largest size can be, resizing
is a product with a matrix whose other rows are zero, and all decisions are columns of a table on
the device, so that nothing depends on the host and nothing waits for it. Images of a batch may
differ in every decision.

Each operation costs a launch, whatever its size, so what the three blurs, the three resizes and
the two JPEGs need in common is computed for all of them at once (a test counts the operations).

Pixels equal the definition's for the same decisions and noise fields up to float rounding (and
what that does to values at a rounding boundary; a test bounds it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from reflash.degradations.constants import constant
from reflash.degradations.draws import Draws
from reflash.degradations.jpeg import RGB_TO_YCC, YCC_TO_RGB, _constants, quantisation_factor
from reflash.degradations.kernels import CANVAS as KERNEL
from reflash.degradations.kernels import kernels
from reflash.degradations.noise import HALF_BIN, LUMA, _poisson_table
from reflash.degradations.resize import RESIZE_MODES
from reflash.degradations.settings import SecondOrderSettings

AREA, BILINEAR, BICUBIC = (RESIZE_MODES.index(mode) for mode in ("area", "bilinear", "bicubic"))
CUBIC = -0.75


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
    canvas = (window, canvases.first, canvases.second, small)

    # Sides of an image before and after each resize, (4, B): whole numbers, exact in float64.
    factor = torch.stack([draws["first_factor"], draws["second_factor"]])
    first = (factor[0] * window).floor_().clamp_(min=1)
    second = (factor[1] * small).floor_().clamp_(min=1)
    whole, target = torch.full_like(first, window), torch.full_like(first, small)
    sides = torch.stack([whole, first, second, target])
    step = sides[:3] / sides[1:]
    step[0] = 1 / factor[0]  # the first resize is by a factor, the others are to a size
    mode = torch.stack([draws[f"{name}_mode"] for name in ("first", "second", "final")])
    resizes = resize_matrices(canvas, sides, step, mode)

    # The blurs work at the first side, before and after the first resize, and at the last.
    kernel = kernels(draws.kernels()).chunk(3)
    index = reflected(max(canvas), torch.stack([whole, first, target]))

    # Flags, noise levels and qualities need no more than single precision; (B, 1, 1, 1) each.
    drawn = Draws(draws.table.float().view(*draws.table.shape, 1, 1, 1))
    quality = torch.stack([drawn["first_quality"], drawn["second_quality"]])
    tables = jpeg_tables(quality)

    x = blur(hr, kernel[0], index[0])
    x = resize(x, resizes[0])
    x = _add_noise(x, drawn, "first", first, noise.normal_first, noise.uniform_first)
    x = jpeg(x, tables[0])

    x = blur(x, kernel[1], index[1])
    x = resize(x, resizes[1])
    x = _add_noise(x, drawn, "second", second, noise.normal_second, noise.uniform_second)

    # Either order of the last steps: both JPEGs are computed, and each image keeps one of them.
    last = drawn["jpeg_last"] > 0
    x = torch.where(last, x, jpeg(x, tables[1]))
    x = blur(resize(x, resizes[2]), kernel[2], index[2])
    x = torch.where(last, jpeg(_padded(x.clamp(0, 1)), tables[1])[..., :small, :small], x)
    return x.mul_(255).round_().clamp_(0, 255).div_(255)


def _padded(x: Tensor) -> Tensor:
    """Pad with black to a multiple of 16."""
    return F.pad(x, (0, -x.shape[3] % 16, 0, -x.shape[2] % 16))


def resize_matrices(
    canvas: Sequence[int], sides: Tensor, step: Tensor, mode: Tensor
) -> list[Tensor]:
    """Return the matrices of R resizes in a row that resize one side of each image.

    Parameters
    ----------
    canvas : R + 1 int
        Sides of the canvases before, between and after the resizes.
    sides : (R + 1, B) float64
        Sides of the images in them, whole numbers.
    step : (R, B) float64
        Distance of two samples in input pixels (bilinear and bicubic).
    mode : (R, B) float64
        Index into ``RESIZE_MODES``.

    Returns
    -------
    list of (B, canvas[r + 1], canvas[r]) float32
        Rows and columns beyond the images' sides are zero, so that what lies outside an image
        stays outside.
    """
    n, m = sides[:-1, :, None], sides[1:, :, None]
    row = torch.arange(max(canvas[1:]), device=sides.device)
    inside = row < m

    # Area: row i averages the columns from low to high; other modes have no such columns.
    low = (row * n).div_(m).floor_()
    high = ((row + 1) * n).div_(m).ceil_()
    share = (high - low).reciprocal_().float()
    high = torch.where(inside & (mode == AREA)[..., None], high, low)

    # Bilinear and bicubic: four taps around a position, which is computed in float32 as torch's
    # interpolation does. Bilinear does not look beyond the border and copies where sizes agree.
    linear = (mode == BILINEAR)[..., None]
    position = (step.float()[..., None] * (row + 0.5)).sub_(0.5)
    position = torch.where(linear, position.clamp(min=0), position)
    position = torch.where(linear & (n == m), row.float(), position)
    base = position.floor()
    taps, polynomials = _interpolation(sides.device)
    distance = (position - base)[..., None].sub(taps).abs_()
    # The weight is a cubic polynomial of the distance, one for each mode and tap.
    a, b, c, d = polynomials[mode.long()][:, :, :, None].unbind(2)
    weight = torch.addcmul(b, a, distance).mul_(distance).add_(c).mul_(distance).add_(d)
    weight.mul_(inside[..., None])
    index = (base[..., None] + taps).clamp_(min=0).minimum((n - 1).float()[..., None])

    # Views with an axis for the columns, one for each resize.
    parts = [v.unsqueeze(-1).unbind(0) for v in (index, weight, low, high, share)]
    out = []
    for before, after, *part in zip(canvas, canvas[1:], *parts, strict=False):
        column = torch.arange(before, device=sides.device, dtype=torch.float32)
        at, weighs, from_, to, shares = (v[:, :after] for v in part)
        # (B, rows, taps, columns): taps that fall together at a border add up.
        matrix = ((column == at) * weighs).sum(dim=2)
        covered = (column >= from_) & (column < to)
        out.append(torch.where(covered, shares, matrix))
    return out


@constant
def _interpolation(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the taps' offsets (4,), and the weights' polynomials (modes, powers 3 to 0, taps)."""
    a = CUBIC
    near, far = (a + 2, -(a + 3), 0.0, 1.0), (a, -5 * a, 8 * a, -4 * a)
    hat, zero = (0.0, 0.0, -1.0, 1.0), (0.0,) * 4
    polynomials = torch.zeros(len(RESIZE_MODES), 4, 4)
    polynomials[BILINEAR] = torch.tensor([zero, hat, hat, zero]).T
    polynomials[BICUBIC] = torch.tensor([far, near, near, far]).T
    return torch.arange(-1.0, 3.0).to(device), polynomials.to(device)


def resize(x: Tensor, matrix: Tensor) -> Tensor:
    """Apply the matrices (B, M, N) to both sides of square images (B, 3, N, N)."""
    columns = torch.bmm(x.flatten(1, 2), matrix.mT)
    return matrix[:, None] @ columns.view(*x.shape[:3], -1)


def blur(x: Tensor, kernel: Tensor, index: Tensor) -> Tensor:
    """Correlate each image with its own kernel, reflected at the border of the image.

    Parameters
    ----------
    x : (B, 3, N, N) float32
    kernel : (B, K, K) float32, K odd, point-symmetric (as all of `kernels` are)
    index : (B, 1, N + 2 * K or more) int64, from `reflected`

    Returns
    -------
    (B, 3, N, N) float32; what lies beyond an image in its canvas is arbitrary before and after
    """
    channels, canvas = x.shape[1:3]
    border = kernel.shape[-1] - 1
    # Fourier transforms wrap around, which reaches no further than the border that is cut off.
    length = _smooth(canvas + border)
    index = index[..., :length]
    rows = x.gather(2, index[..., None].expand(-1, channels, -1, canvas))
    padded = rows.gather(3, index[:, :, None].expand(-1, channels, length, -1))
    spectrum = torch.fft.rfft2(padded)
    spectrum *= torch.fft.rfft2(kernel, s=(length, length))[:, None]
    out = torch.fft.irfft2(spectrum, s=(length, length))
    return out[..., border : border + canvas, border : border + canvas]


def reflected(canvas: int, side: Tensor) -> Tensor:
    """Index rows of ``side`` pixels with a reflected margin for `blur` on canvases up to a side.

    Parameters
    ----------
    canvas : int
    side : (..., B) float64, whole numbers

    Returns
    -------
    (..., B, 1, length) int64
        Position i is the pixel i - KERNEL // 2 of the image, reflected at its ends.
    """
    length = _smooth(canvas + KERNEL - 1)
    last = side.long()[..., None, None] - 1
    period = (2 * last).clamp_(min=1)
    start = -(KERNEL // 2)
    index = torch.arange(start, start + length, device=side.device) % period
    return index.minimum(period - index).minimum(last)


@constant
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
    x: Tensor, drawn: Draws, order: str, side: Tensor, normal: Tensor, uniform: Tensor
) -> Tensor:
    """Add Gaussian or Poisson noise, clip, and blacken what lies outside the images."""
    within = torch.arange(x.shape[-1], device=x.device) < side[:, None]
    inside = within[:, None, :, None] & within[:, None, None, :]
    grey = drawn[f"{order}_grey"] > 0
    sigma = drawn[f"{order}_noise_sigma"]
    gaussian = torch.addcmul(x, torch.where(grey, normal[:, :1], normal), sigma, value=1 / 255)
    field = torch.where(grey, uniform[:, :1], uniform)
    scale = drawn[f"{order}_poisson_scale"]
    poisson = torch.addcmul(x, _poisson(x, field, grey, inside), scale)
    chosen = torch.where(drawn[f"{order}_gaussian"] > 0, gaussian, poisson)
    return chosen.clamp_(0, 1).mul_(inside)


def _poisson(x: Tensor, uniform: Tensor, grey: Tensor, inside: Tensor) -> Tensor:
    """Return Poisson noise of unit scale, see `reflash.degradations.noise.poisson_noise`."""
    luma = (x[:, :1] * LUMA[0]).add_(x[:, 1:2], alpha=LUMA[1]).add_(x[:, 2:], alpha=LUMA[2])
    levels = torch.where(grey, luma, x).mul_(255).round_().clamp_(0, 255)
    # Which levels an image holds; what lies outside it counts as level 256, which is not read.
    level = levels.long()
    seen = torch.zeros(len(x), 257, device=x.device)
    seen.scatter_(1, torch.where(inside, level, 256).flatten(1), 1.0)
    # Their number, raised to a power of two: 2**exponent is the least that is not below it.
    distinct = seen[:, :256].sum(dim=1)
    exponent = torch.frexp(distinct - 1).exponent.view(-1, 1, 1, 1)
    table, starts = _poisson_table(x.device)
    row = level.add_(exponent * 256)
    counts = torch.searchsorted(table, uniform.double().add_(row).add_(HALF_BIN)) - starts[row]
    return (counts * torch.exp2(-exponent)).sub_(levels, alpha=1 / 255)


def jpeg_tables(quality: Tensor) -> Tensor:
    """Return the quantisation tables of qualities (..., B, 1, 1, 1): (..., B, 1, 1, 6, 64) float32.

    One for each of the six blocks of 16 x 16 pixels: four of luma, two of chroma.
    """
    six = _jpeg_constants(quality.device)[-1]
    return quantisation_factor(quality)[..., None] * six


@constant
def _jpeg_constants(device: torch.device) -> tuple[Tensor, ...]:
    """Return DCT; matrix and offset to YCC in levels and back to RGB in [0, 1]; six tables."""
    dct, tables = _constants(device, torch.float32)
    to_ycc, to_rgb = 255 * torch.tensor(RGB_TO_YCC), torch.tensor(YCC_TO_RGB) / 255
    black, grey = torch.tensor([[-128.0], [0.0], [0.0]]), torch.full((3, 1), 128 / 255)
    six = torch.stack([tables["luma"]] * 4 + [tables["chroma"]] * 2)
    return dct, to_ycc.to(device), black.to(device), to_rgb.to(device), grey.to(device), six


def jpeg(x: Tensor, table: Tensor) -> Tensor:
    """Compress and decompress as `reflash.degradations.jpeg.jpeg`, on whole units of 16 pixels.

    Parameters
    ----------
    x : (B, 3, H, W) float32 in [0, 1], H and W multiples of 16
    table : (B, 1, 1, 6, 64) float32, from `jpeg_tables`
    """
    batch, _, height, width = x.shape
    h, w = height // 16, width // 16
    dct, to_ycc, black, to_rgb, grey, _ = _jpeg_constants(x.device)
    ycc = torch.baddbmm(black, to_ycc.expand(batch, -1, -1), x.flatten(2)).view(x.shape)

    # The six blocks of a unit lie side by side, so that one product transforms them all.
    blocks = x.new_empty(batch, h, w, 6, 64)
    rows = blocks.view(-1, 64)
    of_luma, of_chroma = blocks.split((4, 2), dim=3)
    of_luma = of_luma.view(batch, h, w, 2, 2, 8, 8).permute(0, 1, 3, 5, 2, 4, 6)
    of_chroma = of_chroma.view(batch, h, w, 2, 8, 8).permute(0, 3, 1, 4, 2, 5)
    luma = ycc[:, 0].view(batch, h, 2, 8, w, 2, 8)
    of_luma.copy_(luma)
    of_chroma.copy_(F.avg_pool2d(ycc[:, 1:], 2).view(of_chroma.shape))
    coefficients = torch.mm(rows, dct.T)
    coefficients.view(blocks.shape).div_(table).round_().mul_(table)
    torch.mm(coefficients, dct, out=rows)

    luma.copy_(of_luma)
    # A value of chroma is repeated for 2 x 2 pixels.
    chroma = ycc[:, 1:].view(batch, 2, h, 8, 2, w, 8, 2)
    chroma.copy_(of_chroma[:, :, :, :, None, :, :, None])
    rgb = torch.baddbmm(grey, to_rgb.expand(batch, -1, -1), ycc.flatten(2))
    return rgb.clamp_(0, 1).view(x.shape)
