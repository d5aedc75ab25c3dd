from __future__ import annotations

import resource
import time
from contextlib import ExitStack, suppress

import pytest
from toy import everything, reply, request, running

from service.server.crowd import CONNECTIONS, FILES, places

PIECES = request("/pieces?count=9&size=1000000")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", request("/quick/whole?size=9000000"), PIECES])
def test_a_crowd_makes_room(sent: bytes):
    """Beyond so many connections the one answered longest ago goes, not who asks again and again nor who comes."""
    with running(CONNECTIONS=20) as toy, ExitStack() as stack:
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
