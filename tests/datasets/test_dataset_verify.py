"""Verification names every file that is not as it was when it was proven."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np
import pytest
import toy_set
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from reflash.core.errors import ReflashError
from reflash.datasets.fetch import fetch
from reflash.datasets.images import list_images, read_rgb, write_png
from reflash.datasets.verify import SUMS, read_sums, verify


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fetched Toy; ``verify("Toy", toy.parent)`` finds nothing wrong."""
    images = toy_set.make_images(tmp_path / "images")
    manual = {"kind": "manual", "instructions": "ask"}
    toy_set.install(images, [manual], monkeypatch.setattr)
    return fetch("Toy", images, tmp_path / "raw").parent


def test_nothing_is_wrong_at_first(toy: Path) -> None:
    assert verify("Toy", toy.parent) == []


def test_every_kind_of_change_is_one_line_with_the_file(toy: Path) -> None:
    (toy / "im00.png").unlink()
    data = (toy / "im01.png").read_bytes()
    (toy / "im01.png").write_bytes(data[: len(data) // 2])
    write_png(toy / "im02.png", read_rgb(toy / "im02.png")[:30])
    rgb = read_rgb(toy / "im03.png")
    rgb[5, 6, 1] ^= 1
    write_png(toy / "im03.png", rgb)
    Image.open(toy / "im04.png").save(toy / "im04.png", compress_level=1)
    file = io.BytesIO()
    Image.fromarray(read_rgb(toy / "im05.png")).save(file, "jpeg")
    (toy / "im05.png").write_bytes(file.getvalue())
    write_png(toy / "new.png", rgb)
    again = "get this file again"
    assert verify("Toy", toy.parent) == [
        f"{toy}/im00.png: missing; {again}",
        f"{toy}/im01.png: the image is truncated or damaged; copy or download it again",
        f"{toy}/im02.png: is 56x30 pixels, should be 56x40; {again}",
        f"{toy}/im03.png: its pixels differ from the manifest's; {again}",
        f"{toy}/im05.png: its pixels differ from the manifest's (it is a JPG file named .png); "
        f"{again}",
        f"{toy}/new.png: not in the manifest; move it elsewhere",
        f"{toy}/im04.png: its bytes changed, though not its pixels; {again}",
    ]


def test_a_set_without_manifest_is_not_whole(toy: Path) -> None:
    (toy / "manifest.csv").unlink()
    (problem,) = verify("Toy", toy.parent)
    assert problem.endswith("missing, the set is not whole; run: reflash data fetch Toy")
    with pytest.raises(ReflashError, match="run: reflash data fetch Toy"):
        verify("Toy", toy)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_flipped_bit_of_any_file_is_found(toy: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(list_images(toy)))
    good = path.read_bytes()
    changed = bytearray(good)
    changed[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(changed)
    try:
        (problem,) = verify("Toy", toy.parent)
        assert problem.startswith(f"{path}: ")
    finally:
        path.write_bytes(good)


def test_the_sums_are_those_of_sha256sum(toy: Path) -> None:
    assert sorted(read_sums(toy)) == [path.name for path in list_images(toy)]
    subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=toy, check=True)


def test_a_real_set_is_fetched_and_one_changed_byte_is_found(tmp_path: Path, mirror: Path) -> None:
    name = "Set14"
    folder = fetch(name, mirror, tmp_path).parent
    assert verify(name, tmp_path) == []
    path = list_images(folder)[-1]
    good = path.read_bytes()
    for position in (40, len(good) // 2, len(good) - 1):
        changed = bytearray(good)
        changed[position] ^= 1
        path.write_bytes(changed)
        (problem,) = verify(name, tmp_path)
        assert problem.startswith(f"{path}: ")
    rgb = read_rgb(mirror / "test" / name / path.name)
    rgb[0, 0, 0] ^= np.uint8(1)
    write_png(path, rgb)
    assert verify(name, tmp_path) == [
        f"{path}: its pixels differ from the manifest's; get this file again"
    ]
