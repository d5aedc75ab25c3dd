from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy import Running, chunked, everything, replies, reply, request, running

from service.server.connection import PIPELINED, SLICE
from service.server.incoming import HEAD, HEADERS, HELD

GET = request(method="GET")
LAST = request(method="GET", head="Connection: close\r\n")
CHANGING = re.compile(rb'Date: [^\r]*\r\n|"waiting": \d+')
BIG = b"0123456789abcdef" * (HELD // 16 + 1000)


@pytest.fixture(scope="module")
def toy() -> Iterator[Running]:
    """The toy on one worker."""
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def hasty() -> Iterator[Running]:
    """The toy on one worker that has little patience."""
    with running(PATIENCE=1, IDLE=2, TELL=1, EVERY=0.1) as server:
        yield server


def statuses(told: bytes) -> list[int]:
    """Return the statuses of all replies in a stream."""
    return [status for status, _, _ in replies(told)]


def refused(toy: Running, sent: bytes, status: int, detail: str) -> None:
    """Hold that what was sent is refused, told why, and that nothing behind it is answered."""
    ((got, headers, body),) = replies(toy.talk(sent, GET))
    assert (got, headers["connection"]) == (status, "close")
    assert detail in json.loads(body)["detail"]


# ---- the bytes of a request


@pytest.mark.parametrize("path", ["/quick/echo", "/echo"])
def test_a_request_reaches_the_application(toy: Running, path: str):
    """Method, path, query, headers and body arrive as WSGI names them."""
    head = "X-A: 1\r\nX-A: 2 \r\nX_A: 3\r\nContent-Type: \r\n"
    told = toy.ask(f"http://other{path}?a=%41".replace("?a=%41", ""), body=b"abc", head=head)
    assert (told["REQUEST_METHOD"], told["PATH_INFO"], told["SERVER_PROTOCOL"]) == ("POST", path, "HTTP/1.1")
    assert (told["HTTP_X_A"], told["CONTENT_TYPE"], told["CONTENT_LENGTH"]) == ("1,2", "", "3")
    assert told["sha256"] == hashlib.sha256(b"abc").hexdigest()


REQUESTS = st.one_of(
    st.builds(lambda body: request(body=body), st.binary(max_size=2000)),
    st.builds(lambda body: request("/echo", body), st.binary(max_size=2000)),
    st.builds(
        lambda pieces: chunked("/quick/echo", *pieces), st.lists(st.binary(min_size=1, max_size=300), max_size=4)
    ),
    st.builds(lambda n: request(f"/pieces?count={n}&size=1", method="GET"), st.integers(0, 4)),
    st.sampled_from([GET, request(method="HEAD"), request("/quick/empty"), request("/fail"), request("/%C3%A4/echo")]),
    st.just(chunked("/quick/echo", b"abc", end=b"0\r\nX-Trailer: 1\r\n\r\n")),
)


@given(asked=st.lists(REQUESTS, min_size=1, max_size=6), data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_split_of_requests_gives_the_same_replies(toy: Running, asked: list[bytes], data: st.DataObject):
    """However the bytes of several requests are cut, the replies are those to the whole, byte for byte."""
    sent = b"".join([*asked, LAST])
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=12)))
    with toy.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in itertools.pairwise([0, *cuts, len(sent)]):
            client.sendall(sent[start:end])
            time.sleep(0.001)
        cut = everything(client)
    dateless = [CHANGING.sub(b"", told) for told in (toy.talk(sent, end=False), cut)]
    assert dateless[0] == dateless[1]
    assert len(re.findall(rb"HTTP/1.1 (200|204|500) ", dateless[0])) == len(asked) + 1


