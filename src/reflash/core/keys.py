"""Random numbers keyed by what they are for, not by the order in which they are drawn.

A key is a tuple such as ``(seed, "degradation", iteration, image)``. The same key gives the same
numbers whatever was drawn before, in whichever process, so resuming a run, sharing its work among
workers or leaving out a test image changes nothing for the rest.
"""

from __future__ import annotations

import json
import operator
from hashlib import blake2b

import numpy as np

KeyPart = int | str
Key = tuple[KeyPart, ...]


def key_seed(*key: KeyPart) -> int:
    """Hash a key to a seed in [0, 2**63).

    Parameters
    ----------
    *key : int or str
        The parts of the key; ``1`` and ``"1"`` differ, and so do ``("a", "b")`` and ``("ab",)``.

    Raises
    ------
    TypeError
        A part is neither a string nor an integer (numpy integers count as integers).
    """
    parts = [part if isinstance(part, str) else operator.index(part) for part in key]
    digest = blake2b(json.dumps(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def numpy_generator(*key: KeyPart) -> np.random.Generator:
    """Return a numpy generator whose stream is a function of ``key`` alone."""
    return np.random.default_rng(key_seed(*key))
