from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.grading import bootstrap, evaluation

LAW = settings(deadline=None, max_examples=25)
PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=25)


def by_rows(measure, y, predicted, seed, rounds):
    """Draw rows one by one and measure anew, the plain way."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(rounds):
        rows = generator.integers(0, len(y), len(y))
        found.append(measure(y[rows], predicted[rows]))
    return {name: np.array([sample[name] for sample in found]) for name in found[0]}


@LAW
@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=3, max_size=20, unique=True))
def test_sums_give_the_metrics_of_the_drawn_rows(pairs):
    """From sums over counted rows come the same figures as from measuring the very rows that were drawn."""
    y, predicted = np.array(pairs).T
    (samples,) = bootstrap.of_numbers(y, [predicted], seed=3, rounds=8)
    plain = by_rows(evaluation.regression_metrics, y, predicted, 3, 8)
    for name in ("mae", "rmse"):
        assert samples[name] == pytest.approx(plain[name], rel=1e-6, abs=1e-6)
    known = np.isfinite(samples["r2"]) & (np.abs(plain["r2"]) < 1e4)
    assert samples["r2"][known] == pytest.approx(plain["r2"][known], rel=1e-4, abs=1e-4)


def test_counts_are_drawn_as_rows_are():
    """Drawing counts of equal rows gives the same distribution as drawing rows: the two agree in mean and spread.

    Means of 4,000 draws agree within five standard errors, which chance exceeds less than once in a million.
    """
    random = np.random.default_rng(0)
    y, predicted = random.integers(0, 3, 60), random.integers(0, 3, 60)
    (samples,) = bootstrap.of_classes(y, [predicted], seed=1, rounds=4000)
    plain = by_rows(evaluation.classification_metrics, y, predicted, 2, 4000)
    for name, values in samples.items():
        error = plain[name].std() * np.sqrt(2 / 4000)
        assert abs(values.mean() - plain[name].mean()) < 5 * error, name
        assert values.std() == pytest.approx(plain[name].std(), rel=0.1), name


@LAW
@given(PAIRS)
def test_predictions_are_measured_on_the_same_draws(triples):
    """A model beside itself never differs, and its figures do not depend on who stands beside it in the same draws."""
    y, one, other = np.array(triples).T
    first, second, third = bootstrap.of_classes(y, [one, one, other], seed=5, rounds=6)
    for name in first:
        assert first[name].tolist() == second[name].tolist()
    swapped = bootstrap.of_classes(y, [other, one, one], seed=5, rounds=6)
    assert len(third["accuracy"]) == len(swapped[0]["accuracy"]) == 6


def test_texts_are_drawn_like_numbers():
    """Classes may be texts."""
    words = np.array(["u", "v", "w"], dtype=object)
    y, predicted = np.array([0, 1, 2, 1]), np.array([0, 2, 2, 1])
    (ours,) = bootstrap.of_classes(words[y], [words[predicted]], seed=0, rounds=5)
    (theirs,) = bootstrap.of_classes(y, [predicted], seed=0, rounds=5)
    assert {name: values.tolist() for name, values in ours.items()} == {
        name: values.tolist() for name, values in theirs.items()
    }


def test_a_draw_of_one_value_has_no_share_explained():
    """R² of rows that are all equal is not a number, however small the rounding errors."""
    y = np.array([0.1, 0.3])
    (samples,) = bootstrap.of_numbers(y, [y + 0.1], seed=0, rounds=200)
    assert 0.3 < np.isnan(samples["r2"]).mean() < 0.7
    assert np.isfinite(samples["mae"]).all()


def test_an_interval_leaves_out_what_is_no_number():
    """Draws without a figure play no part; where there is none at all, the ends are not numbers either."""
    assert bootstrap.interval(2.0, np.array([1.0, np.nan, 3.0])).low == pytest.approx(1.05)
    empty = bootstrap.interval(2.0, np.array([np.nan, np.nan]))
    assert empty.value == 2 and np.isnan([empty.low, empty.high]).all()


@pytest.mark.parametrize(("rows", "rounds"), [(1, 1000), (50_000, 1000), (100_000, 500), (10_000_000, 200)])
def test_very_many_rows_are_drawn_less_often(rows, rounds):
    """A thousand draws, fewer where rows are very many, never less than two hundred."""
    assert bootstrap.rounds_for(rows) == rounds
    assert bootstrap.rounds_for(rows, 20) == 20
