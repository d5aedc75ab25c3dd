"""Clients that send and fetch as slowly as they are let: the others must not feel them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from chaos.asked import Asked, build, crowd, served
from chaos.clients import Client, again, faults
from chaos.crowd import asking, told
from chaos.experiment import Experiment, Outcome
from chaos.serving import Served

SECONDS = 90
"""How long the slow ones are there: longer than any patience with them."""
BEAT = 0.5
"""Seconds between two bytes of one of them."""
PROMISED = 0.999
PATIENCE = 10
"""Seconds that another client waits for its answer."""
AT_ONCE = 2
"""Seconds within which a slow one has to be let in."""
GATHER = 20
"""Seconds after which it begins though not all slow ones are there."""
HELD = 1 << 21
"""Bytes of a body behind which the service begins to read it."""
BUFFER = 1 << 12
"""Bytes that a slow reader lets come at once, and takes with every beat: twice what makes the service give it up."""

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
GOOD = b"HTTP/1.1 200"
SCRIPT = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
REPORT = b"GET /models/wine/report HTTP/1.1\r\nHost: x\r\n\r\n"


class Kind(NamedTuple):
    """Slow clients: what they do, how many, what they send at once, what byte by byte, and whether they also fetch."""

    does: str
    count: int
    first: bytes
    drip: bytes
    reads: bool


KINDS = (
    Kind("send a head", 500, b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"a", False),
    Kind("send a short body", 100, HEAD % (HELD - 1) + b"[" * 100_000, b"[", False),
    Kind("send a long body", 100, HEAD % (HELD * 2) + b"[" * (HELD + 1), b"[", False),
    Kind("fetch a script", 100, SCRIPT, b"", True),
    Kind("fetch a long reply", 300, REPORT, b"", True),
)


class Slow(threading.Thread):
    """Keeps up its kind's number of connections; one that the service ends is replaced."""

    def __init__(self, port: int, kind: Kind, count: int) -> None:
        super().__init__(daemon=True)
        self.port, self.kind, self.count = port, kind, count
        self.connections: list[socket.socket] = []
        self.ended = threading.Event()
        self.opened = self.dripped = 0

    def run(self) -> None:
        """Drip until the end."""
        while not self.ended.is_set():
            start = time.monotonic()
            self.connections = [each for each in self.connections if self._goes_on(each)]
            while len(self.connections) < self.count and not self.ended.is_set():
                try:
                    self.connections.append(self._open())
                except OSError:
                    self.ended.wait(BEAT / 50)
            self.ended.wait(max(0, start + BEAT - time.monotonic()))
        for each in self.connections:
            each.close()

    def _open(self) -> socket.socket:
        connection = socket.socket()
        try:
            self._begin(connection)
        except OSError:
            connection.close()
            raise
        self.opened += 1
        return connection

    def _begin(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        connection.settimeout(AT_ONCE)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(self.kind.first)
        if self.kind.reads and connection.recv(len(GOOD)) != GOOD:
            raise ConnectionRefusedError  # too many came at once: it tries again
        connection.setblocking(False)

    def _goes_on(self, connection: socket.socket) -> bool:
        """Send one byte or fetch some; return whether the service still goes along."""
        try:
            if self.kind.drip:
                connection.send(self.kind.drip)
            if self.kind.drip and connection.recv(1, socket.MSG_PEEK):
                raise ConnectionError  # it is told that it is too slow
            if self.kind.reads and not connection.recv(BUFFER):
                raise ConnectionError
        except BlockingIOError:
            pass
        except OSError:
            connection.close()
            return False
        self.dripped += 1
        return True


def run(folder: Path, scale: float, serve: Callable[[Asked], AbstractContextManager[Served]] = served) -> Outcome:
    """Serve the slow ones and others at the same time; the others are counted once all slow ones are there."""
    house = build(folder)
    with serve(house) as service:
        slow = [Slow(service.port, kind, max(1, round(kind.count * scale))) for kind in KINDS]
        for each in slow:
            each.start()
        give_up = time.monotonic() + GATHER
        while not all(len(each.connections) == each.count for each in slow) and time.monotonic() < give_up:
            time.sleep(0.05)
        start, others = time.monotonic(), _others(house, service.port)
        with asking(others):
            time.sleep(max(3.0, SECONDS * scale))
        took, there = time.monotonic() - start, [len(each.connections) for each in slow]
        memory = max(_resident(pid) for pid in service.workers())
        for each in slow:
            each.ended.set()
        for each in slow:
            each.join()
    return _judge(slow, there, others, took, memory)


def _others(house: Asked, port: int) -> list[Client]:
    report = [Client(port, again(REPORT, house.report), fresh, PATIENCE) for fresh in (False, True)]
    return [*crowd(house, port, PATIENCE), *report]


def _judge(slow: list[Slow], there: list[int], others: list[Client], took: float, memory: int) -> Outcome:
    seen = told(others)
    # Who waits asks less often, and would hardly count among all.
    worst = min(client.seen.answered / max(client.seen.asked, 1) for client in others)
    seconds = sorted(seen.seconds) or [0.0]
    broken = []
    for each, at_once in zip(slow, there, strict=True):
        if each.opened < each.count or at_once < each.count / 2:
            broken.append(f"of {each.count} that were to {each.kind.does} slowly only {at_once} were there at the end")
    if worst < PROMISED:
        why = "; ".join(faults(seen))
        broken.append(f"requests of others were not answered: {worst:.2%} of one client were ({why})")
    return Outcome(
        f"slow heads, short bodies, long bodies, readers of a script and of a long page: {there} at once, "
        f"{[each.opened for each in slow]} in all, "
        f"{sum(each.dripped for each in slow)} beats in {took:.0f} s",
        f"{seen.answered} requests of others answered, of each client {worst:.2%} or more, 99 % within "
        f"{seconds[len(seconds) * 99 // 100] * 1000:.0f} ms; the largest worker takes {memory >> 20} MB",
        broken,
    )


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


EXPERIMENTS = (Experiment(11, "slow heads, slow bodies and slow readers", run),)
