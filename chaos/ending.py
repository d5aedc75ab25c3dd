"""The service is told to end, or to take new workers, under load: no request that was fully sent may be lost."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from chaos.asked import Asked, build, crowd, served
from chaos.clients import Client, faults
from chaos.crowd import asking, told, wait_for_answers
from chaos.experiment import Experiment, Outcome
from chaos.serving import Served

TIMES = 50
ANSWERS = 50
"""Requests that are answered before each signal."""
WAIT = 0.1
"""Seconds at most between that and the signal."""
GRACE = 30
"""Seconds for the service to do what it was told."""

Serve = Callable[[Asked], AbstractContextManager[Served]]


def run(folder: Path, scale: float, serve: Serve = served) -> Outcome:
    """Send SIGTERM and SIGHUP, each TIMES times, under load."""
    house, draw, times = build(folder), random.Random(8), max(1, round(TIMES * scale))
    clients, hit, broken = [], 0, []
    for _ in range(times):
        with serve(house) as service:
            asked = crowd(house, service.port)
            clients += asked
            hit += _terminate(service, asked, draw, broken)
    with serve(house) as service:
        asked = crowd(house, service.port)
        clients += asked
        with asking(asked):
            replaced = sum(_hang_up(service, asked, draw, broken) for _ in range(times))
    seen = told(clients)
    broken += faults(seen, but="refused")
    broken += [] if hit >= times else [f"only {hit} requests were on their way at {times} SIGTERM"]
    return Outcome(
        f"{times} SIGTERM, with {hit} requests on their way; {times} SIGHUP, which replaced {replaced} workers",
        f"{seen.answered} answered, {len(seen.lost)} lost, {len(seen.wrong)} wrong",
        broken,
    )


def _terminate(service: Served, clients: list[Client], draw: random.Random, broken: list[str]) -> int:
    """End the service; return how many requests were on their way."""
    with asking(clients):
        wait_for_answers(clients, ANSWERS)
        time.sleep(draw.random() * WAIT)
        for client in clients:
            client.quits.set()
        hit = sum(client.in_flight for client in clients)
        service.process.send_signal(signal.SIGTERM)
        status = service.process.wait(GRACE)
    if status:
        broken.append(f"the service ended with {status}")
    return hit


def _hang_up(service: Served, clients: list[Client], draw: random.Random, broken: list[str]) -> int:
    """Have all workers replaced; return how many were."""
    wait_for_answers(clients, ANSWERS)
    time.sleep(draw.random() * WAIT)
    before, give_up = set(service.workers()), time.monotonic() + GRACE
    service.process.send_signal(signal.SIGHUP)
    while (left := before & set(service.workers())) and time.monotonic() < give_up:
        time.sleep(0.01)
    if left:
        broken.append(f"{len(left)} workers were not replaced within {GRACE} s")
    return len(before - left)


EXPERIMENTS = (Experiment(8, "SIGTERM and SIGHUP under load", run),)
