"""Downloading one file over http(s): resumed, retried, checked, and moved into place when whole.

The bytes go to ``NAME.part``, with ``NAME.part.json`` saying which version of which address they
are; a run that was killed continues there. Nothing is ever written under the final name but a
complete file whose hash is right.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import SplitResult, urlsplit

import requests
import urllib3
from pydantic import Field

from reflash import __version__
from reflash.core.errors import ReflashError, StopError
from reflash.core.files import file_hash, write_json
from reflash.core.progress import say
from reflash.core.settings import Settings
from reflash.datasets.meter import Meter, transfer_meter
from reflash.datasets.space import disk_errors, human, require_space

Place = TypeVar("Place")
Got = TypeVar("Got")

_CHUNK = 1 << 18
_SLOWEST = 1024  # bytes per stall_timeout; less counts as a stall
_LONGEST_WAIT = 60.0
_RETRIED = frozenset({408, 425, 429})  # of the 4xx, besides all 5xx
_HOPELESS = (
    requests.exceptions.SSLError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.TooManyRedirects,
)


class Network(Settings):
    """How patient downloads are."""

    connect_timeout: Annotated[float, Field(gt=0)] = 15.0
    """Seconds to wait for a connection."""
    stall_timeout: Annotated[float, Field(gt=0)] = 30.0
    """Seconds without data after which a transfer counts as failed."""
    retries: Annotated[int, Field(ge=0)] = 4
    """How often a transfer is tried again without any further byte arriving."""
    back_off: Annotated[float, Field(ge=0)] = 1.0
    """Seconds before the first retry; doubled before each further one, up to a minute."""
    parallel: Annotated[int, Field(ge=1, le=32)] = 8
    """How many small files are fetched at once."""


class NotFoundError(ReflashError):
    """The server says that there is no such file (404, 410) or that it is not for us (403).

    S3 says 403 of what is not there to all who may not list; others show a web page (200).
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _TransientError(Exception):
    """Worth another attempt, after ``wait`` seconds at least."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def download(
    url: str,
    dst: Path | str,
    *,
    size: int | None = None,
    sha256: str | None = None,
    md5: str | None = None,
    network: Network | None = None,
    session: requests.Session | None = None,
    meter: Meter | None = None,
    stop: threading.Event | None = None,
) -> Path:
    """Download ``url`` to the file ``dst`` and return it.

    Parameters
    ----------
    url
        An http or https address.
    dst
        The file; one that is there already and has the right hash is not downloaded again.
    size, sha256, md5
        What the file must be, as far as that is known.
    network
        How patient to be.
    session
        Keeps connections open over several files.
    meter
        Shows the progress; by default one of its own.
    stop
        Ends the transfer soon after it is set.

    Raises
    ------
    ReflashError
        The file cannot be had there or is not what it should be (the line begins with ``url``).
    StopError
        The disk is full or cannot be written; what arrived is kept and continued by the next run.
    """
    dst = Path(dst)
    address_parts(url)
    if dst.is_file() and (sha256 or md5) and not hash_problem(dst, sha256, md5):
        return dst
    with (
        transfer_meter(dst.name) if meter is None else nullcontext(meter) as shown,
        disk_errors(dst),
    ):
        transfer = _Transfer(
            url,
            dst,
            size,
            bool(sha256 or md5),
            network or Network(),
            session or new_session(),
            shown,
            stop or threading.Event(),
        )
        dst.parent.mkdir(parents=True, exist_ok=True)
        for second in (False, True):
            transfer.run()
            problem = _content_problem(transfer.part, sha256, md5)
            if problem is None:
                break
            transfer.discard()
            if second or not transfer.resumed:  # an old part may have spoilt the first only
                if problem == _WEB_PAGE:
                    raise NotFoundError(f"{url}: {problem}", 200)
                raise ReflashError(f"{url}: {problem}")
        transfer.part.replace(dst)
        transfer.note.unlink(missing_ok=True)
        shown.finish_file()
    return dst


def address_parts(url: str) -> SplitResult:
    """Return the parts of an address.

    Raises
    ------
    ReflashError
        It is malformed, or not of http or https.

    Examples
    --------
    >>> address_parts("https://example.org/Set5.zip?download=1").path
    '/Set5.zip'
    """
    try:
        url.encode()
        parts = urlsplit(url)
    except ValueError as error:
        reason = "not UTF-8" if isinstance(error, UnicodeError) else error
        raise ReflashError(f"{url}: malformed address ({reason}); correct it") from error
    if parts.scheme not in ("http", "https"):
        raise ReflashError(
            f"{url}: not an http or https address; correct it, or give a file or folder on disk"
        )
    if not parts.hostname:
        raise ReflashError(f"{url}: malformed address (it names no host); correct it")
    return parts


def new_session(connections: int = 1) -> requests.Session:
    """Return a session that keeps so many connections open, for several threads."""
    session = requests.Session()
    session.headers.update({"User-Agent": f"reflash/{__version__}", "Accept-Encoding": "identity"})
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=connections)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


class _Transfer:
    """The attempts to get one file into ``part``."""

    def __init__(
        self,
        url: str,
        dst: Path,
        size: int | None,
        proven: bool,
        network: Network,
        session: requests.Session,
        meter: Meter,
        stop: threading.Event,
    ) -> None:
        self.url, self.size, self.proven = url, size, proven
        self.network, self.session, self.meter, self.stop = network, session, meter, stop
        self.part = dst.with_name(f"{dst.name}.part")
        self.note = dst.with_name(f"{dst.name}.part.json")
        self.resumed = False
        self.counted = 0

    def run(self) -> None:
        """Fill ``part``, trying again as long as that is reasonable."""
        furthest, failures = self._have(), 0
        while True:
            try:
                self._attempt()
                return
            except _TransientError as error:
                have = self._have()
                failures = 1 if have > furthest else failures + 1
                furthest = max(have, furthest)
                if failures > self.network.retries:
                    times = "once" if failures == 1 else f"{failures} times"
                    raise ReflashError(f"{self.url}: {error} (tried {times})") from error
                wait = max(self.network.back_off * 2 ** (failures - 1), error.wait)
                if self.stop.wait(min(wait, _LONGEST_WAIT)):
                    raise ReflashError(f"{self.url}: stopped") from error

    def discard(self) -> None:
        """Throw away what arrived."""
        self._count(0)
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _count(self, have: int) -> None:
        """Make the meter count ``have`` bytes of this file as there already."""
        self.meter.resume(have - self.counted)
        self.counted = have

    def _attempt(self) -> None:
        headers = self._range_headers()
        timeout = (self.network.connect_timeout, self.network.stall_timeout)
        try:
            with self.session.get(self.url, headers=headers, stream=True, timeout=timeout) as reply:
                self._take(reply, "Range" in headers)
        except requests.ConnectTimeout as error:
            raise _TransientError(f"no connection within {timeout[0]:g} s") from error
        except requests.Timeout as error:
            raise _TransientError(f"no answer within {timeout[1]:g} s") from error
        except _HOPELESS as error:
            raise ReflashError(f"{self.url}: {self._reason(error)}") from error
        except requests.RequestException as error:
            raise _TransientError(self._reason(error)) from error
        except OSError as error:
            if error.errno is not None:  # of this disk
                raise
            raise ReflashError(f"{self.url}: {error}") from error  # certificates that are not there
        except (ValueError, OverflowError, urllib3.exceptions.HTTPError) as error:
            # requests lets some malformed addresses through, its own and those of redirects.
            raise ReflashError(
                f"{self.url}: this address, or one it leads to, is malformed "
                f"({self._reason(error)})"
            ) from error

    def _reason(self, error: Exception) -> str:
        """Say why there is no answer, and whether a proxy was to give it (not which: passwords)."""
        try:
            proxies = requests.utils.get_environ_proxies(self.url)
            proxy = requests.utils.select_proxy(self.url, proxies)
        except ValueError:
            proxy = None
        through = ", through the proxy that the environment names" if proxy else ""
        return f"{_plain(error)}{through}"

    def _range_headers(self) -> dict[str, str]:
        """Ask for the rest, where it is sure to be the rest of the same file."""
        have = self._have()
        try:
            state = json.loads(self.note.read_text("utf-8"))
            url, validator = state["url"], state["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        if not have or url != self.url or not (validator or self.proven):
            return {}
        headers = {"Range": f"bytes={have}-"}
        if validator:
            headers["If-Range"] = validator
        return headers

    def _take(self, reply: requests.Response, asked: bool) -> None:
        status, have = reply.status_code, self._have()
        if status == 416 and asked:
            if _range(reply)[1] == have:
                return
            self.discard()
            raise _TransientError("the file there changed")
        if status in (403, 404, 410):
            raise NotFoundError(f"{self.url}: answered {status} {reply.reason}", status)
        if status >= 500 or status in _RETRIED:
            raise _TransientError(f"answered {status} {reply.reason}", _retry_after(reply))
        if status not in (200, 206):
            raise ReflashError(f"{self.url}: answered {status} {reply.reason}")
        if status == 206:
            start, total = _range(reply)
            if not asked or start != have:
                self.discard()
                raise _TransientError("answered with another part of the file")
            self.resumed = True
        else:
            have, total = 0, _length(reply)
        if self.size is not None and total is not None and total != self.size:
            self.discard()
            if "html" in reply.headers.get("Content-Type", ""):
                raise NotFoundError(f"{self.url}: {_WEB_PAGE}", status)
            raise ReflashError(f"{self.url}: has {total} bytes, should have {self.size}")
        if total is not None:
            alone = self.meter.files == 1
            what, announce = f"download of {self.url}", alone and self.size is None
            require_space(self.part.parent, total - have, what, announce)
            if alone:
                self.meter.expect(total)
        if not have:
            self.part.unlink(missing_ok=True)
            write_json(self.note, {"url": self.url, "validator": _validator(reply)})
        self._count(have)
        self._receive(reply.raw, total)

    def _receive(self, raw: urllib3.HTTPResponse, total: int | None) -> None:
        """Append what arrives to ``part``."""
        began, recent = time.monotonic(), 0
        stalled = _TransientError(f"no data for {self.network.stall_timeout:g} s")
        with self.part.open("ab") as file:
            while True:
                try:
                    chunk = raw.read1(_CHUNK, decode_content=False)
                except urllib3.exceptions.TimeoutError as error:
                    raise stalled from error
                except (urllib3.exceptions.HTTPError, OSError) as error:
                    raise _TransientError(self._cut_off(total)) from error
                if not chunk:
                    break
                file.write(chunk)
                file.flush()  # what a kill -9 leaves is continued by the next run
                self.counted += len(chunk)
                self.meter.advance(len(chunk))
                recent += len(chunk)
                if self.size is not None and self.counted > self.size:
                    raise ReflashError(f"{self.url}: has more than the {self.size} bytes it should")
                now = time.monotonic()
                if now - began >= self.network.stall_timeout:
                    if recent < _SLOWEST:
                        raise stalled
                    began, recent = now, 0
                if self.stop.is_set():
                    raise ReflashError(f"{self.url}: stopped")
            os.fsync(file.fileno())
        if total is not None and self.counted != total:
            raise _TransientError(self._cut_off(total))

    def _cut_off(self, total: int | None) -> str:
        of = f" of {human(total)}" if total else ""
        return f"the connection broke after {human(self.counted)}{of}"


_WEB_PAGE = "answered with a web page instead of the file"


def _content_problem(path: Path, sha256: str | None, md5: str | None) -> str | None:
    with path.open("rb") as file:
        head = file.read(512).lstrip().lower()
    if not head:
        return "the file there is empty"
    if head.startswith((b"<!doctype html", b"<html")):
        return _WEB_PAGE
    return hash_problem(path, sha256, md5)


def in_turn(name: str, sources: Sequence[Place], get: Callable[[Place], Got], by_hand: str) -> Got:
    """Return what the first source gives that does not fail.

    Raises
    ------
    ReflashError
        All failed; the message has every reason and ends with ``by_hand``.
    """
    reasons = []
    for source in sources:
        try:
            return get(source)
        except StopError:
            raise
        except ReflashError as error:
            reasons.append(str(error))
            more = "; trying the next source" if len(reasons) < len(sources) else ""
            say(f"{name}: {error}{more}")
    tried = "; ".join(f"({i}) {reason}" for i, reason in enumerate(reasons, 1))
    raise ReflashError(
        f"{name}: could not be fetched from any source: {tried}; try again later, or {by_hand}"
    )


def hash_problem(path: Path, sha256: str | None, md5: str | None) -> str | None:
    """Say how the file's hash differs from what it should be, as far as that is known."""
    for kind, wanted in (("sha256", sha256), ("md5", md5)):
        if wanted:
            found = file_hash(path, kind)
            if found != wanted:
                return f"wrong checksum, {kind} is {found}, should be {wanted}"
    return None


