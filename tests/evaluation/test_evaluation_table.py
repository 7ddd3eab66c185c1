"""The per-image table: its values, its order, and what it refuses."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from skimage.metrics import structural_similarity

from reflash.core.errors import ReflashError
from reflash.degradations.sharpen import usm_sharpen
from reflash.evaluation.evaluate import evaluate, evaluate_to_csv
from reflash.evaluation.inference import NetworkUpscaler
from reflash.evaluation.metrics import PERFECT_PSNR
from reflash.evaluation.settings import EvaluationSettings
from reflash.evaluation.summary import mean_table
from reflash.evaluation.upscalers import open_upscaler
from reflash.models.weights import load_network

SIZES = {"owl": (48, 64), "ant": (64, 48), "cat": (48, 64)}


def shrunk(hr: np.ndarray) -> np.ndarray:
    size = (hr.shape[1] // 4, hr.shape[0] // 4)
    return np.array(Image.fromarray(hr).resize(size, Image.Resampling.BICUBIC))


def direct_rgb(sr: np.ndarray, hr: np.ndarray) -> tuple[float, float]:
    """PSNR and SSIM inside a border of 4, by the formula and by scikit-image."""
    sr, hr = sr[4:-4, 4:-4], hr[4:-4, 4:-4]
    psnr = 20 * math.log10(255 / math.sqrt(np.mean((sr.astype(float) - hr) ** 2)))
    full = structural_similarity(
        sr,
        hr,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )[1]
    return psnr, float(full[5:-5, 5:-5].mean())


@pytest.fixture
def sets(tmp_path: Path, photo) -> Path:
    """HR images and two kinds of LR images."""
    for kind in ("hr", "clean", "dark"):
        (tmp_path / kind).mkdir()
    for seed, (name, size) in enumerate(SIZES.items()):
        hr = photo(*size, seed)
        Image.fromarray(hr).save(tmp_path / "hr" / f"{name}.png")
        Image.fromarray(shrunk(hr)).save(tmp_path / "clean" / f"{name}.png")
        Image.fromarray(shrunk(hr) // 2).save(tmp_path / "dark" / f"{name}x4.png")
    return tmp_path


def folders(sets: Path, *kinds: str) -> dict[str, Path]:
    return {kind: sets / kind for kind in kinds or ("clean", "dark")}


def pixels(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def test_rows_of_the_bicubic_baseline(sets):
    table = evaluate(open_upscaler("bicubic"), sets / "hr", folders(sets), "bicubic", "Animals")
    assert list(table.columns) == [
        *("run", "set", "kind", "image"),
        *("psnr", "ssim", "psnr_y", "ssim_y"),
        *("psnr_low", "psnr_middle", "psnr_high", "psnr_usm"),
    ]
    assert set(table["run"]) == {"bicubic"}
    assert set(table["set"]) == {"Animals"}
    assert list(zip(table["kind"], table["image"], strict=True)) == [
        (kind, name) for kind in ("clean", "dark") for name in ("ant", "cat", "owl")
    ]
    for row in table.itertuples():
        hr = pixels(sets / "hr" / f"{row.image}.png")
        lr = shrunk(hr) if row.kind == "clean" else shrunk(hr) // 2
        size = (hr.shape[1], hr.shape[0])
        sr = np.array(Image.fromarray(lr).resize(size, Image.Resampling.BICUBIC))
        psnr, ssim = direct_rgb(sr, hr)
        assert row.psnr == pytest.approx(psnr, abs=1e-9)
        assert row.ssim == pytest.approx(ssim, abs=1e-9)
        weights = np.array([65.481, 128.553, 24.966]) / 255
        error = ((sr.astype(float) - hr)[4:-4, 4:-4] @ weights) ** 2
        assert row.psnr_y == pytest.approx(20 * math.log10(255 / math.sqrt(error.mean())), abs=1e-9)
        bands = (row.psnr_low, row.psnr_middle, row.psnr_high)
        whole = sum(10 ** (-band / 10) for band in bands)
        assert -10 * math.log10(whole) == pytest.approx(psnr, abs=1e-9)
        target = usm_sharpen(torch.from_numpy(hr / np.float32(255)).permute(2, 0, 1)[None])
        target = np.rint(target[0].permute(1, 2, 0).numpy() * 255)
        assert row.psnr_usm == pytest.approx(direct_rgb(sr, target)[0], abs=1e-9)


def test_the_bicubic_baseline_on_set5(mirror, tmp_path):
    """A known score of the test protocol: kind clean, HR cropped to multiples of 12."""
    (tmp_path / "hr").mkdir()
    (tmp_path / "clean").mkdir()
    for path in (mirror / "test" / "Set5").rglob("*.png"):
        hr = pixels(path)[..., :3]
        hr = hr[: hr.shape[0] // 12 * 12, : hr.shape[1] // 12 * 12]
        Image.fromarray(hr).save(tmp_path / "hr" / path.name)
        Image.fromarray(shrunk(hr)).save(tmp_path / "clean" / path.name)
    table = evaluate(
        open_upscaler("bicubic"), tmp_path / "hr", folders(tmp_path, "clean"), "bicubic", "Set5"
    )
    assert len(table) == 5
    assert mean_table(table)["psnr"].item() == pytest.approx(26.66, abs=0.005)


def test_rows_of_a_network(sets, weights):
    table = evaluate(open_upscaler(weights), sets / "hr", folders(sets), "tiny", "Animals")
    network = load_network(weights)
    for row in table.itertuples():
        hr = pixels(sets / "hr" / f"{row.image}.png")
        lr = shrunk(hr) if row.kind == "clean" else shrunk(hr) // 2
        with torch.no_grad():
            sr = network(torch.from_numpy(lr.astype(np.float32) / 255).permute(2, 0, 1)[None])
        levels = np.rint(np.clip(sr[0].permute(1, 2, 0).numpy() * 255, 0, 255)).astype(np.uint8)
        psnr, ssim = direct_rgb(levels, hr)
        assert row.psnr == pytest.approx(psnr, abs=1e-3)  # a value beside a half may round apart
        assert row.ssim == pytest.approx(ssim, abs=1e-4)
    # The network is not the bilinear or bicubic interpolation it contains.
    bicubic = evaluate(open_upscaler("bicubic"), sets / "hr", folders(sets), "tiny", "Animals")
    assert (table["psnr"] - bicubic["psnr"]).abs().min() > 0.01


def test_a_perfect_upscaler_scores_100_db(sets, tmp_path):
    originals = {shrunk(image).tobytes(): image for image in map(pixels, (sets / "hr").iterdir())}
    table = evaluate(
        lambda lr: originals[lr.tobytes()], sets / "hr", folders(sets, "clean"), "oracle", "Animals"
    )
    assert (table[["psnr", "psnr_y"]] == PERFECT_PSNR).all(axis=None)
    assert (table[["ssim", "ssim_y"]] == 1).all(axis=None)


def test_a_row_depends_on_its_own_image_only(sets, weights):
    upscaler = open_upscaler(weights)
    whole = evaluate(upscaler, sets / "hr", folders(sets), "r", "s", threads=3)
    again = evaluate(upscaler, sets / "hr", folders(sets, "dark", "clean"), "r", "s")
    assert list(again["kind"].unique()) == ["dark", "clean"]
    pd.testing.assert_frame_equal(
        whole, again.sort_values(["kind", "image"]).reset_index(drop=True), check_exact=True
    )
    for name in ("ant", "owl"):
        (sets / "hr" / f"{name}.png").unlink()
    alone = evaluate(upscaler, sets / "hr", folders(sets, "dark"), "r", "s")
    expected = whole[(whole["kind"] == "dark") & (whole["image"] == "cat")].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, expected, check_exact=True)


def test_chosen_metrics_and_border(sets):
    settings = EvaluationSettings(metrics=("ssim", "psnr"), crop=0)
    bicubic = open_upscaler("bicubic")
    table = evaluate(bicubic, sets / "hr", folders(sets, "clean"), "r", "s", settings)
    assert list(table.columns) == ["run", "set", "kind", "image", "ssim", "psnr"]
    hr = pixels(sets / "hr" / "ant.png")
    error = np.mean((bicubic(shrunk(hr)).astype(float) - hr) ** 2)
    assert table["psnr"][0] == pytest.approx(20 * math.log10(255 / math.sqrt(error)), abs=1e-9)


def test_settings_are_checked():
    assert EvaluationSettings() == EvaluationSettings(weights="params", crop=4, tile=None)
    for wrong in (
        {"crop": -1},
        {"metrics": ()},
        {"metrics": ("psnr", "psnr")},
        {"metrics": ("lpips",)},
        {"weights": "ema"},
        {"tile": -1},
    ):
        with pytest.raises(ValidationError):
            EvaluationSettings(**wrong)


def test_csv_is_written_whole_or_not_at_all(sets):
    out = sets / "tables" / "bicubic.csv"
    bicubic = open_upscaler("bicubic")
    arguments = (bicubic, sets / "hr", folders(sets), "bicubic", "Animals")
    evaluate_to_csv(out, *arguments)
    table = evaluate(*arguments)
    expected = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    assert out.read_text() == expected
    pd.testing.assert_frame_equal(pd.read_csv(out), table, atol=5e-7, rtol=0)
    assert list(out.parent.iterdir()) == [out]


def test_the_good_images_are_evaluated_and_the_bad_ones_named(sets, capsys):
    out, bicubic = sets / "table.csv", open_upscaler("bicubic")
    arguments = (bicubic, sets / "hr", folders(sets), "bicubic", "Animals")
    (sets / "clean" / "owl.png").write_bytes(b"nothing")
    with pytest.raises(
        ReflashError, match=r"clean/owl\.png: not an image.*\(2 of 3 images evaluated\)"
    ):
        evaluate_to_csv(out, *arguments)
    assert list(pd.read_csv(out)["image"]) == ["ant", "cat"] * 2
    (sets / "dark" / "antx4.png").unlink()
    with pytest.raises(ReflashError, match=r"hr: 2 of 3 .* evaluated \(ant\.png, owl\.png\)"):
        evaluate_to_csv(out, *arguments)
    assert list(pd.read_csv(out)["image"]) == ["cat"] * 2
    assert [line.split(": ")[1][:11] for line in capsys.readouterr().err.splitlines()] == [
        "no LR image",
        "not an imag",
    ]
    before = out.read_bytes()
    (sets / "hr" / "cat.png").write_bytes(b"nothing")
    with pytest.raises(ReflashError, match="3 of 3 images could not be evaluated"):
        evaluate_to_csv(out, *arguments)
    assert out.read_bytes() == before


def test_names_match_composed_and_decomposed(sets):
    composed, decomposed = "m\u00fcnchen", "mu\u0308nchen"
    (sets / "hr" / "owl.png").rename(sets / "hr" / f"{decomposed}.png")
    (sets / "clean" / "owl.png").rename(sets / "clean" / f"{composed}.png")
    table = evaluate(
        open_upscaler("bicubic"), sets / "hr", folders(sets, "clean"), "bicubic", "Animals"
    )
    assert list(table["image"]) == ["ant", "cat", composed]


def test_a_name_that_is_not_utf_8_is_told_and_the_others_are_done(sets):
    for kind in ("hr", "clean"):
        (sets / kind / "owl.png").rename(sets / kind / os.fsdecode(b"caf\xe9.png"))
    out = sets / "table.csv"
    with pytest.raises(
        ReflashError, match=r"caf\\xe9\.png: its name is not UTF-8.*\(2 of 3 images"
    ):
        evaluate_to_csv(
            out, open_upscaler("bicubic"), sets / "hr", folders(sets, "clean"), "bicubic", "s"
        )
    assert list(pd.read_csv(out)["image"]) == ["ant", "cat"]


def test_an_output_that_is_not_finite_ends_the_run(sets, weights):
    network = load_network(weights)
    for layer in (network.conv_hr, network.conv_last):
        layer.weight.data *= 1e30  # finite, but not their product
    upscaler = NetworkUpscaler(network, name="huge.pth")
    out = sets / "table.csv"
    with pytest.raises(
        ReflashError, match=r"huge\.pth: the output is not finite.*image .*clean/ant\.png\)"
    ):
        evaluate_to_csv(out, upscaler, sets / "hr", folders(sets, "clean"), "huge", "s")
    assert not out.exists()


def test_a_missing_lr_image_is_named(sets):
    (sets / "dark" / "catx4.png").unlink()
    with pytest.raises(
        ReflashError, match=r"dark/cat\.png: no LR image for .*hr/cat\.png; make it"
    ):
        evaluate(open_upscaler("bicubic"), sets / "hr", folders(sets), "r", "s")


def test_lr_images_without_an_hr_image_are_left_alone(sets):
    (sets / "hr" / "owl.png").unlink()
    table = evaluate(open_upscaler("bicubic"), sets / "hr", folders(sets), "r", "s")
    assert sorted(table["image"].unique()) == ["ant", "cat"]


def test_a_wrong_lr_size_names_both_files(sets, photo):
    Image.fromarray(photo(13, 16)).save(sets / "clean" / "cat.png")
    with pytest.raises(
        ReflashError,
        match=r"hr/cat\.png: 64x48 pixels are not 4 times .*clean/cat\.png \(16x13\); crop HR",
    ):
        evaluate(open_upscaler("bicubic"), sets / "hr", folders(sets), "r", "s")


def test_an_image_too_small_for_the_metrics_is_named(sets, photo):
    Image.fromarray(photo(16, 40)).save(sets / "hr" / "cat.png")
    Image.fromarray(photo(4, 10)).save(sets / "clean" / "cat.png")
    bicubic, lr = open_upscaler("bicubic"), folders(sets, "clean")
    with pytest.raises(ReflashError, match=r"cat\.png: 40x16 .* side below 19"):
        evaluate(bicubic, sets / "hr", lr, "r", "s")
    only_psnr = EvaluationSettings(metrics=("psnr",))
    assert len(evaluate(bicubic, sets / "hr", lr, "r", "s", only_psnr)) == 3


def test_an_upscaler_of_another_factor_is_refused(sets):
    with pytest.raises(
        ReflashError, match=r"half: makes 24x32 of 12x16 pixels; use a network for x4"
    ):
        evaluate(
            lambda lr: lr.repeat(2, 0).repeat(2, 1), sets / "hr", folders(sets), "half", "Animals"
        )


def test_folders_must_exist_and_hold_images(sets):
    bicubic = open_upscaler("bicubic")
    (sets / "empty").mkdir()
    for hr, lr, message in (
        ("nowhere", {"clean": sets / "clean"}, "nowhere: no such folder"),
        ("hr", {"clean": sets / "nowhere"}, "nowhere: no such folder"),
        ("hr", {"clean": sets / "empty"}, "empty: holds no image"),
        ("hr", {}, "no LR folder"),
    ):
        with pytest.raises(ReflashError, match=message):
            evaluate(bicubic, sets / hr, lr, "r", "s")


def test_the_bicubic_baseline_imports_torch_for_the_sharpened_target_only(sets):
    code = (
        "import sys\n"
        "from reflash.evaluation.evaluate import evaluate\n"
        "from reflash.evaluation.upscale import upscale_path\n"
        "from reflash.evaluation.upscalers import open_upscaler\n"
        "from reflash.evaluation.settings import EvaluationSettings\n"
        "chosen = EvaluationSettings(metrics=('psnr', 'ssim', 'psnr_y', 'psnr_low'))\n"
        "evaluate(open_upscaler('bicubic'), 'hr', {'clean': 'clean'}, 'bicubic', 's', chosen)\n"
        "upscale_path('clean', 'out', 'bicubic')\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=sets, check=False).returncode == 0
    assert len(list((sets / "out").iterdir())) == 3


def test_mean_table():
    rows = [
        ("b", "Set5", "noise", "x", 20.0, 0.5),
        ("b", "Set5", "noise", "y", 22.0, 0.7),
        ("b", "Set5", "clean", "x", 30.0, 0.9),
        ("a", "Set5", "noise", "x", PERFECT_PSNR, 1.0),
    ]
    table = pd.DataFrame(rows, columns=["run", "set", "kind", "image", "psnr", "ssim_y"])
    expected = pd.DataFrame(
        [
            ("b", "Set5", "noise", 21.0, 0.6, 2),
            ("b", "Set5", "clean", 30.0, 0.9, 1),
            ("a", "Set5", "noise", PERFECT_PSNR, 1.0, 1),
        ],
        columns=["run", "set", "kind", "psnr", "ssim_y", "images"],
    )
    pd.testing.assert_frame_equal(mean_table(table), expected)
