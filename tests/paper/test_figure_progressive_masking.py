"""Curves are means over images, draws and seeds, a panel per order."""

from __future__ import annotations

import numpy as np
import pytest

from reflash.core.errors import ReflashError
from reflash.paper.figures.progressive_masking import draw, gather
from reflash.paper.figures.style import rc
from reflash.study.artefacts import FigureStyle, ProgressiveMasking

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
STYLE = FigureStyle()
SEEDS = (0, 1)
DRAWS = {"natural": 1, "saliency": 1, "random": 3}
CURVES = {
    (model, seed, image, order, draw_): np.random.default_rng(
        [m, seed, i, len(order), draw_]
    ).uniform(15, 30, 5)
    for m, model in enumerate((PLAIN, DROPPED))
    for seed in SEEDS
    for i, image in enumerate(("ant", "bee"))
    for order, draws in DRAWS.items()
    for draw_ in range(draws)
}


@pytest.fixture
def inputs(write_rows):
    masking, areas = [], []
    for (model, seed, image, order, number), curve in CURVES.items():
        run = f"{model}/seed{seed}"
        masking += [(run, image, "last", order, number, m, v) for m, v in enumerate(curve)]
        areas.append((run, image, order, number, curve.mean() / 100))
    return {
        "masking": [write_rows("masking", "run,image,layer,order,draw,masked,psnr", masking)],
        "masking_area": [write_rows("masking_area", "run,image,order,draw,area", areas)],
    }


@pytest.fixture
def drawing(make_context, inputs):
    return gather(make_context(seeds=SEEDS), ProgressiveMasking(), **inputs)


def of(model, order):
    """Return the mean curve of each seed."""
    return [
        np.mean([v for k, v in CURVES.items() if (k[0], k[1], k[3]) == (model, seed, order)], 0)
        for seed in SEEDS
    ]


def test_curves_are_averaged(drawing):
    frame = drawing.frame
    assert list(frame["order"].unique()) == ["saliency", "random", "natural"]
    for (order, model), rows in frame.groupby(["order", "model"]):
        np.testing.assert_allclose(rows["value"], np.mean(of(model, order), axis=0))
        np.testing.assert_allclose(rows["std"], np.std(of(model, order), axis=0, ddof=1))
        assert rows["masked"].tolist() == [0, 1, 2, 3, 4]
        assert set(rows["draws"]) == {DRAWS[order]}
        assert rows["area"].iloc[0] == pytest.approx(np.mean(of(model, order)) / 100)


def test_lines_and_areas_are_those_of_the_frame(drawing):
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    assert [axes.get_gid() for axes in figure.axes] == ["saliency", "random", "natural"]
    for axes in figure.axes:
        notes = [text.get_text() for text in axes.get_legend().get_texts()]
        for line, note in zip(axes.lines, notes, strict=True):
            rows = drawing.frame[
                (drawing.frame["order"] == axes.get_gid())
                & (drawing.frame["model"] == line.get_label())
            ]
            np.testing.assert_array_equal(line.get_ydata(), rows["value"])
            assert note == f"area {rows['area'].iloc[0]:.2f}"


def test_caption(drawing):
    for part in ("mean of 3 orders", "2 images", "bands are one", "no evidence about the paper"):
        assert part in drawing.caption
    assert "  " not in drawing.caption


def test_runs_masked_at_different_layers_are_refused(make_context, inputs):
    path = inputs["masking"][0]
    path.write_text(
        path.read_text().replace(f"{DROPPED}/seed1,ant,last", f"{DROPPED}/seed1,ant,hr")
    )
    with pytest.raises(ReflashError, match="masked at last and hr"):
        gather(make_context(seeds=SEEDS), ProgressiveMasking(), **inputs)


def test_missing_areas_are_named(make_context, inputs, write_rows):
    lonely = write_rows(
        "lonely", "run,image,order,draw,area", [(f"{PLAIN}/seed0", "ant", "natural", 0, 0.5)]
    )
    with pytest.raises(ReflashError, match=rf"run {PLAIN}/seed1: not among"):
        gather(
            make_context(seeds=SEEDS),
            ProgressiveMasking(),
            inputs["masking"],
            [lonely],
        )
