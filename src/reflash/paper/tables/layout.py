"""A table as it is shown, and its Markdown, LaTeX and JSON forms.

Every table of the project is a tidy frame of full precision and a ``Layout`` made from it: what is
printed, with the best values marked. The report shows the same layout, read back from the JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Literal

import pandas as pd

from reflash.core.errors import ReflashError
from reflash.core.files import with_ending, write_csv, write_json, write_text
from reflash.core.settings import Settings
from reflash.study.artefacts import MetricTable

Mark = Literal["", "best", "second"]
RowKind = Literal["model", "gain", "section"]


class Cell(Settings):
    """One printed value."""

    text: str = ""
    """What is printed; ``--`` where there is no value."""
    mark: Mark = ""
    """Best or second-best of its column within its block."""


class Row(Settings):
    """One printed row; a section is a heading over the whole width."""

    kind: RowKind = "model"
    """A model's values, a gain over the row it belongs to, or a heading."""
    cells: tuple[Cell, ...]
    """The row's name first; one cell only for a section."""


def section(text: str) -> Row:
    """Return a heading over the whole width."""
    return Row(kind="section", cells=(Cell(text=text),))


def plain_row(*texts: str) -> Row:
    """Return a row without marks."""
    return Row(cells=tuple(Cell(text=text) for text in texts))


class Column(Settings):
    """One printed column."""

    name: str
    """Heading of the column."""
    group: str = ""
    """Heading over neighbouring columns with the same group."""
    numeric: bool = True
    """Aligned right."""


class Layout(Settings):
    """A table as it is shown."""

    name: str
    """Name of the artefact."""
    title: str
    """One line."""
    caption: str
    """What the numbers are, and at which scale they were made."""
    columns: tuple[Column, ...]
    """The columns; the first names the row."""
    rows: tuple[Row, ...]
    """The rows from top to bottom."""

    @property
    def marked(self) -> bool:
        """Whether a best value is marked anywhere."""
        return any(cell.mark for row in self.rows for cell in row.cells)


PAGE = 45
"""Rows that fit a page of a document; a table with more is broken between pages."""

PAGE_ASIDE = 34
"""Rows that fit a page turned on its side."""

UPRIGHT, ASIDE = 460.0, 690.0
"""Points that a table has beside each other on a page, and on one turned on its side."""

SIZES = {"small": 9, "footnotesize": 8, "scriptsize": 7}
"""Sizes of LaTeX in points, from the largest."""

EMPTY = "--"
"""Printed where there is no value."""


def rank_marks(values: Iterable[float | None], digits: int = 2) -> list[Mark]:
    """Mark the largest and second-largest of ``values`` as printed; ties share a mark.

    Values that are None or not a number are never marked, and a single value is not either.

    >>> rank_marks([25.004, 25.001, 24.2, 23.9])
    ['best', 'best', 'second', '']
    """
    rounded = [None if v is None or v != v else round(v, digits) for v in values]
    order = sorted({v for v in rounded if v is not None}, reverse=True)
    if sum(v is not None for v in rounded) < 2:
        return ["" for _ in rounded]
    marks: dict[float, Mark] = dict(zip(order, ("best", "second"), strict=False))
    return ["" if v is None else marks.get(v, "") for v in rounded]


def number(
    value: float | None, std: float | None = None, digits: int = 2, sign: bool = False
) -> str:
    """Print a value, with its standard deviation where there is one.

    >>> number(0.634, 0.451, sign=True), number(-0.001, sign=True), number(None)
    ('+0.63 ± 0.45', '0.00', '--')
    """
    if value is None or value != value:
        return EMPTY
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if sign and float(text) == 0:
        text = f"{0:.{digits}f}"
    return text if std is None or std != std else f"{text} ± {std:.{digits}f}"


def interval_ends(low: float | None, high: float | None, digits: int = 2) -> str:
    """Print the ends of an interval, nothing where there is none.

    >>> interval_ends(0.42, 0.656), interval_ends(float("nan"), float("nan"))
    ('[+0.42, +0.66]', '')
    """
    if low is None or high is None or low != low or high != high:
        return ""
    return f"[{', '.join(number(end, digits=digits, sign=True) for end in (low, high))}]"


def digits_for(values: Iterable[float]) -> int:
    """Return how many decimals show the smallest of some values with three digits.

    At least one and at most five; for no value above 0, two.

    >>> digits_for([137.7]), digits_for([0.0134, 0.5])
    (1, 4)
    """
    sizes = [abs(value) for value in values if value == value and value != 0]
    if not sizes:
        return 2
    return min(5, max(1, 2 - math.floor(math.log10(min(sizes)))))


