"""Metrics of probabilities, with bootstrap intervals: ranking, average precision, and the two proper scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modeling.grading import bootstrap
from service.contents import Label, Metric

Array = npt.NDArray[Any]

MOST_LEVELS = 5000
"""Different probabilities that the draws tell apart; what more would change is far below the interval's width."""

LEAST = float(np.finfo(np.float32).eps)
"""A probability of 0 for what was true counts as this, as scikit-learn does in 32 bits."""


class _Ranking:
    """One class against the rest: its rows in order of their probability, equal ones, or neighbours, together."""

    def __init__(self, positive: npt.NDArray[np.bool_], probability: Array, most: int | None = None) -> None:
        levels, level = np.unique(probability, return_inverse=True)
        self.size = min(len(levels), most or len(levels))
        self.code = 2 * (level * self.size // len(levels)) + positive

    def measure(self, drawn: Array) -> tuple[float, float]:
        """Return the area under the ROC curve and the average precision of rows `[n]` drawn so often."""
        rest, hits = np.bincount(self.code, drawn, minlength=2 * self.size).reshape(-1, 2).T
        if not hits.any() or not rest.any():
            return float("nan"), float("nan")
        below = np.cumsum(rest) - rest / 2
        area = float(hits @ below / (hits.sum() * rest.sum()))
        found, told = np.cumsum(hits[::-1]), np.cumsum((hits + rest)[::-1])
        precision = found / np.maximum(told, 1)
        return area, float(hits[::-1] @ precision / hits.sum())


def metrics(y: Array, probabilities: Array, classes: Sequence[Label], seed: int) -> dict[str, Metric]:
    """Return the metrics of probabilities `[n, classes]` for true classes `y`, each with its 95 % interval.

    `roc_auc` and `average_precision` are one class against the rest, averaged over the classes that occur (of two
    classes, for the second); `log_loss` and `brier` as in scikit-learn, which halves the latter for two classes.
    """
    true, given = _occurs(y, classes), np.asarray(probabilities, dtype=np.float64)
    judged = _judged(true)
    scores = np.stack([_surprise(true, given), _distance(true, given)], axis=1)
    values = _measure([_Ranking(true[:, at], given[:, at]) for at in judged], scores, np.ones(len(y)))
    rankings = [_Ranking(true[:, at], given[:, at], MOST_LEVELS) for at in judged]
    rounds = bootstrap.rounds_for(len(y) * len(judged))
    samples = np.array([_measure(rankings, scores, drawn) for drawn in bootstrap.draws(len(y), seed, rounds)])
    names = ("roc_auc", "average_precision", "log_loss", "brier")
    return {name: bootstrap.interval(values[at], samples[:, at]) for at, name in enumerate(names)}


def area(y: Array, probabilities: Array, classes: Sequence[Label]) -> float:
    """Return the area under the ROC curve as `metrics` does, without an interval."""
    return _area(_rankings(y, probabilities, classes), np.ones(len(y)))


def areas(y: Array, probabilities: Array, classes: Sequence[Label], seed: int) -> Array:
    """Return the area under the ROC curve in each draw of rows; the same seed draws the same rows for other models."""
    rankings = _rankings(y, probabilities, classes, MOST_LEVELS)
    rounds = bootstrap.rounds_for(len(y) * len(rankings))
    return np.array([_area(rankings, drawn) for drawn in bootstrap.draws(len(y), seed, rounds)])


def of_shares(y: Array, shares: Sequence[float], classes: Sequence[Label]) -> dict[str, float]:
    """Return the same metrics for answering every row with the classes' shares `[classes]` of the training rows."""
    given = np.tile(np.asarray(shares, dtype=np.float64), (len(y), 1))
    true = _occurs(y, classes)
    return {
        "roc_auc": 0.5,
        "average_precision": float(true[:, _judged(true)].mean()),
        "log_loss": float(_surprise(true, given).mean()),
        "brier": float(_distance(true, given).mean()),
    }


def ranked(y: Array, classes: Sequence[Label], most: int) -> list[Label]:
    """Return the classes to draw a curve of against the rest, the most frequent first: of two classes the second.

    A class that no row or every row `y[n]` has is left out: nothing can be ranked.
    """
    true = _occurs(y, classes)
    counts = {classes[at]: int(true[:, at].sum()) for at in _judged(true)}
    telling = [label for label, count in counts.items() if 0 < count < len(y)]
    return sorted(telling, key=lambda label: -counts[label])[:most]


def _occurs(y: Array, classes: Sequence[Label]) -> npt.NDArray[np.bool_]:
    return np.stack([np.asarray(y) == label for label in classes], axis=1)


def _judged(true: npt.NDArray[np.bool_]) -> list[int]:
    return [1] if true.shape[1] == 2 else np.flatnonzero(true.any(axis=0)).tolist()


def _rankings(y: Array, given: Array, classes: Sequence[Label], most: int | None = None) -> list[_Ranking]:
    true = _occurs(y, classes)
    return [_Ranking(true[:, at], given[:, at], most) for at in _judged(true)]


def _area(rankings: Sequence[_Ranking], drawn: Array) -> float:
    found = np.array([ranking.measure(drawn)[0] for ranking in rankings])
    known = found[np.isfinite(found)]
    return float(known.mean()) if len(known) else float("nan")


def _measure(rankings: Sequence[_Ranking], scores: Array, drawn: Array) -> list[float]:
    ranked = np.array([ranking.measure(drawn) for ranking in rankings])
    known = ranked[np.isfinite(ranked).all(axis=1)]
    means = known.mean(axis=0) if len(known) else np.full(2, np.nan)
    return [*means.tolist(), *(drawn @ scores / drawn.sum()).tolist()]


def _surprise(true: npt.NDArray[np.bool_], given: Array) -> Array:
    told = given[true] / np.maximum(given.sum(axis=1), LEAST)
    found: Array = -np.log(np.clip(told, LEAST, 1 - LEAST))
    return found


def _distance(true: npt.NDArray[np.bool_], given: Array) -> Array:
    found: Array = ((given - true) ** 2).sum(axis=1) / (2 if given.shape[1] == 2 else 1)
    return found
