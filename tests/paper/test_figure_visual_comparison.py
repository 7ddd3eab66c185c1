"""Crops are cut where the CSV says, from the images of every model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reflash.core.errors import ReflashError
from reflash.datasets.images import write_png
from reflash.paper.figures.image_grid import detailed_crop
from reflash.paper.figures.style import rc
from reflash.paper.figures.visual_comparison import draw, gather
from reflash.study.artefacts import FigureStyle, VisualComparison

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
STYLE = FigureStyle()
HEIGHT, WIDTH, SIZE = 96, 128, 32


def picture(seed, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def inputs(tmp_path):
    """Two images in every folder, and evaluations of their PSNR."""
    rows = []
    sr = {}
    for index, image in enumerate(("ant", "bee")):
        write_png(tmp_path / f"hr/{image}.png", picture(index))
        write_png(tmp_path / f"lr/{image}.png", picture(10 + index, HEIGHT // 4, WIDTH // 4))
        for number, model in enumerate(("bicubic", PLAIN, DROPPED)):
            sr[model] = tmp_path / f"sr{number}"
            write_png(sr[model] / f"{image}.png", picture(20 + 2 * number + index))
            run = model if model == "bicubic" else f"{model}/seed4"
            for kind, value in (("noise_jpeg", 20.0), ("clean", 90.0)):
                psnr = value + number - index
                rows.append(("photos", run, kind, image, psnr))
    table = pd.DataFrame(rows, columns=["set", "run", "kind", "image", "psnr"])
    table.to_csv(tmp_path / "evaluation.csv", index=False)
    return {
        "evaluations": [tmp_path / "evaluation.csv"],
        "hr": tmp_path / "hr",
        "lr": tmp_path / "lr",
        "sr": sr,
    }


@pytest.fixture
def drawing(make_context, inputs):
    context = make_context(seeds=(4, 5))
    return gather(context, VisualComparison(size=SIZE), **inputs)


def test_detail_is_found_on_the_grid_of_lr_pixels():
    hr = np.full((64, 80, 3), 128, np.uint8)
    hr[20:36, 44:60] = picture(0, 16, 16)
    assert detailed_crop(hr, 16) == (44, 20)
    assert detailed_crop(hr[:16, :16], 16) == (0, 0)


def test_every_crop_is_the_same_place_of_its_image(drawing):
    frame = drawing.frame
    for row, index in ((0, 0), (1, 1)):
        of_row = frame[frame["row"] == row].to_dict("records")
        assert [one["role"] for one in of_row] == ["image", "hr", "lr", "sr", "sr", "sr"]
        x, y = of_row[0]["x"], of_row[0]["y"]
        assert x % 4 == y % 4 == 0
        sources = [index, 10 + index, 20 + index, 22 + index, 24 + index]
        for one, seed in zip(of_row[1:], sources, strict=True):
            factor = 4 if one["role"] == "lr" else 1
            source = picture(seed, HEIGHT // factor, WIDTH // factor)
            top, left, side = y // factor, x // factor, SIZE // factor
            crop = source[top : top + side, left : left + side]
            np.testing.assert_array_equal(drawing.images[one["file"]], crop)


def test_psnr_is_that_of_the_first_seed_and_the_kind_shown(drawing):
    frame = drawing.frame
    values = frame[frame["role"] == "sr"].set_index(["image", "model"])["psnr"]
    assert values["ant", "bicubic"] == 20.0
    assert values["ant", DROPPED] == 22.0
    assert values["bee", PLAIN] == 20.0
    assert frame.loc[frame["role"] != "sr", "psnr"].isna().all()


def test_drawn_pictures_are_those_of_the_csv(drawing):
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    shown = [axes.images[0].get_array() for axes in figure.axes]
    files = list(drawing.frame["file"])
    heads = [axes.get_title() for axes in figure.axes[:6]]
    assert heads == ["HR image", "HR", "LR", "Bicubic", "SRResNet", "SRResNet + dropout"]
    assert len(shown) == len(files)
    for array, file in zip(shown, files, strict=True):
        np.testing.assert_array_equal(np.asarray(array), drawing.images[file])


def test_best_psnr_of_a_row_is_bold(drawing):
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    found = {
        axes.get_xlabel(): axes.xaxis.label.get_fontweight()
        for axes in figure.axes
        if "dB" in axes.get_xlabel()
    }
    assert found == {
        "20.00 dB": "normal",
        "21.00 dB": "bold",  # the best of the second image
        "22.00 dB": "bold",
        "19.00 dB": "normal",
    }


def test_many_models_take_further_lines(make_context, inputs):
    models = tuple(f"srresnet/multi/b{n}-channel-p0.2" for n in range(1, 8))
    table = pd.DataFrame(
        [
            ("photos", run, "noise_jpeg", image, 20.0)
            for run in ("bicubic", *(f"{model}/seed0" for model in models))
            for image in ("ant", "bee")
        ],
        columns=["set", "run", "kind", "image", "psnr"],
    )
    table.to_csv(inputs["evaluations"][0], index=False)
    sr = dict.fromkeys(("bicubic", *models), inputs["sr"][PLAIN])
    drawing = gather(make_context(models=models), VisualComparison(), **{**inputs, "sr": sr})
    with rc(STYLE):
        figure = draw(drawing, STYLE)
        figure.draw_without_rendering()
    heads = [axes.get_title().replace("\n", " ") for axes in figure.axes]
    first = drawing.frame[drawing.frame["row"] == 0]
    names = ["HR image", *first["label"].iloc[1:]]
    assert heads == [*names, *names]  # every column of every line has its header
    boxes = [axes.get_position() for axes in figure.axes]
    assert len({round(box.y1, 3) for box in boxes}) == 4  # two lines for each of two images
    assert all(box.x0 >= 0 and box.x1 <= 1 and box.y0 >= 0 and box.y1 <= 1 for box in boxes)
    for index, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[index + 1 :])


def test_fewer_examples_and_smaller_crops_can_be_chosen(make_context, inputs):
    settings = VisualComparison(examples=1, size=500)
    drawing = gather(make_context(seeds=(4,)), settings, **inputs)
    assert drawing.frame["image"].unique().tolist() == ["ant"]
    assert set(drawing.frame["size"]) == {96}  # no larger than the image


def test_caption_states_kind_seed_and_scale(drawing):
    assert "2 images of photos, degradation noise+jpeg" in drawing.caption
    assert "Seed 4." in drawing.caption
    assert "no evidence about the paper" in drawing.caption


def test_missing_image_is_named(make_context, inputs):
    (inputs["sr"][DROPPED] / "bee.png").unlink()
    with pytest.raises(ReflashError, match=r"sr2/bee\.png: no such image"):
        gather(make_context(seeds=(4,)), VisualComparison(), **inputs)


def test_image_of_another_size_is_named(make_context, inputs):
    write_png(inputs["sr"][PLAIN] / "ant.png", picture(0, HEIGHT - 4))
    with pytest.raises(
        ReflashError, match=r"sr1/ant\.png: 128x92 pixels, but .*hr/ant\.png needs 128x96"
    ):
        gather(make_context(seeds=(4,)), VisualComparison(), **inputs)


def test_missing_evaluation_is_named(make_context, inputs):
    with pytest.raises(ReflashError, match=rf"ant: no PSNR of {PLAIN} on photos \(noise_jpeg\)"):
        gather(make_context(seeds=(0,)), VisualComparison(), **inputs)
