"""Reflash Dropout in Image Super-Resolution (CVPR 2022) as a reproducible pipeline.

The command line (``reflash --help``) is the door for the workflow. For scripts and notebooks
``degrade``, ``upscale``, ``evaluate``, ``saliency``, ``ablate``, ``represent``, ``load_network``
and ``insert_dropout`` are attributes of this package (`reflash.functions`), and all else is in
the subpackages. Importing this package imports neither torch nor matplotlib.

>>> import numpy as np
>>> import reflash
>>> image = np.full((48, 64, 3), 128, np.uint8)
>>> reflash.degrade(image, "blur_noise_jpeg", seed=0).shape
(12, 15, 3)
>>> {"degrade", "upscale", "saliency", "insert_dropout"} <= set(dir(reflash))
True
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("reflash")
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = "0+unknown"


__all__ = [
    "__version__",
    "ablate",
    "degrade",
    "evaluate",
    "insert_dropout",
    "load_network",
    "represent",
    "saliency",
    "upscale",
]


def __getattr__(name: str) -> object:
    """Load a function of `reflash.functions` when it is asked for: they need torch."""
    if name in __all__:
        return getattr(import_module("reflash.functions"), name)
    raise AttributeError(f"module 'reflash' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
