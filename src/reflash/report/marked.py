"""Pages of Markdown whose marked parts a command makes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from reflash.core.errors import ReflashError


def replace_marked(
    text: str, pattern: str, make: Callable[[re.Match[str]], str], page: Path | str = "text"
) -> tuple[str, int]:
    r"""Make anew what a page has between its markers.

    A marker ``<!-- PATTERN -->`` and the ``<!-- end -->`` of its part stand alone on their lines.

    >>> replace_marked("a\n<!-- sum -->\nold\n<!-- end -->\n", "sum", lambda found: "new")
    ('a\n<!-- sum -->\nnew\n<!-- end -->\n', 1)

    Parameters
    ----------
    text
        The page.
    pattern
        Regular expression of the words in the marker.
    make
        Makes the part from the match, whose groups are those of ``pattern``.
    page
        What errors call the page.

    Returns
    -------
    text : str
        The page.
    count : int
        How many parts it has.

    Raises
    ------
    ReflashError
        A part has no end, or none before the next part begins.
    """
    marker = rf"<!-- {pattern} -->"
    parts = re.compile(
        rf"^(?P<marker>{marker})$\n(?P<old>(?:(?!<!-- ).*\n)*?)^<!-- end -->$", re.MULTILINE
    )

    def whole(found: re.Match[str]) -> str:
        return f"{found['marker']}\n{make(found)}\n<!-- end -->"

    after, count = parts.subn(whole, text)
    begun = [found[0] for found in re.finditer(rf"^{marker}$", text, re.MULTILINE)]
    if len(begun) > count:
        raise ReflashError(
            f"{page}: {len(begun)} of its parts begin, such as {begun[0]}, and {count} end; give "
            "each a line <!-- end --> before the next begins"
        )
    return after, count
