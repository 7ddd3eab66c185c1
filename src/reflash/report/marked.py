"""Pages of Markdown whose marked parts a command makes."""

from __future__ import annotations

import re
from collections.abc import Callable


def replace_marked(
    text: str, pattern: str, make: Callable[[re.Match[str]], str]
) -> tuple[str, int]:
    r"""Make anew what a page has between its markers.

    A marker ``<!-- PATTERN -->`` stands alone on its line, and ``<!-- end -->`` ends its part.

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

    Returns
    -------
    text : str
        The page.
    count : int
        How many parts it has.
    """

    def whole(found: re.Match[str]) -> str:
        return f"{found['marker']}\n{make(found)}\n<!-- end -->"

    parts = re.compile(rf"(?P<marker><!-- {pattern} -->)\n.*?<!-- end -->", re.DOTALL)
    return parts.subn(whole, text)
