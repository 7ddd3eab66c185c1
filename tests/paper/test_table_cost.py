"""Time and memory against the same network without dropout."""

from __future__ import annotations

import pytest

from reflash.core.errors import ReflashError
from reflash.paper.tables.cost import arrange, gather
from reflash.study.artefacts import Cost

COLUMNS = (
    "network,where,dimension,p,ms_per_iteration,ms_std,extra,extra_error,rounds,peak_mib,"
    "workload,device"
)
ROWS = [
    ("srresnet", "none", "", "", 40.0, 0.4, "", "", "", 300.0, "paper size", "cpu"),
    (
        "srresnet",
        "last_conv",
        "channel",
        0.7,
        42.0,
        0.6,
        0.048,
        0.018,
        15,
        306.5,
        "paper size",
        "cpu",
    ),
    ("srresnet", "none", "", "", 4.0, 0.1, "", "", "", 900.0, "paper size", "cuda"),
    (
        "srresnet",
        "last_conv",
        "element",
        0.5,
        3.9,
        0.1,
        -0.025,
        0.003,
        15,
        990.0,
        "paper size",
        "cuda",
    ),
]


def test_every_line_is_compared_on_its_own_device(make_context, write_rows):
    frame = gather(make_context(), Cost(), write_rows("cost", COLUMNS, ROWS))
    assert list(frame["extra"].fillna(-9)) == pytest.approx([-9, 0.048, -9, -0.025])
    assert list(frame["extra_mib"].fillna(-9)) == pytest.approx([-9, 6.5, -9, 90.0])
    assert frame["extra_error"][1] == pytest.approx(0.018)
    assert frame["dimension"].tolist() == ["", "channel", "", "element"]


def test_layout(make_context, write_rows):
    context = make_context()
    layout = arrange(gather(context, Cost(), write_rows("cost", COLUMNS, ROWS)), context, Cost())
    rows = [[cell.text for cell in row.cells] for row in layout.rows]
    assert rows[0] == ["srresnet on cpu: paper size"]
    assert rows[1] == ["none", "", "", "40.0 ± 0.4", "--", "300", "--"]
    assert rows[2] == ["last-conv", "channel", "0.7", "42.0 ± 0.6", "+4.8 ± 1.8 %", "306", "+6"]
    assert rows[3] == ["srresnet on cuda: paper size"]
    assert "leaves the cost open" in layout.caption
    assert not layout.marked


def test_no_line_without_dropout_is_named(make_context, write_rows):
    with pytest.raises(ReflashError, match=r"cost\.csv: has 0 lines without dropout for srresnet"):
        gather(make_context(), Cost(), write_rows("cost", COLUMNS, ROWS[1:2]))


@pytest.mark.parametrize("place", [6, 8, 9])
def test_a_line_without_a_number_is_named(make_context, write_rows, place):
    rows = [list(row) for row in ROWS]
    rows[1][place] = ""
    with pytest.raises(ReflashError, match=r"cost\.csv: a line lacks extra, rounds or peak_mib"):
        gather(make_context(), Cost(), write_rows("cost", COLUMNS, rows))


def test_missing_column_is_named(make_context, write_rows):
    columns, rows = COLUMNS.rsplit(",", 1)[0], [row[:-1] for row in ROWS]
    with pytest.raises(ReflashError, match="has no column 'device'"):
        gather(make_context(), Cost(), write_rows("cost", columns, rows))
