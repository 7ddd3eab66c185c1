"""What the bars show is what the CSV says."""

from __future__ import annotations

import dataclasses
import re
import statistics
from itertools import combinations, pairwise

import matplotlib.colors
import numpy as np
import pytest

from reflash.paper.figures.looks import looks
from reflash.paper.figures.style import rc
from reflash.paper.figures.teaser_bars import _caption, draw, gather
from reflash.study.artefacts import FigureStyle, TeaserBars

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
STYLE = FigureStyle()
SEEDS = (0, 1)
VALUES = {PLAIN: (25.0, 25.2), DROPPED: (25.7, 26.1)}


@pytest.fixture
def evaluations(write_evaluation):
    paths = [write_evaluation("bicubic", [25.5], name) for name in ("photos", "Set5")]
    for model, values in VALUES.items():
        for seed, value in zip(SEEDS, values, strict=True):
            for name in ("photos", "Set5"):
                paths.append(write_evaluation(f"{model}/seed{seed}", [value], name))
    return paths


def drawn_bars(figure):
    """Return (model, height) of every bar, panel by panel from left to right."""
    bars = []
    for axes in figure.axes:
        of_axes = [
            (bar.get_x(), container.get_label(), bar.get_height())
            for container in axes.containers
            if container.get_label() and not container.get_label().startswith("_")
            for bar in container.patches
        ]
        bars += [(label, height) for _, label, height in sorted(of_axes)]
    return bars


def test_heights_are_the_means_of_the_csv(make_context, evaluations):
    drawing = gather(make_context(seeds=SEEDS), TeaserBars(), evaluations)
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    frame = drawing.frame
    assert list(frame["kind"].unique()) == ["clean", "blur", "noise", "jpeg"]
    expected = list(zip(frame["model"], frame["value"], strict=True))
    assert drawn_bars(figure) == expected
    assert dict(expected[:3]) == pytest.approx(
        {"bicubic": 25.5, PLAIN: statistics.mean(VALUES[PLAIN]), DROPPED: 25.9}
    )


def test_values_are_printed_above_the_bars(make_context, evaluations):
    drawing = gather(make_context(seeds=SEEDS), TeaserBars(kinds=("jpeg",)), evaluations)
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["22.50", "22.10", "22.90"]


def test_error_bars_are_one_standard_deviation(make_context, evaluations):
    drawing = gather(make_context(seeds=SEEDS), TeaserBars(kinds=("clean",)), evaluations)
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    ends = [
        (min(line.get_ydata()), max(line.get_ydata()))
        for line in figure.axes[0].lines
        if line.get_gid() is None and np.isfinite(line.get_ydata()).any()
    ]
    expected = [
        (statistics.mean(v) - statistics.stdev(v), statistics.mean(v) + statistics.stdev(v))
        for v in VALUES.values()
    ]
    assert ends == [pytest.approx(pair) for pair in expected]


def test_one_seed_has_no_error_bars(make_context, evaluations):
    drawing = gather(make_context(), TeaserBars(), evaluations)
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    assert {line.get_gid() for line in figure.axes[0].lines} == {"cut"}


def test_axis_is_marked_as_cut(make_context, evaluations):
    drawing = gather(make_context(seeds=SEEDS), TeaserBars(), evaluations)
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    axes = figure.axes[0]
    assert 0 < axes.get_ylim()[0] < drawing.frame["value"].min()
    assert sum(line.get_gid() == "cut" for line in axes.lines) == 2
    assert axes.get_ylabel() == "PSNR (dB)"
    assert "The axis does not start at 0." in drawing.caption


def test_axis_starts_at_0_where_a_network_is_far_behind(make_context, evaluations):
    drawing = gather(make_context(seeds=SEEDS), TeaserBars(), evaluations)
    frame = drawing.frame.copy()
    frame.loc[frame["model"] == PLAIN, "value"] = 8.2
    with rc(STYLE):
        figure = draw(dataclasses.replace(drawing, frame=frame), STYLE)
    axes = figure.axes[0]
    assert axes.get_ylim()[0] == 0
    assert not [line for line in axes.lines if line.get_gid() == "cut"]
    assert "axis" not in _caption(make_context(), "psnr", {"Set5": 5}, frame, False)


def paper_lines(figure):
    return [
        line.get_ydata()[0]
        for axes in figure.axes
        for line in axes.lines
        if line.get_gid() == "paper"
    ]


def test_paper_is_shown_on_its_test_set_at_a_scale_with_evidence(make_context, evaluations):
    context = make_context(seeds=SEEDS, evidence="paper", scale="paper", test_sets=("Set5",))
    drawing = gather(context, TeaserBars(), evaluations)
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    assert paper_lines(figure) == [24.89, 24.76, 23.75, 23.70, 25.67, 25.34, 24.14, 24.06]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "the paper (digitised)" in labels
    assert "digitised from the authors' bar chart" in drawing.caption


