from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chaos.clients import Client, Reply, Seen, WrongError, again, by_version, faults, post

SENT = post([[1]])
GOOD, BAD = (b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, 3, b"[1]") for status in (b"200 OK", b"500 No"))
LAST = GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@contextmanager
def answering(reply: Callable[[int], bytes]) -> Iterator[int]:
    """Answer each request by what is returned for its number, nothing for the end of a connection; yield the port."""
    count = itertools.count()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(connection: socket.socket) -> None:
            with connection:
                while connection.recv(1 << 16):
                    if not (told := reply(next(count))):
                        return
                    connection.sendall(told)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def asked(reply: Callable[[int], bytes], count: int, fresh: bool = False) -> Seen:
    """Return what a client saw that asked so often."""
    with answering(reply) as port:
        client = Client(port, itertools.islice(again(SENT, [1]), count), fresh)
        client.run()
    return client.seen


@pytest.mark.parametrize(("reply", "fresh", "connections"), [(GOOD, False, 1), (GOOD, True, 5), (LAST, False, 5)])
def test_answers_are_counted(reply: bytes, fresh: bool, connections: int):
    """Over one connection while the service keeps it, or over one for each request."""
    seen = asked(lambda _: reply, 5, fresh)
    assert (seen.answered, len(seen.seconds), seen.asked) == (5, 5, 5)
    assert seen.connections == connections and faults(seen) == []


def test_wrong_and_lost_replies_are_told():
    """A status or a body that was not expected is wrong; where none comes, the request is lost; both are faults."""
    seen = asked(lambda at: (GOOD, BAD, GOOD.replace(b"[1]", b"[2]"), b"", GOOD)[at], 5)
    assert (seen.answered, seen.wrong, len(seen.lost)) == (2, ["500 b'[1]'", "200 b'[2]'"], 1)
    assert [text.split(" (")[0] for text in faults(seen)] == [
        "1 requests were lost",
        "2 requests were answered wrongly",
    ]
    assert [text.split(" (")[0] for text in faults(seen, but="lost")] == ["2 requests were answered wrongly"]


def test_who_is_not_let_in_comes_again_until_it_quits():
    """A refusal is counted; the client stops once it has been asked so often, or is told to quit."""
    with answering(lambda _: GOOD) as port:
        pass
    patient, quitter = Client(port, again(SENT, [1]), least=3), Client(port, again(SENT, [1]))
    patient.ended.set()
    quitter.quits.set()
    patient.run()
    quitter.run()
    assert (patient.seen.refused, quitter.seen.refused) == (3, 1)
    assert faults(quitter.seen) == ["1 requests were refused (nobody listened)"]
    assert faults(quitter.seen, but="refused") == []


@pytest.mark.parametrize(
    ("status", "body", "wrong"), [(200, b'{"version": 2}', ""), (200, b"{}", "200 by version None")]
)
def test_a_version_is_expected(status: int, body: bytes, wrong: str):
    """An answer of another version, or of none, is wrong."""
    request = by_version(SENT, 2)
    if wrong:
        with pytest.raises(WrongError, match=wrong):
            request.judge(Reply(status, {}, body))
    else:
        assert request.judge(Reply(status, {}, body)) is None
