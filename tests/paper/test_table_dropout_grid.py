"""Every placement against the same network without dropout."""

from __future__ import annotations

import math

import pytest

from reflash.degradations.settings import KINDS
from reflash.paper.tables.dropout_grid import arrange, gather
from reflash.paper.tables.layout import write_table
from reflash.paper.tables.registry import print_again
from reflash.study.artefacts import DropoutGrid

MODELS = {
    "srresnet/multi/b8-element-p0.2": 23.0,
    "srresnet/multi/none": 24.0,
    "srresnet/multi/b4-channel-p0.1+last_conv-channel-p0.3": 24.5,
    "srresnet/single/none": 26.0,
    "srresnet/single/last_conv-channel-p0.5": 25.5,
    "rrdb/multi/last_conv-channel-p0.5": 27.0,
}


@pytest.fixture
def grid(make_context, write_evaluation):
    context = make_context(
        models=tuple(MODELS), test_sets=("photos", "Set5"), labels={}, seeds=(0, 1)
    )
    paths = []
    for seed in (0, 1):
        for model, value in MODELS.items():
            for offset, name in enumerate(context.test_sets):
                run = f"{model}/seed{seed}"
                spread = 0.2 * seed if model.endswith("none") else 0.0
                paths.append(write_evaluation(run, [value + offset + spread], name))
    paths.append(write_evaluation("bicubic", [99.0]))
    return context, gather(context, DropoutGrid(), paths)


def test_columns_describe_the_dropout(grid):
    _, frame = grid
    found = frame.drop_duplicates("model").set_index("model")[["where", "dimension", "p"]]
    assert found.loc["srresnet/multi/none"].tolist() == ["none", "", ""]
    assert found.loc["srresnet/multi/b8-element-p0.2"].tolist() == ["b8", "element", "0.2"]
    assert found.loc["srresnet/multi/b4-channel-p0.1+last_conv-channel-p0.3"].tolist() == [
        "b4+last_conv",
        "channel",
        "0.1+0.3",
    ]
    assert "bicubic" not in found.index


def test_gain_over_the_same_network_and_setting(grid):
    _, frame = grid
    rows = frame.set_index(["model", "set", "kinds"])
    gain = rows.loc[("srresnet/multi/b8-element-p0.2", "Set5", "clean")]
    assert gain["psnr"] == pytest.approx(24.0)
    assert gain["gain"] == pytest.approx(-1.1)  # baselines 25.0 and 25.2
    assert gain["gain_std"] == pytest.approx(0.2 / math.sqrt(2))
    single = rows.loc[("srresnet/single/last_conv-channel-p0.5", "photos", "mean")]
    assert single["gain"] == pytest.approx(-0.6)
    assert single["psnr"] == pytest.approx(25.5 - 3.5)
    lonely = rows.loc[("rrdb/multi/last_conv-channel-p0.5", "photos", "clean")]
    assert math.isnan(lonely["gain"])


def test_networks_without_dropout_come_first(grid):
    _, frame = grid
    order = list(dict.fromkeys(frame["model"]))
    assert order == [
        "srresnet/multi/none",
        "srresnet/multi/b8-element-p0.2",
        "srresnet/multi/b4-channel-p0.1+last_conv-channel-p0.3",
        "srresnet/single/none",
        "srresnet/single/last_conv-channel-p0.5",
        "rrdb/multi/last_conv-channel-p0.5",
    ]


def test_marks_are_within_network_setting_set_and_kinds(grid):
    _, frame = grid
    marked = frame.set_index(["model", "set", "kinds"])["mark"]
    for name in ("photos", "Set5"):
        best = marked["srresnet/multi/b4-channel-p0.1+last_conv-channel-p0.3", name, "mean"]
        assert best == "best"
        assert marked["srresnet/single/none", name, "clean"] == "best"
        assert marked["rrdb/multi/last_conv-channel-p0.5", name, "mean"] == ""


def test_single_setting_is_shown_on_clean_images_too(grid):
    context, frame = grid
    layout = arrange(frame, context, DropoutGrid())
    sections = [row.cells[0].text for row in layout.rows if row.kind == "section"]
    assert sections == [
        "srresnet, multi-degradation setting: mean of the 8 degradations",
        "srresnet, single-degradation setting: clean images",
        "srresnet, single-degradation setting: mean of the 8 degradations",
        "rrdb, multi-degradation setting: mean of the 8 degradations",
    ]


def test_another_metric_has_its_own_column(make_context, write_evaluation):
    context = make_context(models=("srresnet/multi/none",), labels={})
    settings = DropoutGrid(metric="psnr_y", decimals=3)
    frame = gather(context, settings, [write_evaluation("srresnet/multi/none/seed0", [25.1234])])
    assert frame["psnr_y"].tolist() == pytest.approx([26.1234, 26.1234 - 3.5])
    layout = arrange(frame, context, settings)
    assert [cell.text for cell in layout.rows[1].cells] == ["none", "", "", "22.623", "--"]
    assert layout.columns[3].name == "PSNR-Y"
    assert "PSNR in dB on the BT.601 luma" in layout.caption


def test_perfect_images_of_all_eight_degradations_are_counted(make_context, write_evaluation):
    context = make_context(models=("srresnet/multi/none",), labels={})
    values = {kind: [100.0 if kind == "blur" else 30.0] for kind in KINDS}
    path = write_evaluation("srresnet/multi/none/seed0", values)
    frame = gather(context, DropoutGrid(), [path])
    assert frame.set_index("kinds")["perfect"].to_dict() == {"clean": 0, "mean": 1}
    caption = arrange(frame, context, DropoutGrid()).caption
    assert (
        "1 image of all runs and degradations was reproduced exactly and counts as 100 dB."
        in caption
    )


def test_layout_has_a_pair_of_columns_per_test_set(grid):
    context, frame = grid
    layout = arrange(frame, context, DropoutGrid())
    assert [(c.group, c.name) for c in layout.columns[3:]] == [
        ("photos", "PSNR"),
        ("photos", "gain"),
        ("Set5", "PSNR"),
        ("Set5", "gain"),
    ]
    row = next(r for r in layout.rows if r.cells[0].text == "b8")
    assert [cell.text for cell in row.cells] == [
        "b8",
        "element",
        "0.2",
        "19.50 ± 0.00",
        "-1.10 ± 0.14",
        "20.50 ± 0.00",
        "-1.10 ± 0.14",
    ]
    assert "Test sets: photos (1 image), Set5 (1 image)." in layout.caption
    assert "no evidence about the paper" in layout.caption


def test_places_have_one_name_and_the_csv_the_one_of_models(grid):
    context, frame = grid
    layout = arrange(frame, context, DropoutGrid())
    named = {row.cells[0].text for row in layout.rows if row.kind == "model"}
    assert named >= {"none", "last-conv"}
    assert not any("_" in name for name in named)
    assert "last_conv" in set(frame["where"])


def test_printed_again_from_its_csv_it_is_the_same(grid, tmp_path):
    context, frame = grid
    write_table(frame, tmp_path / "grid", arrange(frame, context, DropoutGrid()))
    print_again("dropout_grid", tmp_path / "grid.csv", context, DropoutGrid(), tmp_path / "again")
    assert (tmp_path / "again.md").read_bytes() == (tmp_path / "grid.md").read_bytes()