@pytest.mark.parametrize("size", [0, 1, 1 << 16, HELD - 1, HELD, HELD + 1, 3 * HELD])
@pytest.mark.parametrize("kind", ["length", "chunks", "crumbs"])
def test_a_body_of_any_length_arrives(toy: Running, size: int, kind: str):
    """What is waited for and what is read as it comes is the same to the application; the connection is kept."""
    body = (BIG * 3)[:size]
    step = {"chunks": 1 << 16, "crumbs": 100}.get(kind, 0)
    pieces = [body[at : at + step] for at in range(0, size, step)] if step else []
    asked = chunked("/echo", *pieces) if step else request("/echo", body)
    first, second = replies(toy.talk(asked, asked))
    for status, _, told in (first, second):
        assert status == 200
        assert (json.loads(told)["size"], json.loads(told)["sha256"]) == (size, hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize(
    ("head", "status", "detail"),
    [
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400, "not HTTP"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400, "not HTTP"),
        ("Content-Length: 3\r\nContent-Length: 4\r\n", 400, "not HTTP"),
        ("Content-Length: +3\r\n", 400, "not HTTP"),
        ("Content-Length : 3\r\n", 400, "not HTTP"),
        ("Transfer-Encoding: gzip, chunked\r\n", 501, "chunked"),
        ("Transfer-Encoding: xchunked\r\n", 501, "chunked"),
        ("A: b\r\n folded\r\n", 400, "not HTTP"),
        ("A: b\n", 400, "not HTTP"),
        ("A: b\rC: d\r\n", 400, "not HTTP"),
        ("A: b\0\r\n", 400, "not HTTP"),
        ("Host: y\r\n", 400, "one header Host"),
    ],
)
def test_what_could_be_understood_in_two_ways_is_refused(toy: Running, head: str, status: int, detail: str):
    """Nothing that another server may frame otherwise is answered, nor what follows it."""
    refused(toy, request("/quick/echo", head=head) + b"3\r\nabc\r\n0\r\n\r\n", status, detail)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX-Host: x\r\n\r\n"])
def test_a_host_is_asked_for(toy: Running, sent: bytes):
    """HTTP/1.1 without Host is refused."""
    refused(toy, sent, 400, "one header Host")


@pytest.mark.parametrize("version", ["0.9", "2.0"])
def test_other_versions_are_refused(toy: Running, version: str):
    """HTTP of another version is told 505."""
    refused(toy, f"GET /quick/echo HTTP/{version}\r\n\r\n".encode(), 505, version)


@pytest.mark.parametrize(
    "chunk", [b"x\r\n", b"-1\r\n", b"5\nabcde\r\n", b"3\r\nabcd\r\n", b"0x3\r\nabc\r\n", b"f" * 17]
)
@pytest.mark.parametrize("before", [b"abc", BIG])
def test_a_bent_chunk_is_refused(toy: Running, chunk: bytes, before: bytes):
    """Whether the body is still gathered or already being read, no thread waits on for what cannot come."""
    told = toy.talk(chunked("/echo", before, end=chunk), end=False)
    assert statuses(told) == [400 if before == b"abc" else 500]  # the toy does not catch what its body raises
    assert b"Connection: close" in told


@pytest.mark.parametrize("name", ["X-A", "X-%d"])
def test_headers_are_counted(toy: Running, name: str):
    """As many headers as may be are taken, one more is refused, be they of one name or of many."""
    lines = ["".join(f"{name % at if '%' in name else name}: 1\r\n" for at in range(more)) for more in (0, HEADERS - 1)]
    assert [status for status, _, _ in replies(toy.talk(*[request(head=each) for each in lines]))] == [200, 200]
    refused(toy, request(head=lines[1] + "X-B: 1\r\n"), 431, f"{HEADERS + 1} headers")


def test_trailers_are_dropped(toy: Running):
    """A field behind the body is none of the request's headers, and no later request's."""
    end = b"0\r\nX-Token: stolen\r\nHost: y\r\n\r\n"
    for status, _, told in replies(toy.talk(chunked("/echo", b"abc", end=end) + request("/echo"))):
        assert status == 200 and "HTTP_X_TOKEN" not in json.loads(told) and json.loads(told)["HTTP_HOST"] == "x"


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: ",
        chunked("/quick/echo", b"x", end=b"0\r\nA: "),
        chunked("/quick/echo", b"x", end=b"1;a="),
    ],
)
def test_a_head_without_end_is_refused(toy: Running, begun: bytes):
    """An address, a header, a trailer or a chunk's extension that goes on and on is not kept."""
    told = toy.talk(begun, *[b"a" * HEAD] * 6, end=False)
    assert statuses(told) == [431]


