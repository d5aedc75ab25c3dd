"""Telling a person what is published, and whether it is sound."""

from __future__ import annotations

from collections.abc import Iterator

from service import bundle
from service.errors import BundleError
from service.model import load
from service.registry import Registry


def table(registry: Registry) -> str:
    """Return every published version as aligned text, the champion marked, with the reason of its promotion."""
    rows = [("model", "version", "estimator", "metric", "trained", "champion since, why")]
    for name in registry.names():
        promoted = {event.version: event for event in registry.history(name)}
        for version in reversed(bundle.versions(registry.home(name))):
            event = promoted.get(version) if registry.champion(name) == version else None
            why = f"{event.at[:16]}, {event.reason}" if event else ""
            rows.append((name, str(version), *_facts(registry, name, version), why))
    if len(rows) == 1:
        return "Nothing is published yet: run the pipeline."
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def verdict(registry: Registry, name: str, version: int) -> str:
    """Return in a sentence what became of a version: candidate, held back, or champion."""
    if not version:
        return f"{name} was explored"
    metrics = bundle.read(registry.place(name, version)).metrics
    if not metrics:
        return f"{name} version {version} is a candidate: evaluate it next"
    if registry.champion(name) == version:
        return f"{name} version {version} is the champion: {_headline(metrics)}"
    reasons = "; ".join(metrics.verdict.reasons)
    return f"{name} version {version} is published and not the champion: {_headline(metrics)} ({reasons})"


def verify_all(registry: Registry) -> Iterator[tuple[bool, str]]:
    """Yield for every published version whether it is sound, and what is wrong if it is not."""
    if not registry.names():
        yield True, "nothing is published yet: run the pipeline"
    for name in registry.names():
        for version in bundle.versions(registry.home(name)):
            try:
                metrics = load(registry.place(name, version)).bundle.metrics
                yield True, f"{name} version {version}{'' if metrics else ', a candidate'}"
            except BundleError as error:
                yield False, f"{name} version {version}: {error}"
        champion = registry.champion(name)
        if champion is None:
            yield True, f"{name} has no champion: no version was promoted"
        elif champion not in registry.versions(name):
            yield False, f"{name}: the champion, {champion}, is not a published version; promote one"


def _facts(registry: Registry, name: str, version: int) -> tuple[str, str, str]:
    try:
        found = bundle.read(registry.place(name, version))
    except BundleError:
        return "damaged: inv verify", "", ""
    if found.metrics is None:
        return found.manifest.estimator, "a candidate", found.manifest.created[:16]
    return found.manifest.estimator, _headline(found.metrics), found.manifest.created[:16]


def _headline(metrics: bundle.Metrics) -> str:
    value = metrics.held_out[metrics.headline].value
    return f"{metrics.headline} {'unknown' if value is None else f'{value:.3f}'}"
