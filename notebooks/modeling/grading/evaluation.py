"""Grading predictions: metrics with their intervals, the headline among them, and the gate's verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import metrics as sk

from modeling.grading import bootstrap, probabilities
from modeling.tables.dataset import Task
from service.contents import Label, Metric, Verdict

Array = npt.NDArray[Any]
Measure = Callable[[Array, Array], dict[str, float]]
Scorer = Callable[[Any, Any, Array], float]
Draw = Callable[[Array, Sequence[Array], int, int], list[bootstrap.Samples]]

HEADLINE = {"classification": "accuracy", "regression": "r2"}
"""The metric that a version is listed and compared by, unless the classes are uneven; better when higher."""

RANKING = "roc_auc"
"""The headline where the classes are uneven; it reads probabilities."""

LARGEST_SHARE = 2 / 3
SMALLEST_SHARE = 1 / 5
"""Classes are uneven if one has more than two thirds of the rows, or a class less than a fifth of an equal share."""

TIE = 1e-6
"""The same model made again may differ from itself by rounding."""

FEWEST_ROWS = 10
"""With fewer held-out rows no figure says enough to promote a version."""


def headline(task: Task, labels: Array) -> str:
    """Return the metric to list and compare a version by, from the true classes `[n]` of the whole table.

    Where classes are uneven, always answering the largest looks good by accuracy, and a model that tells well which
    rows are more likely of a rare class may never answer it: the area under the ROC curve measures how it ranks them.
    """
    if task == "regression":
        return HEADLINE[task]
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    uneven = shares.max() > LARGEST_SHARE or shares.min() * len(shares) < SMALLEST_SHARE
    return RANKING if uneven else HEADLINE[task]


def classification_metrics(y: Array, predicted: Array) -> dict[str, float]:
    """Return accuracy, and precision, recall and F1 averaged over the classes; `y` and `predicted` are `[n]`.

    Counted from the confusion matrix, because the bootstrap asks a thousand times; equal to scikit-learn's.
    """
    labels, codes = np.unique(np.concatenate([y, predicted]), return_inverse=True)
    size = len(labels)
    confusion = np.bincount(codes[: len(y)] * size + codes[len(y) :], minlength=size * size)
    return bootstrap.of_confusion(confusion.reshape(size, size))


def regression_metrics(y: Array, predicted: Array) -> dict[str, float]:
    """Return R², mean absolute and root mean squared error, the errors in the target's unit; both arrays `[n]`."""
    spread = float(np.sum((y - y.mean()) ** 2))
    return {
        "r2": 1 - float(np.sum((y - predicted) ** 2)) / spread if spread else float("nan"),
        "mae": float(np.mean(np.abs(y - predicted))),
        "rmse": float(np.sqrt(np.mean((y - predicted) ** 2))),
    }


MEASURES: dict[Task, Measure] = {"classification": classification_metrics, "regression": regression_metrics}
DRAWS: dict[Task, Draw] = {"classification": bootstrap.of_classes, "regression": bootstrap.of_numbers}


def per_class(y: Array, predicted: Array, classes: Array) -> dict[str, dict[str, float]]:
    """Return {class: {precision, recall, f1, support}} over `classes`."""
    columns = sk.precision_recall_fscore_support(y, predicted, labels=classes, zero_division=0)
    names = ("precision", "recall", "f1", "support")
    return {
        str(label): {name: float(column[index]) for name, column in zip(names, columns, strict=True)}
        for index, label in enumerate(classes)
    }


def with_intervals(
    task: Task, y: Array, predicted: Array, seed: int, rounds: int = bootstrap.ROUNDS
) -> dict[str, Metric]:
    """Return each metric with its 95 % percentile bootstrap interval (Efron 1979), rows drawn with replacement."""
    (samples,) = DRAWS[task](y, [predicted], seed, rounds)
    found = {name: bootstrap.interval(value, samples[name]) for name, value in MEASURES[task](y, predicted).items()}
    if task == "classification" and found["accuracy"].value == 1:
        found["accuracy"] = bootstrap.flawless(len(y))
    return found


def table(measured: dict[str, Metric], reference: dict[str, float], metric: str, unit: str) -> pd.DataFrame:
    """Return the metrics as a table: value, interval, the baseline's value, and the unit of the errors."""
    found = pd.DataFrame({key: [told.value, told.low, told.high] for key, told in measured.items()}).T
    found = found.set_axis(["value", "from", "to"], axis=1).assign(baseline=pd.Series(reference))
    if unit:
        found["unit"] = [unit if key in ("mae", "rmse") else "" for key in found.index]
    return found.rename(index={metric: f"{metric} (the headline)"})


def scorers(task: Task, metric: str) -> dict[str, Scorer]:
    """Return what candidates are compared by, the metric first, as scikit-learn asks for it, of (estimator, X, y).

    All are better when higher: an error counts negative.
    """
    known: dict[str, Scorer] = {"r2": sk.get_scorer("r2"), "mae": sk.get_scorer("neg_mean_absolute_error")}
    if task == "classification":
        known = {name: sk.get_scorer(name) for name in ("accuracy", "balanced_accuracy")} | {RANKING: _ranking}
    return {metric: known[metric], **known}


