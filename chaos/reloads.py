"""Swaps without end, and a million requests: the service stays alive and takes no more than it took."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from chaos.experiment import Experiment, Outcome
from chaos.house import House, house
from chaos.serving import Served, serving, wait_until_serving
from service.errors import BusyError
from service.live import Live

THREADS, SWAPS = 32, 2000
WARM = 0.1
"""The share of an experiment after which its memory is to grow no more."""
GROWTH = 1.1
SWAPPED = 0.3
"""The share of promotions from many threads that is seen at least: one look may find several."""
BODIES = 200


class Held(NamedTuple):
    """What processes hold together: bytes of their own, descriptors and threads."""

    memory: int
    descriptors: int
    threads: int


def held(ids: Callable[[], Sequence[int]]) -> Held:
    """Return what processes hold for good: the least of a few looks, a connection or a trial comes and goes."""
    looks = []
    for _ in range(5):
        workers = [psutil.Process(each) for each in ids()]
        looks.append(
            (
                sum(each.memory_full_info().uss for each in workers),
                sum(each.num_fds() for each in workers),
                sum(each.num_threads() for each in workers),
            )
        )
        time.sleep(0.02)
    return Held(*map(min, zip(*looks, strict=True)))


def swaps(folder: Path, scale: float) -> Outcome:
    """1,024 reloads from 32 threads in one process; then 2,000 swaps of a server under requests."""
    made = house(folder, 3)
    rounds = max(1, round(32 * scale))
    reloaded, around, broken = _reload(made, rounds)
    count = round(SWAPS * scale)
    with serving(made.registry.folder, poll=0.01) as served:
        for version in (2, 3, 1):
            made.registry.promote("wine", version, "seen once")
            wait_until_serving(served, "wine", version)
        ids = served.workers()
        # The first answer of each worker loads what writes them.
        known = max(served.count("cellar_reloads_total", outcome="loaded") for _ in range(20))
        looks = []
        for number, version in enumerate(itertools.islice(itertools.cycle((2, 3, 1)), count)):
            made.registry.promote("wine", version, f"swap {number}")
            wait_until_serving(served, "wine", version, 1)
            if number >= WARM * count and number % (count // 10 or 1) == 0:
                looks.append(held(served.workers))
        time.sleep(2)  # until the workers have written what they counted
        swapped = served.count("cellar_reloads_total", outcome="loaded") - known
        looks.append(held(served.workers))
        broken += _grown(looks)
        if served.workers() != ids:
            broken.append("a worker was replaced")
    if swapped < count:
        broken.append(f"of {count} promotions in two workers only {swapped:.0f} were noticed")
    return Outcome(
        f"{rounds * THREADS} promotions from {THREADS} threads and {reloaded} swaps in one process, "
        f"{count} promotions and {swapped:.0f} swaps in two workers",
        f"one process: {_told(around)}; two workers: {_told(looks)}",
        broken,
    )


def _reload(made: House, rounds: int) -> tuple[int, list[Held], list[str]]:
    """Promote and look from many threads while others ask.

    Return how many swaps there were after a warm-up, what this process held before and after them, what was wrong.
    """
    live, wrong, over = Live(made.registry), list[str](), threading.Event()
    live.look()
    askers = [threading.Thread(target=_ask, args=(made, live, wrong, over)) for _ in range(2)]
    for thread in askers:
        thread.start()
    looks, swapped = list[Held](), list[int]()
    for count in (max(1, rounds // 4), rounds):
        _promote(made, live, wrong, count)
        looks.append(held(lambda: [os.getpid()]))
        swapped.append(live.reloads["wine", "loaded"])
    over.set()
    for thread in askers:
        thread.join()
    live.look()
    if live.get("wine").version != made.registry.champion("wine"):
        wrong.append("the last promotion is not what is served")
    swaps = swapped[1] - swapped[0]
    if swaps < SWAPPED * rounds * THREADS:
        wrong.append(f"of {rounds * THREADS} promotions from {THREADS} threads only {swaps} were noticed")
    return swaps, looks, [*wrong, *_grown(looks)]


def _ask(made: House, live: Live, wrong: list[str], over: threading.Event) -> None:
    """Ask for predictions until it is over; what ends that, and each wrong answer, is told."""
    bodies = [json.dumps({"instances": [row]}).encode() for row in made.rows]
    try:
        while not over.is_set():
            at = random.randrange(len(bodies))
            model = live.get("wine")
            read = model.rows.read(bodies[at], ("instances",))
            assert read
            label = model.predict(read.inputs).values.tolist()
            if label != made.answers[model.version][at][0]:
                wrong.append(f"version {model.version} answered {label}")
    except Exception as error:
        wrong.append(f"who asks was told {error!r}")


def _promote(made: House, live: Live, wrong: list[str], rounds: int) -> None:
    """Promote and look so many times from each of many threads."""

    def promote(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(rounds):
            try:
                _insist(made, draw.randint(1, 3))
                live.look()
            except Exception as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=promote, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _insist(made: House, version: int) -> None:
    """Promote, and again where somebody else wrote for too long, as who is told that is to do."""
    while True:
        with suppress(BusyError):
            return made.registry.promote("wine", version, "one of many")


def million(folder: Path, scale: float) -> Outcome:
    """One million requests of 1 to 1,000 rows, from wrk over 8 connections."""
    made, count = house(folder, 1, 1000), round(1_000_000 * scale)
    draw = random.Random(0)
    sizes = [round(1000 ** draw.random()) for _ in range(BODIES)]
    bodies = folder / "bodies.txt"
    bodies.write_text("".join(json.dumps({"instances": draw.choices(made.rows, k=size)}) + "\n" for size in sizes))
    done, failed, looks = 0, 0, []
    with serving(made.registry.folder) as served:
        while done < count:
            answered, bad = _wrk(served, bodies, 2)
            done, failed = done + answered, failed + bad
            looks.append((done, held(served.workers)))
    warm = [look for at, look in looks if at >= WARM * count] or [looks[-1][1]]
    return Outcome(
        f"{done} requests of {min(sizes)} to {max(sizes)} rows, {sum(sizes) / BODIES:.0f} on average",
        f"{failed} not answered with 200; {_told(warm)}",
        [*_grown(warm), *([f"{failed} were not answered with 200"] if failed else [])],
    )


def _wrk(served: Served, bodies: Path, seconds: int) -> tuple[int, int]:
    words = ["wrk", "-t1", "-c8", f"-d{seconds}s", "-s", str(Path(__file__).with_name("bodies.lua")), served.address]
    told = subprocess.run([*words, "--", str(bodies)], capture_output=True, text=True, check=True).stdout
    answered, bad = map(int, told.splitlines()[-1].split())
    return answered, bad


def _grown(looks: Sequence[Held]) -> list[str]:
    """Return what grew from the first look to the last."""
    first, last = looks[0], looks[-1]
    grown = {"memory": last.memory > GROWTH * first.memory, "threads": last.threads > first.threads}
    grown["descriptors"] = last.descriptors > first.descriptors
    return [f"{name} grew: {_told(looks)}" for name, is_so in grown.items() if is_so]


def _told(looks: Sequence[Held]) -> str:
    first, last = looks[0], looks[-1]
    return (
        f"memory {first.memory / 1e6:.1f} MB after warm-up, {last.memory / 1e6:.1f} MB at the end, "
        f"{max(look.memory for look in looks) / 1e6:.1f} MB at most; "
        f"descriptors {first.descriptors} and {last.descriptors}, threads {first.threads} and {last.threads}"
    )


EXPERIMENTS = (
    Experiment(7, "reloads and swaps without end", swaps),
    Experiment(13, "one million requests", million),
)
