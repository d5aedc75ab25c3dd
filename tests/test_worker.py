from __future__ import annotations

import os
import resource
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import WINE
from toy import Running, children, everything, replies, reply, request, running, statuses

from chaos.serving import serving
from service.server.incoming import HELD
from service.server.worker import PATIENT

BIG = b"x" * (HELD + 10_000)


@pytest.fixture
def toy() -> Iterator[Running]:
    """The toy on one worker."""
    with running() as server:
        yield server


@pytest.fixture
def hurried() -> Iterator[Running]:
    """The toy on one worker whose requests have a second."""
    with running(deadline=1, EVERY=0.1) as server:
        yield server


def eventually(held: Callable[[], Any]) -> Any:
    """Wait until something holds, and return it."""
    give_up = time.monotonic() + 20
    while not (found := held()):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return found


def pid(toy: Running) -> int:
    """Return the id of the process that answers."""
    found: int = toy.ask("/quick/echo")["pid"]
    return found


# ---- requests that take too long


def test_a_late_request_is_told_though_its_thread_goes_on(hurried: Running):
    """It gets 504, its connection goes on, what the thread brings later is dropped, and the worker stays."""
    before = pid(hurried)
    last = request(head="Connection: close\r\n")
    told = replies(hurried.talk(request("/sleep?ms=1500") + request("/sleep?ms=700") + last, end=False))
    assert [status for status, _, _ in told] == [504, 200, 200]
    assert b"took longer than 1 s (CELLAR_DEADLINE)" in told[0][2]
    assert pid(hurried) == before


def test_a_body_that_its_client_makes_late_is_not_late(hurried: Running):
    """The time in which the rest of a body is waited for does not count, that of the thread that reads it does."""
    with hurried.connect() as client, hurried.connect() as other:
        client.sendall(request("/echo", BIG)[:-1])
        other.sendall(request("/sleep?ms=2500", BIG)[:-1])
        found, _ = reply(other)
        assert (found.status, found.headers["Connection"]) == (504, "close")
        assert everything(other) == b""
        time.sleep(1)
        client.sendall(b"x")
        assert reply(client)[0].status == 200
    eventually(lambda: hurried.ask("/quick/alive")["Stream"] == 0)


def test_who_waited_too_long_for_a_thread_is_told_and_not_computed(hurried: Running):
    """Of more requests than threads, those that got none in time are answered all the same."""
    with ExitStack() as stack:
        clients = [stack.enter_context(hurried.connect()) for _ in range(50)]
        for client in clients:
            client.sendall(request("/sleep?ms=1200"))
        assert {reply(client)[0].status for client in clients} == {504}


def test_a_worker_whose_thread_hangs_is_replaced_in_order(hurried: Running):
    """When a thread does not come back, another process takes over; nobody else's request is lost."""
    before, lost = pid(hurried), []
    with hurried.connect() as client:
        client.sendall(request("/sleep?ms=60000"))

        def replaced() -> bool:
            try:
                return pid(hurried) != before
            except (OSError, ValueError) as error:
                lost.append(error)
                return True

        eventually(replaced)
        assert reply(client)[0].status == 504
    assert lost == []
    eventually(lambda: before not in hurried.workers())


def test_an_event_loop_that_hangs_is_replaced():
    """Without a heartbeat the worker is killed and replaced."""
    with running(timeout=1) as toy, toy.connect() as client:
        before = pid(toy)
        client.sendall(request("/quick/sleep?ms=60000"))
        eventually(lambda: toy.workers() and toy.workers() != [before])
        assert everything(client) == b""
        assert pid(toy) != before


def changed(change: str) -> list[str]:
    """Return what Python is told so that it runs the service with something changed."""
    return ["-c", f"{change}\nfrom service.__main__ import main\nmain()"]


@pytest.mark.parametrize(
    ("path", "shape"), [("/models/wine/explain", b'"status":504'), ("/v1/models/wine:explain", b'{"error"')]
)
def test_lateness_is_told_as_the_protocol_tells_errors(wine_artifacts: Path, tmp_path: Path, path: str, shape: bytes):
    """What the server ends is told by the real application, in the shape that was asked in, and counted."""
    hangs = changed("import time\nfrom service import explanation\nexplanation.explain = lambda *_: time.sleep(3)")
    row = b'{"instances": [[13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]]}'
    with serving(wine_artifacts, tmp_path, hangs, deadline=0.5) as server:
        toy = Running(server.process, server.port)
        told = toy.talk(request(path, row, head="Connection: close\r\n"), end=False)
        assert told.startswith(b"HTTP/1.1 504 ") and b"CELLAR_DEADLINE" in told and shape in told
        eventually(lambda: b"DeadlineError" in toy.talk(request("/metrics", method="GET")))


