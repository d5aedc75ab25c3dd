"""Promotions under load: every answer belongs to exactly one version, and no connection goes back to an earlier one."""

from __future__ import annotations

import http.client
import itertools
import json
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chaos.experiment import Experiment, Outcome
from chaos.house import House, Served, house, serving, wait_until_serving

CLIENTS, VERSIONS = 8, 8
POLL = 0.05


class Seen(NamedTuple):
    """What one client saw: seconds of each request, the versions in turn, and what was wrong."""

    seconds: list[float]
    versions: list[int]
    wrong: list[str]


def promotions(folder: Path, scale: float) -> Outcome:
    """200 promotions under 8 keep-alive clients and 100,000 requests."""
    count, requests = round(200 * scale), round(100_000 * scale)
    made = house(folder, VERSIONS)
    with serving(made.registry.folder, poll=POLL) as served:
        for number in [*range(2, VERSIONS + 1), 1]:  # the first time a version is tried in another process
            made.registry.promote("wine", number, "seen once")
            wait_until_serving(served, "wine", number)
        known = served.count("cellar_reloads_total", outcome="loaded")
        rest = _load(made, served, requests // 4, lambda: None)
        order = [1]

        def promote() -> None:
            for number in itertools.islice(itertools.cycle([*range(2, VERSIONS + 1), 1]), count):
                order.append(number)
                made.registry.promote("wine", number, f"promotion {len(order)}")
                time.sleep(3 * POLL)

        swapped = _load(made, served, requests, promote)
        reloads = served.count("cellar_reloads_total", outcome="loaded") - known
    broken = [told for seen in (*rest, *swapped) for told in seen.wrong]
    broken += [told for seen in swapped if (told := _goes_back(seen.versions, order))]
    before, after = _p99(rest), _p99(swapped)
    if scale >= 1 and after > 3 * before:
        broken.append(f"p99 is {after / before:.1f} times that at rest")
    if reloads < count:
        broken.append(f"of {count} promotions in two workers only {reloads:.0f} were noticed")
    answered = sum(len(seen.seconds) for seen in swapped)
    changes = sum(a != b for seen in swapped for a, b in itertools.pairwise(seen.versions))
    return Outcome(
        f"{count} promotions, {reloads:.0f} swaps in two workers, {changes} of them seen by {CLIENTS} clients",
        f"{answered} requests; p99 {before * 1000:.2f} ms at rest, {after * 1000:.2f} ms ({after / before:.2f} times)",
        broken[:10],
    )


def _load(made: House, served: Served, requests: int, disturb: Callable[[], None]) -> list[Seen]:
    """Have clients ask `requests` times, and on until the disturbance is over; return what they saw."""
    context = multiprocessing.get_context("fork")
    over, pipes = context.Event(), [context.Pipe(duplex=False) for _ in range(CLIENTS)]
    clients = [
        context.Process(target=_client, args=(made, served.port, requests // CLIENTS, over, theirs, seed))
        for seed, (_, theirs) in enumerate(pipes)
    ]
    for client in clients:
        client.start()
    disturb()
    over.set()
    seen = [ours.recv() for ours, _ in pipes]
    for client in clients:
        client.join()
    return seen


def _client(made: House, port: int, requests: int, over: Event, pipe: Connection, seed: int) -> None:
    pipe.send(_ask(made, port, requests, over, seed))


def _ask(made: House, port: int, requests: int, over: Event, seed: int) -> Seen:
    """Ask over one connection and compare each answer with the table."""
    seen, draw = Seen([], [], []), np.random.default_rng(seed)
    bodies = [json.dumps({"instances": [row]}) for row in made.rows]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.connect()
    first = connection.sock
    while len(seen.seconds) < requests or not over.is_set():
        row = int(draw.integers(len(bodies)))
        start = time.perf_counter()
        connection.request("POST", "/models/wine/predict?include=probabilities", bodies[row])
        reply = connection.getresponse()
        status, text = reply.status, reply.read()
        seen.seconds.append(time.perf_counter() - start)
        told = json.loads(text)
        version = told.get("version", 0)
        answer = [told.get("predictions"), told.get("probabilities")]
        fits = [number for number, each in made.answers.items() if each[row] == answer]
        if status != 200 or fits != [version] or reply.headers["X-Model-Version"] != str(version):
            seen.wrong.append(f"{status}: version {version} answered as {fits}")
        seen.versions.append(version)
        if connection.sock is not first:
            seen.wrong.append("the connection was closed")
            first = connection.sock
    connection.close()
    return seen


def _goes_back(versions: list[int], order: list[int]) -> str:
    """Return "" if the versions were promoted in the order in which they were seen, some perhaps unseen."""
    at = 0
    for version in (version for version, _ in itertools.groupby(versions)):
        try:
            at = order.index(version, at)
        except ValueError:
            return f"version {version} came back after promotion {at}"
    return ""


def _p99(seen: list[Seen]) -> float:
    return float(np.quantile([each for one in seen for each in one.seconds], 0.99))


EXPERIMENTS = (Experiment(1, "promotions under load", promotions),)
