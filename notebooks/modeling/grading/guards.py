"""Guard rails: what a new champion must not make worse, however good its headline metric is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from modeling.grading.served import as_estimator
from service.contents import Verdict

Array = npt.NDArray[Any]
Check = tuple[bool, str]
"""Whether a guard rail holds, and the verdict's sentence on it."""

BATCH = 100
"""Rows of the batch that is timed, beside one row alone."""

ROUNDS, FEWEST, PATIENCE = 101, 5, 1.0
"""How often each is timed, how often at least, and the seconds after which no further round begins."""

QUICK, SMALL = 0.005, 10e6
"""Seconds of an answer, and bytes of a file, that are never too much: the factor of nearly nothing tells nothing."""


class Limits(NamedTuple):
    """How much worse a challenger may be: how far the recall of a class may fall, and by what factor costs may grow."""

    recall_drop: float
    growth: float


class Contestant(NamedTuple):
    """A served model with the rows that it is compared on, as a table of its own features."""

    model: Any
    X: pd.DataFrame


def check(y: Array, challenger: Contestant, champion: Contestant, limits: Limits) -> list[Check]:
    """Return what each guard rail says of a challenger, on rows `[n]` that neither was trained on; nothing of none."""
    if not len(y):
        return []
    ours, theirs = (as_estimator(model).predict(X) for model, X in (challenger, champion))
    recall = [_recall(y, ours, theirs, limits.recall_drop)] if challenger.model.classes else []
    size, before = (len(model.bundle.model) for model, _ in (challenger, champion))
    return [*recall, *_latencies(challenger, champion, limits.growth), _size(size, before, limits.growth)]


def hold(verdict: Verdict, checks: Sequence[Check]) -> Verdict:
    """Return the verdict with what the guard rails say: one that does not hold holds the version back."""
    promote = verdict.promote and all(good for good, _ in checks)
    told = [f"{'passed' if good else 'failed'}: {sentence}" for good, sentence in checks]
    return Verdict(promote, [*verdict.reasons, *told], verdict.champion, verdict.difference)


def medians(ask: Sequence[Callable[[], object]], rounds: int = ROUNDS) -> list[float]:
    """Return the median seconds of each of several calls, timed in turn so that a busy machine slows all alike."""
    times: list[list[float]] = [[] for _ in ask]
    give_up = time.perf_counter() + PATIENCE
    while len(times[0]) < FEWEST or (len(times[0]) < rounds and time.perf_counter() < give_up):
        for call, taken in zip(ask, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def _recall(y: Array, ours: Array, theirs: Array, most: float) -> Check:
    """Judge the class whose recall falls furthest, from the true and both predicted classes `[n]`."""
    falls = []
    for label in np.unique(y):
        of_class = y == label
        hit, before = (float(np.mean(given[of_class] == label)) for given in (ours, theirs))
        falls.append((before - hit, label, hit, before, int(of_class.sum())))
    fall, label, hit, before, count = max(falls, key=lambda one: one[0])
    if fall <= most:
        return True, f"the recall of no class falls by more than {most:g}"
    worst = f"the recall of class {label!s:.40} falls from {before:.3f} to {hit:.3f}, on {count} of its rows"
    return False, f"{worst}, by more than {most:g} (recall_drop)"


def _latencies(challenger: Contestant, champion: Contestant, growth: float) -> list[Check]:
    checks = []
    for count, what in ((1, "one row"), (BATCH, f"{BATCH} rows")):
        ours, theirs = medians([_asking(challenger, count), _asking(champion, count)])
        checks.append(_latency(what, ours, theirs, growth))
    return checks


def _asking(contestant: Contestant, count: int) -> Callable[[], object]:
    """Return what asks for predictions for so many of the rows, over and over again where there are fewer."""
    model, X = contestant
    inputs = as_estimator(model).read(X.iloc[np.arange(count) % len(X)])
    return lambda: model.predict(inputs)


def _latency(what: str, ours: float, theirs: float, growth: float) -> Check:
    if ours <= QUICK:
        return True, f"{what} answered within {QUICK * 1000:g} ms"
    return _within(f"{what} answered in {ours * 1000:.2g} ms against {theirs * 1000:.2g}", ours / theirs, growth)


def _size(ours: int, theirs: int, growth: float) -> Check:
    if ours <= SMALL:
        return True, f"a file of no more than {SMALL / 1e6:g} MB"
    return _within(f"a file of {ours / 1e6:.2g} MB against {theirs / 1e6:.2g}", ours / theirs, growth)


def _within(told: str, factor: float, growth: float) -> Check:
    return factor <= growth, f"{told} of the champion, {factor:.2g} times as much where {growth:g} is the most (growth)"
