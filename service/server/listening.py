"""The sockets on which all workers listen: who takes the next connection, and how they close without a loss."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import mmap
import socket
import struct
import sys
from collections.abc import Callable, Collection

log = logging.getLogger("cellar")

PLACES = 64
"""Workers that know of each other how many connections they have."""
NOBODY = 0xFFFFFFFF
"""What stands in a place that no worker has."""
MOMENT = 0.001
"""Seconds that workers with fewer connections have to take one before others do."""
AT_ONCE = 16
"""Connections that are taken before the sockets of others are looked at again."""
SETTLE = 0.2
"""Seconds that a connection which was begun before the end has to be there."""
AGAIN = 1.0
"""Seconds before connections are taken again when there was no descriptor for one."""

COUNTS = memoryview(mmap.mmap(-1, 4 * PLACES)).cast("I")
"""How many connections each worker has, in memory that the parent shares with them."""

SO_ATTACH_FILTER = 26
"""Of Linux's asm/socket.h."""
LOAD_BYTE, AND, GO_ON_IF_EQUAL, KEEP = 0x30, 0x54, 0x15, 0x06
"""Of linux/filter.h: operations on a packet, of which as many bytes are kept as the last says."""
ALL = 0xFFFFFFFF
FLAGS, SYN, SYN_OR_ACK = 13, 0x02, 0x12
"""Where a TCP header has its flags, and those that tell who begins a connection."""


def vacate(ages: Collection[int]) -> None:
    """Forget the connections of workers that are none of these."""
    for place in set(range(PLACES)) - {age % PLACES for age in ages}:
        COUNTS[place] = NOBODY


def refuse_newcomers(listener: socket.socket) -> None:
    """Let nobody begin a connection any more, so that all that were begun can be taken before the socket is closed.

    A listening socket that is closed resets who came since it was last looked at, with what they have sent. Their
    first packets are dropped instead (socket(7), SO_ATTACH_FILTER): they come again, and find nobody listening.
    """
    if sys.platform != "linux":
        return
    steps = [  # of a classic BPF program
        (LOAD_BYTE, 0, 0, FLAGS),
        (AND, 0, 0, SYN_OR_ACK),
        (GO_ON_IF_EQUAL, 0, 1, SYN),
        (KEEP, 0, 0, 0),
        (KEEP, 0, 0, ALL),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    told = struct.pack("HP", len(steps), ctypes.addressof(program))
    with contextlib.suppress(OSError):  # where filters are forbidden, all else still works
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, told)


vacate([])


class Listening:
    """One worker's part in the sockets; it takes a connection when no other worker has fewer, or none of them comes."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sockets: list[socket.socket], age: int, take: Callable[..., None]
    ) -> None:
        self.loop, self.sockets, self.place, self.take = loop, sockets, age % PLACES, take
        self.closed = False
        self.count(0)
        for listener in sockets:
            listener.setblocking(False)
            self._listen(listener)

    def count(self, connections: int) -> None:
        """Tell the other workers how many connections this one has."""
        COUNTS[self.place] = NOBODY if self.closed else connections

    def close(self) -> None:
        """Take what waits, also what was about to, and nothing else."""
        self.closed = True
        self.count(0)
        for listener in self.sockets:
            self.loop.remove_reader(listener.fileno())
        self._empty()
        self.loop.call_later(SETTLE, self._end)

    def _end(self) -> None:
        self._empty()
        for listener in self.sockets:
            listener.close()
        self.sockets = []

    def _empty(self) -> None:
        for listener in self.sockets:
            while self._take_one(listener):
                pass

    def _listen(self, listener: socket.socket) -> None:
        if not self.closed:
            self.loop.add_reader(listener.fileno(), self._take, listener)

    def _take(self, listener: socket.socket) -> None:
        """Take connections, but give another worker that has fewer a moment to take them."""
        for _ in range(AT_ONCE):
            if COUNTS[self.place] > min(COUNTS):
                self._pause(listener, MOMENT)
                return
            if not self._take_one(listener):
                return

    def _pause(self, listener: socket.socket, seconds: float) -> None:
        self.loop.remove_reader(listener.fileno())
        self.loop.call_later(seconds, self._go_on, listener)

    def _go_on(self, listener: socket.socket) -> None:
        if not self.closed:
            self._listen(listener)
            self._take_one(listener)

    def _take_one(self, listener: socket.socket) -> bool:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return False
        except OSError as error:  # no descriptor is left: those who wait go on waiting
            log.warning("a connection cannot be taken: %s", error)
            self._pause(listener, AGAIN)
            return False
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.take(client)
        return True
