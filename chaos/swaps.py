"""Promotions under load: every answer belongs to exactly one version, and no connection goes back to an earlier one."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from chaos.clients import Client, Reply, Request, Seen, WrongError, faults, post
from chaos.crowd import asking
from chaos.experiment import Experiment, Outcome
from chaos.house import House, house
from chaos.serving import Served, serving, wait_until_serving

CLIENTS, VERSIONS = 8, 8
POLL = 0.05


def promotions(folder: Path, scale: float) -> Outcome:
    """200 promotions under 8 keep-alive clients and 100,000 requests."""
    count, requests = round(200 * scale), round(100_000 * scale)
    made = house(folder, VERSIONS)
    with serving(made.registry.folder, poll=POLL) as served:
        for number in [*range(2, VERSIONS + 1), 1]:  # the first time a version is tried in another process
            made.registry.promote("wine", number, "seen once")
            wait_until_serving(served, "wine", number)
        known = served.count("cellar_reloads_total", outcome="loaded")
        rest = _asked(made, served, requests // 4, lambda: None)
        order = [1]

        def promote() -> None:
            for number in itertools.islice(itertools.cycle([*range(2, VERSIONS + 1), 1]), count):
                order.append(number)
                made.registry.promote("wine", number, f"promotion {len(order)}")
                time.sleep(3 * POLL)

        swapped = _asked(made, served, requests, promote)
        reloads = served.count("cellar_reloads_total", outcome="loaded") - known
    broken = [told for seen in (*rest, *swapped) for told in faults(seen)]
    broken += ["a connection was closed" for seen in (*rest, *swapped) if seen.connections != 1]
    broken += [told for seen in swapped if (told := _goes_back(seen.notes, order))]
    before, after = _p99(rest), _p99(swapped)
    if scale >= 1 and after > 3 * before:
        broken.append(f"p99 is {after / before:.1f} times that at rest")
    if reloads < count:
        broken.append(f"of {count} promotions in two workers only {reloads:.0f} were noticed")
    answered = sum(seen.answered for seen in swapped)
    changes = sum(a != b for seen in swapped for a, b in itertools.pairwise(seen.notes))
    return Outcome(
        f"{count} promotions, {reloads:.0f} swaps in two workers, {changes} of them seen by {CLIENTS} clients",
        f"{answered} requests; p99 {before * 1000:.2f} ms at rest, {after * 1000:.2f} ms ({after / before:.2f} times)",
        broken[:10],
    )


def _asked(made: House, served: Served, requests: int, disturb: Callable[[], None]) -> list[Seen]:
    """Have clients ask `requests` times, and on until the disturbance is over; return what each saw."""
    clients = [Client(served.port, _requests(made, seed), least=requests // CLIENTS) for seed in range(CLIENTS)]
    with asking(clients, apart=True):
        disturb()
    return [client.seen for client in clients]


def _requests(made: House, seed: int) -> Iterator[Request]:
    """Yield requests for rows drawn at random, each judged by the table."""
    draw = np.random.default_rng(seed)
    path = "/models/wine/predict?include=probabilities"
    requests = [
        Request(post({"instances": [row]}, path), partial(_judge, made, at)) for at, row in enumerate(made.rows)
    ]
    while True:
        yield requests[int(draw.integers(len(requests)))]


def _judge(made: House, row: int, reply: Reply) -> int:
    """Return the one version that gives this answer for a row, if the reply says that it is of that version."""
    told = json.loads(reply.body)
    version = told.get("version", 0)
    answer = [told.get("predictions"), told.get("probabilities")]
    fits = [number for number, each in made.answers.items() if each[row] == answer]
    if reply.status != 200 or fits != [version] or reply.headers["X-Model-Version"] != str(version):
        raise WrongError(f"{reply.status}: version {version} answered as {fits}")
    return version


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
