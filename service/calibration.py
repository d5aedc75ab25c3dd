"""Conformal intervals and sets: how wide an answer must be to hold the truth as often as was asked.

Applies what the evaluation measured on rows that no model learned from (split conformal; Vovk, Gammerman and Shafer
2005; Lei et al. 2018). A new row that is exchangeable with those is covered with at least the asked probability.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
import numpy.typing as npt

from service.contents import Calibration, Label
from service.errors import RequestError

# 100 * 0.55 is a little more than 55 in floating point; without this a whole rank would be lost to it.
ROUNDING = 1e-9


def rank(rows: int, coverage: float) -> int:
    """Return which of `rows` ascending scores covers a new one with probability `coverage`; more than `rows`: none."""
    if not 0 < coverage < 1:
        raise RequestError(f"coverage must lie between 0 and 1, got {coverage:g}")
    return max(1, math.ceil((rows + 1) * coverage - ROUNDING))


def most(rows: int) -> float:
    """Return the largest coverage that `rows` calibration rows can promise."""
    return rows / (rows + 1)


def threshold(calibration: Calibration, coverage: float) -> float:
    """Return the score that a new row stays below with probability `coverage`; RequestError if that is too much."""
    wanted = rank(calibration.rows, coverage)
    if coverage > most(calibration.rows):
        raise RequestError(
            f"a coverage of {coverage:g} cannot be promised by {calibration.rows} calibration rows: "
            f"ask for at most {most(calibration.rows):.4g}, or evaluate the model on more rows"
        )
    # Of a thinned list the next higher rank is taken, which covers no less.
    return calibration.scores[bisect_left(calibration.ranks, wanted) if calibration.ranks else wanted - 1]


def interval(values: npt.ArrayLike, calibration: Calibration, coverage: float) -> npt.NDArray[np.float64]:
    """Return `[n, 2]`, lowest and highest, around predicted numbers `[n]`, in the target's unit."""
    middle = np.asarray(values, dtype=np.float64)
    margin = threshold(calibration, coverage)
    return np.stack([middle - margin, middle + margin], axis=1)


def members(probabilities: npt.ArrayLike, calibration: Calibration, coverage: float) -> npt.NDArray[np.bool_]:
    """Return `[n, classes]`, True where a class belongs to the row's set, by its probability `[n, classes]`.

    The sets of least ambiguity (Sadinle, Lei and Wasserman 2019); the most probable class is always in.
    """
    given = np.asarray(probabilities, dtype=np.float64)
    inside = 1 - given <= threshold(calibration, coverage)
    inside[np.arange(len(given)), given.argmax(axis=1)] = True
    inside[~np.isfinite(given).all(axis=1)] = True  # where numbers overflowed nothing is known
    return inside


def sets(
    probabilities: npt.ArrayLike, classes: list[Label], calibration: Calibration, coverage: float
) -> list[list[Label]]:
    """Return for each row of probabilities `[n, classes]` the classes that its set holds, in their order."""
    return [
        [label for label, held in zip(classes, row, strict=True) if held]
        for row in members(probabilities, calibration, coverage).tolist()
    ]
