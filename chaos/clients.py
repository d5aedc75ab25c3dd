"""Clients that ask as fast as they are answered, and know of every request how it ended."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

PAUSE = 0.005
"""Seconds before a client comes again that was not let in."""


class Lost(NamedTuple):
    """A request that was written to the last byte, and no whole reply came: by which port, and why."""

    port: int
    why: str


class Client(threading.Thread):
    """Sends one request again and again, over one connection or `fresh` ones, until told to stop or nobody listens.

    `expected` is the reply's JSON, or its bytes.
    """

    def __init__(self, port: int, sent: bytes, expected: Any, fresh: bool = False, patience: float = 30) -> None:
        super().__init__(daemon=True)
        self.port, self.sent, self.expected, self.fresh, self.patience = port, sent, expected, fresh, patience
        self.answered, self.refused, self.in_flight = 0, 0, False
        self.lost: list[Lost] = []
        self.wrong: list[str] = []
        self.seconds: list[float] = []
        self.ended = threading.Event()
        self.quits = threading.Event()

    def run(self) -> None:
        """Ask until the end."""
        while not self.ended.is_set():
            try:
                connection = socket.create_connection(("127.0.0.1", self.port), self.patience)
            except OSError:  # nothing was sent
                self.refused += 1
                if self.quits.is_set():
                    return
                time.sleep(PAUSE)
                continue
            with connection:
                self._ask_on(connection)

    def _ask_on(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        mine = connection.getsockname()[1]
        while not self.ended.is_set():
            start = time.monotonic()
            self.in_flight = True
            try:
                connection.sendall(self.sent)
            except OSError:  # not all of it was taken, so that it was not fully sent
                self.refused += 1
                return
            try:
                goes_on = self._read(connection)
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(Lost(mine, repr(error)))
                return
            finally:
                self.in_flight = False
            self.seconds.append(time.monotonic() - start)
            if self.fresh or not goes_on:
                return

    def _read(self, connection: socket.socket) -> bool:
        reply = http.client.HTTPResponse(connection, method="POST")
        reply.begin()
        body = reply.read()
        found = body if isinstance(self.expected, bytes) or reply.status != 200 else json.loads(body)
        if reply.status == 200 and found == self.expected:
            self.answered += 1
        else:
            self.wrong.append(f"{reply.status} {body[:100]!r}")
        return not reply.will_close


@contextlib.contextmanager
def asking(clients: list[Client]) -> Iterator[None]:
    """Have clients ask while the context lasts."""
    for client in clients:
        client.start()
    try:
        yield
    finally:
        for client in clients:
            client.ended.set()
        for client in clients:
            client.join()


def told(clients: list[Client]) -> tuple[int, list[Lost], list[str]]:
    """Return what all clients counted: answers, requests lost, wrong replies."""
    lost = [each for client in clients for each in client.lost]
    return sum(client.answered for client in clients), lost, [each for client in clients for each in client.wrong]


def wait_for_answers(clients: list[Client], more: int) -> None:
    """Wait until so many more requests were answered; RuntimeError if nobody answers."""
    wanted, give_up = sum(client.answered for client in clients) + more, time.monotonic() + 30
    while sum(client.answered for client in clients) < wanted:
        if time.monotonic() > give_up:
            raise RuntimeError("no request is answered")
        time.sleep(0.001)