def shown_sets(frame: pd.DataFrame, settings: MetricTable, table: str) -> list[str]:
    """Return the test sets that a table prints: those chosen, or all that its frame has.

    Raises
    ------
    ReflashError
        One that was chosen is not in the frame.
    """
    there = [str(name) for name in frame["set"].unique()]
    for name in settings.sets:
        if name not in there:
            raise ReflashError(
                f"tables.{table}.sets: {name!r} is not a test set of these results; use one of "
                f"{', '.join(there)}"
            )
    return list(settings.sets or there)


def write_table(frame: pd.DataFrame, stem: Path | str, layout: Layout) -> None:
    """Write ``stem`` with .csv (tidy, full precision), .md, .tex (booktabs) and .json."""
    stem = Path(stem)
    write_csv(with_ending(stem, ".csv"), frame, float_format=None)
    write_layout(stem, layout)


def write_layout(stem: Path, layout: Layout) -> None:
    """Write what is printed: ``stem`` with .md, .tex (booktabs) and .json."""
    write_text(with_ending(stem, ".md"), to_markdown(layout))
    write_text(with_ending(stem, ".tex"), to_latex(layout))
    write_json(with_ending(stem, ".json"), layout.model_dump(mode="json"), ascii=False)


def to_markdown(layout: Layout) -> str:
    """Return the table as GitHub Markdown: best bold, second best in italics."""
    note = (
        " Best value **bold**, second best *in italics*; values that are equal as printed share "
        "the mark."
        if layout.marked
        else ""
    )
    table = markdown_table(layout.columns, layout.rows)
    return f"**{layout.title}**\n\n{table}\n\n{_md_escape(layout.caption)}{note}\n"


def markdown_table(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    """Return rows under their headings as a table of GitHub Markdown."""
    names = [
        f"{column.group}: {column.name}" if column.group else column.name for column in columns
    ]
    lines = [
        _md_row(map(_md_escape, names)),
        _md_row("---:" if column.numeric else "---" for column in columns),
    ]
    for row in rows:
        cells = [_md_cell(cell) for cell in row.cells]
        if row.kind == "section":
            cells = [f"**{cells[0]}**"] + [""] * (len(names) - 1)
        lines.append(_md_row(cells))
    return "\n".join(lines)


def to_latex(layout: Layout) -> str:
    r"""Return the table in LaTeX, with the rules of the package booktabs.

    A float over both columns (``table*``), turned on its side where it is much wider than a page; a
    table of more rows than a page has is a ``longtable``, which LaTeX breaks between pages (in a
    one-column part of the document). Best values are ``\textbf``, second best ``\underline``.
    """
    count = len(layout.columns)
    names = " & ".join(_tex(column.name) for column in layout.columns) + r" \\"
    header = [*_tex_groups(layout.columns), names]
    body: list[str] = []
    for index, row in enumerate(layout.rows):
        if row.kind == "section":
            body += [r"\midrule"] * bool(index)
            # Broken into lines, since a heading longer than the rows would widen the last column.
            for line in wrap(row.cells[0].text, max(30, _characters(layout))):
                body.append(rf"\multicolumn{{{count}}}{{l}}{{\textit{{{_tex(line)}}}}} \\")
            continue
        cells = [_tex_cell(cell, row.kind) for cell in row.cells]
        if cells[0][:1] in ("[", "*"):  # would be read as an argument of the \\ before
            cells[0] = f"{{{cells[0][0]}}}{cells[0][1:]}"
        body.append(" & ".join(cells) + r" \\")
    note = (
        r" Best value \textbf{bold}, second best \underline{underlined}; values that are equal as "
        "printed share the mark."
        if layout.marked
        else ""
    )
    title = _tex(layout.title)
    caption = rf"\caption[{{{title}}}]{{{f'{title}. {_tex(layout.caption)}'.strip()}{note}}}"
    label = rf"\label{{tab:{layout.name}}}"
    alignment = "".join("r" if column.numeric else "l" for column in layout.columns)
    top = [r"\toprule", *header, r"\midrule"]
    if len(layout.rows) > PAGE:
        return _long(layout, caption + label, alignment, top, body)
    aside = _width(layout, "scriptsize") > 1.15 * UPRIGHT and len(layout.rows) <= PAGE_ASIDE
    float_name = "sidewaystable*" if aside else "table*"
    lines = [
        r"% needs \usepackage{booktabs,graphicx" + (",rotating}" if aside else "}"),
        rf"\begin{{{float_name}}}",
        r"\centering",
        *_tex_style(layout, ASIDE if aside else UPRIGHT),
        caption,
        label,
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{alignment}}}",
        *top,
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        rf"\end{{{float_name}}}",
    ]
    return "\n".join([*lines, ""])


