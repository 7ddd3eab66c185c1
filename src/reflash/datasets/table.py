"""Known datasets, and other lists, as tables for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from reflash.datasets.manifest import MANIFEST
from reflash.datasets.matching import image_files
from reflash.datasets.registry import registry
from reflash.datasets.space import human

HEAD = ("name", "images", "size", "split", "here", "terms")


def dataset_rows(raw: Path | str = "data/raw") -> list[tuple[str, ...]]:
    """Return one row of texts for each known dataset, in the order of ``HEAD``.

    ``here`` is yes, no or unfinished, as the folder ``raw`` shows without reading any image; a
    star after the terms says that a download asks for consent.
    """
    rows: list[tuple[str, ...]] = []
    for name, dataset in registry().items():
        folder = Path(raw) / name
        started = (folder.with_name(f".{name}.incoming")).is_dir() or bool(image_files(folder))
        here = "yes" if (folder / MANIFEST).is_file() else "unfinished" if started else "no"
        size = human(dataset.bytes) if dataset.bytes else "unknown"
        terms = f"{dataset.terms}{' *' if dataset.accept_terms else ''}"
        rows.append((name, str(dataset.images), size, dataset.split, here, terms))
    return rows


def print_datasets(raw: Path | str = "data/raw") -> None:
    """Print the table of datasets on stdout."""
    note = "* a download asks you to accept the terms (--accept-terms)"
    print_table(HEAD, dataset_rows(raw), note)


def print_table(head: Sequence[str], rows: Sequence[tuple[str, ...]], note: str = "") -> None:
    """Print a table on stdout: framed on a terminal, plain aligned columns elsewhere."""
    numbers = ("images", "size")
    if not sys.stdout.isatty():
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        for row in (head, *rows):
            cells = [
                text.rjust(width) if title in numbers else text.ljust(width)
                for title, text, width in zip(head, row, widths, strict=True)
            ]
            print("  ".join(cells).rstrip())
        if note:
            print(note)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(caption=note or None, caption_justify="left")
    for title in head:
        table.add_column(title, justify="right" if title in numbers else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
