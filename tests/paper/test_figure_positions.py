"""Points are the means of the models at each position and probability."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from reflash.core.errors import ReflashError
from reflash.degradations.settings import KINDS
from reflash.paper.figures import positions_multi, positions_single, probability
from reflash.paper.figures.lines import PSNR_SPAN
from reflash.paper.figures.style import rc
from reflash.study.artefacts import (
    FigureStyle,
    PositionsMulti,
    PositionsSingle,
    ProbabilityCurves,
)

STYLE = FigureStyle()
SEEDS = (0, 1)
VALUES = {
    "srresnet/multi/none": (24.0, 24.2),
    "srresnet/multi/b8-channel-p0.2": (23.5, 23.9),
    "srresnet/multi/last_conv-channel-p0.2": (24.6, 24.8),
    "srresnet/multi/last_conv-element-p0.2": (24.1, 24.5),
    "srresnet/multi/last_conv-channel-p0.7": (25.0, 25.2),
    "srresnet/multi/b4-channel-p0.2+last_conv-channel-p0.2": (20.0, 20.0),
    "srresnet/single/none": (28.0, 28.2),
    "srresnet/single/b4-element-p0.2": (26.0, 26.4),
    "rrdb/multi/last_conv-channel-p0.2": (29.0, 29.0),
}


@pytest.fixture
def context(make_context):
    return make_context(models=tuple(VALUES), seeds=SEEDS, labels={})


@pytest.fixture
def evaluations(write_evaluation):
    return [
        write_evaluation(f"{model}/seed{seed}", [value - 1, value + 1])
        for model, values in VALUES.items()
        for seed, value in zip(SEEDS, values, strict=True)
    ]


@pytest.fixture
def multi(context, evaluations):
    return positions_multi.gather(context, PositionsMulti(), evaluations)


def test_only_models_with_one_layer_of_the_probability_are_shown(multi):
    assert multi.frame["model"].tolist() == [
        "srresnet/multi/none",
        "srresnet/multi/b8-channel-p0.2",
        "srresnet/multi/last_conv-channel-p0.2",
        "srresnet/multi/last_conv-element-p0.2",
    ]
    assert multi.options == {"places": ["b8", "last_conv"], "p": 0.2}


def test_values_are_means_over_kinds_images_and_seeds(multi):
    step = (len(KINDS) - 1) / 2  # each kind is 1 dB below the one before
    for row in multi.frame.to_dict("records"):
        values = [v - step for v in VALUES[row["model"]]]
        plain = [v - step for v in VALUES["srresnet/multi/none"]]
        gains = [a - b for a, b in zip(values, plain, strict=True)]
        assert row["value"] == pytest.approx(statistics.mean(values))
        assert row["std"] == pytest.approx(statistics.stdev(values))
        assert row["gain"] == pytest.approx(statistics.mean(gains))
        assert row["gain_std"] == pytest.approx(statistics.stdev(gains), abs=1e-9)
        assert (row["kind"], row["images"], row["seeds"]) == ("mean", 2, 2)


def test_single_setting_is_measured_on_clean_images(context, evaluations):
    frame = positions_single.gather(context, PositionsSingle(), evaluations).frame
    assert frame["value"].tolist() == pytest.approx([28.1, 26.2])
    assert set(frame["kind"]) == {"clean"}


def drawn(axes):
    """Return the dimension and points of every line, without the caps of error bars."""
    return [
        (line.get_label(), line.get_xdata(), line.get_ydata(), line.get_markerfacecolor())
        for line in axes.lines
        if line.get_label() in ("channel", "element")
    ]


def test_lines_are_the_frame(multi):
    with rc(STYLE):
        axes = positions_multi.draw(multi, STYLE).axes[0]
    lines = drawn(axes)
    assert [line[0] for line in lines] == ["channel", "element"]
    for dimension, x, y, face in lines:
        rows = multi.frame[multi.frame["dimension"] == dimension]
        assert list(y) == list(rows["value"])
        assert np.abs(x - rows["position"]).max() < 0.1  # beside each other, not on top
        assert (face == "white") == (dimension == "element")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["b8", "last-conv"]
    assert axes.get_xlabel() == "Position of dropout (p = 0.2)"
    assert axes.get_ylabel() == "PSNR (dB), 2 seeds"


def test_dropout_in_blocks_is_a_line_of_its_own(make_context, write_evaluation):
    dropouts = ("none", *(f"{place}-channel-p0.2" for place in ("b4", "last_conv", "half", "all")))
    models = [f"srresnet/multi/{dropout}" for dropout in dropouts]
    paths = [write_evaluation(f"{m}/seed0", [20.0 + n]) for n, m in enumerate(models)]
    places = ("b4", "last_conv", "half", "all")
    context = make_context(models=tuple(models), labels={})
    drawing = positions_multi.gather(context, PositionsMulti(places=places), paths)
    with rc(STYLE):
        axes = positions_multi.draw(drawing, STYLE).axes[0]
    value = drawing.frame.set_index("place")["value"]
    assert [list(line[2]) for line in drawn(axes)] == [
        [value["b4"], value["last_conv"]],
        [value["half"], value["all"]],
    ]
    assert axes.get_ylabel() == "PSNR (dB), one seed"
    assert not axes.collections  # no error bars from one seed
    ticks = [text.get_text().replace("\n", " ") for text in axes.get_xticklabels()]
    assert ticks == ["b4", "last-conv", "last half", "all blocks"]


def test_reference_line_is_no_dropout(multi):
    with rc(STYLE):
        figure = positions_multi.draw(multi, STYLE)
    line = next(x for x in figure.axes[0].lines if x.get_label() == "no dropout")
    assert set(line.get_ydata()) == {multi.frame["value"][0]}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["channel-wise", "element-wise", "no dropout"]


def test_error_bars_are_one_standard_deviation(multi):
    with rc(STYLE):
        axes = positions_multi.draw(multi, STYLE).axes[0]
    ends = [
        tuple(segment[:, 1])
        for container in axes.containers
        for segment in container[2][0].get_segments()
    ]
    rows = multi.frame[multi.frame["place"] != "none"]
    rows = rows.sort_values("dimension", kind="stable")
    assert ends == list(zip(rows["value"] - rows["std"], rows["value"] + rows["std"], strict=True))


@pytest.mark.parametrize(("apart", "span"), [(0.001, PSNR_SPAN), (3.0, None)])
def test_the_axis_does_not_turn_noise_into_a_trend(make_context, write_evaluation, apart, span):
    models = ("srresnet/multi/none", "srresnet/multi/b4-channel-p0.2")
    paths = [write_evaluation(f"{m}/seed0", [20.0 + n * apart]) for n, m in enumerate(models)]
    drawing = positions_multi.gather(make_context(models=models), PositionsMulti(), paths)
    with rc(STYLE):
        (axes,) = positions_multi.draw(drawing, STYLE).axes
    low, high = axes.get_ylim()
    assert low < drawing.frame["value"].min() <= drawing.frame["value"].max() < high
    assert high - low == pytest.approx(span) if span else high - low > apart
    assert "spans at least 0.5 dB" in drawing.caption


def test_caption_says_what_is_inferred(multi):
    for part in (
        "p = 0.2",
        "mean of the 8 degradations",
        "photos (2 images)",
        "Mean over 2 seeds (0, 1); error bars and the band are",
        "inferred",
        "no evidence about the paper",
    ):
        assert part in multi.caption


def test_no_such_model_is_named_with_an_example(context, evaluations):
    with pytest.raises(ReflashError, match=r"p = 0\.9 at one of b4, .*b4-channel-p0\.9"):
        positions_multi.gather(context, PositionsMulti(p=0.9), evaluations)


def test_missing_reference_is_named(make_context, evaluations):
    context = make_context(models=("srresnet/multi/b8-channel-p0.2",), seeds=SEEDS)
    with pytest.raises(ReflashError, match="models: srresnet/multi/none is missing"):
        positions_multi.gather(context, PositionsMulti(), evaluations)


def test_probability_has_a_panel_per_setting_with_models(context, evaluations):
    drawing = probability.gather(context, ProbabilityCurves(), evaluations)
    assert drawing.options == {"settings": ["multi"]}
    assert drawing.frame["p"].fillna(0).tolist() == [0, 0.2, 0.7, 0.2]
    both = probability.gather(context, ProbabilityCurves(place="b4"), [*evaluations])
    assert both.options == {"settings": ["single"]}
    with rc(STYLE):
        (axes,) = probability.draw(drawing, STYLE).axes
    for dimension, x, y, _ in drawn(axes):
        rows = drawing.frame[drawing.frame["dimension"] == dimension]
        assert (list(x), list(y)) == (list(rows["p"]), list(rows["value"]))
    assert [line[0] for line in drawn(axes)] == ["channel", "element"]


def test_two_settings_make_a_wide_figure(make_context, write_evaluation):
    models = [f"srresnet/{s}/{d}" for s in ("single", "multi") for d in ("none", "b4-channel-p0.3")]
    paths = [write_evaluation(f"{model}/seed0", [20.0 + n]) for n, model in enumerate(models)]
    context = make_context(models=tuple(models), labels={})
    drawing = probability.gather(context, ProbabilityCurves(place="b4"), paths)
    with rc(STYLE):
        figure = probability.draw(drawing, STYLE)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["single-degradation setting", "multi-degradation setting"]
    assert figure.get_figwidth() == pytest.approx(6.9)


def test_no_probability_is_named(context, evaluations):
    with pytest.raises(ReflashError, match="one dropout layer at half; add models such as"):
        probability.gather(context, ProbabilityCurves(place="half"), evaluations)
