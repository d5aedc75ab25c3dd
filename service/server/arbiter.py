"""The parent of the workers: gunicorn's, which lets go of old workers only when new ones serve."""

from __future__ import annotations

import signal
import time
from typing import Any

from gunicorn import arbiter

from service.server.listening import refuse_newcomers, vacate


class Arbiter(arbiter.Arbiter):  # type: ignore[misc]
    """It starts, watches and ends workers, and never waits for one: it goes on hearing what it is told."""

    def __init__(self, app: Any) -> None:
        self.retired = 0  # the age up to which workers are to be replaced
        self.ending: dict[Any, float] = {}  # workers that end, and when they have to be done
        super().__init__(app)

    def reload(self) -> None:
        """Have all workers replaced."""
        self.retired = self.worker_age
        self.manage_workers()

    def manage_workers(self) -> None:
        """Start workers that are missing, end the others once those that are to stay serve, and kill who is late."""
        self._note_who_ends()
        for _ in range(self.num_workers - len(self._staying())):
            self.spawn_worker()
        staying = self._staying()
        if all(_has_begun(worker) for worker in staying):
            for worker in set(self.WORKERS.values()) - set(staying) - set(self.ending):
                self.kill_worker(worker.pid, signal.SIGTERM)
                self.ending[worker] = time.monotonic() + self.cfg.graceful_timeout
        for worker, until in self.ending.items():
            if time.monotonic() > until:
                self.kill_worker(worker.pid, signal.SIGKILL)
        vacate({worker.age for worker in self.WORKERS.values()})

    def stop(self, graceful: bool = True) -> None:
        """End all workers, and lose nothing of what was sent to them."""
        for listener in self.LISTENERS:
            refuse_newcomers(listener.sock)
        super().stop(graceful)

    def _note_who_ends(self) -> None:
        """Take note of workers that end, be it that they were told to or that they do so by themselves."""
        until = time.monotonic() + self.cfg.graceful_timeout
        ending = [each for each in self.WORKERS.values() if each in self.ending or each.closes[0]]
        self.ending = {worker: self.ending.get(worker, until) for worker in ending}

    def _staying(self) -> list[Any]:
        """Return the newest workers, as many as there are to be, of those that are neither to be replaced nor end."""
        fresh = [each for each in self.WORKERS.values() if each.age > self.retired and each not in self.ending]
        fresh.sort(key=lambda worker: worker.age, reverse=True)
        return fresh[: self.num_workers]


def _has_begun(worker: Any) -> bool:
    """Whether a worker serves or has served: before its first heartbeat its file says it was touched in the future."""
    return bool(worker.tmp.last_update() <= time.monotonic())
