"""The eight degradations of the test sets, as in the paper's released test protocol.

In this order, each on 8-bit values: blur on the HR image (OpenCV), antialiased bicubic shrinking
(Pillow's or, if so set, MATLAB's), Gaussian noise, JPEG (Pillow, 4:2:0). The kind names say which
steps are taken besides down-sampling.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from pydantic import ValidationError

from reflash.core.errors import ReflashError
from reflash.core.failures import Failures
from reflash.core.keys import numpy_generator
from reflash.core.progress import track
from reflash.datasets.folder import filling
from reflash.datasets.images import Pixels, good_images, mod_crop, read_rgb
from reflash.degradations.settings import KINDS, BenchmarkSettings
from reflash.degradations.tasks import degrade_to, is_task_kind


def degrade_image(
    hr: Pixels, kind: str, seed: int = 0, *, name: str | None = None, **changes: object
) -> Pixels:
    """Degrade one HR image as the test protocol does, the same as `degrade_folder` does its file.

    Parameters
    ----------
    hr : (H, W, 3) uint8 RGB
        Cropped at the bottom and right to multiples of ``mod`` first (12, unless ``mod`` is given).
    kind : str
        One of ``KINDS``: ``clean``, ``blur``, ``noise``, ``jpeg``, ``blur_noise``, ``blur_jpeg``,
        ``noise_jpeg``, ``blur_noise_jpeg``; or one of another task such as ``gaussian25``.
    seed : int
        Seed of the noise.
    name : str, optional
        The noise is a function of it, too: the file name without suffix gives a file's noise. By
        default it is one of the pixels: every image has noise of its own.
    **changes
        Other settings than the defaults, see `reflash.degradations.settings.BenchmarkSettings`,
        for example ``noise_sigma=30, mod=4``.

    Returns
    -------
    (H // scale, W // scale, 3) uint8 RGB, of the cropped H and W

    Raises
    ------
    ReflashError
        Unknown kind or setting, a value out of range, an array of another shape or type, or an
        image smaller than ``mod``.

    Examples
    --------
    >>> import numpy as np
    >>> hr = np.full((50, 64, 3), 128, np.uint8)
    >>> degrade_image(hr, "blur").shape
    (12, 15, 3)
    >>> degrade_image(hr, "noise", seed=1, mod=4)[0, 0]
    array([135, 129, 126], dtype=uint8)
    """
    called = name or "image"
    checked(hr, called)
    key = hashlib.sha256(hr.tobytes()).hexdigest() if name is None else name
    try:
        settings = BenchmarkSettings.model_validate({**changes, "seed": seed})
    except ValidationError as error:
        first = error.errors()[0]
        key, message = ".".join(map(str, first["loc"])), first["msg"]
        known = ", ".join(BenchmarkSettings.model_fields)
        raise ReflashError(f"{key or 'settings'}: {message}; settings are {known}") from error
    return degrade(mod_crop(hr, settings.mod, called), kind, settings, key)


def checked(image: Pixels, name: str) -> Pixels:
    """Return an image that is an array of (H, W, 3) uint8.

    Raises
    ------
    ReflashError
        It is not, such as one of floats, whose range could be anything.
    """
    is_array = isinstance(image, np.ndarray)
    if not is_array or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} of {image.shape}" if is_array else type(image).__name__
        raise ReflashError(f"{name}: expected an array of (H, W, 3) uint8, not {found}")
    return image


def degrade(hr: Pixels, kind: str, settings: BenchmarkSettings, key: str) -> Pixels:
    """Degrade one HR image, already cropped, by given settings.

    Parameters
    ----------
    hr : (H, W, 3) uint8 RGB
    kind : one of ``KINDS``, or one of a task such as gaussian25, which keeps the size
    settings : BenchmarkSettings
        ``mod`` is not applied here, see `degrade_image`.
    key : str
        The image's name. The noise is a function of seed, kind, name and size alone, so it does not
        depend on which images came before (the authors' noise is unseeded).

    Returns
    -------
    (H // scale, W // scale, 3) uint8 RGB

    Raises
    ------
    ReflashError
        Unknown kind, or an image smaller than the scale; the message begins with ``key``.

    Examples
    --------
    >>> import numpy as np
    >>> hr = np.full((48, 64, 3), 128, np.uint8)
    >>> degrade(hr, "blur_jpeg", BenchmarkSettings(), "0001").shape
    (12, 16, 3)
    """
    if is_task_kind(kind):
        return degrade_to(hr, kind, settings.seed, key)
    if kind not in KINDS:
        raise ReflashError(
            f"{kind}: no such degradation; choose one of {', '.join(KINDS)}, or of another task "
            "such as gaussian25, poisson1, jpeg10 or blur2"
        )
    height, width = hr.shape[:2]
    if min(height, width) < settings.scale:
        raise ReflashError(
            f"{key}: {width}x{height} pixels are too few to shrink by {settings.scale}; "
            "use a larger image"
        )
    steps = kind.split("_")
    image = hr
    if "blur" in steps:
        image = _blur(image, settings.blur_size, settings.blur_sigma)
    image = _shrink(image, settings)
    if "noise" in steps:
        sigma = settings.noise_sigma
        if kind == "noise" and settings.noise_only_sigma is not None:
            sigma = settings.noise_only_sigma
        rng = numpy_generator(settings.seed, kind, key)
        image = _add_noise(image, sigma, settings.noise_rounding, rng)
    if "jpeg" in steps:
        image = _jpeg(image, settings.jpeg_quality)
    return image


def degrade_folder(
    src: Path | str,
    dst: Path | str,
    kind: str,
    settings: BenchmarkSettings,
    names: Iterable[str] | None = None,
) -> list[Path]:
    """Degrade an image or a folder: ``src/NAME.*`` to ``dst/NAME.png``, and ``dst/manifest.csv``.

    Parameters
    ----------
    src : Path or str
        HR image or folder of HR images; each is first cropped at the bottom and right to multiples
        of ``settings.mod``.
    dst : Path or str
        Folder of the LR images, made where it is missing; not ``src``. LR images that it holds
        from an earlier call are replaced or removed.
    kind : one of ``KINDS``
    settings : BenchmarkSettings
    names : iterable of str, optional
        File names without suffix of the images to take; by default all.

    Returns
    -------
    list of Path
        The LR images, sorted by name.

    Raises
    ------
    ReflashError
        Unknown kind or name, or ``dst`` is ``src`` or holds images of another origin; or, after
        all others were done, the images that cannot be read or are smaller than ``mod``.
        The manifest is written last: a folder that is not complete has none.
    """
    src, dst = Path(src), Path(dst)
    if kind not in KINDS and not is_task_kind(kind):
        raise ReflashError(
            f"{kind}: no such degradation; choose one of {', '.join(KINDS)}, or of another task "
            "such as gaussian25, poisson1, jpeg10 or blur2"
        )
    if dst.resolve() == (src.parent if src.is_file() else src).resolve():
        raise ReflashError(f"{dst}: holds the HR images; choose another folder for the LR images")
    failures = Failures()
    paths = [src] if src.is_file() else good_images(src, failures)
    if names is not None:
        wanted = set(names)
        missing = sorted(wanted - {path.stem for path in paths})
        if missing:
            raise ReflashError(f"{src / missing[0]}: no such image; leave it out or add it")
        paths = [path for path in paths if path.stem in wanted]
    total = len(paths) + len(failures.errors)
    with filling(dst) as filler:
        for path in track(paths, f"degrading ({kind})"):
            with failures.caught(path.name):
                hr = mod_crop(read_rgb(path), settings.mod, str(path))
                filler.add(path.stem, degrade(hr, kind, settings, path.stem))
        failures.check(src, total, "degraded")  # then no manifest is written
    return [dst / entry.file for entry in filler.entries]


def _blur(image: Pixels, size: int, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(image, (size, size), sigma), np.uint8)


def _shrink(image: Pixels, settings: BenchmarkSettings) -> Pixels:
    scale = settings.scale
    if settings.bicubic == "matlab":
        return _shrink_as_matlab(image, scale)
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize(
        (width // scale, height // scale), Image.Resampling.BICUBIC
    )
    return np.array(small)


def _shrink_as_matlab(image: Pixels, scale: int) -> Pixels:
    import torch  # slow to import, and only needed here

    from reflash.degradations.bicubic import bicubic_downsample

    height, width = (side - side % scale for side in image.shape[:2])
    pixels = torch.from_numpy(image[:height, :width].astype(np.float64)).permute(2, 0, 1)[None]
    small = bicubic_downsample(pixels, scale) if scale > 1 else pixels
    return np.array(small[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy())


def _add_noise(image: Pixels, sigma: float, rounding: str, rng: np.random.Generator) -> Pixels:
    noisy = (image + sigma * rng.standard_normal(image.shape)).clip(0, 255)
    if rounding == "round":
        noisy = np.rint(noisy)
    return noisy.astype(np.uint8)


def _jpeg(image: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer) as decoded:
        return np.array(decoded.convert("RGB"))
