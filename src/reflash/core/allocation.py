"""Keeping freed memory for the next operation instead of giving it back to the system."""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # numbers of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let this process reuse freed memory of any size; return whether that could be arranged.

    A network on a CPU allocates and frees tensors of many megabytes in every operation. By default
    glibc maps each of them anew, and the system fills it with zeros page by page: a tenth of the
    time of enlarging an image. Elsewhere than on Linux with glibc nothing changes, nor where the
    user has chosen an allocator or its settings by LD_PRELOAD or MALLOC_….
    """
    chosen = any(name == "LD_PRELOAD" or name.startswith("MALLOC_") for name in os.environ)
    if not sys.platform.startswith("linux") or chosen:
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