def test_printed_values_touch_nothing(make_context, write_evaluation):
    """Neither the paper's marks nor each other, also where a network is far behind."""
    context = make_context(evidence="paper", scale="paper", test_sets=("Set5",))
    for low in (23.5, 6.0):
        values = {"bicubic": 26.7, f"{PLAIN}/seed0": low, f"{DROPPED}/seed0": 24.9}
        paths = [write_evaluation(run, [value], "Set5") for run, value in values.items()]
        with rc(STYLE):
            figure = draw(gather(context, TeaserBars(), paths), STYLE)
            figure.canvas.draw()
        (axes,) = figure.axes
        texts = [text.get_window_extent() for text in axes.texts]
        assert len(texts) == 12
        assert not any(a.overlaps(b) for a, b in combinations(texts, 2))
        marks = [x.get_window_extent() for x in axes.lines if x.get_gid() == "paper"]
        assert len(marks) == 8
        assert not any(text.overlaps(mark) for text in texts for mark in marks)
        box = axes.get_window_extent()
        assert all(box.y0 <= text.y0 and text.y1 <= box.y1 for text in texts)


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({"evidence": "none", "test_sets": ("Set5",)}, TeaserBars()),
        ({"evidence": "paper", "test_sets": ("photos",)}, TeaserBars()),
        ({"evidence": "paper", "test_sets": ("Set5",)}, TeaserBars(metric="ssim")),
    ],
)
def test_paper_is_not_shown_otherwise(make_context, evaluations, changes, settings):
    drawing = gather(make_context(seeds=SEEDS, **changes), settings, evaluations)
    assert drawing.frame["paper"].isna().all()
    assert "not comparable" in drawing.caption
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    assert paper_lines(figure) == []


def test_caption_says_what_is_shown(make_context, evaluations):
    caption = gather(make_context(seeds=SEEDS), TeaserBars(), evaluations).caption
    for part in (
        "Test set photos (1 image).",
        "PSNR in dB on 8-bit RGB, border of 4 pixels left out",
        "Mean over 2 seeds (0, 1); error bars are one standard deviation",
        "Scale demo: tiny networks.",
        "Demo scale: no evidence about the paper.",
    ):
        assert part in caption


def test_chosen_set_metric_and_mean(make_context, evaluations):
    context = make_context(seeds=SEEDS, test_sets=("photos", "Set5"))
    drawing = gather(context, TeaserBars(set="Set5", metric="psnr_y", kinds=("mean",)), evaluations)
    values = drawing.frame.set_index("model")["value"]
    assert values[PLAIN] == pytest.approx(25.1 - 3.5 + 1)
    assert drawing.options == {"metric": "psnr_y", "set": "Set5"}


def test_many_models_wrap_to_rows_that_stay_readable(make_context, write_evaluation):
    models = (PLAIN, *(f"srresnet/multi/b{n}-channel-p0.2" for n in range(1, 10)))
    context = make_context(models=models, labels={})
    paths = [write_evaluation(f"{m}/seed0", [25 + i / 10]) for i, m in enumerate(models)]
    kinds = ("clean", "blur", "noise", "jpeg", "blur_noise", "blur_jpeg")
    drawing = gather(context, TeaserBars(kinds=kinds), paths)
    with rc(STYLE):
        figure = draw(drawing, STYLE)
        figure.draw_without_rendering()
    assert len(figure.axes) == 2
    expected = list(zip(drawing.frame["model"], drawing.frame["value"], strict=True))
    assert drawn_bars(figure) == expected
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        boxes.sort(key=lambda box: box.x0)
        assert all(a.x1 <= b.x0 + 1 for a, b in pairwise(boxes))
        assert all(box.y1 <= axes.get_window_extent().y1 for box in boxes)
        assert min(text.get_fontsize() for text in axes.texts) >= 6.5
    legend = figure.legends[0].get_window_extent()
    assert legend.y0 >= figure.axes[0].get_window_extent().y1
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.width


def test_bars_have_the_look_of_their_model(make_context, evaluations):
    drawing = gather(make_context(seeds=SEEDS), TeaserBars(), evaluations)
    look = looks(["bicubic", PLAIN, DROPPED], STYLE)
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    for container in figure.axes[0].containers:
        if container.get_label() in look:
            for bar in container.patches:
                colour = matplotlib.colors.to_hex(bar.get_facecolor())
                assert colour == look[container.get_label()].color


def test_alt_text_names_the_highest_bars(make_context, evaluations):
    alt = gather(make_context(seeds=SEEDS), TeaserBars(), evaluations).alt
    assert re.search(r"clean: SRResNet \+ dropout; blur: SRResNet \+ dropout", alt)
