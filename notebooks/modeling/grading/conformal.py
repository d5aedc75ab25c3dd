"""Calibrating intervals and sets on held-out rows, and measuring honestly how often they hold."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

from modeling import legible
from modeling.tables.dataset import quoted
from service import calibration
from service.contents import Calibration, Label

Array = npt.NDArray[Any]

MOST_SCORES = 1000
"""How many numbers a bundle keeps of the calibration."""

HALVES = 200
MOST_MEASURED = 20_000
"""Of more rows a seeded sample shows the coverage well enough: to half a percent at worst."""


SHORT = 0.05
"""A class is covered clearly less often than asked if it is by more than this, and beyond chance."""

MOST_NAMED = 3


class Coverage(msgspec.Struct, frozen=True):
    """How often what was calibrated on one half of the rows held on the other: mean and standard deviation.

    `short` are the classes that were covered clearly less often than asked, the worst first, each with its share.
    """

    mean: float
    deviation: float
    halves: int
    rows: int
    short: dict[Label, float] = {}


def residual_scores(y: Array, predicted: Array) -> Array:
    """Return how far each prediction is off, `[n]`, in the target's unit (Lei et al. 2018)."""
    return np.abs(np.asarray(y, dtype=np.float64) - np.asarray(predicted, dtype=np.float64))


def class_scores(y: Array, probabilities: Array, classes: Sequence[Label]) -> Array:
    """Return what each true class lacks in probability, `[n]` (Sadinle, Lei and Wasserman 2019)."""
    columns = _columns(y, classes)
    return 1 - np.asarray(probabilities, dtype=np.float64)[np.arange(len(columns)), columns]


def score(y: Array, predicted: Array, probabilities: Array | None, classes: Sequence[Label]) -> tuple[Array, Array]:
    """Return each row's score `[n]`, and True where it is covered whatever its score, `[n]`.

    A set always holds the most probable class; without probabilities there is no such row.
    """
    if probabilities is None:
        return residual_scores(y, predicted), np.zeros(len(y), dtype=bool)
    return class_scores(y, probabilities, classes), probabilities.argmax(axis=1) == _columns(y, classes)


def calibrate(scores: Array) -> Calibration | None:
    """Return what the bundle keeps of scores `[n]`, None where there are none or not all are finite.

    Of many scores a grid of order statistics is kept, half of it evenly spaced and half ever denser towards the
    largest, where high coverages are read; reading takes the next higher one, so that coverage is never lost.
    """
    ordered, count = np.sort(scores), len(scores)
    if not count or not np.isfinite(ordered).all():
        return None
    if count <= MOST_SCORES:
        return Calibration(count, ordered.tolist())
    half = MOST_SCORES // 2
    even = np.linspace(1, count, half).round()
    tail = count + 1 - np.geomspace(1, count, half).round()
    ranks = np.unique(np.concatenate([even, tail])).astype(int)
    return Calibration(count, ordered[ranks - 1].tolist(), ranks.tolist())


def is_enough(kept: Calibration | None, coverage: float) -> bool:
    """Whether a calibration can promise the coverage."""
    return kept is not None and calibration.rank(kept.rows, coverage) <= kept.rows


def measure(
    scores: Array,
    sure: npt.NDArray[np.bool_],
    coverage: float,
    seed: int,
    labels: Array | None = None,
    halves: int = HALVES,
) -> Coverage | None:
    """Return how often scores `[n]` of one random half stay below the threshold of the other, None for too few rows.

    `sure[n]` marks rows that are covered whatever their score: those whose true class is the most probable one.
    With the true classes `labels[n]` it is counted for each class as well.
    """
    generator = np.random.default_rng(seed)
    rows = min(len(scores), MOST_MEASURED)
    if rows // 2 < calibration.rank(rows // 2, coverage):
        return None
    found, tested_of, covered_of = [], np.zeros(len(scores)), np.zeros(len(scores))
    for _ in range(halves):
        order = generator.permutation(len(scores))[:rows]
        fitted, tested = calibrate(scores[order[: rows // 2]]), order[rows // 2 :]
        if fitted is None:
            return None
        covered = (scores[tested] <= calibration.threshold(fitted, coverage)) | sure[tested]
        found.append(float(covered.mean()))
        tested_of[tested] += 1
        covered_of[tested] += covered
    short = {} if labels is None else _short(labels, covered_of, tested_of, coverage)
    return Coverage(float(np.mean(found)), float(np.std(found)), halves, rows, short)


def _short(labels: Array, covered: Array, tested: Array, coverage: float) -> dict[Label, float]:
    """Return the classes covered clearly less often than asked, from how often each row was covered and tested."""
    shares = {}
    for label in np.unique(labels).tolist():
        rows = (labels == label) & (tested > 0)
        share, count = covered[rows].sum() / max(tested[rows].sum(), 1), int(rows.sum())
        # By chance alone, so few of a class's rows would be covered in one case of forty (Wilson 1927).
        if count and stats.binomtest(round(share * count), count).proportion_ci(0.95, "wilson").high < coverage:
            shares[label] = float(share)
    return {label: share for label, share in sorted(shares.items(), key=itemgetter(1)) if share < coverage - SHORT}


def promise(kept: Calibration | None, coverage: float, sizes: Array, classes: int, unit: str) -> str:
    """Return what an interval of the coverage is like, or sets of `sizes[n]` among so many classes, in a sentence."""
    if kept is None or not is_enough(kept, coverage):
        rows = kept.rows if kept else 0
        return f"{rows} usable held-out rows are too few to promise a coverage of {coverage:g}."
    if not classes:
        width = f"{legible.number(2 * calibration.threshold(kept, coverage))} {unit}".strip()
        return f"The interval that holds with probability {coverage:g} is {width} wide for every row."
    told = f"Sets that hold the true class with probability {coverage:g} have {sizes.mean():.2f} classes on average."
    if sizes.mean() == classes:
        return f"{told} That is all there are: the probabilities are too much alike to leave one out."
    return told


def sentence(held: Coverage | None) -> str:
    """Return what was measured, as a person reads it."""
    if held is None:
        return "Half of the rows are too few to measure how often that holds."
    told = (
        f"Calibrated on random halves of {held.rows} rows it held on {held.mean:.1%} of the other half "
        f"(mean of {held.halves} halves, standard deviation {held.deviation:.1%})"
    )
    named = [f"of class {quoted(label)} only {share:.0%}" for label, share in held.short.items()]
    more = [f"and {len(named) - MOST_NAMED} more classes are short"] if len(named) > MOST_NAMED else []
    return "; ".join([told, *named[:MOST_NAMED], *more]) + "."


def _columns(y: Array, classes: Sequence[Label]) -> Array:
    position = {label: at for at, label in enumerate(classes)}
    return np.array([position[label] for label in np.asarray(y).tolist()], dtype=np.intp)
