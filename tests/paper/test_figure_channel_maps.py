"""Maps are those of the channels that the frame names, from strong to weak."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reflash.core.errors import ReflashError
from reflash.paper.figures import feature_maps, saliency_maps
from reflash.paper.figures.style import rc
from reflash.study.artefacts import FeatureMaps, FigureStyle, SaliencyMaps

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
STYLE = FigureStyle()
ORDER = [2, 0, 4, 1, 3]
"""Channels of PLAIN from the strongest to the weakest."""


@pytest.fixture
def maps(tmp_path):
    """Five maps of 24 x 32 of different strength in three layers of two models."""
    folders = {}
    for number, model in enumerate((PLAIN, DROPPED)):
        folders[model] = tmp_path / str(number)
        folders[model].mkdir()
        rng = np.random.default_rng(number)
        stored = {}
        for layer in ("b1", "b2", "last"):
            of_layer = rng.uniform(0.4, 1, (5, 24, 32))
            for rank, channel in enumerate(ORDER):
                of_layer[channel] *= (1 - 0.19 * rank) if number == 0 else 1
            stored[layer] = of_layer / of_layer.max()
        np.savez(folders[model] / "ant.npz", **stored)
    return folders


def stored(folders, model, layer="last"):
    with np.load(folders[model] / "ant.npz") as arrays:
        return arrays[layer]


def test_channels_are_evenly_spaced_from_strong_to_weak(make_context, maps):
    frame = saliency_maps.gather(make_context(), SaliencyMaps(channels=3), maps).frame
    own = frame[frame["model"] == PLAIN]
    assert own["channel"].tolist() == [ORDER[0], ORDER[2], ORDER[4]]
    assert own["rank"].tolist() == [1, 3, 5]
    assert set(own["channels"]) == {5}
    totals = stored(maps, PLAIN).sum((1, 2))
    expected = [totals[c] / totals.sum() for c in own["channel"]]
    assert own["share"].tolist() == pytest.approx(expected, rel=1e-5)


def test_saliency_is_shown_by_its_root(make_context, maps):
    drawing = saliency_maps.gather(make_context(), SaliencyMaps(), maps)
    for row in drawing.frame.to_dict("records"):
        of_layer = stored(maps, row["model"])
        expected = np.sqrt(of_layer[row["channel"]] / of_layer.max()) * 255
        image = drawing.images[row["file"]]
        assert image.shape == (24, 32, 3)
        np.testing.assert_allclose(image[:, :, 0], expected, atol=0.51)


def test_every_channel_is_stretched_between_its_own_percentiles(make_context, maps):
    drawing = feature_maps.gather(make_context(), FeatureMaps(), maps)
    for row in drawing.frame.to_dict("records"):
        channel = stored(maps, row["model"]).astype(np.float32)[row["channel"]]
        low, high = np.percentile(channel, (0.5, 99.5))
        levels = ((channel - low) / (high - low)).clip(0, 1) * 255
        np.testing.assert_allclose(drawing.images[row["file"]][:, :, 1], levels, atol=0.51)


def test_a_weak_channel_shows_as_much_as_a_strong_one(make_context, maps):
    ramp = np.linspace(0, 1, 64).reshape(8, 8)
    for folder in maps.values():
        np.savez(folder / "ant.npz", last=np.stack([ramp, 1e-3 * ramp, np.full((8, 8), 0.5)]))
    drawing = feature_maps.gather(make_context(), FeatureMaps(), maps)
    by_channel = {r["channel"]: drawing.images[r["file"]] for r in drawing.frame.to_dict("records")}
    np.testing.assert_array_equal(by_channel[0], by_channel[1])
    assert by_channel[0].min() == 0
    assert by_channel[0].max() == 255
    assert not by_channel[2].any()  # constant
    assert "scaled on its own" in drawing.caption


def test_features_of_both_signs_are_ranked_by_magnitude(make_context, maps):
    arrays = {"last": np.stack([np.full((4, 4), v) for v in (0.1, -3.0, 1.0)])}
    for folder in maps.values():
        np.savez(folder / "ant.npz", **arrays)
    frame = feature_maps.gather(make_context(), FeatureMaps(), maps).frame
    assert frame["channel"].tolist()[:3] == [1, 2, 0]
    assert frame["share"].tolist()[:3] == pytest.approx([3 / 4.1, 1 / 4.1, 0.1 / 4.1], rel=1e-5)


def test_drawn_pictures_are_those_of_the_frame(make_context, maps):
    settings = SaliencyMaps(layers=("last", "b8"), channels=4)
    drawing = saliency_maps.gather(make_context(), settings, maps)
    with rc(STYLE):
        figure = saliency_maps.draw(drawing, STYLE)
    shown = {
        picture.get_gid(): np.asarray(picture.get_array())
        for axes in figure.axes
        for picture in axes.images
        if picture.get_gid()
    }
    assert list(drawing.frame["layer"].unique()) == ["last", "b8"]
    assert set(shown) == set(drawing.frame["file"])
    for file, array in shown.items():
        np.testing.assert_array_equal(array, drawing.images[file][:, :, 0])
    texts = [axes.get_xlabel() for axes in figure.axes[:16]]
    assert texts == [f"{100 * share:.1f} %" for share in drawing.frame["share"]]
    titles = [axes.get_title() for axes in figure.axes]
    heads = [f"rank {rank}" for rank in (1, 2, 4, 5)]
    assert titles == [*heads, *[""] * 4, *heads, *[""] * 4, ""]  # last the scale of colours
    names = [axes.get_ylabel().replace("\n", " ") for axes in figure.axes[:16:4]]
    assert names == [
        "last-conv: SRResNet",
        "last-conv: SRResNet + dropout",
        "b8: SRResNet",
        "b8: SRResNet + dropout",
    ]
    assert "b8: after 8/16 of the blocks." in drawing.caption


def test_ranks_stand_below_maps_where_networks_have_other_numbers_of_channels(make_context, maps):
    drawing = saliency_maps.gather(make_context(), SaliencyMaps(channels=4), maps)
    frame = drawing.frame.copy()
    second = (frame["row"] == 1) & (frame["column"] > 0)
    frame.loc[second, "rank"] *= 13
    with rc(STYLE):
        figure = saliency_maps.draw(replace(drawing, frame=frame), STYLE)
    texts = [axes.get_xlabel() for axes in figure.axes[:8]]
    rows = frame.to_dict("records")
    assert texts == [f"{one['rank']}: {100 * one['share']:.1f} %" for one in rows]
    assert {axes.get_title() for axes in figure.axes} == {""}
    assert any("below each map: rank and share" in text.get_text() for text in figure.texts)


def test_layers_of_another_depth_are_found(make_context, maps):
    """b8 is half-way: b1 of two blocks."""
    drawing = saliency_maps.gather(make_context(), SaliencyMaps(layers=("b8",)), maps)
    first = drawing.frame.iloc[0]
    of_layer = stored(maps, PLAIN, "b1")
    expected = np.sqrt(of_layer[first["channel"]] / of_layer.max()) * 255
    np.testing.assert_allclose(drawing.images[first["file"]][:, :, 0], expected, atol=0.51)


def test_large_maps_are_stored_smaller(make_context, maps):
    for folder in maps.values():
        np.savez(folder / "ant.npz", last=np.random.default_rng(0).uniform(0, 1, (2, 400, 300)))
    drawing = saliency_maps.gather(make_context(), SaliencyMaps(), maps)
    assert {image.shape for image in drawing.images.values()} == {(160, 120, 3)}


def test_real_photos_lie_inside_and_apart(make_context, maps):
    drawing = saliency_maps.gather(make_context(), SaliencyMaps(layers=("last", "b16")), maps)
    with rc(STYLE):
        figure = saliency_maps.draw(drawing, STYLE)
        figure.draw_without_rendering()
    boxes = [axes.get_position() for axes in figure.axes]
    assert all(b.x0 >= 0 and b.x1 <= 1 and b.y0 >= 0 and b.y1 <= 1 for b in boxes)
    for index, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[index + 1 :])


def test_maps_of_zeros_are_black(make_context, maps):
    for folder in maps.values():
        np.savez(folder / "ant.npz", last=np.zeros((3, 8, 8)))
    drawing = saliency_maps.gather(make_context(), SaliencyMaps(), maps)
    assert all(not image.any() for image in drawing.images.values())
    assert set(drawing.frame["share"]) == {0.0}


def test_caption_and_alt(make_context, maps):
    context = make_context(analysis_set="photos", analysis_kind="clean", seeds=(7,))
    drawing = feature_maps.gather(context, FeatureMaps(), maps)
    assert "ant of photos (clean, whole), seed 7." in drawing.caption
    assert "no evidence about the paper" in drawing.caption
    assert "Share of the strongest channel: SRResNet " in drawing.alt


def test_image_that_another_model_lacks_is_named(make_context, maps):
    (maps[DROPPED] / "ant.npz").rename(maps[DROPPED] / "bee.npz")
    with pytest.raises(ReflashError, match=r"1/ant\.npz: no such file"):
        feature_maps.gather(make_context(), FeatureMaps(), maps)


def test_networks_of_fewer_channels_and_layers_have_their_row(make_context, maps):
    few = {"last": stored(maps, DROPPED)[:2]}
    np.savez(maps[DROPPED] / "ant.npz", **few)
    drawing = saliency_maps.gather(make_context(), SaliencyMaps(layers=("b8", "last")), maps)
    rows = drawing.frame.groupby(["layer", "model"], sort=False).size()
    assert rows.to_dict() == {("b8", PLAIN): 5, ("last", PLAIN): 5, ("last", DROPPED): 2}
    with rc(STYLE):
        figure = saliency_maps.draw(drawing, STYLE)
    assert len([axes for axes in figure.axes if axes.images]) == 12
