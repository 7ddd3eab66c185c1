"""One look per model in every figure, and text that fits."""

from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.color import rgb2lab

from reflash.core.errors import ReflashError
from reflash.paper.figures.looks import looks
from reflash.paper.figures.style import (
    INK,
    STYLE_FILE,
    _row_major,
    fit_height,
    new_figure,
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


@pytest.mark.parametrize("palette", ["okabe_ito", "tableau_colorblind"])
def test_networks_of_others_have_hues_of_their_own(palette):
    names = [f"external/{name}" for name in ("x4plus", "swinir", "hat")]
    models = ["srresnet/multi/none", "rrdb/multi/none", "mynet/multi/none", *names]
    found = looks(models, FigureStyle(palette=palette))
    hues = {look.stroke for look in found.values()}
    assert len(hues) == len(models)
    strokes = [np.array(to_rgb(look.stroke)) for look in found.values()]
    apart = [np.abs(a - b).max() for i, a in enumerate(strokes) for b in strokes[:i]]
    assert min(apart) > 0.13


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


def test_probabilities_at_one_place_are_told_apart():
    """Not by a shade that eyes cannot tell."""
    models = [f"srresnet/multi/last_conv-channel-p{p}" for p in (0.5, 0.7, 0.9)]
    found = looks(models, STYLE).values()
    assert len({look.marker for look in found}) == len({look.hatch for look in found}) == 3


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
            assert not mpl.rcParams["axes.spines.top"]
        assert mpl.rcParams["font.size"] == 30


def test_the_style_file_is_matplotlibs_and_agrees_with_the_ink():
    params = mpl.rc_params_from_file(STYLE_FILE, fail_on_error=True, use_default_template=False)
    for key in ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"):
        assert to_rgb(params[key]) == to_rgb(INK)


def test_settings_choose_font_and_size():
    with rc(FigureStyle(font_family="DejaVu Serif", font_size=10)):
        assert mpl.rcParams["font.family"][0] == "DejaVu Serif"
        assert mpl.rcParams["xtick.labelsize"] == 9
        serif = text_width("Reflash", 10)
    with rc(STYLE):
        assert text_width("Reflash", 10) != serif


def test_a_font_that_is_not_installed_is_named():
    style = FigureStyle(font_family="No Such Font")
    with (
        pytest.raises(ReflashError, match=r"style\.font_family: 'No Such Font' is not installed"),
        rc(style),
    ):
        pass


def test_height_fits_what_is_drawn():
    with rc(STYLE):
        figure = new_figure(3, 9)
        figure.set_layout_engine("compressed")
        for axes in figure.subplots(1, 2):
            axes.set_box_aspect(0.5)
        fit_height(figure)
        figure.draw_without_rendering()
        drawn = figure.get_tightbbox(bbox_extra_artists=figure.axes)
    assert figure.get_figwidth() == 3
    assert drawn.height <= figure.get_figheight() < drawn.height + 0.15


# Colours as a deuteranope and a protanope see them (Machado et al. 2009, severity 1).
SEEN = {
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
}


@pytest.mark.parametrize("palette", ["okabe_ito", "tableau_colorblind"])
@pytest.mark.parametrize("vision", SEEN)
def test_main_models_are_told_apart_by_colour_blind_readers(palette, vision):
    models = [m for m in MODELS if m.endswith("none") or "channel-p0.7" in m or "p0.5" in m]
    models = [m for m in models if m.split("/")[0] in ("srresnet", "rrdb") and "multi" in m]
    found = looks(models, FigureStyle(palette=palette))
    seen = [np.asarray(SEEN[vision]) @ to_rgb(look.color) for look in found.values()]
    labs = [rgb2lab(np.clip(color, 0, 1)) for color in seen]
    assert min(np.linalg.norm(a - b) for a, b in combinations(labs, 2)) > 15
