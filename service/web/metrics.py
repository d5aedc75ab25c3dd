"""What Prometheus is told at /metrics, summed over the workers.

A request only adds to figures in its worker's memory. Each worker writes them to a file of its own every second, in a
folder that the server names, and whoever is asked adds all files up: counting costs a request next to nothing.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service.calls import Facts
from service.live import Live

FOLDER = "CELLAR_METRICS"
"""The variable by which the server names the folder to its workers."""

EVERY = 1.0
"""Seconds between two writings of a worker's figures: so much is lost of one that is killed."""

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
LIMITS = [1000 * limit for limit in SECONDS]


class Series(msgspec.Struct):
    """The requests of one route, model and status: how many took how long, `counts` by LIMITS and one beyond."""

    labels: tuple[str, str, str]
    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(LIMITS) + 1))
    seconds: float = 0.0


class Figures(msgspec.Struct):
    """All that one worker counted, and what it is at now."""

    requests: list[Series] = []
    rows: list[tuple[str, str, int]] = []
    errors: dict[str, int] = {}
    reloads: list[tuple[str, str, int]] = []
    versions: dict[str, int] = {}
    inflight: int = 0


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
        self.write()
        registry = CollectorRegistry()
        registry.register(_Sum(self._all()))
        return generate_latest(registry)

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
        outcomes = [(name, "loaded", 1) for name in list(self.live.champions)]
        return Figures(
            requests=list(self._series.values()),
            rows=[(model, str(version), rows) for (model, version), rows in list(self._rows.items())],
            errors=dict(self._errors),
            reloads=[*outcomes, *((name, "refused", 1) for name in list(self.live.refused))],
            versions={name: model.version for name, model in list(self.live.champions.items())},
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


class _Sum(Collector):
    """What is collected: the sum of several workers' figures."""

    def __init__(self, workers: list[Figures]) -> None:
        self.workers = workers

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with all its samples."""
        yield self._requests()
        yield _counter("cellar_rows", "Rows predicted", ["model", "version"], (w.rows for w in self.workers))
        errors = (list(worker.errors.items()) for worker in self.workers)
        yield _counter("cellar_errors", "Requests refused or failed", ["kind"], errors)
        reloads = (worker.reloads for worker in self.workers)
        yield _counter("cellar_reloads", "Versions loaded or refused", ["model", "outcome"], reloads)
        versions = GaugeMetricFamily("cellar_model_version", "Version served", labels=["model"])
        served: dict[str, int] = {}
        for name, version in (pair for worker in self.workers for pair in worker.versions.items()):
            served[name] = max(version, served.get(name, 0))  # one sample a model, also while workers differ
        for name, version in served.items():
            versions.add_metric([name], version)
        yield versions
        total = sum(worker.inflight for worker in self.workers)
        yield GaugeMetricFamily("cellar_inflight", "Requests being answered", value=total)

    def _requests(self) -> HistogramMetricFamily:
        summed: dict[tuple[str, str, str], Series] = {}
        for series in (series for worker in self.workers for series in worker.requests):
            into = summed.setdefault(series.labels, Series(series.labels))
            into.counts = [mine + its for mine, its in zip(into.counts, series.counts, strict=True)]
            into.seconds += series.seconds
        metric = HistogramMetricFamily(
            "cellar_request_seconds", "Requests and the time to answer", labels=["route", "model", "status"]
        )
        names = [str(float(limit)) for limit in SECONDS] + ["+Inf"]
        for series in summed.values():
            upto = [sum(series.counts[: at + 1]) for at in range(len(names))]
            metric.add_metric(list(series.labels), list(zip(names, upto, strict=True)), series.seconds)
        return metric


def _counter(name: str, told: str, labels: list[str], workers: Iterable[Sequence[tuple[Any, ...]]]) -> Metric:
    """Return a counter with the sum of the workers' samples, each the values of the labels and a count."""
    summed: Counter[tuple[str, ...]] = Counter()
    for samples in workers:
        for *values, count in samples:
            summed[tuple(values)] += count
    metric = CounterMetricFamily(name, told, labels=labels)
    for labelled, total in summed.items():
        metric.add_metric(list(labelled), total)
    return metric
