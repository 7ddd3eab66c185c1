"""One look per model in every figure, and text that fits."""

from __future__ import annotations

import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb

from reflash.paper.figures.style import (
    _row_major,
    looks,
    one_column,
    rc,
    shade,
    small,
    text_width,
    two_columns,
    wrap,
)
from reflash.study.artefacts import FigureStyle

STYLE = FigureStyle()
MODELS = (
    "bicubic",
    "srresnet/multi/none",
    "srresnet/multi/last_conv-channel-p0.7",
    "srresnet/multi/last_conv-element-p0.7",
    "srresnet/multi/b4-channel-p0.1+last_conv-channel-p0.1",
    "srresnet/multi/b8-channel-p0.1+last_conv-channel-p0.1",
    "srresnet/single/none",
    "rrdb/multi/none",
    "rrdb/multi/last_conv-channel-p0.5",
    "edsr/multi/none",
)


@pytest.mark.parametrize("palette", ["okabe_ito", "tableau_colorblind"])
def test_no_two_models_look_the_same(palette):
    found = looks(MODELS, FigureStyle(palette=palette))
    lines = {(look.color, look.marker, look.line) for look in found.values()}
    bars = {(look.color, look.hatch) for look in found.values()}
    assert len(lines) == len(bars) == len(MODELS)


def test_a_model_looks_the_same_whatever_else_is_shown():
    whole = looks(MODELS, STYLE)
    for model in MODELS:
        if "+" not in model and "edsr" not in model:
            assert looks([model], STYLE)[model] == whole[model]
            assert looks(["rrdb/single/none", model], STYLE)[model] == whole[model]


def test_networks_have_colours_and_dropouts_have_shades_of_them():
    found = looks(MODELS, STYLE)
    blue = to_rgb(found["srresnet/multi/last_conv-channel-p0.7"].color)
    orange = to_rgb(found["rrdb/multi/last_conv-channel-p0.5"].color)
    assert max(blue) == blue[2]
    assert max(orange) == orange[0]
    plain = to_rgb(found["srresnet/multi/none"].color)
    assert sum(plain) > sum(blue)
    assert found["srresnet/multi/none"].hatch == ""
    assert found["srresnet/multi/none"].line == "--"


def test_place_and_dimension_are_told_by_marker_and_line():
    found = looks(
        ["srresnet/multi/last_conv-channel-p0.2", "rrdb/multi/last_conv-element-p0.9"], STYLE
    )
    channel, element = found.values()
    assert channel.marker == element.marker == "o"
    assert (channel.line, element.line) == ("-", "-.")


def test_shade_mixes_with_white_and_black():
    assert shade("#808080", 1.0) == "#ffffff"
    assert shade("#808080", -1.0) == "#000000"
    assert shade("#336699", 0.0) == "#336699"


def test_widths_of_columns():
    assert one_column(STYLE) == 3.35
    assert two_columns(STYLE) == pytest.approx(6.9)


def test_text_is_never_smaller_than_readable():
    assert small(FigureStyle(font_size=5)) == 6.5
    assert small(FigureStyle(font_size=10)) == 9


@pytest.mark.parametrize("width", [0.6, 1.0, 2.0])
def test_wrapped_lines_fit_and_keep_every_word(width):
    text = "SRResNet with dropout (p = 0.7) before the last conv"
    lines = wrap(text, width, 7).split("\n")
    assert " ".join(lines).replace("\u00a0", " ") == text
    assert all(text_width(line, 7) <= width or " " not in line for line in lines)
    assert any("p\u00a0=\u00a00.7" in line for line in lines)


@pytest.mark.parametrize(("count", "columns"), [(5, 3), (6, 3), (7, 3), (4, 4), (3, 1), (10, 4)])
def test_legend_order_reads_row_by_row(count, columns):
    """Matplotlib fills columns, the first ones one entry longer."""
    order = _row_major(count, columns)
    rows = -(-count // columns)
    longer = count - columns * (rows - 1)
    table: dict[tuple[int, int], int] = {}
    entries = iter(order)
    for column in range(columns):
        for row in range(rows if column < longer else rows - 1):
            table[row, column] = next(entries)
    assert [table[key] for key in sorted(table)] == list(range(count))


def test_user_settings_do_not_leak_in_or_out():
    with mpl.rc_context({"axes.spines.top": True, "font.size": 30}):
        with rc(STYLE):
            assert mpl.rcParams["font.size"] == 8
            assert mpl.rcParams["pdf.fonttype"] == 42
        assert mpl.rcParams["font.size"] == 30
