"""Keyed randomness: a function of the key and of nothing else."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reflash.core.keys import key_seed, numpy_generator, torch_generator, uniform_rows

parts = st.lists(st.integers() | st.text(), max_size=4).map(tuple)


def test_seeds_never_change_between_versions():
    assert key_seed(0, "degradation", 17) == 0x265543A4B511FFDC
    assert key_seed() == 0x38C2BABB12BA32E3


@given(parts, parts)
def test_different_keys_have_different_seeds_below_2_63(one, other):
    assert 0 <= key_seed(*one) < 2**63
    assert (key_seed(*one) == key_seed(*other)) == (
        [(type(p), p) for p in one] == [(type(p), p) for p in other]
    )


def test_numpy_integers_count_as_integers_and_floats_are_refused():
    assert key_seed(np.int64(3), "a") == key_seed(3, "a")
    with pytest.raises(TypeError):
        key_seed(0.5)


def test_streams_are_functions_of_the_key():
    first = numpy_generator(1, "x").standard_normal(5)
    numpy_generator(2, "x").standard_normal(5)
    np.testing.assert_array_equal(first, numpy_generator(1, "x").standard_normal(5))
    assert not np.array_equal(first, numpy_generator(1, "y").standard_normal(5))

    torch.manual_seed(0)
    a = torch.rand(5, generator=torch_generator(1, "x"))
    torch.rand(100)
    assert torch.equal(a, torch.rand(5, generator=torch_generator(1, "x")))
    assert not torch.equal(a, torch.rand(5, generator=torch_generator(2, "x")))


@pytest.mark.parametrize("count", [1, 33, 113])
def test_uniform_numbers_of_many_keys_are_those_of_torch_s_generator(count):
    keys = [(seed, "image", i) for seed in (0, 1, 2**62) for i in range(50)]
    got = uniform_rows(keys, count)
    assert (got[:20] == uniform_rows(keys[:20], count)).all()  # few are drawn one by one
    for key, row in zip(keys, got, strict=True):
        wanted = torch.rand(count, generator=torch_generator(*key), dtype=torch.float64)
        assert row.tolist() == wanted.tolist()
    with pytest.raises(ValueError, match="at most 113"):
        uniform_rows(keys, 114)


@pytest.mark.parametrize("module", ["core.keys", "degradations.settings", "degradations.benchmark"])
def test_modules_that_need_no_torch_do_not_import_it(module):
    code = f"import sys, reflash.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
