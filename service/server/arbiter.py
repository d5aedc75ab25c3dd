"""The parent of the workers: gunicorn's, which lets go of old workers only when new ones serve."""

from __future__ import annotations

import time

from gunicorn import arbiter

from service.server.listening import refuse_newcomers, vacate

PATIENCE = 60
"""Seconds that old workers serve on at most while new ones start."""
LOOK = 0.05


class Arbiter(arbiter.Arbiter):  # type: ignore[misc]
    """It starts, watches and ends workers."""

    def manage_workers(self) -> None:
        """Start workers that are missing, and end the oldest that are too many, once those that are to stay serve."""
        give_up = time.monotonic() + PATIENCE
        while self._begins() and time.monotonic() < give_up and self.SIG_QUEUE.empty():
            time.sleep(LOOK)
            self.reap_workers()
        super().manage_workers()
        vacate({worker.age for worker in self.WORKERS.values()})

    def stop(self, graceful: bool = True) -> None:
        """End all workers, and lose nothing of what was sent to them."""
        for listener in self.LISTENERS:
            refuse_newcomers(listener.sock)
        super().stop(graceful)

    def _begins(self) -> bool:
        """Whether there are workers too many, and one that is to stay does not serve yet."""
        workers = sorted(self.WORKERS.values(), key=lambda worker: worker.age)
        stay = workers[-self.num_workers :] if len(workers) > self.num_workers else []
        # Before its first heartbeat a worker's file says that it was touched in the future.
        return any(worker.tmp.last_update() > time.monotonic() for worker in stay)
