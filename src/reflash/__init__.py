"""Reflash Dropout in Image Super-Resolution (CVPR 2022) as a reproducible pipeline.

The command line (``reflash --help``) is the door for the workflow; the same operations are
functions of the subpackages. Importing this package imports neither torch nor matplotlib.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("reflash")
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> object:
    """Load ``insert_dropout`` when it is asked for: it needs torch."""
    if name == "insert_dropout":
        return import_module("reflash.models.dropout").insert_dropout
    raise AttributeError(f"module 'reflash' has no attribute {name!r}")
