from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from modeling.grading import conformal
from service import bundle, calibration, contents
from service.contents import Calibration
from service.errors import RequestError

COVERAGE = st.floats(0.01, 0.99)
SCORES = st.lists(st.floats(0, 1e6), min_size=2, max_size=60)
TEN = Calibration(10, [float(score) for score in range(1, 11)])


@given(SCORES, COVERAGE)
def test_the_law_of_split_conformal(scores, coverage):
    """Of any n + 1 scores, whichever is left out, at least the asked share lies below the threshold of the others.

    Exchangeable rows make each of the n + 1 equally likely to be the new one, so this share is the probability of
    coverage, given the scores' values; and where none are equal it exceeds what was asked by less than 1 / (n + 1).
    """
    count = len(scores)
    others = [Calibration(count - 1, sorted(scores[:at] + scores[at + 1 :])) for at in range(count)]
    if calibration.rank(count - 1, coverage) > count - 1:
        with pytest.raises(RequestError, match="cannot be promised"):
            calibration.threshold(others[0], coverage)
        return
    below = sum(score <= calibration.threshold(rest, coverage) for score, rest in zip(scores, others, strict=True))
    assert below / count >= coverage - 1e-8
    if len(set(scores)) == count:
        assert below / count < coverage + 1 / count


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.95])
def test_new_rows_are_covered_as_the_binomial_law_says(coverage):
    """Fresh scores stay below the threshold of 39 others as often as was promised.

    Each of 4,000 trials draws 40 independent scores, and the last is covered with probability k / 40 exactly, where
    k is the rank taken; so the count of covered trials is binomial, and leaves its 1 - 1e-6 range once in a million.
    """
    trials, rows = 4000, 39
    drawn = np.random.default_rng(5).exponential(size=(trials, rows + 1))
    margins = [calibration.threshold(Calibration(rows, sorted(row[:-1])), coverage) for row in drawn.tolist()]
    covered = int((drawn[:, -1] <= margins).sum())
    chance = calibration.rank(rows, coverage) / (rows + 1)
    low, high = binom.interval(1 - 1e-6, trials, chance)
    assert chance >= coverage
    assert low <= covered <= high


@given(st.integers(1001, 30_000), COVERAGE)
def test_a_thinned_calibration_covers_no_less(rows, coverage):
    """The grid kept of many scores holds a score at or little above the one asked for, and at most a thousand."""
    kept = conformal.calibrate(np.arange(1.0, rows + 1))
    wanted = calibration.rank(rows, coverage)
    assert len(kept.scores) <= 1000
    assert wanted <= calibration.threshold(kept, coverage) <= wanted + rows / 450


def test_the_tail_of_a_thinned_calibration_is_fine():
    """A coverage near one is read as exactly as one in the middle: the miss grows by a few hundredths of itself."""
    kept = conformal.calibrate(np.arange(1.0, 250_001))
    for coverage in (0.99, 0.999, 0.9999):
        assert 250_000 - calibration.threshold(kept, coverage) > 250_000 * (1 - coverage) * 0.95 - 2


def test_an_interval_lies_around_its_value():
    """Each row is answered by two numbers, as far to both sides as the score of the asked rank."""
    found = calibration.interval(np.array([100, -5], dtype=np.float32), TEN, 0.8)
    assert found.tolist() == [[91, 109], [-14, 4]]
    assert calibration.interval([], TEN, 0.8).shape == (0, 2)


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=9), COVERAGE, COVERAGE)
def test_sets_grow_with_coverage_and_are_never_empty(weights, less, more):
    """The most probable class is always in, and what a lower coverage holds a higher one holds too."""
    probabilities = np.array(weights) / np.sum(weights, axis=1, keepdims=True)
    fitted = Calibration(199, np.linspace(0, 0.8, 199).tolist())
    small, large = (calibration.members(probabilities, fitted, coverage) for coverage in sorted([less, more]))
    assert small[np.arange(len(small)), probabilities.argmax(axis=1)].all()
    assert (large | ~small).all()


def test_sets_name_classes_in_their_order():
    """A set lists the classes whose probability is high enough, as the model names them."""
    fitted = Calibration(9, [0.1] * 8 + [0.75])
    rows = [[0.5, 0.2, 0.3], [0.34, 0.33, 0.33], [0.05, 0.9, 0.05]]
    assert calibration.sets(rows, ["a", "b", "c"], fitted, 0.9) == [["a", "c"], ["a", "b", "c"], ["b"]]
    assert calibration.sets(rows, [3, 1, 2], fitted, 0.5) == [[3], [3], [1]]


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1, 90, float("nan")])
def test_a_coverage_outside_its_range_is_refused(coverage):
    """Nothing is always or never covered."""
    with pytest.raises(RequestError, match="coverage must lie between 0 and 1, got"):
        calibration.interval([1.0], TEN, coverage)


def test_too_few_rows_are_told():
    """Ten rows cannot promise 95 %; the sentence says what they can."""
    assert calibration.threshold(TEN, calibration.most(10)) == 10
    with pytest.raises(RequestError, match=r"coverage of 0\.95 .* by 10 calibration rows: ask for at most 0\.9091, or"):
        calibration.interval([1.0], TEN, 0.95)


def test_floating_point_loses_no_rank():
    """A product that is whole on paper is taken for whole: 55 of 99 rows, where 100 * 0.55 exceeds 55 a little."""
    assert calibration.rank(99, 0.55) == 55
    assert calibration.rank(9, 0.9) == 9


@pytest.mark.parametrize(
    "document",
    [
        {"rows": 0, "scores": []},
        {"rows": 3, "scores": [1, 2]},
        {"rows": 2, "scores": [2, 1]},
        {"rows": 9, "scores": [1, 2], "ranks": [3, 8]},
        {"rows": 9, "scores": [1, 2], "ranks": [9, 9]},
        {"rows": 9, "scores": [1, 2], "ranks": [9]},
        {"rows": 2, "scores": [1, None]},
    ],
)
def test_a_calibration_that_cannot_be_is_refused(document):
    """A bundle whose scores and ranks do not fit together is not read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, Calibration)


def test_older_metrics_have_no_calibration(trained_wine):
    """A bundle made before there were calibrations is read as one without."""
    document = msgspec.json.decode((trained_wine.folder / bundle.METRICS).read_bytes())
    document.pop("calibration")
    assert msgspec.convert(document, contents.Metrics).calibration is None


def test_where_numbers_overflowed_every_class_is_in_the_set():
    """A row whose probabilities are no numbers has all classes in its set, and moves no other row's."""
    scores = Calibration(rows=3, scores=[0.1, 0.2, 0.3])
    held = calibration.members([[np.nan, np.nan], [0.95, 0.05]], scores, 0.5)
    assert held.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("rows", [1, 7, 33, 1000])
def test_no_more_than_the_largest_coverage_is_promised(rows: int):
    """The largest coverage that is told is taken, and the very next number is not."""
    scores = Calibration(rows=rows, scores=[0.5] * rows)
    assert calibration.threshold(scores, calibration.most(rows)) == 0.5
    with pytest.raises(RequestError, match="cannot be promised"):
        calibration.threshold(scores, float(np.nextafter(calibration.most(rows), 1)))
