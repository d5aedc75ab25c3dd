"""One client's connection: bytes into requests, replies into bytes, one after the other.

Nothing here waits for a client. A request is answered when it is whole, or when so much of it came that the rest is
worth a thread of its own. What has not come yet takes a little memory and nothing else, and so does a reply that is not
fetched.
"""

from __future__ import annotations

import asyncio
import fcntl
import io
import itertools
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import httptools
import msgspec

from service.server.exchange import NAMES, Exchange, named
from service.server.stream import Stream

HEAD = 1 << 16
"""Bytes that a request's line and headers may take, or what stands around a body's chunks, unless they come at once."""
HELD = 1 << 21
"""Bytes of a body that are waited for before the rest is read by the thread that answers."""
WHOLE = 1 << 16
"""Bytes of a reply that are copied behind its head, to be sent with it."""
PIECES = 4
"""Pieces of a reply that may be on their way to a client before the next is made."""
PATIENCE = 30
"""Seconds without a byte after which a client is given up."""
IDLE = 75
"""Seconds that a connection is kept without a request."""
SLOWEST = 4096
"""Bytes a second that a body, or a reply in pieces, has to reach on average after PATIENCE."""
TELL = 2
"""Seconds for a client to read why its request was not read to the end."""
PIPELINED = 16
"""Requests that a client may send ahead of their answers."""

SMALL = 4096
"""Bytes below which the pieces of a body are gathered: each would cost more than it holds."""

NOTHING, BEGUN, BODY = range(3)
"""How much of a request has come: nothing, a part of its head, a part of its body."""


class Server(Protocol):
    """What a connection asks of the worker that it belongs to."""

    now: float
    date: bytes
    closing: bool
    most: int
    base: dict[str, Any]
    connections: set[Connection]

    def submit(self, exchange: Exchange) -> None:
        """Have a request answered."""

    def lost(self, connection: Connection) -> None:
        """Forget a connection that is gone."""

    def call(self, function: Any, *args: Any) -> None:
        """Call a function in the event loop, from whatever thread."""


def _has_body(environ: dict[str, Any]) -> bool:
    return environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ


class Rest:
    """What is left of a request once its head was read: its body."""

    def __init__(self, connection: Connection) -> None:
        self.on_body, self.on_message_complete = connection.on_body, connection.on_message_complete


