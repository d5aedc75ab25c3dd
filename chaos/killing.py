"""A worker is killed under load, again and again: only what it was at is lost, and another takes its place."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from chaos.asked import Asked, build, crowd, served
from chaos.clients import Client, faults
from chaos.crowd import asking, told, wait_for_answers
from chaos.experiment import Experiment, Outcome
from chaos.serving import WORKERS, Served

TIMES = 200
ANSWERS = 20
"""Requests that are answered before each kill."""
BACK = 2.0
"""Seconds within which as many workers as before have to serve."""
ALIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
INODE = re.compile(r"socket:\[(\d+)\]")


def run(folder: Path, scale: float, serve: Callable[[Asked], AbstractContextManager[Served]] = served) -> Outcome:
    """Kill a worker TIMES times, and look whose requests are lost, and when all workers serve again."""
    house, draw, times = build(folder), random.Random(9), max(1, round(TIMES * scale))
    broken: list[str] = []
    with serve(house) as service:
        clients = crowd(house, service.port)
        with asking(clients):
            rounds = [_kill_one(service, clients, draw, broken) for _ in range(times)]
    seen = told(clients)
    theirs: set[int] = set().union(*(ports for ports, _ in rounds))
    foreign = [each for each in seen.lost if each.port not in theirs]
    broken += faults(replace(seen, lost=foreign), but="refused")
    back = sorted(seconds for _, seconds in rounds)
    if back[-1] > BACK:
        broken.append(f"a worker was back after {back[-1]:.1f} s only")
    return Outcome(
        f"{times} workers killed, which held {len(theirs)} connections",
        f"{seen.answered} answered, {len(seen.lost)} lost, {len(foreign)} of them not the killed worker's; "
        f"all workers were back after {back[len(back) // 2]:.2f} s, {back[-1]:.2f} s at most",
        broken,
    )


def _kill_one(service: Served, clients: list[Client], draw: random.Random, broken: list[str]) -> tuple[set[int], float]:
    """Kill a worker; return the ports of its clients, and the seconds until all workers served again."""
    wait_for_answers(clients, ANSWERS)
    time.sleep(draw.random() / 50)
    before = service.workers()
    victim = draw.choice(before)
    os.kill(victim, signal.SIGSTOP)  # it takes nobody any more, so that those whom it has can be counted
    ports = clients_of(victim, service.port)
    os.kill(victim, signal.SIGKILL)
    start = time.monotonic()
    with ExitStack() as held:
        while not _all_serve(service, victim, held):
            if time.monotonic() > start + 5 * BACK:
                broken.append("a worker was not replaced")
                break
    return ports, time.monotonic() - start


def _all_serve(service: Served, gone: int, held: ExitStack) -> bool:
    """Return whether each of as many workers as there should be has answered; what asked stays open to be seen."""
    connection = held.enter_context(socket.create_connection(("127.0.0.1", service.port)))
    connection.sendall(ALIVE)
    connection.recv(1 << 16)
    workers = service.workers()
    return len(workers) == WORKERS and gone not in workers and all(clients_of(pid, service.port) for pid in workers)


def clients_of(pid: int, port: int) -> set[int]:
    """Return the ports of the clients that a process is connected with."""
    mine = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = INODE.match(os.readlink(link))
        except OSError:
            continue
        mine |= {found[1]} if found else set()
    return {remote for local, remote, inode in _connections() if local == port and inode in mine}


def _connections() -> list[tuple[int, int, str]]:
    """Return the local port, the remote port and the inode of every TCP connection of this machine."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    held = [(line[1].split(":")[1], line[2].split(":")[1], line[9]) for line in lines]
    return [(int(local, 16), int(remote, 16), inode) for local, remote, inode in held if int(remote, 16)]


EXPERIMENTS = (Experiment(9, "SIGKILL of a worker under load", run),)