def _validator(reply: requests.Response) -> str | None:
    """Return what names this version of the file: a strong ETag or the date of its last change."""
    etag = reply.headers.get("ETag", "")
    if etag.startswith('"'):
        return etag
    return reply.headers.get("Last-Modified")


def _length(reply: requests.Response) -> int | None:
    text = reply.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _range(reply: requests.Response) -> tuple[int | None, int | None]:
    """Return first byte and total size of the header Content-Range, as far as it states them."""
    header = reply.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", header.strip())
    if not match:
        return None, None
    start, total = match.groups()
    return int(start) if start else None, int(total) if total != "*" else None


def _retry_after(reply: requests.Response) -> float:
    text = reply.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0


def _plain(error: Exception) -> str:
    """Return the innermost reason of a connection error, in one line."""
    inner: BaseException = error
    while True:
        reason = getattr(inner, "reason", None)
        deeper = reason if isinstance(reason, BaseException) else inner.__cause__
        if deeper is None and inner.args and isinstance(inner.args[-1], BaseException):
            deeper = inner.args[-1]
        if deeper is None or deeper is inner:
            break
        inner = deeper
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror[0].lower() + inner.strerror[1:]
    text = re.sub(r"<[^>]*>:?\s*", "", str(inner))
    return " ".join(text.split()) or type(inner).__name__
