"""Files that travel with the page: inside it as data URIs, or beside it in an archive."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from reflash.core.files import atomic, require_file

TYPES = {
    ".csv": "text/csv;charset=utf-8",
    ".md": "text/plain;charset=utf-8",
    ".tex": "text/plain;charset=utf-8",
    ".py": "text/plain;charset=utf-8",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".webp": "image/webp",
}
"""Media types of the files that the page brings along, by suffix."""

EARLIEST = (1980, 1, 1, 0, 0, 0)
"""Date of every file in an archive, so that the same results give the same bytes."""


@dataclass(frozen=True)
class Attachment:
    """One file."""

    name: str
    """Its path in the archive: ``figures/teaser_bars.pdf``."""
    content: bytes
    """What is in it."""

    @property
    def file(self) -> str:
        """Its name without folders, under which a browser saves it."""
        return self.name.rpartition("/")[2]

    @property
    def uri(self) -> str:
        """The file as a data URI."""
        encoded = base64.b64encode(self.content).decode("ascii")
        return f"data:{TYPES[Path(self.name).suffix]};base64,{encoded}"


def attach(path: Path | str, folder: str, remedy: str) -> Attachment:
    """Read a file that shall lie in ``folder`` of the archive.

    Raises
    ------
    ReflashError
        It is missing; the message ends with ``remedy``.
    """
    path = require_file(path, remedy)
    return Attachment(f"{folder}/{path.name}", path.read_bytes())


def smaller(image: Attachment) -> Attachment:
    """Return a PNG as lossless WebP, about half as large with the same pixels."""
    packed = io.BytesIO()
    with Image.open(io.BytesIO(image.content)) as opened:
        opened.convert("RGB").save(packed, "webp", lossless=True, method=4)
    if packed.tell() >= len(image.content):
        return image
    return Attachment(str(Path(image.name).with_suffix(".webp")), packed.getvalue())


def write_archive(path: Path | str, page: Callable[[Callable[[Attachment], str]], str]) -> None:
    """Write a zip of a page and of the files it links, which works wherever it is unpacked.

    Parameters
    ----------
    path
        The zip.
    page
        Makes the page from a function that gives the address of an attachment.
    """
    files: dict[str, bytes] = {}

    def address(attachment: Attachment) -> str:
        files[attachment.name] = attachment.content
        return quote(attachment.name)

    files["index.html"] = page(address).encode("utf-8")
    with (
        atomic(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"report/{name}", EARLIEST)
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED)
