from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator

import pytest

from service.server.listening import AT_ONCE, COUNTS, NOBODY, Listening, refuse_newcomers, vacate


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    """No worker has a connection, before and after."""
    vacate([])
    yield
    vacate([])


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that listens."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as found:
        yield found


def connect(listener: socket.socket) -> socket.socket:
    """Return a connection to it, or raise TimeoutError."""
    return socket.create_connection(listener.getsockname(), timeout=0.3)


class Taking:
    """A worker that takes connections and does nothing with them."""

    def __init__(self, listener: socket.socket, age: int) -> None:
        self.taken: list[socket.socket] = []
        self.listening = Listening(asyncio.get_running_loop(), [listener.dup()], age, self.take)

    def take(self, client: socket.socket) -> None:
        """Count it."""
        self.taken.append(client)
        self.listening.count(len(self.taken))

    def end(self) -> None:
        """Close everything."""
        for each in [*self.listening.sockets, *self.taken]:
            each.close()


async def shared(listener: socket.socket, connections: int, ages: list[int]) -> list[int]:
    """Return how many connections each worker took of those that came at once."""
    clients = [connect(listener) for _ in range(connections)]
    workers = [Taking(listener, age) for age in ages]
    while sum(len(each.taken) for each in workers) < connections:
        await asyncio.sleep(0.001)
    for each in workers:
        each.listening.close()
        each.end()
    for client in clients:
        client.close()
    return [len(each.taken) for each in workers]


@pytest.mark.parametrize("connections", [2, 8, 50])
def test_connections_that_come_at_once_are_shared_evenly(listener: socket.socket, connections: int):
    """Neither of two workers takes more than half."""
    assert asyncio.run(shared(listener, connections, [1, 2])) == [connections // 2] * 2


def test_nobody_waits_for_a_worker_that_does_not_come(listener: socket.socket):
    """What a worker with fewer connections leaves is taken by the other."""
    COUNTS[5] = 0
    assert asyncio.run(shared(listener, 3 * AT_ONCE, [4])) == [3 * AT_ONCE]


def test_the_place_of_a_worker_that_is_gone_is_empty():
    """Of those that are left the numbers stay, also where there were more workers than places."""
    COUNTS[3], COUNTS[4] = 7, 8
    vacate([68])
    assert (COUNTS[3], COUNTS[4]) == (NOBODY, 8)


def test_who_came_before_the_end_is_taken_and_nobody_after(listener: socket.socket):
    """A closing worker takes those that wait, and those that had begun, and then nobody listens."""

    async def end() -> int:
        before = [connect(listener) for _ in range(3)]
        worker = Taking(listener, 1)
        worker.listening.close()
        late = connect(listener)
        listener.close()
        while worker.listening.sockets:
            await asyncio.sleep(0.01)
        for client in [*before, late]:
            client.close()
        worker.end()
        return len(worker.taken)

    address = listener.getsockname()
    assert asyncio.run(end()) == 4
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no filters for sockets")
def test_newcomers_find_nobody_while_those_who_came_are_heard(listener: socket.socket):
    """After the refusal a connection cannot begin; one that had begun is taken with what it sends."""
    with connect(listener) as client:
        refuse_newcomers(listener)
        client.sendall(b"hello")
        with pytest.raises(TimeoutError):
            connect(listener)
        taken, _ = listener.accept()
        with taken:
            assert taken.recv(5) == b"hello"
