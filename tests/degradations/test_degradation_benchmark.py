"""The eight test kinds, computed again with the same libraries, and the authors' protocol."""

import io
import os
from pathlib import Path

import cv2
import degradation_reference as reference
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from reflash.core.errors import ReflashError
from reflash.datasets.images import read_rgb, write_png
from reflash.datasets.manifest import check_folder
from reflash.degradations.benchmark import KINDS, degrade, degrade_folder, degrade_image
from reflash.degradations.settings import BenchmarkSettings

SETTINGS = BenchmarkSettings()
MIRROR = Path(
    os.environ.get("REFLASH_MIRROR", Path(__file__).parents[2].parent / "shared" / "data")
)


def blurred(image):
    return cv2.GaussianBlur(image, (21, 21), 2)


def shrunk(image):
    size = (image.shape[1] // 4, image.shape[0] // 4)
    return np.asarray(Image.fromarray(image).resize(size, Image.BICUBIC))


def compressed(image, quality=50):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


EXACT = {
    "clean": shrunk,
    "blur": lambda hr: shrunk(blurred(hr)),
    "jpeg": lambda hr: compressed(shrunk(hr)),
    "blur_jpeg": lambda hr: compressed(shrunk(blurred(hr))),
}


def test_the_kinds_and_their_order():
    assert KINDS == (
        "clean",
        "blur",
        "noise",
        "jpeg",
        "blur_noise",
        "blur_jpeg",
        "noise_jpeg",
        "blur_noise_jpeg",
    )


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("size", [(96, 120), (47, 90)])
def test_kinds_without_noise_are_exact(kind, size):
    hr = reference.photo(*size)
    np.testing.assert_array_equal(degrade(hr, kind, SETTINGS, "a"), EXACT[kind](hr))


def test_the_blur_is_a_gaussian_of_sigma_2():
    hr = np.zeros((120, 120, 3), np.uint8)
    hr[:, 60:] = 255
    row = blurred(hr)[60, :, 0].astype(float)
    expected = 255 * stats.norm.cdf((np.arange(120) - 59.5) / 2)
    np.testing.assert_allclose(row, expected, atol=1.5)
    np.testing.assert_array_equal(degrade(hr, "blur", SETTINGS, "a"), shrunk(blurred(hr)))


def test_noise_is_gaussian_per_pixel_and_channel_and_truncated():
    hr = np.full((1200, 1200, 3), 128, np.uint8)
    lr = degrade(hr, "noise", SETTINGS, "flat").astype(float)
    noise = lr - 128
    np.testing.assert_allclose(noise.std(), 20, rtol=0.01)
    np.testing.assert_allclose(noise.mean(), -0.5, atol=4 * 20 / np.sqrt(noise.size))
    np.testing.assert_allclose(np.corrcoef(noise.reshape(-1, 3).T), np.eye(3), atol=0.02)
    neighbours = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())
    assert abs(neighbours[0, 1]) < 0.02


def test_rounding_instead_of_truncation_shifts_no_mean_and_each_value_by_at_most_one():
    hr = np.full((1200, 1200, 3), 128, np.uint8)
    truncated = degrade(hr, "noise", SETTINGS, "flat").astype(float)
    rounded = degrade(hr, "noise", BenchmarkSettings(noise_rounding="round"), "flat").astype(float)
    np.testing.assert_allclose(rounded.mean() - 128, 0, atol=4 * 20 / np.sqrt(rounded.size))
    assert set(np.unique(rounded - truncated)) == {0.0, 1.0}
    np.testing.assert_allclose((rounded - truncated).mean(), 0.5, atol=0.01)


def test_noise_is_clipped_before_it_becomes_8_bit():
    for level in (0, 255):
        lr = degrade(np.full((400, 400, 3), level, np.uint8), "noise", SETTINGS, "flat")
        assert np.abs(lr.astype(int) - level).max() < 120
        np.testing.assert_allclose((lr == level).mean(), 0.5, atol=0.05)


def test_noise_depends_on_seed_kind_and_name_alone():
    hr = reference.photo(96, 96)
    lr = degrade(hr, "noise", SETTINGS, "a")
    degrade(hr, "noise", SETTINGS, "b")
    np.testing.assert_array_equal(degrade(hr, "noise", SETTINGS, "a"), lr)
    noise = lr.astype(float) - shrunk(hr)
    for settings, kind, name in (
        (SETTINGS, "noise", "b"),
        (BenchmarkSettings(seed=1), "noise", "a"),
        (SETTINGS, "blur_noise", "a"),
    ):
        clean = EXACT["blur" if kind == "blur_noise" else "clean"](hr).astype(float)
        other = degrade(hr, kind, settings, name) - clean
        assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(("kind", "before"), [("noise", "clean"), ("blur_noise", "blur")])
