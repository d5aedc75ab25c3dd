from __future__ import annotations

import asyncio
import json
import select
import socket
import struct
import threading
import time
from types import SimpleNamespace

import pytest
from toy import Running, chunked, everything, replies, reply, request, resident, running, statuses

from service.server.connection import PIPELINED, SLICE, Connection
from service.server.incoming import HELD

GET = request(method="GET")
LAST = request(method="GET", head="Connection: close\r\n")
BIG = b"0123456789abcdef" * (HELD // 16 + 1000)


# ---- clients that go


def test_a_client_that_stopped_sending_is_answered(toy: Running):
    """All whole requests are answered before the end, also when a part of another one follows."""
    slow = request("/sleep?ms=200")
    for behind, told in ((b"", []), (b"GET / HT", []), (request(body=b"abc")[:-1], []), (BIG[:100], [400])):
        assert statuses(toy.talk(slow + GET + behind)) == [200, 200, *told]


def test_a_reply_survives_what_is_sent_behind_it(toy: Running):
    """What a client still sends while it is turned away does not cost it the reply."""
    for asked in (b"nonsense\r\n\r\n", request("/first", BIG, head="Connection: close\r\n")):
        with toy.connect() as client:
            client.sendall(asked[: HELD + 5000])
            time.sleep(0.2)
            client.sendall(b"x" * 100_000)
            time.sleep(0.2)
            assert client.recv(12).startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        request(body=b"abc")[:-1],
        GET,
        request("/sleep?ms=100"),
        request("/echo", BIG)[:-5],
        chunked("/echo", BIG, end=b"5\r\na"),
        request("/pieces?count=1000&size=100000"),
        request("/sleep?ms=50") * 50,
        request("/quick/pieces?count=1000&size=100000"),
        request(head="Expect: 100-continue\r\nContent-Length: 9\r\n"),
    ],
)
@pytest.mark.parametrize("reset", [True, False])
def test_nothing_is_left_of_clients_that_vanish(toy: Running, sent: bytes, reset: bool):
    """At whatever stage clients go, politely or not, no object of theirs and no thread at their request remains."""
    for _ in range(5):
        client = toy.connect()
        client.sendall(sent)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    give_up = time.monotonic() + 15
    while (told := toy.ask("/quick/alive"))["Connection"] > 1 or told["Stream"] or told["Exchange"] > 1:
        assert time.monotonic() < give_up, told
        time.sleep(0.05)


def test_an_idle_connection_holds_nothing_of_what_it_asked(toy: Running):
    """A connection that is kept does not keep its last request."""
    with toy.connect() as client:
        client.sendall(request("/echo", BIG))
        reply(client)
        assert toy.ask("/quick/alive") | {"threads": 0} == {"Connection": 2, "Exchange": 1, "Stream": 0, "threads": 0}


# ---- clients that are slow, or ask too much at once


def test_requests_ahead_of_their_answers_are_not_gathered_without_end(toy: Running):
    """A client that only asks and never reads is not read any further, and the worker's memory stays."""
    with toy.connect(timeout=1) as client:
        asked = request("/sleep?ms=1") * 2_000_000
        with pytest.raises(TimeoutError):
            client.sendall(asked)
        assert resident(toy) < 150_000_000 and PIPELINED < 2000


def test_bodies_ahead_of_their_answers_are_bounded_in_all(toy: Running):
    """However many requests wait for their turn, they hold no more than one may; all of them are answered."""
    asked = [request("/sleep?ms=1500"), *[request("/echo", BIG[: HELD - 200])] * 12, LAST]
    with toy.connect() as client:
        toy.ask("/echo", body=BIG)
        before = resident(toy)
        sender = threading.Thread(target=client.sendall, args=(b"".join(asked),))
        sender.start()
        time.sleep(1)
        assert resident(toy) - before < 3 * HELD
        told = replies(everything(client))
        sender.join()
    assert [json.loads(body)["size"] for _, _, body in told] == [0, *[HELD - 200] * 12, 0]


def test_requests_that_come_at_once_are_not_all_made_at_once(toy: Running):
    """Of thousands of requests in one piece those that wait for their turn stay bytes."""
    with toy.connect() as client:
        client.sendall(request("/sleep?ms=1000") + request("/quick/whole?size=1") * 4000 + LAST)
        time.sleep(0.3)
        assert toy.ask("/quick/alive")["Exchange"] < SLICE // 40
        assert statuses(everything(client)) == [200] * 4002


def test_thousands_of_requests_are_refused_one_after_the_other():
    """What a worker refuses at once it refuses however much of it a client sends in one piece."""
    with running(max_inflight=0) as toy:
        assert len(replies(toy.talk(request() * 4000 + LAST, end=False))) == 4001


def test_a_client_is_not_waited_for_while_it_waits():
    """The time in which a body was not read, as requests before it were not answered, does not make it slow."""
    with running(PATIENCE=1, SLOWEST=1_000_000, EVERY=0.1) as toy, toy.connect() as client:
        sent = request("/sleep?ms=4000") + request("/echo", BIG * 2)
        sender = threading.Thread(target=client.sendall, args=(sent[:-1],))
        sender.start()
        assert reply(client)[0].status == 200
        sender.join()
        time.sleep(0.5)
        client.sendall(sent[-1:])
        assert reply(client)[0].status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"GET / HT", [408]), (request(body=b"abc")[:-1], [408]), (request("/echo", BIG)[:-1], [500]), (b"", [])],
)
def test_who_sends_nothing_more_is_told_and_let_go(hasty: Running, sent: bytes, status: list[int]):
    """A request that does not go on is told so after a while; a connection without one is closed."""
    assert statuses(hasty.talk(sent, end=False)) == status


def test_a_crawling_body_is_told(hasty: Running):
    """A byte now and then is not enough."""
    with hasty.connect() as client:
        client.sendall(request(head="Content-Length: 1000000\r\n"))
        while not select.select([client], [], [], 0.05)[0]:
            client.sendall(b"x")
        assert reply(client)[0].status == 408


def test_replies_that_nobody_reads_are_not_gathered_without_end(toy: Running):
    """Of requests sent ahead none is begun while the replies before are not taken; all are answered in the end."""
    toy.ask("/quick/echo")
    before = resident(toy)
    with toy.connect() as client:
        client.sendall(request("/quick/whole?size=1000000") * 500 + LAST)
        time.sleep(1)
        assert resident(toy) - before < 50_000_000
        sizes = [len(body) for _, _, body in replies(everything(client))]
    assert sizes[:-1] == [1_000_000] * 500


def test_what_is_no_request_is_told_after_the_answers_before_it(toy: Running):
    """A client that asks, and then sends nonsense, gets its answers and then hears what was wrong."""
    for asked in ("/quick/echo", "/sleep?ms=200", "/pieces"):
        told = replies(toy.talk(request(asked) * 3 + b"nonsense\r\n\r\n", end=False))
        assert [status for status, _, _ in told] == [200, 200, 200, 400]
        assert told[-1][1]["connection"] == "close" and b"not HTTP" in told[-1][2]


def test_who_is_gone_is_refused_nothing():
    """A connection may be lost before its thread knows: what it is told then goes nowhere, and is no fault."""
    server = SimpleNamespace(now=time.monotonic(), base={}, connections=set(), places=1, lost=lambda _: None)
    ours, theirs = socket.socketpair()

    async def lose() -> Connection:
        _, connection = await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(server), ours)
        theirs.close()
        while not connection.gone:
            await asyncio.sleep(0.01)
        return connection

    connection = asyncio.run(lose())
    connection.refuse(503, "too many send at once")
    assert connection.gone and not connection.last and not connection.queue
