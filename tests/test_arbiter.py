from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from test_worker import eventually, pid
from toy import Running, reply, request, running, statuses


@contextmanager
def reloading(grace: int = 60) -> Iterator[tuple[Running, set[int]]]:
    """Serve on two workers, old ones of which one cannot end as its client does not read, and two that took over."""
    with running(workers=2, graceful_timeout=grace) as toy, toy.connect() as client:
        eventually(lambda: len(toy.workers()) == 2)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(request("/pieces?count=500&size=100000"))
        assert client.recv(100)
        before = set(toy.workers())
        toy.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(set(toy.workers()) - before) == 2 and len(before & set(toy.workers())) == 1)
        yield toy, before


def test_a_signal_is_heard_while_old_workers_end():
    """Who is at a reply of an old worker does not keep the parent from hearing that all is to end."""
    with reloading() as (toy, before):
        (old,) = before & set(toy.workers())
        toy.process.send_signal(signal.SIGINT)
        eventually(lambda: toy.process.poll() is not None)
        assert not Path(f"/proc/{old}").exists()


def test_workers_that_die_while_old_ones_end_are_replaced():
    """New workers that are killed have successors, however long an old one takes."""
    with reloading() as (toy, before):
        new = set(toy.workers()) - before
        for each in new:
            os.kill(each, signal.SIGKILL)
        eventually(lambda: len(set(toy.workers()) - before - new) == 2)
        assert before & set(toy.workers())
        assert statuses(toy.talk(request())) == [200]


def test_an_old_worker_is_killed_that_does_not_end():
    """After the time of grace it goes, also where a client is still at its reply."""
    with reloading(grace=4) as (toy, before):
        eventually(lambda: not before & set(toy.workers()))
        assert len(toy.workers()) == 2


def test_a_worker_that_ends_by_itself_is_replaced_at_once():
    """It counts no more as one that serves, and nobody is ended for its successor."""
    with running(workers=2, graceful_timeout=60) as toy, toy.connect() as client:
        client.sendall(request("/sleep?ms=5000"))
        eventually(lambda: len(toy.workers()) == 2)
        before = set(toy.workers())
        for each in before:
            os.kill(each, signal.SIGTERM)
        eventually(lambda: len(set(toy.workers()) - before) == 2)
        assert before & set(toy.workers())
        assert pid(toy) not in before
        assert reply(client)[0].status == 200


def test_old_workers_serve_until_new_ones_do(tmp_path: Path):
    """While new workers take their time to start, and whatever else dies meanwhile, the old ones answer."""
    slow = tmp_path / "slow"
    with running(workers=2, slow=str(slow)) as toy:
        eventually(lambda: len(toy.workers()) == 2)
        before = set(toy.workers())
        slow.touch()
        toy.process.send_signal(signal.SIGHUP)
        starting = eventually(lambda: set(toy.workers()) - before)
        for each in starting:
            os.kill(each, signal.SIGKILL)
        eventually(lambda: len(set(toy.workers()) - before - starting) == 2)
        assert before <= set(toy.workers()) and pid(toy) in before
        slow.unlink()
        eventually(lambda: not before & set(toy.workers()))
        assert pid(toy) not in before