def test_noise_follows_blur_and_shrinking_and_jpeg_follows_noise(kind, before):
    hr = reference.photo(240, 240)
    off = BenchmarkSettings(noise_sigma=0)
    np.testing.assert_array_equal(degrade(hr, kind, off, "a"), EXACT[before](hr))
    np.testing.assert_array_equal(
        degrade(hr, f"{kind}_jpeg", off, "a"), compressed(EXACT[before](hr))
    )
    loud = degrade(hr, f"{kind}_jpeg", SETTINGS, "a")
    again = compressed(loud)
    # Coding what is already coded changes little: JPEG came last.
    assert (
        np.abs(again.astype(int) - loud).mean()
        < 0.5
        * np.abs(
            compressed(degrade(hr, kind, SETTINGS, "a")).astype(int)
            - degrade(hr, kind, SETTINGS, "a")
        ).mean()
    )


def test_settings_are_used():
    hr = reference.photo(96, 96)
    settings = BenchmarkSettings(scale=2, mod=4, blur_size=7, blur_sigma=1.0, jpeg_quality=90)
    small = Image.fromarray(cv2.GaussianBlur(hr, (7, 7), 1.0)).resize((48, 48), Image.BICUBIC)
    np.testing.assert_array_equal(
        degrade(hr, "blur_jpeg", settings, "a"), compressed(np.asarray(small), 90)
    )
    forty = degrade(hr, "noise", BenchmarkSettings(noise_sigma=40), "a") - shrunk(hr).astype(float)
    assert (
        forty.std() > 1.5 * (degrade(hr, "noise", SETTINGS, "a") - shrunk(hr).astype(float)).std()
    )


@pytest.fixture
def folder(tmp_path):
    src = tmp_path / "hr"
    for name, size in (("one", (100, 90)), ("two", (60, 61)), ("three", (48, 48))):
        write_png(src / f"{name}.png", reference.photo(*size, seed=len(name)))
    return src


def test_a_folder_is_cropped_degraded_and_listed(folder, tmp_path):
    dst = tmp_path / "lr"
    written = degrade_folder(folder, dst, "blur_jpeg", SETTINGS)
    assert [path.name for path in written] == ["one.png", "three.png", "two.png"]
    for name, (height, width) in {"one": (96, 84), "two": (60, 60), "three": (48, 48)}.items():
        hr = read_rgb(folder / f"{name}.png")[:height, :width]
        expected = EXACT["blur_jpeg"](np.ascontiguousarray(hr))
        np.testing.assert_array_equal(read_rgb(dst / f"{name}.png"), expected)
    assert check_folder(dst) == []
    assert sorted(path.name for path in dst.iterdir()) == [
        ".written-by-reflash",
        "manifest.csv",
        "one.png",
        "three.png",
        "two.png",
    ]


def test_a_selection_of_a_folder_is_degraded_like_the_whole(folder, tmp_path):
    degrade_folder(folder, tmp_path / "all", "noise_jpeg", SETTINGS)
    (path,) = degrade_folder(folder, tmp_path / "some", "noise_jpeg", SETTINGS, names=["two"])
    assert path.read_bytes() == (tmp_path / "all" / "two.png").read_bytes()
    assert check_folder(tmp_path / "some") == []


def test_what_cannot_be_degraded_is_named(folder, tmp_path):
    dst = tmp_path / "lr"
    with pytest.raises(ReflashError, match=r"^fog: no such degradation; choose one of clean, blur"):
        degrade_folder(folder, dst, "fog", SETTINGS)
    with pytest.raises(ReflashError, match=r"^fog: no such degradation"):
        degrade(reference.photo(48, 48), "fog", SETTINGS, "a")
    with pytest.raises(ReflashError, match=r"four: no such image"):
        degrade_folder(folder, dst, "clean", SETTINGS, names=["one", "four"])
    with pytest.raises(ReflashError, match="choose another folder"):
        degrade_folder(folder, folder, "clean", SETTINGS)
    assert not dst.exists()
    with pytest.raises(ReflashError, match=r"^small: 3x20 pixels are too few"):
        degrade(reference.photo(20, 3), "clean", SETTINGS, "small")
    write_png(folder / "tiny.png", reference.photo(11, 40))
    with pytest.raises(ReflashError, match=r"tiny\.png: 40x11 pixels are too few"):
        degrade_folder(folder, dst, "clean", SETTINGS, names=["tiny"])
    (folder / "bad.png").write_bytes((folder / "one.png").read_bytes()[:500])
    with pytest.raises(ReflashError, match=r"bad\.png"):
        degrade_folder(folder, dst, "clean", SETTINGS, names=["bad"])


def psnr(one, other):
    difference = one[4:-4, 4:-4].astype(float) - other[4:-4, 4:-4].astype(float)
    return 10 * np.log10(255**2 / np.mean(difference**2))


