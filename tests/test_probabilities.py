from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from modeling.grading import bootstrap, probabilities

WORDS = ["one", "two", "three", "four"]


def drawn(seed: int, classes: int, rows: int = 40, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Draw true classes, each at least once, and probabilities with ties among them."""
    random = np.random.default_rng(seed)
    given = random.dirichlet(np.ones(classes), rows).round(digits) + 0.01
    y = np.concatenate([np.arange(classes), random.integers(0, classes, rows - classes)])
    return y, given / given.sum(axis=1, keepdims=True)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_values_are_those_of_scikit_learn(seed, classes):
    """All four figures equal scikit-learn's own functions, with equal probabilities too, for two classes or more."""
    y, given = drawn(seed, classes)
    found = probabilities.metrics(y, given, list(range(classes)), seed=0)
    ranked = [1] if classes == 2 else range(classes)
    areas = [sk.roc_auc_score(y == at, given[:, at]) for at in ranked]
    precisions = [sk.average_precision_score(y == at, given[:, at]) for at in ranked]
    brier = sk.brier_score_loss(y, given[:, 1]) if classes == 2 else sk.brier_score_loss(y, given)
    assert found["roc_auc"].value == pytest.approx(np.mean(areas))
    assert found["average_precision"].value == pytest.approx(np.mean(precisions))
    assert found["log_loss"].value == pytest.approx(sk.log_loss(y, given))
    assert found["brier"].value == pytest.approx(brier)


@pytest.mark.parametrize("classes", [2, 3])
def test_draws_are_measured_as_the_rows_themselves(classes):
    """Counting rows gives the same figures as repeating them."""
    y, given = drawn(1, classes, rows=25)
    (counts,) = bootstrap.draws(25, seed=7, rounds=1)
    rows = np.repeat(np.arange(25), counts.astype(int))
    for at in range(classes):
        area, precision = probabilities._Ranking(y == at, given[:, at]).measure(counts)
        assert area == pytest.approx(sk.roc_auc_score((y == at)[rows], given[rows, at]))
        assert precision == pytest.approx(sk.average_precision_score((y == at)[rows], given[rows, at]))


def test_intervals_contain_the_value():
    """Each interval lies around its value, the same for the same seed."""
    y, given = drawn(2, 3, rows=200)
    found = probabilities.metrics(y, given, [0, 1, 2], seed=3)
    assert found == probabilities.metrics(y, given, [0, 1, 2], seed=3)
    for metric in found.values():
        assert metric.low < metric.value < metric.high


def test_texts_and_absent_classes():
    """Classes may be texts, and one that no held-out row has is not ranked."""
    y, given = drawn(3, 4)
    present = y != 3
    found = probabilities.metrics(np.array(WORDS, dtype=object)[y[present]], given[present], WORDS, seed=0)
    areas = [sk.roc_auc_score(y[present] == at, given[present, at]) for at in range(3)]
    assert found["roc_auc"].value == pytest.approx(np.mean(areas))


def test_one_class_alone_cannot_be_ranked():
    """Where all rows are of one class there is no area, and the other figures stand."""
    found = probabilities.metrics(np.zeros(5, dtype=int), np.tile([0.75, 0.25], (5, 1)), [0, 1], seed=0)
    assert np.isnan(found["roc_auc"].value)
    assert found["log_loss"].value == pytest.approx(-np.log(0.75)) and found["brier"].value == pytest.approx(0.0625)


def test_a_sure_error_costs_much_and_not_all():
    """A probability of 0 for what was true is taken for the smallest step of 32 bits."""
    found = probabilities.metrics(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]), [0, 1], seed=0)
    assert found["log_loss"].value == pytest.approx(-np.log(probabilities.LEAST) / 2)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_baseline_is_measured_like_a_model(classes):
    """Answering every row with the classes' shares gives what measuring those answers gives."""
    y, _ = drawn(4, classes)
    shares = np.bincount(y) / len(y)
    told = probabilities.of_shares(y, shares.tolist(), list(range(classes)))
    measured = probabilities.metrics(y, np.tile(shares, (len(y), 1)), list(range(classes)), seed=0)
    assert told == pytest.approx({name: metric.value for name, metric in measured.items()})


@pytest.mark.parametrize(
    ("y", "classes", "told"),
    [
        ([0, 1, 1], [0, 1], [1]),
        ([0, 1, 1, 2, 2, 2], [0, 1, 2], [2, 1]),
        ([0, 0], [0, 1], []),
        (["b", "b", "a"], ["a", "b", "c"], ["b", "a"]),
    ],
)
def test_curves_are_of_classes_that_can_be_ranked(y, classes, told):
    """Two classes have one curve, more have one each, the most frequent first, and at most as many as asked."""
    assert probabilities.ranked(np.array(y), classes, most=2) == told


def test_many_levels_are_drawn_together():
    """Of very many different probabilities neighbours count as equal in the draws: that moves no figure visibly."""
    random = np.random.default_rng(0)
    given = random.uniform(size=60_000)
    hit, whole = random.uniform(size=60_000) < given, np.ones(60_000)
    fine, coarse = (probabilities._Ranking(hit, given, most) for most in (None, probabilities.MOST_LEVELS))
    assert (fine.size, coarse.size) == (60_000, probabilities.MOST_LEVELS)
    assert coarse.measure(whole) == pytest.approx(fine.measure(whole), abs=1e-4)
