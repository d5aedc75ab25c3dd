"""Telling a person what is published."""

from __future__ import annotations

from service import bundle, contents, promotion
from service.errors import BundleError
from service.registry import Registry
from workshop.menu import typed

HEADS = ("model", "version", "estimator", "metric", "trained", "champion since and why, or the gate's verdict")


def table(registry: Registry, width: int | None = None) -> str:
    """Return every version as aligned text, with why the champion is, each line cut to a terminal's `width`, if any."""
    rows: list[tuple[str, ...]] = [HEADS]
    for name in registry.names():
        try:
            rows += _rows(registry, name)
        except BundleError as error:  # the other models are listed all the same
            rows.append((name, "", "", "", "", _one_line(str(error))))
    if len(rows) == 1:
        return f"Nothing is published yet: {typed('pipeline')} publishes."
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(line if not width or len(line) <= width else f"{line[: width - 1]}…" for line in lines)


def _rows(registry: Registry, name: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    versions = reversed(bundle.versions(registry.home(name)))
    promoted = {event.version: event for event in registry.history(name)}
    for version in versions:
        estimator, metric, trained, verdict = _facts(registry, name, version)
        event = promoted.get(version) if registry.champion(name) == version else None
        why = f"{event.at[:16]}, {_one_line(event.reason)}" if event else _one_line(verdict)
        rows.append((name, str(version), estimator, metric, trained, why))
    return rows


def verdict(registry: Registry, name: str, version: int) -> str:
    """Return in a sentence what became of a version: candidate, held back, or champion."""
    if not version:
        return f"{name} was explored"
    metrics = bundle.read(registry.place(name, version)).metrics
    if not metrics:
        return f"{name} version {version} is a candidate: evaluate it next"
    if registry.champion(name) == version:
        return f"{name} version {version} is the champion: {headline(metrics)}"
    told = f"{name} version {version} is published and not the champion: {headline(metrics)}"
    return f"{told} ({metrics.verdict.objection})"


def _one_line(text: str) -> str:
    """Return a text from outside without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _facts(registry: Registry, name: str, version: int) -> tuple[str, str, str, str]:
    """Return estimator, headline metric, time of training and the gate's verdict."""
    try:
        found = bundle.read(registry.place(name, version))
    except BundleError:
        return f"damaged: {typed('verify')}", "", "", ""
    estimator, trained = found.manifest.estimator, found.manifest.created[:16]
    if found.metrics is None:
        return estimator, "a candidate", trained, ""
    return estimator, headline(found.metrics), trained, promotion.verdict(promotion.objection(found.metrics))


def headline(metrics: contents.Metrics, between: bool = False) -> str:
    """Return the headline metric and its value, and if asked also `between` what it lies, as far as that is known."""
    found = metrics.headline_metric
    if found.value is None:
        return f"{metrics.headline} unknown"
    known = between and found.low is not None and found.high is not None
    return f"{metrics.headline} {found.value:.3f}{f' ({found.low:.3f} to {found.high:.3f})' if known else ''}"