@pytest.mark.parametrize(
    ("kind", "expected"), [("clean", 26.66), ("blur", 24.86), ("jpeg", 23.73), ("blur_jpeg", 22.94)]
)
def test_plain_bicubic_on_set5_scores_what_the_protocol_gives(kind, expected, tmp_path):
    src = MIRROR / "test" / "Set5"
    if not src.is_dir():
        pytest.skip(f"{src} is absent; set REFLASH_MIRROR to a folder with test/Set5")
    scores = []
    for path in degrade_folder(src, tmp_path, kind, SETTINGS):
        lr, hr = read_rgb(path), read_rgb(src / path.name)
        assert hr.shape == (lr.shape[0] * 4, lr.shape[1] * 4, 3)
        sr = Image.fromarray(lr).resize(hr.shape[1::-1], Image.BICUBIC)
        scores.append(psnr(np.asarray(sr), hr))
    assert len(scores) == 5
    np.testing.assert_allclose(np.mean(scores), expected, atol=0.01)


def test_a_set_that_shrank_keeps_no_image_of_before(folder, tmp_path):
    dst = tmp_path / "lr"
    degrade_folder(folder, dst, "clean", SETTINGS)
    (folder / "one.png").unlink()
    degrade_folder(folder, dst, "clean", SETTINGS)
    assert sorted(path.name for path in dst.glob("*.png")) == ["three.png", "two.png"]


def test_one_image(folder, tmp_path):
    (made,) = degrade_folder(folder / "one.png", tmp_path / "lr", "clean", SETTINGS)
    assert made == tmp_path / "lr" / "one.png"
    with pytest.raises(ReflashError, match="holds the HR images"):
        degrade_folder(folder / "one.png", folder, "clean", SETTINGS)


def test_images_of_the_user_are_not_touched(folder, tmp_path):
    dst = tmp_path / "mine"
    dst.mkdir()
    (dst / "wedding.png").write_bytes(b"dear")
    with pytest.raises(ReflashError, match="holds images of another origin"):
        degrade_folder(folder, dst, "clean", SETTINGS)
    (dst / "manifest.csv").write_text("id,file\n")
    with pytest.raises(ReflashError, match="holds images of another origin"):
        degrade_folder(folder, dst, "clean", SETTINGS)
    assert (dst / "wedding.png").read_bytes() == b"dear"


def test_a_bad_image_leaves_no_manifest(folder, tmp_path):
    dst = tmp_path / "lr"
    degrade_folder(folder, dst, "clean", SETTINGS)
    (folder / "two.png").write_bytes(b"no image")
    with pytest.raises(ReflashError, match=r"two\.png"):
        degrade_folder(folder, dst, "clean", SETTINGS)
    assert not (dst / "manifest.csv").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_is_degraded_like_its_file(kind, tmp_path):
    hr = reference.photo(50, 63)
    (tmp_path / "hr").mkdir()
    write_png(tmp_path / "hr" / "0001.png", hr)
    (path,) = degrade_folder(tmp_path / "hr", tmp_path / "lr", kind, BenchmarkSettings(seed=3))
    got = degrade_image(hr, kind, 3, name="0001")
    assert got.shape == (12, 15, 3)
    np.testing.assert_array_equal(got, read_rgb(path))


def test_an_array_s_noise_depends_on_seed_and_name_and_settings_may_be_given():
    hr = np.full((96, 96, 3), 128, np.uint8)
    noise = degrade_image(hr, "noise")
    assert not np.array_equal(noise, degrade_image(hr, "noise", seed=1))
    assert not np.array_equal(noise, degrade_image(hr, "noise", name="other"))
    assert degrade_image(hr, "noise", noise_sigma=40).std() == pytest.approx(40, rel=0.1)
    assert degrade_image(hr[:50, :63], "clean", mod=4).shape == (12, 15, 3)


@pytest.mark.parametrize(
    ("hr", "kind", "settings", "message"),
    [
        (np.zeros((48, 48), np.uint8), "clean", {}, r"uint8, not uint8 of \(48, 48\)"),
        (np.zeros((48, 48, 3)), "clean", {}, "uint8, not float64 of"),
        ([[0]], "clean", {}, "uint8, not list"),
        (np.zeros((48, 48, 3), np.uint8), "fog", {}, "fog: no such degradation"),
        (np.zeros((8, 48, 3), np.uint8), "clean", {}, "image: "),
        (np.zeros((48, 48, 3), np.uint8), "noise", {"noise_sigma": np.nan}, "finite number"),
        (np.zeros((48, 48, 3), np.uint8), "noise", {"sigma": 3}, "sigma: .*settings are scale"),
    ],
)
def test_arrays_and_settings_that_are_refused(hr, kind, settings, message):
    with pytest.raises(ReflashError, match=message) as error:
        degrade_image(hr, kind, **settings)
    assert "\n" not in str(error.value)