def answers(estimator: Any, X: Any, metric: str, classes: Sequence[Label]) -> Array:
    """Return what a metric reads: predictions `[n]`, or probabilities `[n, classes]` in the order of `classes`."""
    if metric != RANKING:
        return np.asarray(estimator.predict(X))
    given = pd.DataFrame(estimator.predict_proba(X), columns=estimator.classes_)
    return given.reindex(columns=list(classes), fill_value=0.0).to_numpy()


def _ranking(estimator: Any, X: Any, y: Array) -> float:
    classes = list(estimator.classes_)
    return probabilities.area(y, estimator.predict_proba(X), classes)


class Paired(NamedTuple):
    """A metric of two models on the same rows, and its difference with an interval."""

    ours: float
    theirs: float
    gain: Metric


def compare(
    task: Task, metric: str, y: Array, ours: Array, theirs: Array, seed: int, classes: Sequence[Label] = ()
) -> Paired:
    """Return the metric of two sets of `answers`, and by how much the first exceeds the second.

    Both are measured on the same draws of rows (the paired bootstrap), so that rows hard for both count for neither.
    """
    if metric == RANKING:
        value, other = (probabilities.area(y, given, classes) for given in (ours, theirs))
        first, second = (probabilities.areas(y, given, classes, seed) for given in (ours, theirs))
    else:
        value, other = (MEASURES[task](y, given)[metric] for given in (ours, theirs))
        first, second = (drawn[metric] for drawn in DRAWS[task](y, [ours, theirs], seed, bootstrap.ROUNDS))
    return Paired(value, other, bootstrap.interval(value - other, first - second))


def remark(y: Array, predicted: Array, metric: str) -> str:
    """Return what has to be known to read the metrics of classes: that they are uneven, which are never answered."""
    told = []
    if metric == RANKING:
        told.append(
            "The classes are uneven, so the headline and the gate's measure is the area under the ROC curve: how well "
            "the probabilities rank the rows, whatever the share at which somebody says yes."
        )
    never = sorted(set(np.unique(y).tolist()) - set(np.unique(predicted).tolist()), key=str)
    if never:
        names = ", ".join(f"`{label}`" for label in never)
        told.append(
            f"It never answers {names}: no row is more likely of it than of another class. Its probability tells "
            "which rows come nearest."
        )
    return " ".join(told)


def doubt(found: Metric, chance: float) -> str:
    """Return what speaks against believing a headline metric, as a sentence after a blank; "" if nothing does."""
    if found.low is not None and found.high is not None and found.low <= chance <= found.high:
        return f" The interval includes the baseline's {chance:.3f}."
    return ""


def judge(
    task: Task,
    y: Array,
    challenger: Array,
    baseline: Array,
    champion: Array | None,
    version: int | None,
    seed: int = 0,
    metric: str = "",
    classes: Sequence[Label] = (),
) -> Verdict:
    """Return the gate's verdict on `answers` for rows that neither model was trained on.

    By the metric, the task's own unless another is named, the challenger must beat the baseline beyond chance, in
    97.5 % of the paired bootstrap's draws, and must not do worse than the champion.
    """
    metric = metric or HEADLINE[task]
    if len(y) < FEWEST_ROWS:
        told = f"only {len(y)} rows were held out from both models, at least {FEWEST_ROWS} are needed"
        return Verdict(False, [told], version)
    if len(np.unique(y)) < 2:
        return Verdict(False, ["the held-out rows have only one value of the target"], version)
    count = f"on {len(y)} held-out rows"
    ours, theirs, gain = compare(task, metric, y, challenger, baseline, seed, classes)
    beyond = ours > theirs and (gain.low or 0) > 0
    reasons = [f"{_passed(beyond)}: {metric} {ours:.3f} against the baseline's {theirs:.3f}{_told(gain)}, {count}"]
    if champion is None:
        return Verdict(beyond, reasons, version)
    ours, theirs, gain = compare(task, metric, y, challenger, champion, seed, classes)
    level = bool(ours >= theirs - TIE)
    against = f"{metric} {ours:.3f} against {theirs:.3f} of the champion, version {version}"
    reasons.append(f"{_passed(level)}: {against}{_told(gain)}, {count}")
    return Verdict(beyond and level, reasons, version, gain)


def on_record(verdict: Verdict) -> str:
    """Return why a version becomes champion: what the gate says, or that it does so in spite of what the gate says."""
    passed = "; ".join(verdict.reasons)
    return passed if verdict.promote else f"promote=always, in spite of the gate: {verdict.objection}"


def _passed(good: bool) -> str:
    return "passed" if good else "failed"


def _told(gain: Metric) -> str:
    return f" (a difference of {gain.value:+.3f}, 95 % interval {gain.low:+.3f} to {gain.high:+.3f})"