def _long(layout: Layout, caption: str, alignment: str, top: list[str], body: list[str]) -> str:
    """Return a table that LaTeX breaks between pages."""
    whole = rf"\multicolumn{{{len(layout.columns)}}}"
    lines = [
        r"% needs \usepackage{booktabs,longtable}, in a one-column part of the document",
        r"\begingroup",
        *_tex_style(layout, UPRIGHT),
        r"\setlength{\LTcapwidth}{\textwidth}",
        rf"\begin{{longtable}}{{{alignment}}}",
        rf"{caption} \\",
        *top,
        r"\endfirsthead",
        rf"{whole}{{l}}{{\tablename~\thetable, continued}} \\",
        *top,
        r"\endhead",
        r"\midrule",
        rf"{whole}{{r}}{{continued on the next page}} \\",
        r"\endfoot",
        r"\bottomrule",
        r"\endlastfoot",
        *body,
        r"\end{longtable}",
        r"\endgroup",
    ]
    return "\n".join([*lines, ""])


def column_groups(columns: Iterable[Column]) -> Iterator[tuple[str, int]]:
    """Yield each run of neighbouring columns of one group as (group, number of columns)."""
    for group, members in groupby(columns, key=lambda column: column.group):
        yield group, len(list(members))


def _characters(layout: Layout) -> int:
    """Return how many characters wide the table is."""
    rows = [[cell.text for cell in row.cells] for row in layout.rows if row.kind != "section"]
    rows.append([column.name for column in layout.columns])
    return sum(max(map(len, column)) for column in zip(*rows, strict=True))


def _width(layout: Layout, size: str) -> float:
    """Estimate how wide the table is at a size of LaTeX, in points."""
    return 0.52 * SIZES[size] * _characters(layout) + 6 * len(layout.columns)


def _tex_style(layout: Layout, room: float) -> list[str]:
    """Return the largest size at which the table fits ``room`` points, and the distances."""
    size = next((name for name in SIZES if _width(layout, name) <= room), "scriptsize")
    lengths = {"tabcolsep": "3pt", "belowcaptionskip": "4pt"}
    return [rf"\{size}", *(rf"\setlength{{\{key}}}{{{value}}}" for key, value in lengths.items())]


def _tex_groups(columns: tuple[Column, ...]) -> list[str]:
    """Return the line of column groups and the rules below it; nothing without groups."""
    if not any(column.group for column in columns):
        return []
    cells, rules, at = [], [], 1
    for group, count in column_groups(columns):
        if group:
            cells.append(rf"\multicolumn{{{count}}}{{c}}{{{_tex(group)}}}")
            rules.append(rf"\cmidrule(lr){{{at}-{at + count - 1}}}")
        else:
            cells += [""] * count
        at += count
    return [" & ".join(cells) + r" \\", "".join(rules)]


def _tex_cell(cell: Cell, kind: RowKind) -> str:
    text = _tex(cell.text)
    if cell.mark:
        command = "textbf" if cell.mark == "best" else "underline"
        return rf"\{command}{{{text}}}"
    return rf"\textit{{{text}}}" if kind == "gain" and text not in ("", EMPTY) else text


_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "–": "--",
    "Δ": r"$\Delta$",
    "→": r"$\rightarrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
}


def _tex(text: str) -> str:
    """Escape ``text`` for LaTeX; the sign of a number becomes a proper plus or minus."""
    line = " ".join(text.split())  # an empty line would end the paragraph, here an error
    escaped = "".join(_TEX.get(character, character) for character in line)
    return re.sub(r"(?<![\w.])([+-])(?=\d)", r"$\1$", escaped)


def _md_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _md_cell(cell: Cell) -> str:
    text = _md_escape(cell.text)
    return {"best": f"**{text}**", "second": f"*{text}*", "": text}[cell.mark]


def _md_escape(text: str) -> str:
    line = " ".join(text.split())  # a line break would end the row
    return line.replace("\\", "\\\\").replace("|", "\\|").replace("_", "\\_").replace("*", "\\*")
