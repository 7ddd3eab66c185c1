"""The exception a user is meant to read, and collecting several of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ReflashError(Exception):
    r"""An error the user can fix: one line naming the file or key, and the remedy.

    The command line prints the message after ``error:`` and exits with status 1; anything else
    that escapes is a defect of the program and keeps its traceback. What a terminal or a log could
    not show in one line (line breaks, control characters, bytes of a name that are not UTF-8) is
    escaped.

    >>> print(ReflashError("two\nlines.png: the file is empty"))
    two\nlines.png: the file is empty
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class Problems:
    """Collects the errors of single items, so that the others of a longer job are done.

    Examples
    --------
    >>> problems = Problems()
    >>> for name in ("a.png", "b.png"):
    ...     with problems.collected():
    ...         if name == "b.png":
    ...             raise ReflashError(f"{name}: the file is empty; copy it again")
    >>> problems.lines
    ['b.png: the file is empty; copy it again']
    >>> problems.raise_any("photos: 1 of 2 images done")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ReflashError: photos: 1 of 2 images done; b.png: the file is empty; copy it again
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep the ``ReflashError`` of the block instead of passing it on."""
        try:
            yield
        except ReflashError as error:
            self.lines.append(str(error))

    def raise_any(self, summary: str) -> None:
        """Raise one error that says ``summary`` and names every problem; nothing without one."""
        if self.lines:
            raise ReflashError("; ".join([summary, *self.lines]))


def printable(text: str) -> str:
    r"""Return ``text`` in one line that any terminal or log can show.

    >>> print(printable("caf\udce9\n.png"))
    caf\xe9\n.png
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python keeps a byte of a name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
