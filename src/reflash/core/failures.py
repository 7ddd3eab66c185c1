"""A run over many files does the good ones and then names the bad ones with reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reflash.core.errors import ReflashError, StopError, printable
from reflash.core.progress import say

NAMED = 5
"""Files that the closing line names."""


class Failures:
    """The errors of single files, collected while the others are done.

    Examples
    --------
    >>> failures = Failures()
    >>> for name in ("a.png", "b.png"):
    ...     with failures.caught(name):
    ...         if name == "a.png":
    ...             raise ReflashError("a.png: damaged; copy it again")
    >>> failures.check("photos", 2, "upscaled")
    Traceback (most recent call last):
        ...
    reflash.core.errors.ReflashError: a.png: damaged; copy it again (1 of 2 images upscaled)
    """

    def __init__(self) -> None:
        self.errors: list[tuple[str, ReflashError]] = []

    def add(self, lines: Iterable[str]) -> None:
        """Add errors that are there already, each beginning with a path and a colon."""
        self.errors += [(Path(line.partition(": ")[0]).name, ReflashError(line)) for line in lines]

    @contextmanager
    def caught(self, name: str) -> Iterator[None]:
        """Keep a ReflashError of the block for later, unless it is a StopError."""
        try:
            yield
        except StopError:
            raise
        except ReflashError as error:
            self.errors.append((name, error))

    def check(self, folder: Path | str, total: int, done: str) -> None:
        """Raise ReflashError if anything failed; of several failures, print each first.

        Parameters
        ----------
        folder : path
            What the run was over.
        total : int
            Number of files, good and bad.
        done : str
            What was to be done, such as ``upscaled``.
        """
        if not self.errors:
            return
        count = len(self.errors)
        if count == 1:
            ((_, error),) = self.errors
            others = f" ({total - 1} of {total} images {done})" if total > 1 else ""
            raise ReflashError(f"{error}{others}") from error
        for _, error in self.errors:
            say(str(error))
        named = [printable(name) for name, _ in self.errors[:NAMED]]
        if count > NAMED:
            named.append(f"{count - NAMED} others")
        raise ReflashError(
            f"{folder}: {count} of {total} images could not be {done} ({', '.join(named)}); "
            "fix or remove them and run again"
        )
