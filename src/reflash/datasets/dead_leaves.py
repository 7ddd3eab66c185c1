"""Dead leaves: images of occluding random shapes with the statistics of natural images.

Opaque shapes fall on the plane at random places, later ones hiding earlier ones. If their radii
have the density r^-3, the image looks the same at every magnification, edges appear at all sizes,
and the power spectrum falls like 1/f^2, as that of photographs does (Lee, Mumford and Huang,
"Occlusion models for natural images", IJCV 2001). Networks trained on such images learn to
restore photographs (Achddou, Gousseau and Ladjal, "Synthetic images as a regularity prior for
image restoration neural networks", SSVM 2021).

The shapes are polygons inscribed in rotated ellipses: discs, ellipses, rectangles and irregular
convex polygons. They are rasterised back to front at twice the size, as numbers; looking up their
colours and averaging 2x2 pixels gives soft edges. Textures are added at the final size.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from reflash.core.keys import numpy_generator
from reflash.datasets.images import Pixels
from reflash.datasets.settings import DeadLeavesSettings

Array = npt.NDArray[np.float32]

COVERAGE = 6.0
"""How many discs of the leaves' radii would lie over a point on average."""

_SUPER = 2  # supersampling per axis
_SHIFT = 4  # fractional bits of OpenCV's polygon coordinates
_ASPECT = 3.0  # largest ratio of the axes
_REACH = _ASPECT**0.5  # how far a leaf extends from its centre, in radii
_FIELD = 128  # side of a noise field; it is periodic and tiles seamlessly