def test_a_wrong_and_endless_head_is_refused_once(toy: Running):
    """What is no HTTP and too long besides gets one reply."""
    assert statuses(toy.talk(b"GET / HTTP/1.1\r\nA b" + b"a" * 3 * HEAD, end=False)) == [400]


def test_long_bodies_and_the_next_head_come_together(toy: Running):
    """What came before a head in the same piece does not count as part of it."""
    first = request(body=b"x" * 200_000)
    with toy.connect() as client:
        client.sendall(first + GET[:-2])
        assert reply(client)[0].status == 200
        client.sendall(GET[-2:])
        assert reply(client)[0].status == 200


def test_a_client_that_asks_before_it_sends_is_invited(toy: Running):
    """`Expect: 100-continue` is answered before the body comes; HTTP/1.0 knows no such reply."""
    head = "Expect: 100-continue\r\nContent-Length: 3\r\n"
    with toy.connect() as client:
        client.sendall(request(head=head))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert reply(client)[0].status == 200
    assert toy.talk(request(head=head).replace(b"1.1", b"1.0") + b"abc").startswith(b"HTTP/1.1 200")


def test_nothing_but_http_is_spoken(toy: Running):
    """A wish to upgrade is not granted: the request is answered as it is, body and all, and the connection ended."""
    head = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    assert statuses(toy.talk(request(head=head, method="GET"), GET, end=False)) == [200]
    whole, cut = request(head=head, body=b"abcdef"), len(request(head=head, body=b"abcdef")) - 3
    for pieces in ([whole], [whole[:cut], whole[cut:]], [chunked("/quick/echo", b"abc", b"def", head=head)]):
        ((status, headers, body),) = replies(toy.talk(*pieces, GET, end=False))
        assert (status, headers["connection"], json.loads(body)["size"]) == (200, "close", 6)


# ---- the bytes of a reply


