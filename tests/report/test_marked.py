"""Parts of a page between markers."""

from __future__ import annotations

import pytest

from reflash.core.errors import ReflashError
from reflash.report.marked import replace_marked

PART = "<!-- sum -->\nold\n<!-- end -->\n"


def made(text: str) -> tuple[str, int]:
    return replace_marked(text, r"sum(?: (?P<of>\w+))?", lambda found: f"new {found['of'] or ''}")


def test_every_part_is_made_and_the_rest_stays() -> None:
    text = f"Mine.\n{PART}Between.\n{PART.replace('sum', 'sum b')}Last.\n"
    after = text.replace("\nold", "\nnew ", 1).replace("\nold", "\nnew b")
    assert made(text) == (after, 2)
    assert made(after) == (after, 2)


@pytest.mark.parametrize(
    "text",
    [
        f"<!-- sum -->\nold\n\nMy words.\n\n{PART}",  # would take my words with it
        "<!-- sum -->\nold\n",
        PART.replace("<!-- end -->", "and <!-- end -->"),
    ],
)
def test_a_part_without_end_is_refused(text: str) -> None:
    with pytest.raises(ReflashError, match=r"text: .* such as <!-- sum -->, and \d end; give"):
        made(text)


def test_a_marker_in_a_sentence_is_none() -> None:
    text = f"Write <!-- sum --> on a line.\n{PART}"
    assert made(text) == (text.replace("\nold", "\nnew "), 1)
    assert made("Write <!-- sum -->\n")[1] == 0