class Leaves(NamedTuple):
    """N shapes, back to front; lengths in output pixels."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    radius: npt.NDArray[np.float64]


def dead_leaves(height: int, width: int, settings: DeadLeavesSettings, *key: int | str) -> Pixels:
    """Synthesise one image (height, width, 3) uint8 RGB, a function of the arguments alone.

    ``settings.count``, ``size`` and ``seed`` are not used here: pass what tells images apart in
    ``key``.
    """
    rng = numpy_generator("dead_leaves", *key)
    leaves = draw_leaves(rng, height, width, settings.r_min, settings.r_max)
    labels = _rasterise(rng, leaves, height, width)
    colours = _colours(rng, leaves, max(height, width))
    image = cv2.resize(
        np.take(colours, labels, axis=0, mode="clip"), (width, height), interpolation=cv2.INTER_AREA
    )
    if settings.texture:
        texture = _texture(rng, leaves, np.ascontiguousarray(labels[::_SUPER, ::_SUPER]))
        image = image + settings.texture * texture[..., None]
    if settings.blur:
        image = cv2.GaussianBlur(image, (0, 0), settings.blur, borderType=cv2.BORDER_REFLECT_101)
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


def draw_leaves(
    rng: np.random.Generator, height: int, width: int, r_min: float, r_max: float
) -> Leaves:
    """Draw the leaves that can touch a window, for a mean ``COVERAGE``.

    In the plane the radii have the density r^-3 between ``r_min`` and ``r_max``. Of those of
    radius r, the ones whose centre lies at most k r outside of the window are drawn (k r is the
    farthest a leaf reaches): their number is proportional to r^-3 (height + 2 k r) (width + 2 k r),
    so that nothing in the window depends on its borders.
    """
    # That product is a sum of three powers of r; parts holds the mean of each over the radii.
    low, high = r_min**-2.0, r_max**-2.0
    mean = 2 * (1 / r_min - 1 / r_max) / (low - high)
    mean_square = 2 * np.log(r_max / r_min) / (low - high)
    parts = np.array(
        [height * width, 2 * _REACH * (height + width) * mean, 4 * _REACH**2 * mean_square]
    )
    number = rng.poisson(COVERAGE / (np.pi * mean_square) * parts.sum())
    power = rng.choice(3, size=number, p=parts / parts.sum())
    u = rng.random(number)
    radius = np.select(
        [power == 0, power == 1],
        [(low + u * (high - low)) ** -0.5, 1 / (1 / r_min + u * (1 / r_max - 1 / r_min))],
        r_min * (r_max / r_min) ** u,
    )
    x = rng.uniform(-_REACH * radius, width + _REACH * radius)
    y = rng.uniform(-_REACH * radius, height + _REACH * radius)
    return Leaves(x, y, radius)


def _rasterise(
    rng: np.random.Generator, leaves: Leaves, height: int, width: int
) -> npt.NDArray[np.int32]:
    """Return the number of the leaf seen at each supersampled pixel, from 1; 0 is the ground."""
    labels = np.zeros((height * _SUPER, width * _SUPER), np.int32)
    for number, outline in enumerate(_outlines(rng, leaves), start=1):
        cv2.fillConvexPoly(labels, outline, number, cv2.LINE_8, _SHIFT)
    return labels


def _outlines(rng: np.random.Generator, leaves: Leaves) -> list[npt.NDArray[np.int32]]:
    """Return each leaf's convex outline (V, 2) in OpenCV's fixed-point canvas coordinates."""
    number = len(leaves.radius)
    disc, rectangle, irregular = 0, 1, 2  # and 3, ellipse
    kind = rng.choice(4, size=number, p=[0.3, 0.25, 0.2, 0.25])
    axis = np.where(kind == disc, 1.0, _ASPECT ** rng.uniform(0, 0.5, number))
    turn = rng.uniform(0, 2 * np.pi, number)
    corner = rng.uniform(np.pi / 8, 3 * np.pi / 8, number)[:, None]
    some = np.sort(rng.uniform(0, 2 * np.pi, (number, 6)), axis=1)
    # OpenCV fills every pixel the outline touches, on average half a pixel too far.
    radius = np.maximum(leaves.radius * _SUPER - 0.5, 0.25)
    vertices = np.select(
        [kind == rectangle, kind == irregular, radius < 4, radius < 12, radius < 48],
        [4, 6, 8, 12, 24],
        default=64,
    )
    outlines: list[npt.NDArray[np.int32]] = [np.empty((0, 2), np.int32)] * number
    for count in (4, 6, 8, 12, 24, 64):
        i = np.flatnonzero(vertices == count)
        if count == 4:
            angle = np.hstack([corner[i], np.pi - corner[i], np.pi + corner[i], -corner[i]])
        elif count == 6:
            angle = some[i]
        else:
            angle = np.linspace(0, 2 * np.pi, count, endpoint=False)[None]
        u = (radius * axis)[i, None] * np.cos(angle)
        v = (radius / axis)[i, None] * np.sin(angle)
        cos, sin = np.cos(turn[i, None]), np.sin(turn[i, None])
        x = leaves.x[i, None] * _SUPER - 0.5 + u * cos - v * sin  # pixel centres are integers
        y = leaves.y[i, None] * _SUPER - 0.5 + u * sin + v * cos
        points = np.round(np.stack([x, y], axis=-1) * 2**_SHIFT).astype(np.int32)
        for leaf, outline in zip(i.tolist(), points, strict=True):
            outlines[leaf] = outline
    return outlines


def _colours(rng: np.random.Generator, leaves: Leaves, side: int) -> Array:
    """Draw the colours of the ground and the leaves, (1 + N, 3) float32 in (0, 1).

    Near leaves have similar colours: each is a value of three cloud-like fields of the size of the
    image at the leaf's centre, plus an offset from a small palette, plus its own. Brightness varies
    most, then orange to blue, then green to magenta: the principal directions of the colours of
    photographs (Ruderman, Cronin and Chiao, "Statistics of cone responses to natural images",
    JOSA A 1998).
    """
    number = 1 + len(leaves.radius)
    place = np.stack([_from_ground(leaves.y), _from_ground(leaves.x)]) * (_FIELD / (1.5 * side))
    field = _between(_noise(rng, np.repeat(_cloud(1.0)[None], 3, axis=0)), place).T
    entries = int(rng.integers(4, 12))
    palette = rng.standard_normal((entries, 3))[rng.integers(entries, size=number)]
    own = rng.standard_normal((number, 3))
    spread = np.array([1.0, rng.uniform(0.15, 0.5), rng.uniform(0.08, 0.25)])
    brightness = np.array([rng.normal(-0.2, 0.5), 0, 0])
    contrast = np.exp(rng.normal(0, 0.25))
    coordinates = brightness + contrast * spread * (0.65 * field + 0.38 * palette + 0.22 * own)
    axes = np.array([[1, 1, 1], [1, 0.15, -1.15], [-0.5, 0.75, -0.4]])
    return (1 / (1 + np.exp(-coordinates @ axes))).astype(np.float32)


def _texture(rng: np.random.Generator, leaves: Leaves, labels: npt.NDArray[np.int32]) -> Array:
    """Return what is added to the brightness inside the leaves: shading, noise, stripes.

    ``labels`` is (H, W), the result (H, W) float32. Leaves of radius below 3 stay flat.
    """
    radius = _from_ground(leaves.radius, labels.shape[0])
    x, y = _from_ground(leaves.x), _from_ground(leaves.y)
    number = len(radius)
    seen = np.flatnonzero(np.take(radius > 3, labels, mode="clip"))
    label = labels.ravel()[seen]
    row, column = (part.astype(np.float32) for part in np.divmod(seen, labels.shape[1]))

    def of_leaf(values: npt.ArrayLike) -> Array:
        return np.take(np.asarray(values, np.float32), label, mode="clip")

    def wave(slope: npt.NDArray, angle: npt.NDArray, phase: npt.NDArray) -> Array:
        """Return slope times the distance from the leaf's centre along angle, plus phase."""
        a, b = slope * np.cos(angle), slope * np.sin(angle)
        return of_leaf(a) * column + of_leaf(b) * row + of_leaf(phase - a * x - b * y)

    def angles() -> npt.NDArray:
        return rng.uniform(0, 2 * np.pi, number)

    value = wave(rng.normal(0, 0.08, number) / radius, angles(), np.zeros(number))

    clouds, fibres = _cloud(1.0), _cloud(6.0)
    grain, weave = clouds**0.5, np.exp(-(((6 / clouds - 1) / 0.3) ** 2))
    fields = _noise(rng, np.stack([clouds, fibres, grain, weave]))
    scale, turn, place = rng.uniform(0.5, 1, number), angles(), rng.uniform(0, _FIELD, (2, number))
    across, along = (
        np.floor(wave(scale, turn + quarter, start)).astype(np.int32) % _FIELD
        for quarter, start in zip((0, np.pi / 2), place, strict=True)
    )
    which = of_leaf(rng.integers(len(fields), size=number)).astype(np.int32)
    amplitude = np.exp(rng.normal(np.log(0.025), 0.7, number)) * (rng.random(number) < 0.7)
    value += of_leaf(amplitude) * np.take(fields, (which * _FIELD + along) * _FIELD + across)

    striped = (rng.random(number) < 0.12) & (radius > 8)
    frequency = 2 * np.pi / np.maximum(radius * rng.uniform(0.1, 0.5, number), 3)
    depth = striped * rng.uniform(0.03, 0.12, number)
    value += of_leaf(depth) * np.sin(wave(frequency, angles(), angles()))

    texture = np.zeros(labels.shape, np.float32)
    texture.ravel()[seen] = value
    return texture


