"""The workers' figures, added up, in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service.web.figures import SECONDS, Figures, Series


def text(workers: Sequence[Figures]) -> bytes:
    """Return the sum of the workers' figures as Prometheus reads it."""
    registry = CollectorRegistry()
    registry.register(_Sum(workers))
    return generate_latest(registry)


class _Sum(Collector):
    """What is collected: the sum of several workers' figures."""

    def __init__(self, workers: Sequence[Figures]) -> None:
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
