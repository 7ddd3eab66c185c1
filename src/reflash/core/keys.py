"""Random numbers keyed by what they are for, not by the order in which they are drawn.

A key is a tuple such as ``(seed, "degradation", iteration, image)``. The same key gives the same
numbers whatever was drawn before, in whichever process, so resuming a run, sharing its work among
workers or leaving out a test image changes nothing for the rest.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

KeyPart = int | str
Key = tuple[KeyPart, ...]

MANY = 100
"""Keys from which computing all random streams at once takes less time than one by one."""


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

    Examples
    --------
    >>> hex(key_seed(0, "degradation", 17))
    '0x265543a4b511ffdc'
    """
    parts = [part if isinstance(part, str) else operator.index(part) for part in key]
    digest = blake2b(json.dumps(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def numpy_generator(*key: KeyPart) -> np.random.Generator:
    """Return a numpy generator whose stream is a function of ``key`` alone.

    >>> numpy_generator(0, "crop").integers(100, size=3)
    array([44, 20, 80])
    """
    return np.random.default_rng(key_seed(*key))


def torch_generator(*key: KeyPart, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator on ``device`` whose stream is a function of ``key`` (and device).

    Torch's CPU generator reads the low 32 bits of a seed and its CUDA generator all of them, so
    on a CPU one pair of keys in 4e9 shares a stream: harmless for noise, no good as an identity.

    >>> import torch
    >>> torch.randint(100, (3,), generator=torch_generator(0, "crop"))
    tensor([30,  6, 79])
    """
    import torch  # slow to import, and modules that only need numpy import this one

    return torch.Generator(device=device).manual_seed(key_seed(*key))


def uniform_rows(keys: Sequence[Key], count: int) -> NDArray[np.float64]:
    """Draw the first ``count`` uniform numbers of many keys together.

    Row i holds what ``torch.rand(count, generator=torch_generator(*keys[i]), dtype=torch.float64)``
    returns. Making a torch generator for every key costs more than all else that is drawn with
    it. For many keys, the Mersenne Twister (Matsumoto and Nishimura 1998) is therefore computed
    here for all of them at once, and only as far as its first numbers need it.

    Parameters
    ----------
    keys : sequence of Key
    count : int
        At most 113, the numbers that one round of the generator's 624 words gives without
        reading a word that the round itself has changed.

    Returns
    -------
    (len(keys), count) float64 in [0, 1), multiples of 2**-53

    Examples
    --------
    >>> uniform_rows([(0, "a"), (0, "b")], 2).round(3)
    array([[0.844, 0.189],
           [0.903, 0.904]])
    """
    size, middle = 624, 397
    words = 2 * count
    if words > size - middle:
        raise ValueError(f"{count} numbers a key: at most {(size - middle) // 2} are possible")
    if len(keys) < MANY:
        import torch

        out = torch.empty(len(keys), count, dtype=torch.float64)
        for key, row in zip(keys, out, strict=True):
            row.uniform_(generator=torch_generator(*key))
        return out.numpy()
    seeds = np.array([key_seed(*key) & 0xFFFFFFFF for key in keys], np.uint32)
    state = np.empty((middle + words, len(seeds)), np.uint32)
    state[0] = seeds
    shift, factor = np.uint32(30), np.uint32(1812433253)
    shifted = np.empty_like(seeds)
    # In place: the loop runs some 460 times, and allocating costs as much as computing.
    for i, (last, word) in enumerate(pairwise(state), start=1):
        np.right_shift(last, shift, out=shifted)
        np.bitwise_xor(last, shifted, out=word)
        np.multiply(word, factor, out=word)
        np.add(word, np.uint32(i), out=word)
    mixed = (state[:words] & np.uint32(0x80000000)) | (state[1 : words + 1] & np.uint32(0x7FFFFFFF))
    tempered = state[middle:] ^ (mixed >> 1) ^ ((mixed & 1) * np.uint32(0x9908B0DF))
    tempered ^= tempered >> 11
    tempered ^= (tempered << 7) & np.uint32(0x9D2C5680)
    tempered ^= (tempered << 15) & np.uint32(0xEFC60000)
    tempered ^= tempered >> 18
    # Two words make one number: its 53 bits are the lowest of both together, the first word above.
    high, low = tempered[0::2].T.astype(np.uint64), tempered[1::2].T
    bits = ((high << 32) | low) & np.uint64((1 << 53) - 1)
    return np.ldexp(bits.astype(np.float64), -53)
