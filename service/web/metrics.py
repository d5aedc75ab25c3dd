"""What Prometheus is told at /metrics, summed over the workers where the server has named a folder for that."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.calls import Facts
from service.live import Live

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
MEDIA = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        forget_the_dead()
        self.registry = CollectorRegistry()
        made = self.registry
        self.seconds = Histogram(
            "cellar_request_seconds",
            "Requests and the time to answer",
            ["route", "model", "status"],
            buckets=SECONDS,
            registry=made,
        )
        self.rows = Counter("cellar_rows", "Rows predicted", ["model", "version"], registry=made)
        self.errors = Counter("cellar_errors", "Requests refused or failed", ["kind"], registry=made)
        self.reloads = Counter("cellar_reloads", "Versions loaded or refused", ["model", "outcome"], registry=made)
        inflight = Gauge("cellar_inflight", "Requests being answered", multiprocess_mode="livesum", registry=made)
        self.inflight = inflight
        self.version = Gauge(
            "cellar_model_version", "Version served", ["model"], multiprocess_mode="livemostrecent", registry=made
        )
        self._series: dict[tuple[str, str, int], Histogram] = {}
        self._row_counters: dict[tuple[str, int], Counter] = {}

    def count(self, facts: Facts) -> None:
        """Count one request that was answered."""
        series = self._series.get((facts.route, facts.model, facts.status)) or self._series_of(facts)
        series.observe(facts.ms / 1000)
        if facts.rows:
            rows = self._row_counters.get((facts.model, facts.version)) or self._rows_of(facts)
            rows.inc(facts.rows)
        if facts.error:
            self.errors.labels(facts.error).inc()

    def tell_versions(self, live: Live) -> None:
        """Tell which versions are served, and count what was loaded and what was refused."""
        for name, model in live.champions.items():
            self.version.labels(name).set(model.version)
            self.reloads.labels(name, "loaded").inc()
        for name in live.refused:
            self.reloads.labels(name, "refused").inc()

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        if FOLDER not in os.environ:
            return generate_latest(self.registry)
        summed = CollectorRegistry()
        MultiProcessCollector(summed)  # type: ignore[no-untyped-call]
        return generate_latest(summed)

    def _series_of(self, facts: Facts) -> Histogram:
        made = self.seconds.labels(facts.route, facts.model, str(facts.status))
        return self._series.setdefault((facts.route, facts.model, facts.status), made)

    def _rows_of(self, facts: Facts) -> Counter:
        made = self.rows.labels(facts.model, str(facts.version))
        return self._row_counters.setdefault((facts.model, facts.version), made)


def forget_the_dead() -> None:
    """Take away what workers that ended left of their momentary figures; what they counted stays."""
    if FOLDER not in os.environ:
        return
    for path in Path(os.environ[FOLDER]).glob("gauge_live*.db"):
        number = path.stem.rpartition("_")[2]
        if number.isdecimal() and not Path(f"/proc/{number}").exists():
            mark_process_dead(int(number))  # type: ignore[no-untyped-call]
