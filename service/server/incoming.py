"""What a client sends, made into requests: bytes through the parser, each request to be answered when it is whole.

One whose body is long is to be answered before that, by a thread that reads the rest as it comes.
"""

from __future__ import annotations

import asyncio
import io
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import httptools

from service.calls import WAITED
from service.server.exchange import NAMES, Exchange, Server, named
from service.server.pace import is_too_slow
from service.server.stream import Stream

HEAD = 1 << 16
"""Bytes that a request's line and headers may take, or what stands around a body's chunks."""
HEADERS = 128
"""Headers that a request may have, each of them counted: those of one name are joined."""
HELD = 1 << 21
"""Bytes that a client may send before they are answered, in one request or several.

The rest of a longer body is read by the thread that answers; what else is too much is not read yet.
"""
BUFFER = 1 << 16
"""Bytes that a thread reads of a body at once."""
SMALL = 4096
"""Bytes below which the pieces of a body are gathered: each would cost more than it holds."""

NOTHING, BEGUN, BODY = range(3)
"""How much of a request has come: nothing, a part of its head, a part of its body."""


class Order(Protocol):
    """What a connection does with requests: one is answered after the other."""

    server: Server
    transport: asyncio.Transport
    last: bool
    ahead: int

    @property
    def busy(self) -> bool:
        """Whether the next request has to wait."""

    def take(self, exchange: Exchange) -> None:
        """Have a request answered that is whole, after those before it."""

    def begin(self, exchange: Exchange) -> None:
        """Have a request answered, now."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read on."""

    def refuse(self, status: int, detail: str) -> None:
        """Say what is wrong with what is no request, and end."""


def _has_body(environ: dict[str, Any]) -> bool:
    return environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ


class Rest:
    """What is left of a request once its head was read: its body."""

    def __init__(self, incoming: Incoming) -> None:
        self.on_body, self.on_message_complete = incoming.on_body, incoming.on_message_complete


