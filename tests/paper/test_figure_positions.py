"""Points are the means of the models at each position and probability."""

from __future__ import annotations

import statistics

import pytest

from reflash.core.errors import ReflashError
from reflash.degradations.settings import KINDS
from reflash.paper.figures import positions_multi, positions_single, probability
from reflash.paper.figures.style import looks, rc
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
    """Return {model: (x, y, colour of the marker)} of the markers."""
    found = {}
    for container in axes.containers:
        line = container[0]
        (x,), (y,) = line.get_xdata(), line.get_ydata()
        found[container.get_label()] = (float(x), float(y), line.get_markerfacecolor())
    return found


def test_markers_are_the_frame_and_look_like_their_models(multi):
    with rc(STYLE):
        axes = positions_multi.draw(multi, STYLE).axes[0]
    found = drawn(axes)
    rows = multi.frame.set_index("model")
    assert set(found) == set(rows.index[1:])
    for model, (x, y, colour) in found.items():
        assert y == rows.loc[model, "value"]
        assert abs(x - rows.loc[model, "position"]) < 0.1
        element = rows.loc[model, "dimension"] == "element"
        assert colour == ("white" if element else looks(list(rows.index), STYLE)[model].color)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["B8", "last-conv"]
    assert "p = 0.2" in axes.get_xlabel()


def test_reference_line_is_no_dropout(multi):
    with rc(STYLE):
        figure = positions_multi.draw(multi, STYLE)
    line = next(x for x in figure.axes[0].lines if x.get_label() == "srresnet/multi/none")
    assert set(line.get_ydata()) == {multi.frame["value"][0]}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["channel-wise", "element-wise", "no dropout"]


def test_error_bars_are_one_standard_deviation(multi):
    with rc(STYLE):
        axes = positions_multi.draw(multi, STYLE).axes[0]
    rows = multi.frame.set_index("model")
    for container in axes.containers:
        row = rows.loc[container.get_label()]
        ((low, high),) = [segment[:, 1] for segment in container[2][0].get_segments()]
        assert (low, high) == pytest.approx((row["value"] - row["std"], row["value"] + row["std"]))


def test_caption_says_what_is_inferred(multi):
    for part in (
        "p = 0.2",
        "mean of the 8 degradations",
        "photos (2 images)",
        "Mean over 2 seeds (0, 1); error bars are",
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


def test_unknown_set_is_named(context, evaluations):
    with pytest.raises(ReflashError, match="'Set6' is not a test set of scale demo"):
        positions_multi.gather(context, PositionsMulti(set="Set6"), evaluations)


def test_probability_has_a_panel_per_setting_with_models(context, evaluations):
    drawing = probability.gather(context, ProbabilityCurves(), evaluations)
    assert drawing.options == {"settings": ["multi"]}
    assert drawing.frame["p"].fillna(0).tolist() == [0, 0.2, 0.7, 0.2]
    both = probability.gather(context, ProbabilityCurves(place="b4"), [*evaluations])
    assert both.options == {"settings": ["single"]}
    with rc(STYLE):
        (axes,) = probability.draw(drawing, STYLE).axes
    found = drawn(axes)
    rows = drawing.frame.set_index("model")
    for model, (x, y, _) in found.items():
        assert (x, y) == (rows.loc[model, "p"], rows.loc[model, "value"])
    curve = next(line for line in axes.lines if line.get_label() == "channel")
    assert list(curve.get_xdata()) == [0.2, 0.7]


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
