"""What Prometheus is told at /metrics, summed over the workers.

A request only adds to figures in its worker's memory. Each worker writes them to a file of its own every second, in a
folder that the server names, and whoever is asked adds all files up: counting costs a request next to nothing.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from service.calls import Facts
from service.live import Live
from service.web.figures import FOLDER, LIMITS, Figures, Series

EVERY = 1.0
"""Seconds between two writings of a worker's figures: so much is lost of one that is killed."""

MEDIA = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The figures of this worker, and the sum over all of them; `inflight` tells how many requests it is at."""

    def __init__(self, live: Live, inflight: Callable[[], int] = lambda: 0) -> None:
        self.live, self.inflight = live, inflight
        self._series: dict[tuple[str, str, int], Series] = {}
        self._rows: Counter[tuple[str, int]] = Counter()
        self._errors: Counter[str] = Counter()
        self._changed = True
        self._told = 0
        folder = os.environ.get(FOLDER)
        self._folder = Path(folder) if folder else None
        if self._folder:
            threading.Thread(target=self._write_on, daemon=True).start()

    def count(self, facts: Facts) -> None:
        """Count one request that was answered."""
        self._changed = True
        key = (facts.route, facts.model, facts.status)
        series = self._series.get(key)
        if series is None:
            series = self._series.setdefault(key, Series((facts.route, facts.model, str(facts.status))))
        series.counts[bisect_left(LIMITS, facts.ms)] += 1
        series.seconds += facts.ms / 1000
        if facts.rows:
            self._rows[facts.model, facts.version] += facts.rows
        if facts.error:
            self._errors[facts.error] += 1

    def text(self) -> bytes:
        """Return all workers' figures in Prometheus' text format."""
        from service.web import exposition  # a tenth of the time that the service takes to start

        self.write()
        return exposition.text(self._all())

    def write(self) -> None:
        """Write this worker's figures where the others find them."""
        if not self._folder:
            return
        self._changed = False
        now = self._now()
        self._told = now.inflight
        beside = self._folder / f".{os.getpid()}-{threading.get_ident()}"
        with suppress(OSError):  # the folder is the server's own and goes with it
            beside.write_bytes(msgspec.json.encode(now))
            beside.replace(self._folder / f"{os.getpid()}.json")

    def _write_on(self) -> None:
        pause = threading.Event()
        while not pause.wait(EVERY):
            if self._changed or self._told != self.inflight():
                self.write()

    def _now(self) -> Figures:
        return Figures(
            requests=list(self._series.values()),
            rows=[(model, str(version), rows) for (model, version), rows in list(self._rows.items())],
            errors=dict(self._errors),
            reloads=[(name, outcome, count) for (name, outcome), count in list(self.live.reloads.items())],
            versions={name: model.version for name, model in self.live.champions.items()},
            inflight=self.inflight(),
        )

    def _all(self) -> list[Figures]:
        """Return every worker's figures; of one that is gone what it was at is left out."""
        if not self._folder:
            return [self._now()]
        found = []
        for path in self._folder.glob("*.json"):
            figures = msgspec.json.decode(path.read_bytes(), type=Figures)
            if not Path(f"/proc/{path.stem}").exists():
                figures.versions, figures.inflight = {}, 0
            found.append(figures)
        return found
