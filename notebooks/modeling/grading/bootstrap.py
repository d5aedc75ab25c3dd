"""Metrics on rows drawn anew (Efron 1979), for one model or for several on the same draws.

Rows that agree in everything that a metric reads are interchangeable, so that counts are drawn and not rows: a
quarter of a million rows cost little more than a hundred.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from service.contents import Metric

Array = npt.NDArray[Any]
Samples = dict[str, Array]

ROUNDS = 1000
FEWEST_ROUNDS = 200
WORK = 5e7
"""Rows times draws from which on fewer draws are made, where each one reads every row."""


def of_confusion(confusion: Array) -> dict[str, float]:
    """Return accuracy, balanced accuracy, and precision, recall and F1 averaged over the classes, of `[k, k]` counts.

    Rows are true and columns predicted classes; a class that neither has plays no part, nor does in balanced accuracy
    one that is not among the true ones.
    """
    right, true, guessed = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present = true + guessed > 0
    recall = right / np.maximum(true, 1)
    return {
        "accuracy": float(right.sum() / true.sum()),
        "balanced_accuracy": float(recall[true > 0].mean()),
        "precision": float((right / np.maximum(guessed, 1))[present].mean()),
        "recall": float(recall[present].mean()),
        "f1": float((2 * right[present] / (true + guessed)[present]).mean()),
    }


def of_classes(y: Array, predictions: Sequence[Array], seed: int, rounds: int = ROUNDS) -> list[Samples]:
    """Return for each of the predictions `[n]` every metric of `of_confusion` in every draw, `[rounds]`."""
    labels, codes = np.unique(np.concatenate([y, *predictions]), return_inverse=True)
    parts, size = codes.reshape(-1, len(y)), len(labels)
    kinds = np.zeros(len(y), dtype=np.int64)
    for part in parts:
        kinds = np.unique(kinds * size + part, return_inverse=True)[1]
    _, first, counts = np.unique(kinds, return_index=True, return_counts=True)
    places = [parts[0][first] * size + part[first] for part in parts[1:]]
    found: list[list[dict[str, float]]] = [[] for _ in predictions]
    generator = np.random.default_rng(seed)
    for _ in range(rounds):
        drawn = generator.multinomial(len(y), counts / len(y))
        for samples, place in zip(found, places, strict=True):
            confusion = np.bincount(place, drawn, minlength=size * size).reshape(size, size)
            samples.append(of_confusion(confusion))
    return [_by_metric(samples) for samples in found]


def rounds_for(rows: int, rounds: int = ROUNDS) -> int:
    """Return how many draws of so many rows are made: 1,000, fewer of more than 50,000 rows, at least 200."""
    return min(rounds, max(FEWEST_ROUNDS, int(WORK // max(rows, 1))))


def of_numbers(y: Array, predictions: Sequence[Array], seed: int, rounds: int = ROUNDS) -> list[Samples]:
    """Return for each of the predictions `[n]` R² and the errors in every draw, `[rounds]`.

    R² is not a number in a draw whose true values are all equal.
    """
    away = y - y.mean()
    columns = [np.ones(len(y)), away, away**2]
    for predicted in predictions:
        columns += [(y - predicted) ** 2, np.abs(y - predicted)]
    rows = np.stack(columns, axis=1)
    sums = np.array([drawn @ rows for drawn in draws(len(y), seed, rounds_for(len(y), rounds))])
    count, total, squares = sums[:, 0], sums[:, 1], sums[:, 2]
    spread = squares - total**2 / count
    spread[spread <= 1e-12 * squares] = np.nan
    return [
        {
            "r2": 1 - sums[:, at] / spread,
            "mae": sums[:, at + 1] / count,
            "rmse": np.sqrt(sums[:, at] / count),
        }
        for at in range(3, rows.shape[1], 2)
    ]


def draws(count: int, seed: int, rounds: int = ROUNDS) -> Iterator[Array]:
    """Yield how often each of `count` rows was drawn when as many are drawn with replacement, `[count]`."""
    generator = np.random.default_rng(seed)
    for _ in range(rounds):
        yield np.bincount(generator.integers(0, count, count), minlength=count).astype(np.float64)


def flawless(rows: int) -> Metric:
    """Return the accuracy of answers without an error with its exact interval (Clopper and Pearson 1934).

    Drawing such rows anew shows no error either.
    """
    return Metric(1.0, 0.025 ** (1 / rows), 1.0)


def interval(value: float, samples: Array) -> Metric:
    """Return a value with its 95 % percentile interval; draws in which it is not a number are left out."""
    known = samples[np.isfinite(samples)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return Metric(value, float(low), float(high))


def _by_metric(samples: list[dict[str, float]]) -> Samples:
    return {name: np.array([sample[name] for sample in samples]) for name in (samples[0] if samples else ())}
