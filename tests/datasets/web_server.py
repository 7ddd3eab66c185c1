"""A web server on 127.0.0.1 that misbehaves as it is told."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What the server answers for one path."""

    body: bytes = b""
    status: int = 200
    ranges: bool = True
    """Whether it honours range requests."""
    etag: str | None = '"v1"'
    content_type: str = "application/octet-stream"
    length: bool = True
    """Whether it says how long the body is."""
    reset_after: int | None = None
    """Break the connection after so many bytes of the body."""
    stall_after: int | None = None
    """Send nothing more after so many bytes of the body."""
    piece: int = 1 << 16
    delay: float = 0.0
    """Seconds between pieces of the body."""
    headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[], object] = bool
    """Is called before it answers."""


@dataclass
class Seen:
    """One request."""

    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0


class WebServer:
    """``replies`` by path, each one reply or a list that is used up but for its last."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply | list[Reply]] = {}
        self.seen: list[Seen] = []
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)

    def paths(self) -> list[str]:
        return [seen.path for seen in self.seen]

    def wait_for(self, sent: int, seconds: float = 20) -> None:
        """Wait until so many bytes of bodies were sent."""
        end = time.monotonic() + seconds
        while sum(seen.sent for seen in self.seen) < sent:
            if time.monotonic() > end:
                raise TimeoutError(f"only {sum(seen.sent for seen in self.seen)} bytes were sent")
            time.sleep(0.01)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        seen = Seen(handler.path, dict(handler.headers))
        with self._lock:
            self.seen.append(seen)
            found = self.replies.get(handler.path, Reply(b"no such file", 404))
            if isinstance(found, list):
                found = found.pop(0) if len(found) > 1 else found[0]
        found.before()
        reply, body, status, extra = found, found.body, found.status, dict(found.headers)
        asked = seen.headers.get("Range")
        condition = seen.headers.get("If-Range")
        if asked and reply.ranges and status == 200 and condition in (None, reply.etag):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                status, extra["Content-Range"], body = 416, f"bytes */{len(body)}", b""
            else:
                extra["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                status, body = 206, body[start:]
        seen.status = status
        handler.send_response(status)
        handler.send_header("Content-Type", reply.content_type)
        if reply.etag:
            handler.send_header("ETag", reply.etag)
        for name, value in extra.items():
            handler.send_header(name, value)
        if reply.length:
            handler.send_header("Content-Length", str(len(body)))
        else:
            handler.send_header("Connection", "close")
            handler.close_connection = True
        handler.end_headers()
        try:
            self._send(handler, reply, body, seen)
        except OSError:
            handler.close_connection = True

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply, body: bytes, seen: Seen) -> None:
        stops = [n for n in (reply.reset_after, reply.stall_after) if n is not None]
        end = min([len(body), *stops])
        while seen.sent < end and not self.stopping.is_set():
            piece = body[seen.sent : min(seen.sent + reply.piece, end)]
            handler.wfile.write(piece)
            handler.wfile.flush()
            seen.sent += len(piece)
            if reply.delay:
                self.stopping.wait(reply.delay)
        if reply.reset_after is not None and end == reply.reset_after:
            linger = struct.pack("ii", 1, 0)
            time.sleep(0.1)  # let the client read what was sent: a reset throws it away
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.connection.close()
            handler.close_connection = True
        elif reply.stall_after is not None and end == reply.stall_after:
            self.stopping.wait(30)
            handler.close_connection = True