class Connection(asyncio.Protocol):
    """A client; what is known of the request that comes in, and what is still to be answered."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.server, self.base = server, server.base
        self.parser = httptools.HttpRequestParser(self)
        self.exchange: Exchange | None = None
        self.active: Exchange | None = None
        self.queue: deque[Exchange] = deque()
        self.stream: Stream | None = None
        self.held: deque[threading.Semaphore] = deque()
        self.gone = self.last = self.heard = self.full = self.paused = False
        self.since = self.moved = server.now
        self.written = self.fetched = 0
        self.on_message_begin()
        self.stage = NOTHING

    # ---- what comes in

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.base = {**self.base, "REMOTE_ADDR": peer[0] if isinstance(peer, tuple) else ""}
        self.server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self.since = self.server.now
        if self.last:
            return
        self.around += len(data)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._read_on(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(400, f"this is not HTTP: {error}")
        if self.around > HEAD and self.stage != NOTHING:
            self._refuse(431, f"the request's head, or what stands around its chunks, is longer than {HEAD} bytes")

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.stage, self.url, self.around, self.begun = BEGUN, b"", 0, self.server.now
        self.pieces: list[bytes | bytearray] = []
        self.environ = self.base.copy()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        key = NAMES.get(name) or named(name)
        text = value.rstrip().decode("latin-1")
        environ = self.environ
        if key:
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
        self.exchange = Exchange(self, environ, parser.should_keep_alive())
        self.environ = {}  # what stands behind a body is no header: it is dropped
        self.stage, self.size = BODY, 0
        if version != "1.1" or "," in environ.get("HTTP_HOST", ",") or "HTTP_TRANSFER_ENCODING" in environ:
            self._look_closer(version, environ)
        length = environ.get("CONTENT_LENGTH", "0")
        if self.last:
            return
        if len(length) > 9 and int(length) > self.server.most and not self.active:
            self._stream()  # nobody waits for what will be refused
        elif "HTTP_EXPECT" in environ and not self.active:
            self._invite(environ)

    def _read_on(self, rest: bytes) -> None:
        """Answer a request that asks for another protocol too, and end: nothing is spoken but HTTP/1.1."""
        if not self.exchange:
            self.last = True
            return
        # The parser takes what stands behind the head for that protocol: another one has to read the body.
        environ, self.exchange.keep = self.exchange.environ, False
        length = environ.get("CONTENT_LENGTH")
        framing = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
        self.parser = httptools.HttpRequestParser(Rest(self))
        self.parser.feed_data(f"POST / HTTP/1.1\r\n{framing}\r\n\r\n".encode() + rest)

    def _look_closer(self, version: str, environ: dict[str, Any]) -> None:
        """Refuse what another server on the way may have understood otherwise."""
        if version not in ("1.1", "1.0"):
            self._refuse(505, f"nothing is spoken here but HTTP/1.1 and 1.0, not {version}")
        elif version == "1.1" and "," in environ.get("HTTP_HOST", ","):
            self._refuse(400, "HTTP/1.1 asks for one header Host: send one")
        elif environ.get("HTTP_TRANSFER_ENCODING", "chunked").lower() != "chunked":
            self._refuse(501, "no Transfer-Encoding is spoken here but chunked")
        elif version == "1.0" and "HTTP_TRANSFER_ENCODING" in environ:
            self._refuse(400, "HTTP/1.0 knows no Transfer-Encoding: send a Content-Length")

    def _invite(self, environ: dict[str, Any]) -> None:
        if environ["HTTP_EXPECT"].lower() == "100-continue" and environ["SERVER_PROTOCOL"] == "HTTP/1.1":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self.around = 0
        self.size += len(piece)
        if self.stream:
            if not self.stream.feed(piece):
                self._pause()
            return
        pieces = self.pieces
        if not pieces or len(piece) >= SMALL:
            pieces.append(piece)
        elif type(pieces[-1]) is bytearray:
            pieces[-1] += piece
        else:
            pieces.append(bytearray(piece))
        if self.size > HELD:
            if self.active:
                self._pause()
            else:
                self._stream()

    def on_message_complete(self) -> None:
        """Have the request answered, after those before it."""
        if self.parser.should_upgrade() and self.exchange and _has_body(self.exchange.environ):
            return
        self.stage = NOTHING
        exchange, self.exchange = self.exchange, None
        if self.last:
            return
        if self.stream:
            self.stream.end()
            self.stream = None
            return
        assert exchange
        pieces, self.pieces = self.pieces, []
        exchange.environ["wsgi.input"] = io.BytesIO(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self.active:
            self.queue.append(exchange)
            if len(self.queue) >= PIPELINED:
                self._pause()
        else:
            self._next(exchange)

    def _stream(self) -> None:
        """Have a request answered whose body is still coming."""
        assert self.exchange
        stream = Stream(lambda: self.server.call(self._resume))
        for piece in self.pieces:
            stream.feed(piece)
        self.pieces = []
        self.exchange.environ["wsgi.input"] = io.BufferedReader(stream, WHOLE)
        self.stream = stream
        self._next(self.exchange)

    def _next(self, exchange: Exchange) -> None:
        self.active = exchange
        self.server.submit(exchange)

    def _pause(self) -> None:
        if not self.paused and not self.gone:
            self.paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        self.since = self.server.now
        if self.paused and not self.gone:
            self.paused = False
            self.transport.resume_reading()

    # ---- what goes out

    def finish(self, exchange: Exchange, body: bytes) -> None:
        """Send a reply that is whole, unless its client is gone or was told that it took too long."""
        if exchange is not self.active:
            return
        self._decide(exchange)
        head = exchange.head(len(body), self.server.date)
        if exchange.bare:
            self.transport.write(head)
        elif len(body) <= WHOLE:
            self.transport.write(head + body)
        else:
            self.transport.writelines([head, body])
        self._done(exchange)

    def send(self, exchange: Exchange, reply: Iterable[bytes]) -> None:
        """Send a reply in pieces, from a thread, no faster than they are fetched; ConnectionError if they are not.

        ValueError if the pieces are not as long as the headers say: what follows would be taken for the rest.
        """
        turns = threading.Semaphore(PIECES)
        pieces = iter(reply)
        first = next(pieces, b"")  # some applications begin their reply only now
        length, sent, start = exchange.declared(), 0, time.monotonic()
        self.server.call(self._open, exchange)
        for piece in itertools.chain([first], pieces):
            if not piece or exchange.bare:
                continue
            crawls = sent < (time.monotonic() - start - PATIENCE) * SLOWEST
            turns.acquire()  # a client that takes nothing is given up, which gives all turns back
            if crawls or self.active is not exchange:
                raise ConnectionError("the client does not take its reply")
            sent += len(piece)
            if length is not None and sent > length:
                break
            self.server.call(self._write, exchange, piece, turns)
        if not exchange.bare and length not in (None, sent):
            raise ValueError(f"the reply is not of {length} bytes, as its headers say")
        self.server.call(self._close, exchange)

    def break_off(self, exchange: Exchange) -> None:
        """End the connection in the middle of a reply, so that its client sees that it is not whole."""
        if exchange is self.active:
            self.transport.abort()

    def _open(self, exchange: Exchange) -> None:
        if exchange is self.active:
            exchange.opened, self.moved = True, self.server.now
            self._decide(exchange)
            self.transport.write(exchange.head(None, self.server.date))

    def _write(self, exchange: Exchange, piece: bytes, turns: threading.Semaphore) -> None:
        if exchange is self.active:
            self.written += len(piece)
            self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if exchange.chunked else piece)
            if self.full:
                self.held.append(turns)
                return
        turns.release()

    def _close(self, exchange: Exchange) -> None:
        if exchange is self.active:
            if exchange.chunked:
                self.transport.write(b"0\r\n\r\n")
            self._done(exchange)

    def _decide(self, exchange: Exchange) -> None:
        """End the connection with this reply where it has to be."""
        if self.stream or ((self.server.closing or self.last) and not self.queue):
            exchange.keep = False

    def _done(self, exchange: Exchange) -> None:
        self.active, self.since = None, self.server.now
        if not exchange.keep:
            self._let_go()
        elif self.queue:
            self._next(self.queue.popleft())
            if len(self.queue) < PIPELINED and self.size <= HELD:
                self._resume()
        elif self.paused:
            self._resume()
            if self.stage == BODY and self.size > HELD:
                self._stream()

    def _refuse(self, status: int, detail: str) -> None:
        """Say what is wrong with what is no request, and end; what was asked before it is answered first."""
        if self.stream:
            self.stream.end(torn=True)  # its reader answers
        if self.last or self.gone:
            return
        self.last = True
        if self.active:
            return
        phrase = HTTPStatus(status).phrase
        told = msgspec.json.encode({"type": "about:blank", "title": phrase, "status": status, "detail": detail})
        exchange = Exchange(self, {"SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_METHOD": ""}, keep=False)
        exchange.start(f"{status} {phrase}", [("Content-Type", "application/problem+json")])
        self.transport.write(exchange.head(len(told), self.server.date) + told)
        self._let_go()

    def _let_go(self) -> None:
        """End, but read on for a moment: a client that still sends would lose the reply otherwise."""
        self.last, self.moved = True, self.server.now
        if self.stream:
            self.stream.end(torn=True)
        if self.heard:
            self.transport.close()
        elif not self.transport.is_closing():
            self.transport.write_eof()
            self._resume()

    # ---- what happens to it

    def pause_writing(self) -> None:
        """Hold back: the client does not fetch its reply."""
        self.full = True

    def resume_writing(self) -> None:
        """Go on."""
        self.full = False
        while self.held:
            self.held.popleft().release()

    def eof_received(self) -> bool:
        """Answer what was sent whole by a client that sends nothing more."""
        if self.active is None or self.stream:
            return False
        self.last = self.heard = True
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Tell those who still read or write, and keep nothing of what was asked."""
        self.gone = True
        self.server.lost(self)
        self.active = self.exchange = None
        self.queue.clear()
        self.pieces = []
        if self.stream:
            self.stream.end(torn=True)
        self.resume_writing()
        self.stream = None  # it, and the parser, hold this connection: circles otherwise
        del self.parser

    def sweep(self, patience: float) -> None:
        """Give the client up if nothing was heard of it for too long; `patience` is for one that asks nothing."""
        now = self.server.now
        left = self.transport.get_write_buffer_size()
        fetched = self.written - left - (_in_the_kernel(self.transport) if left else 0)
        if fetched != self.fetched:
            self.fetched, self.moved = fetched, now
        if left or self.last:
            if now - self.moved > (PATIENCE if left else TELL) and not (self.active and not left):
                self.transport.abort()
        elif self.stage == BEGUN:
            if now - self.begun > PATIENCE:
                self._refuse(408, f"the request's head took longer than {PATIENCE} s")
        elif self.stage == BODY:
            if not self.paused and (now - self.since > PATIENCE or self._crawls(now)):
                self._refuse(
                    408, f"the body came too slowly: nothing for {PATIENCE} s, or under {SLOWEST} bytes a second"
                )
        elif self.active is None and now - self.since >= patience:
            self.transport.close()

    def _crawls(self, now: float) -> bool:
        return self.size < (now - self.begun - PATIENCE) * SLOWEST


def _in_the_kernel(transport: asyncio.Transport) -> int:
    """Return how many bytes were sent that the client has not taken: megabytes, and what is left moves in leaps."""
    try:
        told = fcntl.ioctl(transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(told, sys.byteorder)
