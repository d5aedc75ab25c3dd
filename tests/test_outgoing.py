from __future__ import annotations

import contextlib
import socket
import time

import pytest
from toy import Running, everything, replies, reply, request, resident, running, statuses

GET = request(method="GET")


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


# ---- clients that are slow


def test_a_slow_reader_holds_up_the_reply_and_no_memory(toy: Running):
    """Pieces are made no faster than they are fetched, and all arrive in the end."""
    with toy.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.sendall(request("/pieces?count=2000&size=100000"))
        time.sleep(1)
        before = resident(toy)
        _, body = reply(client)
        assert len(body) == 200_000_000 and before < 150_000_000


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
