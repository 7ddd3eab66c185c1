"""Every table is set by LaTeX without errors, inside the margins of a page."""

from __future__ import annotations

from pathlib import Path

from reflash.paper.tables.layout import Cell, Column, Layout, Row, to_latex
from tex_document import set_tables

RECORD = Path(__file__).parents[2] / "results/cpu/record/tables"


def layout(rows: int, columns: int, text: str) -> Layout:
    heading = Row(
        kind="section", cells=(Cell(text="A heading that is longer than a narrow table"),)
    )
    row = Row(cells=(Cell(text="a_b & [c] # 5 %"), *(Cell(text=text, mark="best"),) * columns))
    return Layout(
        name="made",
        title="50 % of [a_b]",
        caption="± is one std; p ≥ 0.5 → x.",
        columns=(
            Column(name="model", numeric=False),
            *(Column(name="PSNR", group="Set_5") for _ in range(columns)),
        ),
        rows=(heading, *(row,) * rows),
    )


def test_tables_of_record_and_of_any_size_are_set_within_the_page(tmp_path: Path) -> None:
    tables = {
        path.stem: to_latex(Layout.model_validate_json(path.read_text(encoding="utf-8")))
        for path in RECORD.glob("*.json")
    }
    assert len(tables) == 6
    sizes = {"narrow": (3, 1), "wide": (30, 11), "wider": (40, 14), "long": (150, 3)}
    tables |= {
        name: to_latex(layout(rows, columns, "25.12 ± 0.06"))
        for name, (rows, columns) in sizes.items()
    }
    pages, complaints = set_tables(tables, tmp_path)
    assert complaints == []
    assert pages == len(tables) + 2  # the long one takes three


def test_the_files_of_record_are_what_the_code_writes() -> None:
    for path in RECORD.glob("*.json"):
        stored = Layout.model_validate_json(path.read_text(encoding="utf-8"))
        assert path.with_suffix(".tex").read_text(encoding="utf-8") == to_latex(stored)


def test_a_table_much_wider_than_a_page_is_turned_on_its_side() -> None:
    wide = to_latex(layout(30, 11, "25.12 ± 0.06"))
    assert r"\begin{sidewaystable*}" in wide
    assert "rotating" in wide.splitlines()[0]
    assert r"\begin{table*}" in to_latex(layout(30, 5, "25.12 ± 0.06"))


def test_a_heading_never_widens_a_narrow_table() -> None:
    lines = [line for line in to_latex(layout(3, 1, "1")).splitlines() if r"\textit" in line]
    assert lines == [
        r"\multicolumn{2}{l}{\textit{A heading that is longer than}} \\",
        r"\multicolumn{2}{l}{\textit{a narrow table}} \\",
    ]
