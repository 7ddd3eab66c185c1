"""How a table is printed, marked and written."""

from __future__ import annotations

import json
import math
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflash.paper.tables.layout import (
    Cell,
    Column,
    Layout,
    Row,
    digits_for,
    number,
    rank_marks,
    to_latex,
    to_markdown,
    write_table,
)

LAYOUT = Layout(
    name="example",
    title="A title",
    caption="50 % of a_b; ± is one std.",
    columns=(
        Column(name="model", numeric=False),
        Column(name="PSNR", group="Set_5"),
        Column(name="gain", group="Set_5"),
    ),
    rows=(
        Row(kind="section", cells=(Cell(text="one & two"),)),
        Row(cells=(Cell(text="a_b|c"), Cell(text="25.00 ± 0.10", mark="best"), Cell(text="--"))),
        Row(
            kind="gain",
            cells=(Cell(text="gain"), Cell(text="+0.50 (-0.25)"), Cell(text="1", mark="second")),
        ),
        Row(kind="section", cells=(Cell(text="three"),)),
    ),
)


def test_marks_best_and_second():
    assert rank_marks([1.0, 3.0, 2.0]) == ["", "best", "second"]


def test_values_that_print_alike_share_a_mark():
    assert rank_marks([2.004, 2.001, 1.0, 0.5]) == ["best", "best", "second", ""]


def test_unknown_values_and_single_values_are_not_marked():
    assert rank_marks([None, math.nan, 1.0]) == ["", "", ""]
    assert rank_marks([None, 2.0, 1.0]) == ["", "best", "second"]


@given(st.lists(st.floats(0, 60), min_size=2, max_size=8))
def test_no_unmarked_value_prints_higher_than_a_marked_one(values):
    marks = rank_marks(values)
    printed = [float(number(v)) for v in values]
    best = max(printed)
    assert {m for v, m in zip(printed, marks, strict=True) if v == best} == {"best"}
    rest = sorted({v for v in printed if v != best})
    for value, mark in zip(printed, marks, strict=True):
        expected = "best" if value == best else "second" if value == rest[-1] else ""
        assert mark == expected


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((25.123, None), "25.12"),
        ((25.123, 0.056), "25.12 ± 0.06"),
        ((25.123, math.nan), "25.12"),
        ((math.nan, 1.0), "--"),
        ((None, None), "--"),
        ((math.inf, None), "inf"),
    ],
)
def test_number(arguments, text):
    assert number(*arguments) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "+0.50"), (-0.5, "-0.50"), (-0.001, "0.00"), (0.001, "0.00")]
)
def test_signed_number_has_no_signed_zero(value, text):
    assert number(value, sign=True) == text


@pytest.mark.parametrize(
    ("values", "digits"),
    [([137.7], 1), ([2.03, 40.0], 2), ([0.0134, 0.5], 4), ([1e-9], 5), ([], 2), ([0.0], 2)],
)
def test_decimals_show_three_digits_of_the_smallest(values, digits):
    assert digits_for(values) == digits


def test_a_table_without_marks_explains_none():
    plain = LAYOUT.model_copy(update={"rows": (Row(cells=(Cell(), Cell(text="1"), Cell())),)})
    assert not plain.marked
    assert "Best value" not in to_markdown(plain) + to_latex(plain)
    assert LAYOUT.marked
    assert "Best value" in to_markdown(LAYOUT)


def test_latex_is_escaped_marked_and_ruled():
    lines = to_latex(LAYOUT).splitlines()
    assert r" & \multicolumn{2}{c}{Set\_5} \\" in lines
    assert r"\cmidrule(lr){2-3}" in lines
    assert r"\multicolumn{3}{l}{\textit{one \& two}} \\" in lines
    assert r"a\_b\textbar{}c & \textbf{25.00 $\pm$ 0.10} & -- \\" in lines
    assert r"\textit{gain} & \textit{$+$0.50 ($-$0.25)} & \underline{1} \\" in lines
    assert r"\label{tab:example}" in lines
    assert any(
        r"\caption[{A title}]{A title. 50 \% of a\_b; $\pm$ is one std." in line for line in lines
    )
    rules = [line for line in lines if line in (r"\toprule", r"\midrule", r"\bottomrule")]
    assert rules == [r"\toprule", r"\midrule", r"\midrule", r"\bottomrule"]


