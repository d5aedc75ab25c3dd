"""Threads that answer beside the event loop, and the requests that wait for one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from service.server.exchange import Exchange


def started(threads: int) -> ThreadPoolExecutor:
    """Return threads that run already: later the machine may have none to give."""
    pool, together = ThreadPoolExecutor(threads), threading.Barrier(threads)
    for each in [pool.submit(together.wait) for _ in range(threads)]:
        each.result()
    return pool


class Crew:
    """Threads, the requests that they are at, and those that wait for one, each with the time at which it came."""

    def __init__(self, pool: ThreadPoolExecutor, threads: int) -> None:
        self.pool, self.threads = pool, threads
        self.running: dict[Exchange, float] = {}
        self.waiting: dict[Exchange, float] = {}

    @property
    def requests(self) -> dict[Exchange, float]:
        """All requests."""
        return self.running | self.waiting

    def next(self) -> Exchange | None:
        """Return the request that is to be begun now, if there is one and a thread for it."""
        if not self.waiting or len(self.running) >= self.threads:
            return None
        exchange = next(iter(self.waiting))
        self.running[exchange] = self.waiting.pop(exchange)
        return exchange
