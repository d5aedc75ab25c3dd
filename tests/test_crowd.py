from __future__ import annotations

import resource
import socket
import time
from contextlib import ExitStack, suppress

import pytest
from toy import everything, reply, request, running, statuses

from service.server.crowd import CONNECTIONS, FILES, places

PIECES = request("/pieces?count=9&size=1000000")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", request("/quick/whole?size=9000000"), PIECES])
def test_a_crowd_makes_room(sent: bytes):
    """Beyond so many connections the one answered longest ago goes, not who asks again and again nor who comes."""
    with running(CONNECTIONS=20, STILL=-1) as toy, ExitStack() as stack:
        working, crowd = stack.enter_context(toy.connect()), []
        for _ in range(40):
            crowd.append(stack.enter_context(toy.connect()))
            crowd[-1].sendall(sent)
            working.sendall(request())
            assert reply(working)[0].status == 200
        assert toy.ask("/quick/alive")["Connection"] <= 20
        for client in crowd[:15]:
            with suppress(ConnectionError):
                assert len(everything(client)) < 9_000_000


def test_who_never_asked_goes_first():
    """A connection that was answered is kept before any that asks nothing, however long ago that was."""
    with running(CONNECTIONS=10) as toy, ExitStack() as stack:
        asked = [stack.enter_context(toy.connect()) for _ in range(5)]
        for client in asked:
            client.sendall(request())
            assert reply(client)[0].status == 200
        for _ in range(40):
            stack.enter_context(toy.connect())
        for client in asked:
            client.sendall(request())
            assert reply(client)[0].status == 200


def test_a_body_and_a_reply_that_move_are_not_given_up_for_others():
    """Who sends or fetches bit by bit keeps its place before all that are idle, asked they or not."""
    with running(CONNECTIONS=10, STILL=2, EVERY=0.1) as toy, ExitStack() as stack:
        sender, reader = (stack.enter_context(toy.connect()) for _ in range(2))
        sender.sendall(request("/echo", b"x" * 300)[:-100])
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        reader.sendall(request("/pieces?count=300&size=65536", head="Connection: close\r\n"))
        found = len(reader.recv(100))
        for _ in range(99):
            sender.sendall(b"x")
            found += len(reader.recv(1 << 17))
            idle = stack.enter_context(toy.connect())
            idle.sendall(request())
            assert reply(idle)[0].status == 200
        sender.sendall(b"x")
        assert reply(sender)[0].status == 200
        assert found + len(everything(reader)) > 300 * 65536


def test_where_all_move_one_more_is_told():
    """Where every place is held by a body that comes, the newcomer gets 503; one that stands still goes for it."""
    with running(CONNECTIONS=3, STILL=2, EVERY=0.1) as toy, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(toy.connect()).sendall(request(body=b"abc")[:-1])
            time.sleep(0.1)
        with toy.connect() as client:
            assert reply(client)[0].status == 503
        time.sleep(2.5)
        assert statuses(toy.talk(request())) == [200]


def test_where_all_wait_for_answers_one_more_is_told():
    """No connection that waits for its answer is ended for another, which gets 503 and when to come again."""
    with running(CONNECTIONS=3) as toy, ExitStack() as stack:
        waiting = [stack.enter_context(toy.connect()) for _ in range(3)]
        for client in waiting:
            client.sendall(request("/sleep?ms=2000"))
            time.sleep(0.1)
        for _ in range(3):
            with toy.connect() as client:
                found, _ = reply(client)
                assert (found.status, found.headers["Retry-After"], found.headers["Connection"]) == (503, "1", "close")
        assert {reply(client)[0].status for client in waiting} == {200}


def test_there_are_descriptors_for_all_connections():
    """No more connections are taken than there are descriptors for them and for their files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
        assert places() == 300 // FILES
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert places() <= CONNECTIONS
