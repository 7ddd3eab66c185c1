"""The exceptions that a user is meant to read."""

from __future__ import annotations

INTERRUPTED_STATUS = 75
"""Exit status of a command that was stopped and resumes when run again (EX_TEMPFAIL)."""


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


class StopError(ReflashError):
    """An error that ends a run over many files, because no other file would fare better."""


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