@pytest.mark.parametrize(
    ("path", "shape"), [("/models/wine/predict", b'"status":408'), ("/v1/models/wine:predict", b'{"error"')]
)
def test_a_slow_body_is_told_as_the_protocol_tells_errors(
    wine_artifacts: Path, tmp_path: Path, path: str, shape: bytes
):
    """A client that does not send the rest of a long body is told 408 by who reads it, whatever the deadline."""
    hasty = changed("from service.server import pace\npace.PATIENCE = 2")
    with serving(wine_artifacts, tmp_path, hasty, log="errors", deadline=0.5) as server:
        told = Running(server.process, server.port).talk(request(path, BIG)[:-1], end=False)
        assert told.startswith(b"HTTP/1.1 408 ") and b"too slowly" in told and shape in told


def test_a_table_that_comes_slowly_is_answered(wine_artifacts: Path, tmp_path: Path):
    """The deadline leaves out the time in which the rest of a table is waited for, in the application too."""
    head, row = WINE.read_bytes().splitlines(keepends=True)[:2]
    table = b"".join(line[: line.rindex(b",")] + b"\n" for line in [head, *[row] * 50_000])
    sent = request("/models/wine/predict", table, head="Content-Type: text/csv\r\nAccept: text/csv\r\n")
    with ExitStack() as stack:
        server = stack.enter_context(serving(wine_artifacts, tmp_path, log="errors", deadline=4))
        client = stack.enter_context(Running(server.process, server.port).connect(60))
        client.sendall(sent[:-1])
        time.sleep(6)
        client.sendall(sent[-1:])
        found, body = reply(client)
    assert (found.status, len(body.splitlines())) == (200, 50_001)


# ---- what goes wrong before an answer is begun


def test_one_request_that_goes_wrong_costs_no_other(toy: Running):
    """Where it cannot even be told who answers, the client hears so, and the worker goes on."""
    assert statuses(toy.talk((request("/undecided") + request() + request("/echo")) * 3)) == [500, 200, 200] * 3


def test_where_no_thread_is_left_the_worker_goes_on(toy: Running):
    """Only what needs one that is not there yet fails, and is told."""
    toy.ask("/quick/tired")
    assert statuses(toy.talk(request("/echo", BIG))) == [500]
    assert statuses(toy.talk((request("/echo") + request("/pieces") + request()) * 3)) == [200] * 9


def test_who_went_away_takes_no_place():
    """Requests that no thread has begun count no more once their clients are gone, nor do they for the event loop."""
    with running(max_inflight=30) as toy, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(toy.connect()).sendall(request("/sleep?ms=2000"))
        for _ in range(2):
            gone = [toy.connect() for _ in range(20)]
            for client in gone:
                client.sendall(request("/sleep?ms=60000"))
            assert toy.ask("/quick/echo")["waiting"] == 1
            for client in gone:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
            eventually(lambda: toy.ask("/quick/alive")["Connection"] == 5)
        assert toy.ask("/echo")["waiting"] == 5


def test_who_was_told_too_late_takes_no_place():
    """Requests that no thread has begun in time count no more once that was told."""
    with running(deadline=2, EVERY=0.1) as toy, ExitStack() as stack:
        clients = [stack.enter_context(toy.connect()) for _ in range(24)]
        for client in clients:
            client.sendall(request("/sleep?ms=3500"))
        assert {reply(client)[0].status for client in clients} == {504}
        assert toy.ask("/echo")["waiting"] == 5


# ---- slow clients beside others


def test_slow_bodies_and_slow_readers_take_nothing_from_others(toy: Running):
    """Of a hundred each the others feel nothing: they have threads, and do not count as too many."""
    with ExitStack() as stack:
        for asked in (request("/echo", BIG)[:-1], request("/pieces?count=100&size=1000000")):
            for _ in range(100):
                stack.enter_context(toy.connect()).sendall(asked)
        eventually(lambda: {toy.ask(path)["waiting"] for path in ("/quick/echo", "/echo")} == {1})


def test_who_sends_well_is_read_beside_any_number_of_slow_senders():
    """Where all threads wait for bodies the one that waited longest is let go for the next, and told."""
    with running(max_inflight=1000) as toy, ExitStack() as stack:
        slow = [stack.enter_context(toy.connect()) for _ in range(PATIENT + 20)]
        for client in slow:
            client.sendall(request("/echo", BIG)[:-1])
        for _ in range(3):
            assert toy.ask("/echo", body=BIG)["size"] == len(BIG)
        told = select.select(slow, [], [], 5)[0]
        assert len(told) >= 20 and {reply(client)[0].status for client in told} == {500}  # by the toy


