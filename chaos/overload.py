"""More requests than can be answered: some are answered soon, the others are told at once to come back."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chaos.clients import post
from chaos.experiment import Experiment, Outcome
from chaos.house import house
from chaos.serving import Served, serving

INFLIGHT = 4
FACTORS = (0.8, 1, 2, 5, 10)
SECONDS = 20
JUDGED = 0.3
"""The share of that from which on figures of time are more than chance."""
PATH = "/predict?include=explanation"
"""An answer that takes the service some milliseconds, so that a client can ask for ten times as many as it can give."""


class Load(NamedTuple):
    """What became of a load within `took` seconds: seconds of requests answered with 200, and what has no cure."""

    took: float
    asked: int
    answered: list[float]
    refused: int
    wrong: dict[str, int]

    @property
    def goodput(self) -> float:
        """Requests answered with 200 each second."""
        return len(self.answered) / self.took


def overload(folder: Path, scale: float) -> Outcome:
    """1 to 10 times the capacity, by an open loop."""
    made, seconds, broken = house(folder, 3), max(2.0, SECONDS * scale), list[str]()
    made.registry.promote("wine", 3, "a forest")
    sent = post({"instances": made.rows[:1]}, PATH)
    with serving(made.registry.folder, max_inflight=INFLIGHT) as served:
        capacity = _capacity(served, sent, seconds)
        loads = {factor: _offer(served, sent, factor * capacity, seconds) for factor in FACTORS}
    told = []
    calm, peak = _p99(loads[0.8]), max(load.goodput for load in loads.values())
    for factor, load in loads.items():
        p99 = _p99(load)
        told.append(f"{factor:g} times: {load.goodput:.0f}/s answered, {load.refused} refused, p99 {p99 * 1000:.0f} ms")
        broken += [f"{factor:g} times: {count} {what}" for what, count in load.wrong.items()]
        if scale >= JUDGED and p99 > 2 * calm:
            broken.append(f"{factor:g} times: p99 is {p99 / calm:.1f} times that at 0.8")
    kept = loads[10].goodput / peak
    if scale >= JUDGED and kept < 0.8:
        broken.append(f"10 times: {kept:.0%} of the peak is answered")
    offered = ", ".join(f"{load.asked / load.took:.0f}" for load in loads.values())
    return Outcome(
        f"of {capacity:.0f}/s at most, {offered} were asked for; {loads[10].refused} refused at 10 times",
        f"{'; '.join(told)}; {kept:.0%} of the peak at 10 times",
        broken if loads[10].refused else [*broken, "nothing was refused"],
    )


def _p99(load: Load) -> float:
    return float(np.quantile(load.answered, 0.99)) if load.answered else float("inf")


def _capacity(served: Served, sent: bytes, seconds: float) -> float:
    """Return how many requests a second a closed loop of as many clients as processors gets answered."""
    return _run(_closed, served.port, sent, 4, seconds).goodput


def _offer(served: Served, sent: bytes, rate: float, seconds: float) -> Load:
    return _run(_open, served.port, sent, rate, seconds)


def _run(client: object, port: int, sent: bytes, rate: float, seconds: float) -> Load:
    """Run a client in a process of its own."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=_send, args=(theirs, client, port, sent, rate, seconds)
    )
    process.start()
    load: Load = ours.recv()
    process.join()
    return load


def _send(pipe: Connection, client: object, *given: object) -> None:
    pipe.send(asyncio.run(client(*given)))  # type: ignore[operator]


class _Client:
    """Connections that are kept, and what their requests came to."""

    def __init__(self, port: int, sent: bytes) -> None:
        self.port, self.sent, self.began = port, sent, time.monotonic()
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.answered: list[float] = []
        self.refused, self.wrong = 0, Counter[str]()

    async def ask(self) -> None:
        start = time.perf_counter()
        try:
            reader, writer = self.free.pop() if self.free else await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(self.sent)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.wrong[type(error).__name__] += 1
            return
        self.free.append((reader, writer))
        status = head.split(" ", 2)[1]
        if status == "200":
            self.answered.append(time.perf_counter() - start)
        elif status == "503" and "retry-after: " in head:
            self.refused += 1
        else:
            self.wrong[f"answered with {status}"] += 1

    def load(self, asked: int) -> Load:
        return Load(time.monotonic() - self.began, asked, self.answered, self.refused, dict(self.wrong))


async def _closed(port: int, sent: bytes, clients: float, seconds: float) -> Load:
    client, until = _Client(port, sent), time.monotonic() + seconds

    async def again() -> None:
        while time.monotonic() < until:
            await client.ask()

    await asyncio.gather(*(again() for _ in range(int(clients))))
    return client.load(0)


async def _open(port: int, sent: bytes, rate: float, seconds: float) -> Load:
    """Ask at random moments, `rate` times a second on average, whatever became of the requests before."""
    client, draw, asked = _Client(port, sent), np.random.default_rng(0), set[asyncio.Task[None]]()
    begin = at = time.monotonic()
    count = 0
    while at < begin + seconds:
        at += draw.exponential(1 / rate)
        await asyncio.sleep(max(0, at - time.monotonic()))
        task = asyncio.create_task(client.ask())
        asked.add(task)
        task.add_done_callback(asked.discard)
        count += 1
    await asyncio.gather(*asked)
    return client.load(count)


EXPERIMENTS = (Experiment(10, "one to ten times overload", overload),)
