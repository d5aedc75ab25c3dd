"""What Prometheus is told at /metrics, summed over the workers where the server has named a folder for that."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.calls import Facts

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
MEDIA = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        forget_the_dead()
        self.registry = CollectorRegistry()
        made = self.registry
        self.requests = Counter("cellar_requests", "Requests answered", ["route", "model", "status"], registry=made)
        self.seconds = Histogram("cellar_request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=made)
        self.rows = Counter("cellar_rows", "Rows predicted", ["model", "version"], registry=made)
        self.errors = Counter("cellar_errors", "Requests refused or failed", ["kind"], registry=made)
        self.reloads = Counter("cellar_reloads", "Versions loaded or refused", ["model", "outcome"], registry=made)
        inflight = Gauge("cellar_inflight", "Requests being answered", multiprocess_mode="livesum", registry=made)
        self.inflight = inflight
        self.version = Gauge(
            "cellar_model_version", "Version served", ["model"], multiprocess_mode="livemostrecent", registry=made
        )
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._row_counters: dict[tuple[str, int], Counter] = {}

    def count(self, facts: Facts) -> None:
        """Count one request that was answered."""
        key = (facts.route, facts.model, facts.status)
        if key not in self._known:
            requests = self.requests.labels(facts.route, facts.model, str(facts.status))
            self._known[key] = requests, self.seconds.labels(facts.route)
        requests, seconds = self._known[key]
        requests.inc()
        seconds.observe(facts.ms / 1000)
        if facts.rows:
            self._rows_of(facts.model, facts.version).inc(facts.rows)
        if facts.error:
            self.errors.labels(facts.error).inc()

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        if FOLDER not in os.environ:
            return generate_latest(self.registry)
        summed = CollectorRegistry()
        MultiProcessCollector(summed)  # type: ignore[no-untyped-call]
        return generate_latest(summed)

    def _rows_of(self, model: str, version: int) -> Counter:
        if (model, version) not in self._row_counters:
            self._row_counters[model, version] = self.rows.labels(model, str(version))
        return self._row_counters[model, version]


def forget_the_dead() -> None:
    """Take away what workers that ended left of their momentary figures; what they counted stays."""
    if FOLDER not in os.environ:
        return
    for path in Path(os.environ[FOLDER]).glob("gauge_live*.db"):
        number = path.stem.rpartition("_")[2]
        if number.isdecimal() and not Path(f"/proc/{number}").exists():
            mark_process_dead(int(number))  # type: ignore[no-untyped-call]