def test_who_reads_well_is_served_beside_any_number_of_slow_readers(toy: Running):
    """Hundreds of replies in pieces that are not taken hold up no other, since no thread waits for them."""
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(toy.connect()).sendall(request("/pieces?count=100&size=1000000"))
        for _ in range(3):
            with toy.connect() as client:
                client.sendall(request("/pieces?count=100&size=100000"))
                assert len(reply(client)[1]) == 10_000_000
        assert toy.ask("/quick/alive")["threads"] < 50


# ---- the end


def test_sigterm_answers_all_that_was_sent(toy: Running):
    """What was being answered, what waits to be read, what is still coming: all are answered, and told of the end."""
    with ExitStack() as stack:
        computing, idle, coming, pipelined = (stack.enter_context(toy.connect()) for _ in range(4))
        idle.sendall(request())
        reply(idle)
        computing.sendall(request("/sleep?ms=1000"))
        pipelined.sendall(request("/sleep?ms=500") * 2)
        coming.sendall(request(body=b"abc")[:-1])
        time.sleep(0.2)
        toy.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        idle.sendall(request())
        coming.sendall(b"c")
        for client in (computing, idle, coming):
            found, _ = reply(client)
            assert (found.status, found.headers["Connection"]) == (200, "close")
        assert [status for status, _, _ in replies(everything(pipelined))] == [200, 200]
        assert toy.process.wait(20) == 0


def test_sigterm_takes_what_waits_to_be_taken(toy: Running):
    """Connections that nobody has taken yet when the end comes are answered."""
    with ExitStack() as stack:
        toy.talk(request())
        (worker,) = toy.workers()
        os.kill(worker, signal.SIGSTOP)
        clients = [stack.enter_context(toy.connect()) for _ in range(50)]
        for client in clients:
            client.sendall(request())
        toy.process.send_signal(signal.SIGTERM)
        os.kill(worker, signal.SIGCONT)
        assert {reply(client)[0].status for client in clients} == {200}


def test_a_thread_that_hangs_does_not_keep_the_worker(hurried: Running):
    """After SIGTERM a thread without end costs its client a 504, and the end comes when all are told."""
    with hurried.connect() as client:
        client.sendall(request("/sleep?ms=60000"))
        time.sleep(0.2)
        hurried.process.send_signal(signal.SIGTERM)
        assert reply(client)[0].status == 504
    assert hurried.process.wait(10) == 0


def test_a_worker_that_is_killed_or_whose_parent_is_gone(toy: Running):
    """A killed worker is replaced; workers without a parent end, and answer before what they were asked."""
    before = pid(toy)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: toy.workers() and toy.workers() != [before])
    after = pid(toy)
    with toy.connect() as client:
        client.sendall(request("/sleep?ms=1500"))
        time.sleep(0.1)
        toy.process.kill()
        assert reply(client)[0].status == 200
    eventually(lambda: not Path(f"/proc/{after}").exists())


def test_sighup_replaces_the_workers_and_loses_nothing(wine_artifacts: Path, tmp_path: Path):
    """New processes take over, what was counted is still counted, and the old ones end."""
    with serving(wine_artifacts, tmp_path) as server:
        toy, before = Running(server.process, server.port), children(server.process.pid)
        for _ in range(2):
            assert b" 404 " in toy.talk(request("/nowhere"))
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: not set(before) & set(toy.workers()) and len(toy.workers()) == 2)
        told = toy.talk(request("/metrics", method="GET", head="Connection: close\r\n"), end=False)
        assert b'status="404"' in told and b"} 2" in told


def test_no_descriptor_is_left_for_a_while(toy: Running):
    """Who comes while there is no descriptor for a connection waits, and is answered later."""
    (worker,) = toy.workers()
    _, most = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (1, most))
    with toy.connect() as client:
        client.sendall(request())
        assert select.select([client], [], [], 0.3)[0] == []
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (most, most))
        assert reply(client)[0].status == 200


def test_a_listener_is_not_blocked_by_who_never_asks(toy: Running):
    """Hundreds of connections without a request are no obstacle to the next."""
    with ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(socket.create_connection(("127.0.0.1", toy.port)))
        assert toy.ask("/quick/echo")["size"] == 0


def test_a_worker_that_hangs_is_replaced_though_a_client_reads_on():
    """A reply that is fetched slowly keeps a worker with a hanging thread for one more deadline, and no longer."""
    with running(workers=1, deadline=1) as toy, toy.connect() as slow, toy.connect() as hanging:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(request("/pieces?count=500&size=100000"))
        assert slow.recv(100)
        hanging.sendall(request("/sleep?ms=100000"))
        assert reply(hanging)[0].status == 504
        (before,) = toy.workers()
        give_up = time.monotonic() + 20
        while before in toy.workers() and time.monotonic() < give_up:
            time.sleep(0.05)
        assert before not in toy.workers()
        assert toy.ask("/quick/echo")
