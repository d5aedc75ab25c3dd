from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling.grading import conformal
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


def test_a_class_that_is_hardly_covered_is_found():
    """Sets that hold as asked over all rows may miss nearly every row of a rare class: it is told with its share."""
    random = np.random.default_rng(3)
    y = np.array(["no"] * 950 + ["yes"] * 50, dtype=object)
    scores = np.where(y == "yes", random.uniform(0.8, 1, 1000), random.uniform(0, 0.3, 1000))
    found = conformal.measure(scores, np.zeros(1000, dtype=bool), 0.9, seed=0, labels=y)
    assert found.mean == pytest.approx(0.9, abs=0.02)
    assert list(found.short) == ["yes"] and found.short["yes"] < 0.05
    assert "; of class `yes` only 0%." in conformal.sentence(found)


def test_classes_that_are_covered_alike_are_not_named():
    """Where coverage differs by chance alone, no class is called short, and nothing is said."""
    random = np.random.default_rng(4)
    y = random.integers(0, 3, 600)
    found = conformal.measure(random.uniform(size=600), np.zeros(600, dtype=bool), 0.9, seed=0, labels=y)
    assert found.short == {} and "of class" not in conformal.sentence(found)


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
    from modeling.exporting import export
    from modeling.tables import columns
    from service.model import load

    model, table = load(trained_prices.folder), trained_prices.held_out
    X = columns.as_model_input(table, model.schema.names)
    predicted = model.predict(export.as_inputs(X, model.manifest.features)).values
    y, half = table["price"].to_numpy(), len(table) // 2
    fitted = conformal.calibrate(conformal.residual_scores(y[:half], predicted[:half]))
    low, high = calibration.interval(predicted[half:], fitted, 0.9).T
    assert ((low <= y[half:]) & (y[half:] <= high)).mean() >= 0.7


def test_rows_are_sure_where_the_true_class_is_the_most_probable():
    """A class's row is covered anyway where the answer is right; a number's never is."""
    given = np.array([[0.7, 0.3], [0.6, 0.4]])
    scores, sure = conformal.score(np.array([0, 1]), np.array([0, 0]), given, [0, 1])
    assert scores == pytest.approx([0.3, 0.6]) and sure.tolist() == [True, False]
    scores, sure = conformal.score(np.array([1.0, 2.0]), np.array([1.5, 2.0]), None, [])
    assert scores.tolist() == [0.5, 0] and not sure.any()


def test_what_is_promised_is_said():
    """Widths carry a unit, sets their mean size; sets of all classes, and too few rows, are told as such."""
    kept = conformal.calibrate(np.arange(1.0, 20))
    none = np.array([])
    assert "is 36 km wide" in conformal.promise(kept, 0.9, none, 0, "km")
    assert "is 36 wide for every row" in conformal.promise(kept, 0.9, none, 0, "")
    dear = conformal.calibrate(np.arange(1.0, 20) * 2835.5)
    assert "is 102,078 EUR wide" in conformal.promise(dear, 0.9, none, 0, "EUR")
    assert conformal.promise(kept, 0.9, np.array([1, 2]), 3, "").endswith("have 1.50 classes on average.")
    assert "too much alike to leave one out" in conformal.promise(kept, 0.9, np.array([3, 3]), 3, "")
    assert conformal.promise(kept, 0.99, none, 0, "").startswith("19 usable held-out rows are too few")
    assert conformal.promise(None, 0.9, none, 0, "").startswith("0 usable held-out rows")


def test_what_was_measured_is_said():
    """The mean and its deviation in per cent, or that it could not be measured."""
    told = conformal.sentence(conformal.Coverage(0.912, 0.034, 200, 113))
    assert told == (
        "Calibrated on random halves of 113 rows it held on 91.2% of the other half "
        "(mean of 200 halves, standard deviation 3.4%)."
    )
    assert "too few to measure" in conformal.sentence(None)


def test_of_many_short_classes_the_worst_are_named():
    """Three are named in their order, the others counted, and a name cannot break out of the sentence."""
    short = {"a`b": 0.1, "c": 0.2, "d": 0.3, "e": 0.4, "f": 0.5}
    told = conformal.sentence(conformal.Coverage(0.9, 0.01, 200, 113, short))
    assert told.endswith(
        "; of class `a'b` only 10%; of class `c` only 20%; of class `d` only 30%; and 2 more classes are short."
    )
