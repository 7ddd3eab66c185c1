"""Sorted channels: saliency and ablation, averaged rank by rank."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reflash.core.errors import ReflashError
from reflash.paper.figures import channel_ablation, saliency_distribution
from reflash.paper.figures.style import rc
from reflash.study.artefacts import ChannelAblation, FigureStyle, SaliencyDistribution

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
STYLE = FigureStyle()
SEEDS = (0, 1)
IMAGES = ("ant", "bee", "cat")
LAYERS = {"b1": 5, "b2": 5, "last": 4}
SALIENCY = {
    (model, seed, image, layer): np.random.default_rng([m, seed, i, n]).exponential(1, channels)
    for m, model in enumerate((PLAIN, DROPPED))
    for seed in SEEDS
    for i, image in enumerate(IMAGES)
    for n, (layer, channels) in enumerate(LAYERS.items())
}


@pytest.fixture
def context(make_context):
    return make_context(seeds=SEEDS, analysis_set="photos")


@pytest.fixture
def saliency(write_rows):
    rows, summary = [], []
    for (model, seed, image, layer), values in SALIENCY.items():
        run = f"{model}/seed{seed}"
        rows += [(run, image, layer, channel, v) for channel, v in enumerate(values)]
        summary.append((run, image, layer, 0.1 * seed + len(image), 0.5 + 0.2 * seed))
    return {
        "saliency": [write_rows("saliency", "run,image,layer,channel,saliency", rows)],
        "concentration": [write_rows("concentration", "run,image,layer,gini,entropy", summary)],
    }


@pytest.fixture
def ablation(write_rows):
    rows = [
        (f"{model}/seed{seed}", image, layer, channel, 25 + seed - value, 25.0 + seed)
        for (model, seed, image, layer), values in SALIENCY.items()
        for channel, value in enumerate(values)
    ]
    return [write_rows("ablation", "run,image,layer,channel,psnr,psnr_full", rows)]


def expected(model, layer, value):
    """Return (mean, std over seeds) by rank, largest first, of ``value`` of the saliencies."""
    per_seed = [
        np.mean([np.sort(value(SALIENCY[model, seed, i, layer]))[::-1] for i in IMAGES], axis=0)
        for seed in SEEDS
    ]
    return np.mean(per_seed, axis=0), np.std(per_seed, axis=0, ddof=1)


@pytest.fixture
def distribution(context, saliency):
    settings = SaliencyDistribution(layers=("b8", "last"))
    return saliency_distribution.gather(context, settings, **saliency)


def rows_of(frame, model, layer):
    return frame[(frame["model"] == model) & (frame["layer"] == layer)]


@pytest.mark.parametrize(("layer", "network_layer"), [("b8", "b1"), ("last", "last")])
def test_shares_are_sorted_within_an_image_and_averaged(distribution, layer, network_layer):
    for model in (PLAIN, DROPPED):
        rows = rows_of(distribution.frame, model, layer)
        mean, std = expected(model, network_layer, lambda v: v / v.sum())
        np.testing.assert_allclose(rows["value"], mean)
        np.testing.assert_allclose(rows["std"], std)
        assert rows["rank"].tolist() == list(range(1, LAYERS[network_layer] + 1))
        assert rows["value"].sum() == pytest.approx(1)
        assert set(rows["network_layer"]) == {network_layer}


def test_concentration_is_averaged_over_images_then_seeds(distribution):
    first = distribution.frame.iloc[0]
    assert first["gini"] == pytest.approx(3.05)
    assert first["gini_std"] == pytest.approx(0.1 / 2**0.5)
    assert first["entropy"] == pytest.approx(0.6)


def lines(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_lines_are_the_frame_in_percent(distribution):
    with rc(STYLE):
        figure = saliency_distribution.draw(distribution, STYLE)
    assert [axes.get_gid() for axes in figure.axes] == ["b8", "last"]
    for axes in figure.axes:
        found = lines(axes)
        assert set(found) == {PLAIN, DROPPED}
        for model, line in found.items():
            rows = rows_of(distribution.frame, model, axes.get_gid())
            np.testing.assert_allclose(line.get_ydata(), 100 * rows["value"])
            assert list(line.get_xdata()) == rows["rank"].tolist()
        notes = [text.get_text() for text in axes.get_legend().get_texts()]
        assert notes == ["Gini 3.05, entropy 0.600"] * 2
        equal = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert set(equal[0].get_ydata()) == {100 / len(rows)}
    assert [axes.get_title() for axes in figure.axes] == ["b8", "last-conv"]
    assert "b8: after 8/16 of the blocks." in distribution.caption


def test_a_dead_layer_has_no_shares(context, saliency):
    table = pd.read_csv(saliency["saliency"][0])
    table["saliency"] = 0.0
    table.to_csv(saliency["saliency"][0], index=False)
    frame = saliency_distribution.gather(context, SaliencyDistribution(), **saliency).frame
    assert set(frame["value"]) == {0.0}


def test_changes_of_psnr_are_sorted_and_averaged(context, ablation):
    frame = channel_ablation.gather(context, ChannelAblation(), ablation).frame
    for model in (PLAIN, DROPPED):
        rows = rows_of(frame, model, "last")
        mean, std = expected(model, "last", lambda v: v)
        np.testing.assert_allclose(rows["value"], -mean)
        np.testing.assert_allclose(rows["std"], std)
        assert rows["psnr_full"].unique() == pytest.approx([25.5])
        assert set(rows["images"]) == {3}


def test_ablation_is_drawn_with_the_psnr_of_all_channels(context, ablation):
    drawing = channel_ablation.gather(context, ChannelAblation(layers=("last", "b2")), ablation)
    with rc(STYLE):
        figure = channel_ablation.draw(drawing, STYLE)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "Channels at last-conv, sorted",
        "Channels at block 2, sorted",
    ]
    for axes in figure.axes:
        for model, line in lines(axes).items():
            rows = rows_of(drawing.frame, model, axes.get_gid())
            np.testing.assert_array_equal(line.get_ydata(), rows["value"])
        notes = [text.get_text() for text in axes.get_legend().get_texts()]
        assert notes == ["all channels: 25.50 dB"] * 2


def test_one_seed_has_no_band(make_context, ablation):
    drawing = channel_ablation.gather(make_context(), ChannelAblation(), ablation)
    with rc(STYLE):
        (axes,) = channel_ablation.draw(drawing, STYLE).axes
    assert not axes.collections


def test_captions(distribution, context, ablation):
    caption = channel_ablation.gather(context, ChannelAblation(), ablation).caption
    for text in (distribution.caption, caption):
        assert "Mean over 3 images of photos (whole)." in text
        assert "Mean over 2 seeds (0, 1); bands are one standard deviation" in text
        assert "no evidence about the paper" in text


def test_layer_that_was_not_ablated_is_named(context, ablation):
    with pytest.raises(ReflashError, match=f"model {PLAIN}: layer 'hr' was not ablated"):
        channel_ablation.gather(context, ChannelAblation(layers=("hr",)), ablation)


def test_missing_run_is_named(make_context, saliency):
    with pytest.raises(ReflashError, match=rf"run {PLAIN}/seed2: not among .* reflash saliency"):
        saliency_distribution.gather(make_context(seeds=(0, 2)), SaliencyDistribution(), **saliency)


def test_names_of_axes_and_notes_of_four_models_lie_inside_the_figure(make_context, write_rows):
    """Four models have their notes below; long tick labels leave room for the name of the axis."""
    models = tuple(f"srresnet/multi/b{n}-channel-p0.2" for n in (4, 8, 12, 16))
    rows = [
        (f"{model}/seed0", "ant", "last", channel, 25.0 - 12.7 * (channel == 0), 25.0)
        for model in models
        for channel in range(16)
    ]
    path = write_rows("ablation", "run,image,layer,channel,psnr,psnr_full", rows)
    context = make_context(models=models)
    drawing = channel_ablation.gather(context, ChannelAblation(), [path])
    with rc(STYLE):
        figure = channel_ablation.draw(drawing, STYLE)
        figure.draw_without_rendering()
        (axes,) = figure.axes
        name = axes.xaxis.label.get_window_extent()
        for artist in (axes.yaxis.label, axes.xaxis.label, axes.get_legend()):
            box = artist.get_window_extent()
            assert min(box.x0, box.y0) >= 0
            assert box.x1 <= figure.bbox.width
        assert axes.get_legend().get_window_extent().y1 <= name.y0 + 1
