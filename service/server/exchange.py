"""One request and its reply, between HTTP and WSGI: what a header is called, how a reply begins."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from service.server.stream import Stream

NAMES = {b"Content-Type": "CONTENT_TYPE", b"Content-Length": "CONTENT_LENGTH"}
"""What the WSGI environ calls a header, as far as clients have sent it."""
NAMES_KEPT, NAME_KEPT = 256, 64
"""How many names are remembered so, and of how many bytes: clients may send any."""

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")


class Server(Protocol):
    """What a connection asks of the worker that it belongs to."""

    now: float
    date: bytes
    closing: bool
    most: int
    places: int
    base: dict[str, Any]
    connections: set[Any]

    def submit(self, exchange: Exchange) -> None:
        """Have a request answered."""

    def lost(self, connection: Any) -> None:
        """Forget a connection that is gone."""

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function in the event loop, from whatever thread."""

    def beside(self, function: Callable[[], Any]) -> None:
        """Call a function in one of the threads that make replies in pieces."""

    def fail(self, exchange: Exchange, error: BaseException) -> None:
        """Tell of a request that could not be answered."""


class Exchange:
    """One request, how many bytes it came in, and how its reply begins; a body that is still coming is a stream.

    What is no request has a refusal in its place: the body of a reply that has begun.
    """

    __slots__ = ("bare", "chunked", "connection", "environ", "keep", "opened", "refusal", "size", "stream", "told")

    def __init__(self, connection: Any, environ: dict[str, Any], keep: bool) -> None:
        self.connection, self.environ, self.keep = connection, environ, keep
        self.told, self.bare, self.chunked, self.opened = b"", False, False, False
        self.stream: Stream | None = None
        self.size, self.refusal = 0, b""

    def start(self, status: str, headers: list[tuple[str, str]], error: Any = None) -> None:
        """Take note of the status and the headers: WSGI's `start_response`; ValueError if they would be misread."""
        told = "".join([f"HTTP/1.1 {status}\r\n", *[f"{name}: {value}\r\n" for name, value in headers]])
        if told.count("\n") != len(headers) + 1 or told.count("\r") != len(headers) + 1:
            raise ValueError("a header of the reply holds a line break")
        self.told = told.encode("latin-1")
        self.bare = self.environ["REQUEST_METHOD"] == "HEAD" or status.startswith(("204", "304"))

    def head(self, length: int | None, date: bytes) -> bytes:
        """Return the reply's head; `length` is the body's, None if that is not known."""
        told, more = self.told, date
        old = self.environ["SERVER_PROTOCOL"] != "HTTP/1.1"
        if b"\r\ncontent-length: " not in told.lower() and not told.startswith((b"HTTP/1.1 204", b"HTTP/1.1 304")):
            if length is not None:
                more += b"Content-Length: %d\r\n" % length
            elif old:
                self.keep = False
            else:
                self.chunked = not self.bare
                more += b"Transfer-Encoding: chunked\r\n"
        if not self.keep:
            more += b"Connection: close\r\n"
        elif old:
            more += b"Connection: keep-alive\r\n"
        return told + more + b"\r\n"

    def declared(self) -> int | None:
        """Return the length of the body that the headers tell."""
        found = LENGTH.search(self.told.lower())
        return int(found[1]) if found else None


def named(name: bytes) -> str:
    """Return the environ's key of a header; "" for one that could pass for another: WSGI knows no "-" from a "_"."""
    if b"_" in name:
        return ""
    upper = name.decode("latin-1").upper().replace("-", "_")
    key = upper if upper in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{upper}"
    if len(NAMES) < NAMES_KEPT and len(name) <= NAME_KEPT:
        NAMES[name] = key
    return key
