"""The drawing shows the dropout layers that the network has."""

from __future__ import annotations

import pytest

from reflash.core.errors import ReflashError
from reflash.models.describe import describe, flatten
from reflash.models.settings import RRDBSettings, SRResNetSettings, parse_dropout
from reflash.paper.figures.dropout_placements import draw, gather
from reflash.paper.figures.style import rc
from reflash.study.artefacts import DropoutPlacements, FigureStyle

STYLE = FigureStyle()


def test_frame_is_the_description(make_context):
    settings = DropoutPlacements(placements=("b8", "half"))
    network = SRResNetSettings(blocks=4)
    frame = gather(make_context(), settings, network).frame
    for placement in settings.placements:
        steps = flatten(describe(network, parse_dropout(f"{placement}-channel-p0.5")))
        rows = frame[(frame["placement"] == placement) & (frame["kind"] != "block")]
        assert list(rows["name"]) == [step.name for step in steps]


def test_drop_counts_of_the_sixteen_blocks(make_context):
    frame = gather(make_context(), DropoutPlacements(), SRResNetSettings()).frame
    counts = frame[frame["kind"] == "dropout"].groupby("placement").size()
    assert counts.to_dict() == {
        "b4": 1,
        "b8": 1,
        "b12": 1,
        "b16": 1,
        "last_conv": 1,
        "quarter": 12,
        "half": 24,
        "all": 48,
    }


def drawn_dropouts(figure):
    """Return the x and y centres, in inches, of the dropouts drawn between other layers."""
    found = []
    for patch in figure.axes[0].patches:
        if patch.get_gid() == "dropout":
            box = patch.get_bbox()
            found.append(((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))
    return found


def test_single_dropouts_move_right_from_row_to_row(make_context):
    settings = DropoutPlacements(placements=("b4", "b8", "b12", "b16", "last_conv"))
    drawing = gather(make_context(), settings, SRResNetSettings())
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    places = drawn_dropouts(figure)[1:]  # the first is the key's
    assert len(places) == 5
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)


def test_opened_dropout_block_has_three_dropouts(make_context):
    drawing = gather(make_context(), DropoutPlacements(placements=("half",)), SRResNetSettings())
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    assert len(drawn_dropouts(figure)) == 1 + 3
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("dropout") == 3
    assert "residual block" in texts
    assert "dropout residual block" in texts


def test_rrdb_is_drawn_without_opened_blocks(make_context):
    settings = DropoutPlacements(network="rrdb", placements=("b4", "last_conv"))
    drawing = gather(make_context(), settings, RRDBSettings())
    assert "RRDB with 23 blocks" in drawing.caption
    with rc(STYLE):
        figure = draw(drawing, STYLE)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("23") == 2
    assert len(drawn_dropouts(figure)) == 1 + 2


def test_everything_lies_inside_the_figure(make_context):
    drawing = gather(make_context(), DropoutPlacements(), SRResNetSettings(blocks=32))
    with rc(STYLE):
        figure = draw(drawing, STYLE)
        figure.draw_without_rendering()
    page = figure.bbox
    for artist in (*figure.axes[0].texts, *figure.axes[0].patches):
        box = artist.get_window_extent()
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= page.width + 1
        assert box.y1 <= page.height + 1


def test_caption_and_alt(make_context):
    drawing = gather(
        make_context(), DropoutPlacements(placements=("b8", "half")), SRResNetSettings(blocks=6)
    )
    assert "SRResNet with 6 blocks" in drawing.caption
    assert "Scale demo" in drawing.caption
    assert "b8: 1 layer; last half: three layers in each of 3 blocks" in drawing.alt


def test_placement_the_network_has_not_is_named(make_context):
    settings = DropoutPlacements(network="rrdb", placements=("half",))
    with pytest.raises(ReflashError, match="'half' cannot be drawn in rrdb"):
        gather(make_context(), settings, RRDBSettings())
