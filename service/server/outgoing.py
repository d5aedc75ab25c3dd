"""What a client is sent: replies that are whole, and replies in pieces, made no faster than they are taken."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import sys
import termios
from collections.abc import Iterable
from typing import Protocol

from service.server.exchange import Exchange, Server
from service.server.pace import is_too_slow

WHOLE = 1 << 16
"""Bytes of a reply that are copied behind its head, to be sent with it."""
PIECES = 4
"""Pieces of a reply that a thread makes before it looks whether its client takes them."""


class Turn(Protocol):
    """What a reply in pieces asks of its connection."""

    server: Server
    outgoing: Outgoing
    active: Exchange | None

    def decide(self, exchange: Exchange) -> None:
        """End the connection with this reply where it has to be."""

    def done(self, exchange: Exchange) -> None:
        """Go on to the next request."""


class Outgoing:
    """The bytes that were written to a client, and how it takes them."""

    def __init__(self, server: Server, transport: asyncio.Transport) -> None:
        self.server, self.transport = server, transport
        self.full = False
        self.pieces: Pieces | None = None
        self.written = self.taken = self.mark = self.before = 0
        self.begun = self.moved = server.now

    def write(self, data: bytes) -> None:
        """Send some bytes."""
        self.written += len(data)
        self.transport.write(data)

    def reply(self, exchange: Exchange, body: bytes) -> None:
        """Send a reply that is whole."""
        head = exchange.head(len(body), self.server.date)
        if exchange.bare:
            self.write(head)
        elif len(body) <= WHOLE:
            self.write(head + body)
        else:
            self.written += len(head) + len(body)
            self.transport.writelines([head, body])

    def go_on(self) -> None:
        """Have more of a reply made, if there is one."""
        self.full = False
        if self.pieces:
            self.pieces.ask()

    def is_too_slow(self) -> bool:
        """Whether the client does not take what was written, which includes what the kernel holds: megabytes."""
        if self.taken == self.written:
            return False
        now, left = self.server.now, self.transport.get_write_buffer_size() + _in_the_kernel(self.transport)
        taken = self.written - left
        if self.pieces:
            self.mark = self.written
        if taken >= self.mark:  # all that it was waited for until now: what is left was written since
            self.mark, self.before, self.begun, self.moved = self.written, taken, now, now
        if taken != self.taken:
            self.taken, self.moved = taken, now
        return is_too_slow(now, self.begun, self.moved, taken - self.before)


class Pieces:
    """A reply in pieces: a thread makes some whenever the client has taken those before, and none waits for it."""

    def __init__(self, turn: Turn, exchange: Exchange, reply: Iterable[bytes]) -> None:
        self.turn, self.exchange, self.reply = turn, exchange, reply
        self.server, self.outgoing = turn.server, turn.outgoing
        self.pieces = filter(None, reply)
        self.sent, self.making = 0, False

    def ask(self) -> None:
        """Have the next pieces made, unless they are being made."""
        if not self.making:
            self.making = True
            self.server.beside(self._make)

    def drop(self) -> None:
        """Let go of the reply, once no thread is at it."""
        if not self.making:
            self.making = True
            if self.outgoing.pieces is self:
                self.outgoing.pieces = None
            self.server.beside(getattr(self.reply, "close", lambda: None))

    def _make(self) -> None:
        """Make some pieces, in a thread; ValueError if they are not as long in all as the headers say.

        What follows would be taken for the rest.
        """
        count = 0
        try:
            for piece in itertools.islice(self.pieces, PIECES):
                count += 1
                self.sent += len(piece)
                self._check(whole=False)
                self.server.call(self._write, piece)
            self._check(whole=count < PIECES)
        except Exception as error:
            self.server.call(self._look, True, error)
        else:
            self.server.call(self._look, count < PIECES, None)

    def _check(self, whole: bool) -> None:
        length = None if self.exchange.bare else self.exchange.declared()
        if length is not None and (self.sent > length or (whole and self.sent < length)):
            raise ValueError(f"the reply is not of {length} bytes, as its headers say")

    def _write(self, piece: bytes) -> None:
        if self.exchange is self.turn.active:
            self._open()
            if not self.exchange.bare:
                self.outgoing.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self.exchange.chunked else piece)

    def _open(self) -> None:
        if not self.exchange.opened:  # some applications begin their reply only with its first piece
            self.exchange.opened = True
            self.turn.decide(self.exchange)
            self.outgoing.write(self.exchange.head(None, self.server.date))

    def _look(self, whole: bool, error: Exception | None) -> None:
        """Go on, or end, now that some pieces were made."""
        self.making = False
        gone = self.exchange is not self.turn.active
        if not (gone or error or whole):
            if not self.outgoing.full:
                self.ask()
            return
        self.drop()
        if error and not gone:
            self.server.fail(self.exchange, error)
        elif not gone:
            self._open()
            if self.exchange.chunked:
                self.outgoing.write(b"0\r\n\r\n")
            self.turn.done(self.exchange)


def _in_the_kernel(transport: asyncio.Transport) -> int:
    """Return how many bytes were sent that the client has not taken."""
    try:
        told = fcntl.ioctl(transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(told, sys.byteorder)
