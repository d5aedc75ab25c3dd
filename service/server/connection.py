"""One client's connection: its requests in their order, each answered before the next.

Nothing here waits for a client. A request is answered when it is whole, or when so much of it came that the rest is
worth a thread of its own. What has not come yet takes a little memory and nothing else, and so does a reply that is not
taken.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from service.errors import CellarError, OverloadError, RequestError, SlowError
from service.server.crowd import STILL, make_room
from service.server.exchange import Exchange, Server
from service.server.incoming import BEGUN, BODY, HELD, NOTHING, Incoming
from service.server.outgoing import Outgoing, Pieces
from service.server.pace import PATIENCE, SLOWEST

IDLE = 75
"""Seconds that a connection is kept without a request."""
TELL = 2
"""Seconds for a client to read why its request was not read to the end."""
PIPELINED = 16
"""Requests that a client may send ahead of their answers."""
SLICE = 1 << 14
"""Bytes that are read before it is asked whether they were too many."""

ERRORS: dict[int, type[CellarError]] = {error.status: error for error in (SlowError, OverloadError)}
"""What the reader of a body is told that is not read to its end; where nothing stands, RequestError."""


class Connection(asyncio.Protocol):
    """A client, the request that is being answered, and those that are still to be."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.server = server
        self.active: Exchange | None = None
        self.queue: deque[Exchange] = deque()
        self.ahead = 0
        self.kept = memoryview(b"")
        self.asked = self.gone = self.last = self.heard = self.paused = False
        self.since = self.halted = server.now
        self.answered = time.monotonic()  # more exact than the server's: many come within a second

    def connection_made(self, transport: Any) -> None:
        """Begin, unless there are too many."""
        self.transport = transport
        peer = transport.get_extra_info("peername")
        base = {**self.server.base, "REMOTE_ADDR": peer[0] if isinstance(peer, tuple) else ""}
        self.incoming, self.outgoing = Incoming(self, base), Outgoing(self.server, transport)
        self.server.connections.add(self)
        if not make_room(self.server.connections, self.server.places, self):
            self.refuse(503, "this service has as many clients as it takes: try again")

    # ---- what comes in

    def data_received(self, data: bytes) -> None:
        """Read what came, no more of it at once than what one connection may hold."""
        if self.last:
            return
        self.since = self.server.now
        if len(data) > SLICE:
            self._feed(memoryview(data))
        else:
            self.incoming.feed(data)

    def _feed(self, data: memoryview) -> None:
        for at in range(0, len(data), SLICE):
            if self.paused:
                self.kept = data[at:]
                break
            if not self.last:
                self.incoming.feed(data[at : at + SLICE])

    def take(self, exchange: Exchange) -> None:
        """Have a request answered that is whole, after those before it."""
        if self.busy:
            self.queue.append(exchange)
            self.ahead += exchange.size
            if self._holds_enough():
                self.pause()
        else:
            self.begin(exchange)

    @property
    def busy(self) -> bool:
        """Whether the next request has to wait: for an answer, or until its client takes those before."""
        return self.active is not None or self.outgoing.full

    def begin(self, exchange: Exchange) -> None:
        """Have a request answered, now."""
        self.active, self.asked = exchange, True
        if exchange.refusal:
            self.finish(exchange, exchange.refusal)
        else:
            self.server.submit(exchange)

    def pause(self) -> None:
        """Read no more for now."""
        if not self.paused and not self.gone:
            self.paused, self.halted = True, self.server.now
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on; that nothing came meanwhile was not the client's doing."""
        if self.paused and not self.gone:
            self.paused, self.since = False, self.server.now
            self.incoming.begun += self.since - self.halted
            kept, self.kept = self.kept, memoryview(b"")
            self._feed(kept)
            if not self.paused:
                self.transport.resume_reading()

    def _holds_enough(self) -> bool:
        return len(self.queue) >= PIPELINED or self.ahead + self.incoming.size > HELD

    # ---- what goes out

    def finish(self, exchange: Exchange, body: bytes) -> None:
        """Send a reply that is whole, unless its client is gone or was told that it took too long."""
        if exchange is self.active:
            self.decide(exchange)
            self.outgoing.reply(exchange, body)
            self.done(exchange)

    def send(self, exchange: Exchange, reply: Iterable[bytes]) -> None:
        """Send a reply in pieces, which are made no faster than they are taken."""
        if exchange is self.active:
            self.outgoing.pieces = Pieces(self, exchange, reply)
            self.outgoing.pieces.ask()
        else:
            self.server.beside(getattr(reply, "close", lambda: None))

    def break_off(self, exchange: Exchange) -> None:
        """End the connection in the middle of a reply, so that its client sees that it is not whole."""
        if exchange is self.active:
            self.transport.abort()

    def decide(self, exchange: Exchange) -> None:
        """End the connection with this reply where it has to be."""
        if self.incoming.stream or ((self.server.closing or self.last) and not self.queue):
            exchange.keep = False

    def done(self, exchange: Exchange) -> None:
        """Go on to the next request."""
        self.active, self.since, self.answered = None, self.server.now, time.monotonic()
        if not exchange.keep:
            self._let_go()
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Begin the next request and read on, unless the client does not take its replies."""
        if self.busy:
            return
        if self.queue:
            following = self.queue.popleft()
            self.ahead -= following.size
            self.begin(following)
            if self._holds_enough():
                return
        self.resume()

    def refuse(self, status: int, detail: str) -> None:
        """Say what is wrong with what is no request, and end; what was asked before it is answered first."""
        if self.gone:
            return
        stream, last = self.incoming.stream, self.last
        self.last = True
        if stream:  # its reader answers
            stream.end(ERRORS.get(status, RequestError)(detail))
        elif not last:
            self.take(self._refusal(status, detail))

    def _refusal(self, status: int, detail: str) -> Exchange:
        phrase = HTTPStatus(status).phrase
        exchange = Exchange(self, {"SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_METHOD": ""}, keep=False)
        again = [("Retry-After", "1")] if status == HTTPStatus.SERVICE_UNAVAILABLE else []
        exchange.start(f"{status} {phrase}", [("Content-Type", "application/problem+json"), *again])
        told = {"type": "about:blank", "title": phrase, "status": status, "detail": detail}
        exchange.refusal = msgspec.json.encode(told)
        return exchange

    def _let_go(self) -> None:
        """End, but read on for a moment: a client that still sends would lose the reply otherwise."""
        self.last, self.since = True, self.server.now
        self._tear()
        if self.heard:
            self.transport.close()
        elif not self.transport.is_closing():
            self.transport.write_eof()
            self.resume()

    def _tear(self) -> None:
        if self.incoming.stream:
            self.incoming.stream.end(RequestError("the body ended early: send it again"))

    # ---- what happens to it

    def pause_writing(self) -> None:
        """Hold back: the client does not take its reply."""
        self.outgoing.full = True

    def resume_writing(self) -> None:
        """Go on."""
        self.outgoing.go_on()
        self._go_on()

    def eof_received(self) -> bool:
        """Answer what was sent whole by a client that sends nothing more."""
        if not (self.active or self.queue) or self.incoming.stream:
            return False
        self.last = self.heard = True
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Tell those who still read or write, and keep nothing of what was asked."""
        self.gone = True
        self.server.lost(self)
        self.active = None
        self.queue.clear()
        self._tear()
        if self.outgoing.pieces:
            self.outgoing.pieces.drop()
        self.kept = memoryview(b"")
        self.incoming.close()
        del self.incoming, self.outgoing  # they hold this connection: circles otherwise

    def is_spare(self) -> bool:
        """Whether it may go for another: it waits for no answer, and no body or reply of it moves."""
        if self.active and not self.active.opened:
            return False
        moves = self.incoming.stage == BODY or self.outgoing.pieces or self.transport.get_write_buffer_size()
        return not moves or self._still() > STILL

    def _still(self) -> float:
        """Return for how many seconds nothing came and nothing was taken."""
        return self.server.now - max(self.since, self.outgoing.moved)

    def sweep(self, patience: float) -> None:
        """Give the client up if it is waited for too long; `patience` is for one that asks nothing."""
        now, incoming = self.server.now, self.incoming
        quiet = self.active is None and not self.transport.get_write_buffer_size()
        still = self._still()
        if self.outgoing.is_too_slow() or (self.last and quiet and still > TELL):
            self.transport.abort()
        elif self.last or self.paused:
            return
        elif incoming.stage == BEGUN and now - incoming.begun > PATIENCE:
            self.refuse(408, f"the request's head took longer than {PATIENCE} s")
        elif incoming.is_too_slow(self.since):
            self.refuse(408, f"the body came too slowly: nothing for {PATIENCE} s, or under {SLOWEST} bytes a second")
        elif incoming.stage == NOTHING and quiet and still >= patience:
            self.transport.close()
