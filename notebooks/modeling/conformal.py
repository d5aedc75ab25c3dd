"""Calibrating intervals and sets on held-out rows, and measuring honestly how often they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from service import calibration
from service.bundle import Calibration, Label

Array = npt.NDArray[Any]

MOST_SCORES = 1000
"""How many numbers a bundle keeps of the calibration."""

HALVES = 200
MOST_MEASURED = 20_000
"""Of more rows a seeded sample shows the coverage well enough: to half a percent at worst."""


class Coverage(msgspec.Struct, frozen=True):
    """How often what was calibrated on one half of the rows held on the other: mean and standard deviation."""

    mean: float
    deviation: float
    halves: int
    rows: int


def residual_scores(y: Array, predicted: Array) -> Array:
    """Return how far each prediction is off, `[n]`, in the target's unit (Lei et al. 2018)."""
    return np.abs(np.asarray(y, dtype=np.float64) - np.asarray(predicted, dtype=np.float64))


def class_scores(y: Array, probabilities: Array, classes: Sequence[Label]) -> Array:
    """Return what each true class lacks in probability, `[n]` (Sadinle, Lei and Wasserman 2019)."""
    position = {label: at for at, label in enumerate(classes)}
    columns = [position[label] for label in np.asarray(y).tolist()]
    return 1 - np.asarray(probabilities, dtype=np.float64)[np.arange(len(columns)), columns]


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


def measure(
    scores: Array, sure: npt.NDArray[np.bool_], coverage: float, seed: int, halves: int = HALVES
) -> Coverage | None:
    """Return how often scores `[n]` of one random half stay below the threshold of the other, None for too few rows.

    `sure[n]` marks rows that are covered whatever their score: those whose true class is the most probable one.
    """
    generator = np.random.default_rng(seed)
    rows = min(len(scores), MOST_MEASURED)
    if rows // 2 < calibration.rank(rows // 2, coverage):
        return None
    found = []
    for _ in range(halves):
        order = generator.permutation(len(scores))[:rows]
        fitted, tested = calibrate(scores[order[: rows // 2]]), order[rows // 2 :]
        if fitted is None:
            return None
        below = scores[tested] <= calibration.threshold(fitted, coverage)
        found.append(float((below | sure[tested]).mean()))
    return Coverage(float(np.mean(found)), float(np.std(found)), halves, rows)