def _from_ground(values: npt.NDArray, ground: float = 0.0) -> npt.NDArray:
    """Put the value of the ground, number 0, before those of the leaves."""
    return np.concatenate([[ground], values])


def _between(fields: Array, place: npt.NDArray) -> Array:
    """Interpolate periodic ``fields`` (K, _FIELD, _FIELD) linearly at (row, column) (2, N)."""
    corner = np.floor(place).astype(np.int64)
    v, u = (place - corner).astype(np.float32)
    (top, left), (bottom, right) = corner % _FIELD, (corner + 1) % _FIELD
    above = (1 - u) * fields[:, top, left] + u * fields[:, top, right]
    below = (1 - u) * fields[:, bottom, left] + u * fields[:, bottom, right]
    return (1 - v) * above + v * below


def _cloud(stretch: float) -> npt.NDArray:
    """Return 1 / f on the frequencies of a field, f being at least one cycle per field.

    With ``stretch`` the structures are so many times wider than high.
    """
    fx = np.fft.rfftfreq(_FIELD) / stretch**0.5
    fy = np.fft.fftfreq(_FIELD)[:, None] * stretch**0.5
    return 1 / np.maximum(np.hypot(fx, fy), 1 / _FIELD)


def _noise(rng: np.random.Generator, amplitudes: npt.NDArray) -> Array:
    """Draw periodic fields (K, _FIELD, _FIELD) float32 of mean 0 and deviation 1.

    ``amplitudes`` are those of the frequencies of a real FFT, (K, _FIELD, _FIELD // 2 + 1).
    """
    white = np.fft.rfft2(rng.standard_normal((len(amplitudes), _FIELD, _FIELD)))
    white[:, 0, 0] = 0
    fields = np.fft.irfft2(white * amplitudes, s=(_FIELD, _FIELD))
    return (fields / fields.std(axis=(1, 2), keepdims=True)).astype(np.float32)