LONG = LAYOUT.model_copy(update={"rows": LAYOUT.rows[:3] * 20})


def test_latex_breaks_a_long_table_between_pages():
    """The heading stands on every page, the caption and the label on the first."""
    lines = to_latex(LONG).splitlines()
    assert r"\begin{longtable}{lrr}" in lines
    assert lines.count(r"model & PSNR & gain \\") == 2
    assert lines.index(r"\endfirsthead") < lines.index(r"\endhead") < lines.index(r"\endlastfoot")
    (caption,) = (line for line in lines if line.startswith(r"\caption"))
    assert caption.endswith(r"\label{tab:example} \\")
    assert not any("table*" in line or r"{tabular}" in line for line in lines)
    assert to_latex(LONG.model_copy(update={"rows": LONG.rows[:45]})).count("longtable") == 0


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("[ours] & 5 %", r"{[}ours] \& 5 \%"),
        ("*", "{*}"),
        ("a_b#c$d{e}", r"a\_b\#c\$d\{e\}"),
        ("two\n\nlines", "two lines"),
        ("a\\b~c^d", r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d"),
        ("p ≥ 0.5 → x < y", r"p $\geq$ 0.5 $\rightarrow$ x $<$ y"),
    ],
)
def test_latex_of_any_name(text, latex):
    named = LAYOUT.model_copy(
        update={"rows": (Row(cells=(Cell(text=text), Cell(text="1"), Cell(text="2"))),)}
    )
    assert rf"{latex} & 1 & 2 \\" in to_latex(named).splitlines()


@pytest.mark.parametrize("layout", [LAYOUT, LONG], ids=["short", "long"])
def test_latex_environments_are_closed_in_order(layout):
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", to_latex(layout)):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened


def test_latex_rows_have_as_many_cells_as_columns():
    for line in to_latex(LAYOUT).splitlines():
        if line.endswith(r"\\") and r"\multicolumn" not in line:
            assert line.replace(r"\&", "").count("&") == 2


def test_latex_braces_balance():
    text = to_latex(LAYOUT).replace(r"\{", "").replace(r"\}", "")
    assert text.count("{") == text.count("}")


def test_markdown_rows_have_as_many_cells_as_columns():
    rows = [line for line in to_markdown(LAYOUT).splitlines() if line.startswith("|")]
    assert rows[0] == "| model | Set\\_5: PSNR | Set\\_5: gain |"
    assert rows[1] == "| --- | ---: | ---: |"
    assert rows[3] == "| a\\_b\\|c | **25.00 ± 0.10** | -- |"
    assert rows[4].endswith("| *1* |")
    assert all(row.replace("\\|", "").count("|") == 4 for row in rows)


def test_four_files_of_one_table(tmp_path):
    frame = pd.DataFrame({"model": ["a"], "value": [1 / 3]})
    write_table(frame, tmp_path / "deep" / "example", LAYOUT)
    names = sorted(p.name for p in (tmp_path / "deep").iterdir())
    assert names == ["example.csv", "example.json", "example.md", "example.tex"]
    assert (tmp_path / "deep/example.csv").read_text() == f"model,value\na,{1 / 3!r}\n"
    meta = json.loads((tmp_path / "deep/example.json").read_text())
    assert (meta["name"], meta["title"], meta["caption"]) == (
        "example",
        "A title",
        "50 % of a_b; ± is one std.",
    )
    assert Layout.model_validate(meta) == LAYOUT
