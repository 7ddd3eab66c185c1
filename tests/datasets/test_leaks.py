"""Leaks are found through scaling, flips, crops and compression; nothing else is one."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from reflash.cli.app import main
from reflash.core.errors import ReflashError
from reflash.datasets import leaks as leaks_module
from reflash.datasets.dead_leaves import dead_leaves
from reflash.datasets.images import Pixels, list_images, read_rgb, write_png
from reflash.datasets.leaks import FINE, Leak, detail_correlation, find_leaks, sketch, sketches
from reflash.datasets.photos import sample_photos
from reflash.datasets.settings import DeadLeavesSettings


@pytest.fixture(scope="module")
def photos() -> dict[str, Pixels]:
    return {name: read_rgb(path) for name, path in sample_photos().items()}


@pytest.fixture(scope="module")
def test_set(tmp_path_factory: pytest.TempPathFactory, photos: dict[str, Pixels]) -> Path:
    folder = tmp_path_factory.mktemp("test")
    for name, rgb in photos.items():
        write_png(folder / f"{name}.png", rgb)
    return folder


@pytest.fixture(scope="module")
def leaves() -> list[Pixels]:
    return [dead_leaves(160, 200, DeadLeavesSettings(), 0, i) for i in range(8)]


@pytest.fixture
def train(tmp_path: Path, leaves: list[Pixels]) -> Path:
    """A training folder of dead leaves, which hold no photograph."""
    for i, image in enumerate(leaves):
        write_png(tmp_path / "train" / f"leaves{i:02d}.png", image)
    return tmp_path / "train"


def crop(rgb: Pixels, share: float, y: float, x: float) -> Pixels:
    height, width = (round(side * share) for side in rgb.shape[:2])
    top, left = round(y * (rgb.shape[0] - height)), round(x * (rgb.shape[1] - width))
    return np.ascontiguousarray(rgb[top : top + height, left : left + width])


def noisy(rgb: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 30, rgb.shape)
    return (rgb + noise).clip(0, 255).astype(np.uint8)


def jpeg(rgb: Pixels) -> Pixels:
    _, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 15])
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "smaller": lambda rgb: cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "larger": lambda rgb: cv2.resize(rgb, None, fx=1.4, fy=1.4, interpolation=cv2.INTER_CUBIC),
    "mirrored": lambda rgb: np.ascontiguousarray(rgb[:, ::-1]),
    "upside down": lambda rgb: np.ascontiguousarray(rgb[::-1]),
    "turned": lambda rgb: np.ascontiguousarray(np.rot90(rgb)),
    "mod-cropped": lambda rgb: np.ascontiguousarray(rgb[:-11, :-11]),
    "cropped at the corner": lambda rgb: crop(rgb, 0.9, 1.0, 0.0),
    "cropped anywhere": lambda rgb: crop(rgb, 0.87, 0.3, 0.8),
    "brighter": lambda rgb: (255 * (rgb / 255) ** 0.7).astype(np.uint8),
    "compressed": jpeg,
    "noisy": noisy,
    "mirrored, cropped and scaled": lambda rgb: cv2.resize(
        crop(rgb, 0.9, 0.5, 0.5)[:, ::-1], None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA
    ),
}


def test_the_same_pixels_in_another_file_are_a_leak(
    train: Path, test_set: Path, photos: dict[str, Pixels]
) -> None:
    cv2.imwrite(str(train / "x.bmp"), cv2.cvtColor(photos["coffee"], cv2.COLOR_RGB2BGR))
    assert find_leaks([train], [test_set]) == [
        Leak(train / "x.bmp", test_set / "coffee.png", "pixels", 1.0)
    ]


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_changed_copies_are_leaks_and_nothing_else_is(
    train: Path, test_set: Path, photos: dict[str, Pixels], name: str
) -> None:
    for change, function in CHANGES.items():
        write_png(train / f"planted {change}.png", function(photos[name]))
    leaks = find_leaks([train], [test_set])
    expected = sorted(train / f"planted {change}.png" for change in CHANGES)
    assert [leak.train for leak in leaks] == expected
    assert {(leak.test, leak.kind) for leak in leaks} == {(test_set / f"{name}.png", "photograph")}
    assert all(FINE < leak.correlation <= 1 for leak in leaks)


def test_a_test_image_that_is_a_crop_of_a_training_image_is_a_leak(
    tmp_path: Path, train: Path, photos: dict[str, Pixels]
) -> None:
    """As BSDS500's 302003 is the photograph that Set5's woman was cropped and scaled from."""
    write_png(train / "302003.png", photos["astronaut"])
    woman = CHANGES["smaller"](crop(photos["astronaut"], 0.9, 0.2, 0.7))
    write_png(tmp_path / "test" / "woman.png", woman)
    (leak,) = find_leaks([train], [tmp_path / "test"])
    assert leak.train.name == "302003.png"


def test_dead_leaves_and_flat_images_are_no_photographs(train: Path, test_set: Path) -> None:
    for i, value in enumerate((0, 7, 255)):
        write_png(train / f"flat{i}.png", np.full((50, 60, 3), value, np.uint8))
    write_png(train / "tiny.png", np.zeros((1, 1, 3), np.uint8))
    assert find_leaks([train], [test_set]) == []


def test_photographs_of_one_composition_are_told_apart() -> None:
    """Two skies above two meadows: thumbnails correlate, details do not."""
    rng = np.random.default_rng(2)
    pair = []
    for _ in range(2):
        image = np.where(np.arange(200)[:, None, None] < 90, 200, 60) + np.zeros((200, 300, 3))
        image += cv2.GaussianBlur(rng.normal(0, 60, image.shape), (0, 0), 3)
        pair.append(sketch(Path("x"), image.clip(0, 255).astype(np.uint8)))
    views = [leaks_module._views(item.grey)[0] for item in pair]
    assert views[0] @ views[1] > leaks_module.COARSE
    assert detail_correlation(pair[0].grey, pair[1].grey) < FINE


def test_the_first_step_is_a_correlation_of_thumbnails(photos: dict[str, Pixels]) -> None:
    a, b = (sketch(Path("x"), photos[name]).grey for name in ("coffee", "rocket"))
    thumbs = [cv2.resize(g, (16, 16), interpolation=cv2.INTER_AREA).ravel() for g in (a, b)]
    expected = np.corrcoef(*thumbs)[0, 1]
    assert leaks_module._views(a)[0] @ leaks_module._views(b)[0] == pytest.approx(
        expected, abs=1e-5
    )


def test_the_command_names_both_files_and_fails(
    train: Path,
    test_set: Path,
    photos: dict[str, Pixels],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "leaks.csv"
    arguments = ["data", "leaks", "--train", str(train), "--test", str(test_set), "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert out.read_text() == "train,test,kind,correlation\n"
    write_png(train / "planted.png", CHANGES["mirrored"](photos["rocket"]))
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        f"error: {train}/planted.png: is the test image {test_set}/rocket.png (1 leak); "
        "remove it from the training images"
    )
    assert not out.exists()  # a start after this one must not take it for done
    (row,) = csv.DictReader((tmp_path / "leaks.found.csv").open())
    assert row["train"] == f"{train}/planted.png"
    assert row["test"] == f"{test_set}/rocket.png"


def test_an_unreadable_image_is_named(train: Path, test_set: Path) -> None:
    (train / "bad.png").write_bytes(b"no image")
    with pytest.raises(ReflashError, match=r"bad\.png: not an image"):
        find_leaks([train], [test_set])


@pytest.mark.slow
def test_the_public_sets(mirror: Path) -> None:
    """None but the known one: Set5's head and Set14's face are the same photograph."""
    test = [mirror / "test" / name for name in ("Set5", "Set14", "BSD100", "Kodak24")]
    parts = ("BSDS500_train", "BSDS500_test", "T91", "Photos2K")
    assert find_leaks([mirror / "train" / name for name in parts], test) == []
    (leak,) = find_leaks(test[:1], test[1:2])
    assert (leak.train.name, leak.test.name) == ("head.png", "face.png")


@pytest.mark.slow
def test_copies_of_the_public_sets_are_found(mirror: Path, tmp_path: Path) -> None:
    """At least 98 of 100 images that were mirrored, cropped to 0.9 and scaled by 0.6."""
    rng = np.random.default_rng(1)
    for path in list_images(mirror / "test" / "BSD100"):
        rgb = crop(read_rgb(path)[:, ::-1], 0.9, *rng.random(2))
        small = cv2.resize(rgb, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        write_png(tmp_path / f"copy{path.stem}.png", small)
    found = find_leaks([tmp_path], [mirror / "test" / "BSD100"])
    pairs = [(leak.train.stem.removeprefix("copy"), leak.test.stem) for leak in found]
    assert all(train == test for train, test in pairs)
    assert len(pairs) >= 98


@pytest.mark.slow
def test_800_training_images_against_1000_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million pairs or so; unrelated photographs are imitated by noise of a 1/f spectrum."""
    rng = np.random.default_rng(4)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.rfftfreq(64), indexing="ij"))

    def grey() -> np.ndarray:
        spectrum = np.fft.rfft2(rng.normal(size=(64, 64))) / np.maximum(radius, 1 / 64)
        image = np.fft.irfft2(spectrum, s=(64, 64))
        return (128 + 40 * image / image.std()).clip(0, 255).astype(np.float32)

    made = [leaks_module.Sketch(Path(f"{i:04d}"), f"{i}", grey()) for i in range(1800)]
    made[1234] = made[1234]._replace(grey=np.ascontiguousarray(made[77].grey[:, ::-1]))
    parts = {"train": made[:800], "test": made[800:]}
    monkeypatch.setattr(leaks_module, "sketches", lambda folders: parts[str(folders[0])])
    began = time.perf_counter()
    leaks = find_leaks(["train"], ["test"])
    seconds = time.perf_counter() - began
    assert [(leak.train.name, leak.test.name) for leak in leaks] == [("0077", "1234")]
    assert seconds < 120


def test_sketches_do_not_keep_the_images(test_set: Path) -> None:
    kept = sketches([test_set])
    assert len(kept) == 8
    assert all(item.grey.base is None and item.grey.nbytes == 4 * 64 * 64 for item in kept)
