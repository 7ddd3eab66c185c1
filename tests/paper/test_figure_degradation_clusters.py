"""Points are those of the first seed, and every panel says its index."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from reflash.core.errors import ReflashError
from reflash.degradations.settings import KINDS as ALL_KINDS
from reflash.paper.figures.degradation_clusters import KIND_COLORS, draw, gather
from reflash.paper.figures.style import rc
from reflash.study.artefacts import DegradationClusters, FigureStyle

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
STYLE = FigureStyle()
KINDS = ("clean", "noise", "jpeg")
POINTS = {
    (model, seed, kind): np.random.default_rng([m, seed, k]).normal(size=(6, 2))
    for m, model in enumerate((PLAIN, DROPPED))
    for seed in (4, 5)
    for k, kind in enumerate(KINDS)
}


@pytest.fixture
def inputs(write_rows):
    points = [
        (f"{model}/seed{seed}", "last", f"i{n}", kind, x, y)
        for (model, seed, kind), of_kind in POINTS.items()
        for n, (x, y) in enumerate(of_kind)
    ]
    chi = [
        (f"{model}/seed{seed}", "last", space, value + seed, 6, 3, components, 1.25)
        for model, offset in ((PLAIN, 10.0), (DROPPED, 0.0))
        for seed in (4, 5)
        for space, value, components in (
            ("tsne", 100 + offset, 2),
            ("pca", 1 + offset, 17),
            ("paired", 2.0 + offset, 17),
        )
    ]
    return {
        "points": [write_rows("points", "run,layer,image,kind,x,y", points)],
        "chi": [write_rows("chi", "run,layer,space,chi,images,kinds,components,chance", chi)],
    }


@pytest.fixture
def drawing(make_context, inputs):
    context = make_context(seeds=(4, 5), representation_set="photos")
    return gather(context, DegradationClusters(), **inputs)


def test_first_seed_is_shown(drawing):
    for (model, kind), rows in drawing.frame.groupby(["model", "kind"]):
        np.testing.assert_allclose(rows[["x", "y"]], POINTS[model, 4, kind])
    first = drawing.frame.drop_duplicates("model").set_index("model")
    assert first["chi_tsne"].to_dict() == {PLAIN: 114.0, DROPPED: 104.0}
    assert first["chi_pca"].to_dict() == {PLAIN: 15.0, DROPPED: 5.0}


def test_scatter_is_the_frame_in_the_colours_of_the_kinds(drawing):
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    assert [axes.get_gid() for axes in figure.axes] == [PLAIN, DROPPED]
    colors = set()
    for axes in figure.axes:
        (cloud,) = axes.collections
        rows = drawing.frame[drawing.frame["model"] == axes.get_gid()]
        np.testing.assert_array_equal(cloud.get_offsets(), rows[["x", "y"]])
        for kind, color in zip(rows["kind"], cloud.get_edgecolors(), strict=True):
            colors.add((kind, to_hex(color)))
        assert len(cloud.get_facecolors()) == 0  # outlines: points below others are seen
    kinds = dict(zip(ALL_KINDS, KIND_COLORS["okabe_ito"], strict=True))
    assert colors == {(kind, kinds[kind].lower()) for kind in KINDS}
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == list(KINDS)


def test_titles_state_the_index(drawing):
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    assert [axes.get_title() for axes in figure.axes] == [
        "SRResNet\nt-SNE: 114.0 (chance 1.25)\nPCA: 15.0 (chance 1.25)\npairs: 16.0 (chance 1.25)",
        "SRResNet + dropout\nt-SNE: 104.0 (chance 1.25)\nPCA: 5.00 (chance 1.25)\n"
        "pairs: 6.00 (chance 1.25)",
    ]


@pytest.mark.parametrize("palette", list(KIND_COLORS))
def test_eight_kinds_have_eight_colours(palette):
    assert len(set(KIND_COLORS[palette])) == 8


def test_caption(drawing):
    for part in (
        "6 images of photos (the largest crop they share) per",
        "17 principal",
        "Seed 4.",
        "Lower: less",
        "no evidence",
    ):
        assert part in drawing.caption


def test_layer_that_was_not_analysed_is_named(make_context, inputs):
    with pytest.raises(ReflashError, match=rf"'hr' of {PLAIN} was not analysed; name it in"):
        gather(make_context(seeds=(4,)), DegradationClusters(layer="hr"), **inputs)


def test_five_models_take_two_rows(make_context, write_rows):
    models = tuple(f"srresnet/multi/b{n}-channel-p0.2" for n in range(1, 6))
    points = [(f"{m}/seed0", "last", "i", k, 0.0, 1.0) for m in models for k in KINDS]
    chi = [(f"{m}/seed0", "last", s, 1.0, 1, 3, 2, 1.0) for m in models for s in ("pca", "tsne")]
    drawing = gather(
        make_context(models=models),
        DegradationClusters(),
        [write_rows("points", "run,layer,image,kind,x,y", points)],
        [write_rows("chi", "run,layer,space,chi,images,kinds,components,chance", chi)],
    )
    with rc(STYLE):
        figure = draw(drawing, STYLE)
        figure.draw_without_rendering()
    tops = {round(axes.get_position().y1, 2) for axes in figure.axes}
    assert (len(figure.axes), len(tops)) == (5, 2)
