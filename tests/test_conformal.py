from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling import conformal
from service import calibration


def test_scores_of_numbers_are_distances():
    """A number's score is how far off the prediction was, to either side, counted in 64 bits."""
    scores = conformal.residual_scores(np.array([1.0, 5.0]), np.array([3.0, 4.5], dtype=np.float32))
    assert scores.tolist() == [2, 0.5] and scores.dtype == np.float64


@pytest.mark.parametrize("classes", [[0, 1, 2], ["a", "b", "c"]])
def test_scores_of_classes_are_what_the_true_one_lacks(classes):
    """A class's score is one minus the probability that the model gave to what was true."""
    y = np.array(classes, dtype=object)[[2, 0]]
    probabilities = np.array([[0.25, 0.25, 0.5], [0.125, 0.875, 0]], dtype=np.float32)
    assert conformal.class_scores(y, probabilities, classes).tolist() == [0.5, 0.875]


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=50))
def test_few_scores_are_all_kept(scores):
    """Up to a thousand scores are kept as they are, in order."""
    kept = conformal.calibrate(np.array(scores))
    assert (kept.rows, kept.scores, kept.ranks) == (len(scores), sorted(scores), [])


@pytest.mark.parametrize("scores", [[], [1.0, np.nan], [np.inf, 0.0]])
def test_what_is_not_finite_calibrates_nothing(scores):
    """Without scores, or with one that is no number, there is no calibration."""
    assert conformal.calibrate(np.array(scores)) is None


@pytest.mark.parametrize("rows", [1001, 4321, 250_000])
def test_many_scores_are_thinned_to_true_order_statistics(rows):
    """Each kept score is the one of its rank, the largest among them."""
    scores = np.random.default_rng(0).exponential(size=rows)
    kept = conformal.calibrate(scores)
    assert kept.rows == kept.ranks[-1] == rows and len(kept.scores) <= conformal.MOST_SCORES
    assert kept.scores == np.sort(scores)[np.array(kept.ranks) - 1].tolist()


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_measured_coverage_is_near_the_asked(coverage):
    """On exchangeable scores the mean over random halves is what was asked, within four standard errors of a half.

    A half of 1,000 rows covers a share whose variance is at most 2 c (1 - c) / 1000: once for the calibration's draw
    and once for the test's; the halves are of the same rows, so their mean varies no less than one draw of rows does.
    """
    scores = np.random.default_rng(1).normal(size=2000) ** 2
    found = conformal.measure(scores, np.zeros(2000, dtype=bool), coverage, seed=0)
    error = np.sqrt(2 * coverage * (1 - coverage) / 1000)
    assert abs(found.mean - coverage) < 4 * error
    assert 0.5 * error < found.deviation < 2 * error
    assert found == conformal.measure(scores, np.zeros(2000, dtype=bool), coverage, seed=0)


def test_rows_that_are_covered_anyway_count():
    """A set always holds the most probable class: where that is the true one, the row is covered."""
    scores = np.linspace(0, 1, 100)
    assert conformal.measure(scores, np.ones(100, dtype=bool), 0.5, seed=0, halves=5).mean == 1


@pytest.mark.parametrize(("rows", "coverage"), [(0, 0.9), (17, 0.9), (18, 0.95), (1, 0.5)])
def test_too_few_rows_measure_nothing(rows, coverage):
    """Where a half cannot promise the coverage there is nothing to measure."""
    assert conformal.measure(np.arange(rows, dtype=float), np.zeros(rows, dtype=bool), coverage, seed=0) is None


def test_of_many_rows_a_sample_is_measured():
    """The figure says how many rows it is from."""
    scores = np.random.default_rng(2).uniform(size=30_000)
    found = conformal.measure(scores, np.zeros(30_000, dtype=bool), 0.9, seed=0, halves=3)
    assert found.rows == conformal.MOST_MEASURED and found.mean == pytest.approx(0.9, abs=0.02)


def test_intervals_of_a_real_model_hold(trained_prices):
    """Calibrated on half of the rows that a served regression held out, its intervals hold most of the other half."""
    from modeling import columns, export
    from service.model import load

    model, table = load(trained_prices.folder), trained_prices.held_out
    X = columns.as_model_input(table, model.schema.names)
    predicted = model.predict(export.as_inputs(X, model.manifest.features)).values
    y, half = table["price"].to_numpy(), len(table) // 2
    fitted = conformal.calibrate(conformal.residual_scores(y[:half], predicted[:half]))
    low, high = calibration.interval(predicted[half:], fitted, 0.9).T
    assert ((low <= y[half:]) & (y[half:] <= high)).mean() >= 0.7
