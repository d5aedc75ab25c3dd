"""Measuring predictions: metrics, their bootstrap intervals, a baseline, and the comparison with the champion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from modeling.dataset import Task
from service.bundle import Metric, Verdict

Array = npt.NDArray[Any]
Measure = Callable[[Array, Array], dict[str, float]]

HEADLINE = {"classification": "accuracy", "regression": "r2"}
"""The metric that a version is listed and compared by; both are better when higher."""

ROUNDS = 1000
FEWEST_ROWS = 10
"""With fewer held-out rows no figure says enough to promote a version."""


def classification_metrics(y: Array, predicted: Array) -> dict[str, float]:
    """Return accuracy, and precision, recall and F1 averaged over the classes; `y` and `predicted` are `[n]`.

    Counted from the confusion matrix, because the bootstrap asks a thousand times; equal to scikit-learn's.
    """
    labels, codes = np.unique(np.concatenate([y, predicted]), return_inverse=True)
    size = len(labels)
    confusion = np.bincount(codes[: len(y)] * size + codes[len(y) :], minlength=size * size).reshape(size, size)
    right, true, guessed = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    recall = right / np.maximum(true, 1)
    return {
        "accuracy": float(right.sum() / len(y)),
        "balanced_accuracy": float(recall[true > 0].mean()),
        "precision": float(np.mean(right / np.maximum(guessed, 1))),
        "recall": float(recall.mean()),
        "f1": float(np.mean(2 * right / (true + guessed))),
    }


def regression_metrics(y: Array, predicted: Array) -> dict[str, float]:
    """Return R², mean absolute and root mean squared error, the errors in the target's unit; both arrays `[n]`."""
    spread = float(np.sum((y - y.mean()) ** 2))
    return {
        "r2": 1 - float(np.sum((y - predicted) ** 2)) / spread if spread else float("nan"),
        "mae": float(np.mean(np.abs(y - predicted))),
        "rmse": float(np.sqrt(np.mean((y - predicted) ** 2))),
    }


MEASURES: dict[Task, Measure] = {"classification": classification_metrics, "regression": regression_metrics}


def per_class(y: Array, predicted: Array, classes: Array) -> dict[str, dict[str, float]]:
    """Return {class: {precision, recall, f1, support}} over `classes`."""
    columns = sk.precision_recall_fscore_support(y, predicted, labels=classes, zero_division=0)
    names = ("precision", "recall", "f1", "support")
    return {
        str(label): {name: float(column[index]) for name, column in zip(names, columns, strict=True)}
        for index, label in enumerate(classes)
    }


def with_intervals(task: Task, y: Array, predicted: Array, seed: int, rounds: int = ROUNDS) -> dict[str, Metric]:
    """Return each metric with its 95 % percentile bootstrap interval (Efron 1979), rows drawn with replacement."""
    measure = MEASURES[task]
    samples = [measure(y[rows], predicted[rows]) for rows in _draws(len(y), seed, rounds)]
    found = {}
    for name, value in measure(y, predicted).items():
        low, high = np.nanpercentile([sample[name] for sample in samples], [2.5, 97.5])
        found[name] = Metric(value, float(low), float(high))
    return found


def _draws(count: int, seed: int, rounds: int) -> Iterator[Array]:
    """Yield row numbers `[count]` drawn with replacement, `rounds` times."""
    generator = np.random.default_rng(seed)
    for _ in range(rounds):
        yield generator.integers(0, count, count)


def judge(
    task: Task, y: Array, challenger: Array, baseline: Array, champion: Array | None, version: int | None, seed: int = 0
) -> Verdict:
    """Return the gate's verdict on predictions `[n]` for rows that neither model was trained on.

    By the headline metric the challenger must beat the baseline beyond chance, in 97.5 % of the paired bootstrap's
    draws, and must not do worse than the champion.
    """
    name, measure = HEADLINE[task], MEASURES[task]
    if len(y) < FEWEST_ROWS:
        told = f"only {len(y)} rows were held out from both models, at least {FEWEST_ROWS} are needed"
        return Verdict(False, [told], version)
    if len(np.unique(y)) < 2:
        return Verdict(False, ["the held-out rows have only one value of the target"], version)
    ours, theirs = measure(y, challenger)[name], measure(y, baseline)[name]
    draws = _draws(len(y), seed, ROUNDS)
    gains = [measure(y[rows], challenger[rows])[name] - measure(y[rows], baseline[rows])[name] for rows in draws]
    beyond = bool(ours > theirs and np.nanpercentile(gains, 2.5) > 0)
    checks = [(beyond, f"{name} {ours:.3f} against the baseline's {theirs:.3f}")]
    if champion is not None:
        theirs = measure(y, champion)[name]
        checks.append(
            (bool(ours >= theirs), f"{name} {ours:.3f} against {theirs:.3f} of the champion, version {version}")
        )
    reasons = [f"{'passed' if good else 'failed'}: {text}, on {len(y)} held-out rows" for good, text in checks]
    return Verdict(all(good for good, _ in checks), reasons, version)
