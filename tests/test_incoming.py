from __future__ import annotations

import hashlib
import itertools
import json
import re
import socket
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy import Running, chunked, everything, replies, reply, request, statuses

from service.server.incoming import HEAD, HEADERS, HELD

GET = request(method="GET")
LAST = request(method="GET", head="Connection: close\r\n")
CHANGING = re.compile(rb'Date: [^\r]*\r\n|"waiting": \d+')
BIG = b"0123456789abcdef" * (HELD // 16 + 1000)


def refused(toy: Running, sent: bytes, status: int, detail: str) -> None:
    """Hold that what was sent is refused, told why, and that nothing behind it is answered."""
    ((got, headers, body),) = replies(toy.talk(sent, GET))
    assert (got, headers["connection"]) == (status, "close")
    assert detail in json.loads(body)["detail"]


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