def test_connections_are_kept_as_their_clients_ask(toy: Running):
    """HTTP/1.1 is kept unless the client says close, 1.0 closed unless it says keep-alive."""
    kept = [
        statuses(toy.talk(asked + GET)) for asked in (GET, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    ]
    assert kept == [[200, 200], [200]]
    old = GET.replace(b"1.1", b"1.0")
    assert statuses(toy.talk(old, end=False)) == [200]
    first, _ = replies(toy.talk(old.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n") + GET))
    assert first[1]["connection"] == "keep-alive"


def test_a_reply_of_unknown_length_ends_for_every_client(toy: Running):
    """HTTP/1.1 gets chunks and goes on, 1.0 gets the end of the connection, HEAD no body."""
    first, second = replies(toy.talk(request("/pieces") + GET))
    assert (first[1]["transfer-encoding"], len(first[2]), second[0]) == ("chunked", 3000, 200)
    old = toy.talk(request("/pieces").replace(b"HTTP/1.1", b"HTTP/1.0"), end=False)
    assert b"Transfer-Encoding" not in old and b"Connection: close" in old and old.endswith(b"\r\n\r\n" + b"x" * 3000)
    assert toy.talk(request("/pieces", method="HEAD")).endswith(b"\r\n\r\n")
    assert toy.talk(request(method="HEAD")).endswith(b"\r\n\r\n")
    assert toy.talk(request("/quick/empty")).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("path", ["/quick", ""])
@pytest.mark.parametrize("which", range(4))
def test_a_header_cannot_become_two(toy: Running, path: str, which: int):
    """A line break in a header, or what no header can hold, is a fault, and the connection goes on."""
    first, second = replies(toy.talk(request(f"{path}/inject?which={which}") + GET))
    assert (first[0], second[0]) == (500, 200) and "set-cookie" not in first[1]


def test_a_value_is_not_taken_for_a_length(toy: Running):
    """A header whose value looks like a length does not keep the reply from having one."""
    first, _ = replies(toy.talk(request("/quick/named") + GET))
    assert (first[1]["content-length"], first[2]) == ("5", b"whole")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/fail", [500, 200]),
        ("/quick/fail", [500, 200]),
        ("/lazy", [200, 200]),
        ("/lazy?fail=0", [500, 200]),
        ("/quick/pieces?length=1", [500, 200]),
    ],
)
def test_an_application_that_fails_before_its_reply_is_told_as_500(toy: Running, path: str, told: list[int]):
    """Wherever it raises before the first piece, the client gets a whole reply, and the connection goes on."""
    assert statuses(toy.talk(request(path) + GET)) == told


@pytest.mark.parametrize(
    "path", ["/lazy?fail=2", "/pieces?length=3001", "/pieces?length=2999", "/quick/pieces?length=1001"]
)
def test_a_reply_that_breaks_off_cannot_pass_for_whole(toy: Running, path: str):
    """What fails in the middle, or is not as long as it said, ends the connection without what would be the end."""
    with toy.connect() as client:
        client.sendall(request(path) + GET)
        found = b""
        with contextlib.suppress(ConnectionError):
            found = everything(client)
    assert found.count(b"HTTP/1.1") <= 1 and not found.endswith(b"0\r\n\r\n")


# ---- clients that go


def test_a_client_that_stopped_sending_is_answered(toy: Running):
    """All whole requests are answered before the end, also when a part of another one follows."""
    slow = request("/sleep?ms=200")
    for behind in (b"", b"GET / HT", request(body=b"abc")[:-1], BIG[:100]):
        assert statuses(toy.talk(slow + GET + behind)) == [200, 200]


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


def test_a_slow_reader_holds_up_the_reply_and_no_memory(toy: Running):
    """Pieces are made no faster than they are fetched, and all arrive in the end."""
    with toy.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.sendall(request("/pieces?count=2000&size=100000"))
        time.sleep(1)
        before = resident(toy)
        _, body = reply(client)
        assert len(body) == 200_000_000 and before < 150_000_000


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


def resident(toy: Running) -> int:
    """Return the bytes of memory that the worker has."""
    (worker,) = toy.workers()
    with open(f"/proc/{worker}/statm") as file:
        return int(file.read().split()[1]) * 4096


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


@pytest.mark.parametrize("path", ["/pieces?count=2000&size=100000", "/pieces?count=1&size=20000000"])
def test_who_fetches_nothing_is_given_up(hasty: Running, path: str):
    """A reply that is not fetched is not kept."""
    with hasty.connect() as client:
        client.sendall(request(path))
        time.sleep(4)
        assert hasty.ask("/quick/alive")["Connection"] == 1
        with contextlib.suppress(ConnectionError):
            assert len(everything(client)) < 20_000_000


@pytest.mark.parametrize(
    "path", ["/whole?size=20000000", "/quick/whole?size=20000000", "/pieces?count=20&size=1000000"]
)
def test_who_fetches_too_slowly_is_given_up(path: str):
    """A client that goes on fetching its reply, whole or in pieces, but more slowly than it may, gets no end of it."""
    with running(PATIENCE=1, SLOWEST=5_000_000, EVERY=0.1) as toy, toy.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.sendall(request(path))
        found = 0
        with contextlib.suppress(ConnectionError):
            while piece := client.recv(1 << 16):
                found += len(piece)
                time.sleep(0.05)
        assert (1 << 17) < found < 20_000_000


def test_a_reader_that_is_slow_but_reads_is_served(hasty: Running):
    """Who fetches a reply bit by bit gets all of it, though it takes longer than a client is waited for."""
    with hasty.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.sendall(request("/pieces?count=300&size=65536"))
        found = 0
        while found < 300 * 65536:
            piece = client.recv(1 << 19)
            assert piece
            found += len(piece)
            time.sleep(0.05)
