"""Independent numpy/OpenCV computations the tests of the degradations compare with."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import fft, special, stats

ANNEX_K_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    float,
)
ANNEX_K_CHROMA = np.full((8, 8), 99.0)
ANNEX_K_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random image with edges and texture, (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.empty((height, width, 3))
    for channel in range(3):
        fx, fy, phase = rng.uniform((0.02, 0.02, 0), (0.25, 0.25, 6))
        image[..., channel] = 120 + 60 * np.sin(fx * x + fy * y + phase)
    for _ in range(12):
        cy, cx, radius = (
            rng.uniform(0, height),
            rng.uniform(0, width),
            rng.uniform(1, 4 + height / 4),
        )
        image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.uniform(0, 255, 3)
    image += rng.normal(0, 4, image.shape)
    return image.clip(0, 255).round().astype(np.uint8)


def kernel(
    kind: str,
    size: int,
    sigma_x: float,
    sigma_y: float,
    rotation: float,
    beta: float,
    cutoff: float,
    canvas: int,
) -> np.ndarray:
    """One blur kernel from its definition, with the covariance matrix written out, float64."""
    half = size // 2
    out = np.zeros((canvas, canvas))
    turn = np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]])
    precision = np.linalg.inv(turn @ np.diag([sigma_x**2, sigma_y**2]) @ turn.T)
    for dy in range(-half, half + 1):
        for dx in range(-half, half + 1):
            offset = np.array([dx, dy])
            distance = offset @ precision @ offset
            radius = np.hypot(dx, dy)
            if kind == "sinc" and radius == 0:
                value = cutoff**2 / (4 * np.pi)
            elif kind == "sinc":
                value = cutoff * special.j1(cutoff * radius) / (2 * np.pi * radius)
            elif kind == "pulse":
                value = float(radius == 0)
            elif kind.startswith("plateau"):
                value = 1 / (1 + distance**beta)
            elif kind.startswith("generalised"):
                value = np.exp(-0.5 * distance**beta)
            else:
                value = np.exp(-0.5 * distance)
            out[canvas // 2 + dy, canvas // 2 + dx] = value
    return out / out.sum()


def blur(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlation with reflected borders, whatever the size: (H, W, 3) float64."""
    margin = weights.shape[0] // 2
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    out = cv2.filter2D(padded, cv2.CV_64F, weights)
    return out[margin : margin + image.shape[0], margin : margin + image.shape[1]]


def resize(
    image: np.ndarray, size: tuple[int, int], mode: str, step: float | None = None
) -> np.ndarray:
    """Separable interpolation as matrix products; ``step`` is the distance of two samples."""
    for axis in (0, 1):
        n, m = image.shape[axis], size[axis]
        matrix = _resize_matrix(n, m, mode, n / m if step is None else step)
        image = np.moveaxis(np.tensordot(matrix, image, axes=(1, axis)), 0, axis)
    return image


def _resize_matrix(n: int, m: int, mode: str, step: float) -> np.ndarray:
    if mode == "bilinear" and n == m:  # torch copies, whatever the step
        return np.eye(n)
    matrix = np.zeros((m, n))
    for i in range(m):
        if mode == "area":
            low, high = i * n // m, -((-(i + 1) * n) // m)
            matrix[i, low:high] = 1 / (high - low)
            continue
        position = (i + 0.5) * step - 0.5
        if mode == "bilinear":
            position = max(position, 0)
        base = int(np.floor(position))
        t = position - base
        if mode == "bilinear":
            weights = {base: 1 - t, base + 1: t}
        else:
            a = -0.75
            weights = {}
            for j in range(-1, 3):
                d = abs(t - j)
                if d <= 1:
                    weights[base + j] = (a + 2) * d**3 - (a + 3) * d**2 + 1
                else:
                    weights[base + j] = a * (d**3 - 5 * d**2 + 8 * d - 4)
        for j, weight in weights.items():
            matrix[i, min(max(j, 0), n - 1)] += weight
    return matrix


def jpeg(image: np.ndarray, quality: float) -> np.ndarray:
    """JPEG round trip block by block with scipy's DCT: (H, W, 3) float in [0, 1], float64.

    Luma table transposed, real-valued tables, black padding, repeated chroma.
    """
    height, width = image.shape[:2]
    factor = 50 / quality if quality < 50 else 2 - quality / 50
    padded = np.zeros((-(-height // 16) * 16, -(-width // 16) * 16, 3))
    padded[:height, :width] = image * 255
    r, g, b = np.moveaxis(padded, 2, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    cb = -0.168736 * r - 0.331264 * g + 0.5 * b + 128
    cr = 0.5 * r - 0.418688 * g - 0.081312 * b + 128

    def code(plane: np.ndarray, table: np.ndarray) -> np.ndarray:
        out = np.empty_like(plane)
        for top in range(0, plane.shape[0], 8):
            for left in range(0, plane.shape[1], 8):
                block = plane[top : top + 8, left : left + 8] - 128
                step = table * factor
                coefficients = np.round(fft.dctn(block, norm="ortho") / step) * step
                out[top : top + 8, left : left + 8] = fft.idctn(coefficients, norm="ortho") + 128
        return out

    def half(plane: np.ndarray) -> np.ndarray:
        return (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4

    def twice(plane: np.ndarray) -> np.ndarray:
        return plane.repeat(2, axis=0).repeat(2, axis=1)

    y = code(y, ANNEX_K_LUMA.T)
    cb = twice(code(half(cb), ANNEX_K_CHROMA)) - 128
    cr = twice(code(half(cr), ANNEX_K_CHROMA)) - 128
    decoded = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=2)
    return decoded[:height, :width].clip(0, 255) / 255


def poisson(image: np.ndarray, uniform: np.ndarray, scale: float, grey: bool) -> np.ndarray:
    """Image (H, W, 3) plus Poisson noise from uniform numbers (H, W, 3), clipped, float64."""
    source = image
    if grey:
        source = (image @ [0.2989, 0.587, 0.114])[..., None]
        uniform = uniform[..., :1]
    levels = (source * 255).round().clip(0, 255)
    v = 2 ** np.ceil(np.log2(len(np.unique(levels))))
    counts = stats.poisson.ppf(uniform.astype(float) + 2.0**-25, levels / 255 * v)
    return (image + scale * (counts / v - levels / 255)).clip(0, 1)


def gaussian(image: np.ndarray, normal: np.ndarray, sigma: float, grey: bool) -> np.ndarray:
    """Image (H, W, 3) plus Gaussian noise from normal numbers (H, W, 3), clipped, float64."""
    return (image + sigma / 255 * (normal[..., :1] if grey else normal)).clip(0, 1)
