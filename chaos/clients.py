"""Clients that ask as fast as they are answered, judge each reply, and know of every request how it ended."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from multiprocessing.synchronize import Event
from typing import Any, NamedTuple

PAUSE = 0.005
"""Seconds before a client comes again that was not let in."""


class Reply(NamedTuple):
    """A whole reply."""

    status: int
    headers: Message
    body: bytes


class WrongError(Exception):
    """What a judge raises at a reply that breaks a promise, in a few words."""


Judge = Callable[[Reply], Any]
"""Looks at a reply; raises WrongError, or returns what the client is to note, None for nothing."""


class Request(NamedTuple):
    """A request as bytes, and who judges the reply."""

    sent: bytes
    judge: Judge


class Lost(NamedTuple):
    """A request that was written to the last byte, and no whole reply came: by which port, and why."""

    port: int
    why: str


@dataclass
class Seen:
    """How a client's requests ended, the seconds until each reply, and what its judges noted."""

    connections: int = 0
    answered: int = 0
    refused: int = 0
    lost: list[Lost] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)

    @property
    def asked(self) -> int:
        """How many requests came to an end, of whatever kind."""
        return self.answered + self.refused + len(self.lost) + len(self.wrong)


class Client:
    """Sends one request after the other, over one connection or `fresh` ones.

    It goes on until it is told to stop and has asked `least` times, until there are no more requests, or, once it
    `quits`, until nobody listens.
    """

    def __init__(
        self, port: int, requests: Iterable[Request], fresh: bool = False, patience: float = 30, least: int = 0
    ) -> None:
        self.port, self.requests, self.fresh, self.patience, self.least = port, iter(requests), fresh, patience, least
        self.seen, self.in_flight = Seen(), False
        self.ended: threading.Event | Event = threading.Event()
        self.quits = threading.Event()

    def run(self) -> None:
        """Ask until the end."""
        connection = None
        for request in self.requests:
            if self.ended.is_set() and self.seen.asked >= self.least:
                break
            connection = connection or self._connect()
            if not connection and self.quits.is_set():
                break
            if connection and not self._ask(connection, request):
                connection.close()
                connection = None
        if connection:
            connection.close()

    def _connect(self) -> socket.socket | None:
        try:
            connection = socket.create_connection(("127.0.0.1", self.port), self.patience)
        except OSError:  # nothing was sent
            self.seen.refused += 1
            time.sleep(PAUSE)
            return None
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seen.connections += 1
        return connection

    def _ask(self, connection: socket.socket, request: Request) -> bool:
        """Send a request and judge its reply; return whether the connection is good for another."""
        start = time.perf_counter()
        self.in_flight = True
        try:
            connection.sendall(request.sent)
        except OSError:  # not all of it was taken, so that it was not fully sent
            self.seen.refused += 1
            return False
        try:
            reply, is_last = _read(connection)
        except (OSError, http.client.HTTPException) as error:
            self.seen.lost.append(Lost(connection.getsockname()[1], repr(error)))
            return False
        finally:
            self.in_flight = False
        self.seen.seconds.append(time.perf_counter() - start)
        self._take(reply, request.judge)
        return not (self.fresh or is_last)

    def _take(self, reply: Reply, judge: Judge) -> None:
        try:
            note = judge(reply)
        except WrongError as error:
            self.seen.wrong.append(str(error))
            return
        self.seen.answered += 1
        self.seen.notes += [] if note is None else [note]


def _read(connection: socket.socket) -> tuple[Reply, bool]:
    """Return a reply, and whether it is the connection's last."""
    reply = http.client.HTTPResponse(connection, method="POST")
    reply.begin()
    return Reply(reply.status, reply.headers, reply.read()), reply.will_close


def post(document: Any, path: str = "/predict") -> bytes:
    """Return a whole request with JSON as bytes."""
    body = json.dumps(document).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def again(sent: bytes, expected: Any) -> Iterator[Request]:
    """Return one request again and again, whose reply is to hold one document, or to be these bytes."""

    def judge(reply: Reply) -> None:
        if reply.status != 200 or expected != (reply.body if type(expected) is bytes else json.loads(reply.body)):
            raise WrongError(f"{reply.status} {reply.body[:100]!r}")

    return itertools.repeat(Request(sent, judge))


def by_version(sent: bytes, version: int) -> Request:
    """Return a request that one version is to answer."""

    def judge(reply: Reply) -> None:
        told = json.loads(reply.body).get("version")
        if reply.status != 200 or told != version:
            raise WrongError(f"{reply.status} by version {told}")

    return Request(sent, judge)


def faults(seen: Seen, but: str = "") -> list[str]:
    """Return what must not be: requests that were refused, lost or answered wrongly, each with an example."""
    why = {
        "refused": ["nobody listened"] * seen.refused,
        "lost": [lost.why for lost in seen.lost],
        "answered wrongly": seen.wrong,
    }
    return [f"{len(each)} requests were {how} ({each[0]})" for how, each in why.items() if each and how != but]
