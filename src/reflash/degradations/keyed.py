"""Torch generators keyed by purpose; see :mod:`reflash.core.keys`."""

from __future__ import annotations

import torch

from reflash.core.keys import KeyPart, key_seed


def generator(*key: KeyPart, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator on ``device`` whose stream is a function of ``key`` (and device type).

    Torch's CPU generator reads the low 32 bits of a seed and its CUDA generator all of them, so
    on a CPU one pair of keys in 4e9 shares a stream: harmless for noise, no good as an identity.
    """
    return torch.Generator(device=device).manual_seed(key_seed(*key))