class Incoming:
    """The request that comes in, as far as it has come."""

    def __init__(self, order: Order, base: dict[str, Any]) -> None:
        self.order, self.server, self.base = order, order.server, base
        self.parser = httptools.HttpRequestParser(self)
        self.exchange: Exchange | None = None
        self.stream: Stream | None = None
        self.size = 0
        self.on_message_begin()
        self.stage = NOTHING

    def feed(self, data: bytes | memoryview) -> None:
        """Read what came."""
        self.around += len(data)
        self.size += len(data)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._read_on(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self.order.refuse(400, f"this is not HTTP: {error}")
        if self.around > HEAD and self.stage != NOTHING:
            self.order.refuse(431, f"the request's head, or what stands around its chunks, is longer than {HEAD} bytes")

    def is_too_slow(self, since: float) -> bool:
        """Whether a request has begun that does not come on; `since` is when the last byte came."""
        return self.stage != NOTHING and is_too_slow(self.server.now, self.begun, since, self.size)

    def close(self) -> None:
        """Let go of parser and stream, which hold what they belong to: circles otherwise."""
        self.stream = self.exchange = None
        del self.parser

    # ---- what the parser finds

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.stage, self.url, self.around, self.headers, self.begun = BEGUN, b"", 0, 0, self.server.now
        self.pieces: list[bytes | bytearray] = []
        self.environ = self.base.copy()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, unless there are too many."""
        self.headers += 1
        key = NAMES.get(name) or named(name)
        if key and self.headers <= HEADERS:
            text = value.rstrip().decode("latin-1")
            environ = self.environ
            environ[key] = f"{environ[key]},{text}" if key in environ else text

    def on_headers_complete(self) -> None:
        """Know what is asked; what is too long to be waited for is answered while it comes."""
        parser, environ, url = self.parser, self.environ, self.url
        path, _, query = url.partition(b"?")
        if not path.startswith(b"/"):  # the absolute form, as proxies are asked
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        if b"%" in path:
            path = unquote_to_bytes(path)
        environ["REQUEST_METHOD"] = parser.get_method().decode("latin-1")
        environ["PATH_INFO"] = path.decode("latin-1")
        environ["QUERY_STRING"] = query.decode("latin-1")
        version = parser.get_http_version()
        environ["SERVER_PROTOCOL"] = "HTTP/" + version
        self.exchange = Exchange(self.order, environ, parser.should_keep_alive())
        self.environ = {}  # what stands behind a body is no header: it is dropped
        self.stage = BODY
        if (
            version != "1.1"
            or "," in environ.get("HTTP_HOST", ",")
            or "HTTP_TRANSFER_ENCODING" in environ
            or self.headers > HEADERS
        ):
            self._look_closer(version, environ)
        length = environ.get("CONTENT_LENGTH", "0")
        if self.order.last or self.order.busy:
            return
        if len(length) > 9 and int(length) > self.server.most:
            self._stream(self.exchange)  # nobody waits for what will be refused
        elif "HTTP_EXPECT" in environ:
            self._invite(environ)

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self.around = 0
        if self.stream:
            if not self.stream.feed(piece):
                self.order.pause()
            return
        pieces = self.pieces
        if not pieces or len(piece) >= SMALL:
            pieces.append(piece)
        elif type(pieces[-1]) is bytearray:
            pieces[-1] += piece
        else:
            pieces.append(bytearray(piece))
        if self.size + self.order.ahead > HELD:
            if self.order.busy:
                self.order.pause()
            elif self.exchange:
                self._stream(self.exchange)

    def on_message_complete(self) -> None:
        """Hand the request on."""
        if self.parser.should_upgrade() and self.exchange and _has_body(self.exchange.environ):
            return
        self.stage = NOTHING
        exchange, self.exchange = self.exchange, None
        if self.order.last:
            return
        assert exchange
        exchange.size, self.size = self.size, 0
        if self.stream:
            self.stream.end()
            self.stream = None
            return
        pieces, self.pieces = self.pieces, []
        exchange.environ["wsgi.input"] = io.BytesIO(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self.order.take(exchange)

    def _read_on(self, rest: bytes | memoryview) -> None:
        """Answer a request that asks for another protocol too, and end: nothing is spoken but HTTP/1.1."""
        if not self.exchange:
            self.order.last = True
            return
        # The parser takes what stands behind the head for that protocol: another one has to read the body.
        environ, self.exchange.keep = self.exchange.environ, False
        length = environ.get("CONTENT_LENGTH")
        framing = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
        self.parser = httptools.HttpRequestParser(Rest(self))
        self.parser.feed_data(f"POST / HTTP/1.1\r\n{framing}\r\n\r\n".encode() + rest)

    def _look_closer(self, version: str, environ: dict[str, Any]) -> None:
        """Refuse what another server on the way may have understood otherwise."""
        if self.headers > HEADERS:
            self.order.refuse(431, f"the request has {self.headers} headers, {HEADERS} are taken: send fewer")
        elif version not in ("1.1", "1.0"):
            self.order.refuse(505, f"nothing is spoken here but HTTP/1.1 and 1.0, not {version}")
        elif version == "1.1" and "," in environ.get("HTTP_HOST", ","):
            self.order.refuse(400, "HTTP/1.1 asks for one header Host: send one")
        elif environ.get("HTTP_TRANSFER_ENCODING", "chunked").lower() != "chunked":
            self.order.refuse(501, "no Transfer-Encoding is spoken here but chunked")
        elif version == "1.0" and "HTTP_TRANSFER_ENCODING" in environ:
            self.order.refuse(400, "HTTP/1.0 knows no Transfer-Encoding: send a Content-Length")

    def _invite(self, environ: dict[str, Any]) -> None:
        if environ["HTTP_EXPECT"].lower() == "100-continue" and environ["SERVER_PROTOCOL"] == "HTTP/1.1":
            self.order.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _stream(self, exchange: Exchange) -> None:
        """Have a request answered whose body is still coming."""
        stream = Stream(lambda: self.server.call(self.order.resume))
        for piece in self.pieces:
            stream.feed(piece)
        self.pieces = []
        exchange.environ["wsgi.input"] = io.BufferedReader(stream, BUFFER)
        exchange.environ[WAITED] = stream.waited
        self.stream = exchange.stream = stream
        self.order.begin(exchange)
