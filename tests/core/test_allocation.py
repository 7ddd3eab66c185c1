"""Freed memory is used again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reflash.core.allocation import keep_freed_memory

CODE = """
import resource, sys
import numpy as np
from reflash.core.allocation import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(3):
    np.ones(6_000_000)  # 48 MB, freed at once
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(6_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    command = [sys.executable, "-c", CODE, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an option of glibc")
def test_large_arrays_cost_no_new_pages() -> None:
    assert page_faults("keep") < page_faults("return") / 10


@pytest.mark.parametrize("name", ["LD_PRELOAD", "MALLOC_ARENA_MAX"])
def test_a_chosen_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert keep_freed_memory() is False


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
