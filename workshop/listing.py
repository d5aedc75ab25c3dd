"""Telling a person what is published."""

from __future__ import annotations

from service import bundle
from service.errors import BundleError
from service.registry import Registry

WIDTH = 100
"""Letters of a reason that are listed; the history has all of it."""


def table(registry: Registry) -> str:
    """Return every published version as aligned text, the champion marked, with the reason of its promotion."""
    rows: list[tuple[str, ...]] = [("model", "version", "estimator", "metric", "trained", "champion since, why")]
    for name in registry.names():
        try:
            rows += _rows(registry, name)
        except BundleError as error:  # the other models are listed all the same
            rows.append((name, "", "", "", "", _one_line(str(error))))
    if len(rows) == 1:
        return "Nothing is published yet: run the pipeline."
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _rows(registry: Registry, name: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    versions = reversed(bundle.versions(registry.home(name)))
    promoted = {event.version: event for event in registry.history(name)}
    for version in versions:
        event = promoted.get(version) if registry.champion(name) == version else None
        why = f"{event.at[:16]}, {_one_line(event.reason)}" if event else ""
        rows.append((name, str(version), *_facts(registry, name, version), why))
    return rows


def verdict(registry: Registry, name: str, version: int) -> str:
    """Return in a sentence what became of a version: candidate, held back, or champion."""
    if not version:
        return f"{name} was explored"
    metrics = bundle.read(registry.place(name, version)).metrics
    if not metrics:
        return f"{name} version {version} is a candidate: evaluate it next"
    if registry.champion(name) == version:
        return f"{name} version {version} is the champion: {_headline(metrics)}"
    told = f"{name} version {version} is published and not the champion: {_headline(metrics)}"
    return f"{told} ({metrics.verdict.objection})"


def _one_line(text: str) -> str:
    """Return the beginning of a text from outside, without what would move a terminal's cursor."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= WIDTH else f"{plain[: WIDTH - 1]}…"


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
