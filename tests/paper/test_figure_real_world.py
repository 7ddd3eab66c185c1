"""Crops of real photographs are cut at the same place of every result."""

from __future__ import annotations

import numpy as np
import pytest

from reflash.core.errors import ReflashError
from reflash.datasets.images import write_png
from reflash.paper.figures.real_world import draw, gather
from reflash.paper.figures.style import rc
from reflash.study.artefacts import FigureStyle, RealWorld

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
STYLE = FigureStyle()
HEIGHT, WIDTH, SIZE = 30, 22, 32


def picture(seed, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def inputs(tmp_path):
    sr = {}
    for index, image in enumerate(("ant", "bee", "cat")):
        write_png(tmp_path / f"real/{image}.png", picture(index))
        for number, model in enumerate(("bicubic", PLAIN, DROPPED)):
            sr[model] = tmp_path / f"sr{number}"
            large = picture(10 + 10 * number + index, 4 * HEIGHT, 4 * WIDTH)
            write_png(sr[model] / f"{image}.png", large)
    return {"real": tmp_path / "real", "sr": sr}


@pytest.fixture
def drawing(make_context, inputs):
    return gather(make_context(seeds=(4, 5)), RealWorld(examples=2, size=SIZE), **inputs)


def test_every_crop_is_the_same_place_of_its_picture(drawing):
    frame = drawing.frame
    assert frame["image"].unique().tolist() == ["ant", "bee"]
    for index in (0, 1):
        of_row = frame[frame["row"] == index].to_dict("records")
        assert [one["role"] for one in of_row] == ["image", "lr", "sr", "sr", "sr"]
        x, y = of_row[0]["x"], of_row[0]["y"]
        lr = picture(index)[y // 4 : y // 4 + SIZE // 4, x // 4 : x // 4 + SIZE // 4]
        np.testing.assert_array_equal(drawing.images[of_row[1]["file"]], lr)
        for number, one in enumerate(of_row[2:]):
            large = picture(10 + 10 * number + index, 4 * HEIGHT, 4 * WIDTH)
            crop = large[y : y + SIZE, x : x + SIZE]
            np.testing.assert_array_equal(drawing.images[one["file"]], crop)


def test_drawn_pictures_are_those_of_the_csv(drawing):
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    for array, file in zip(shown, drawing.frame["file"], strict=True):
        np.testing.assert_array_equal(array, drawing.images[file])
    assert not any("dB" in axes.get_xlabel() for axes in figure.axes)
    assert [axes.get_title() for axes in figure.axes[:5]] == [
        "LR image",
        "LR",
        "Bicubic",
        "SRResNet",
        "SRResNet + dropout",
    ]


def test_small_pictures_are_shown_whole(make_context, inputs):
    frame = gather(make_context(), RealWorld(size=999), **inputs).frame
    assert set(frame["size"]) == {4 * WIDTH}


def test_caption_says_that_there_is_no_hr(drawing):
    for part in ("2 images", "no HR image", "Seed 4.", "no evidence about the paper"):
        assert part in drawing.caption


def test_missing_picture_is_named(make_context, inputs):
    (inputs["sr"][DROPPED] / "bee.png").unlink()
    with pytest.raises(ReflashError, match=r"sr2/bee\.png: no such image"):
        gather(make_context(), RealWorld(), **inputs)


def test_other_size_is_named(make_context, inputs):
    write_png(inputs["sr"][PLAIN] / "ant.png", picture(0))
    with pytest.raises(
        ReflashError, match=r"sr1/ant\.png: 22x30 pixels, but .*real/ant\.png needs 88x120"
    ):
        gather(make_context(), RealWorld(), **inputs)
