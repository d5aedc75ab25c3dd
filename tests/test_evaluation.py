from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from modeling import evaluation
from modeling.evaluation import judge

LAW = settings(deadline=None, max_examples=60)

LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)
FLOAT = st.floats(-1e6, 1e6)
NUMBERS = st.lists(st.tuples(FLOAT, FLOAT), min_size=2, max_size=40)
TRUE = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
HALF = np.array([0, 1, 2, 0, 1, 2, 1, 2, 0, 1, 2, 0])
MOST = np.zeros(12, dtype=int)


def columns(pairs: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs as y and predicted."""
    y, predicted = zip(*pairs, strict=True)
    return np.array(y), np.array(predicted)


@LAW
@given(LABELS)
def test_classification_metrics_are_those_of_scikit_learn(pairs):
    """Accuracy and the averages over classes equal scikit-learn's own functions, also where a class is rare."""
    y, predicted = columns(pairs)
    measured = evaluation.classification_metrics(y, predicted)
    macro = {"average": "macro", "zero_division": 0}
    assert measured["accuracy"] == sk.accuracy_score(y, predicted)
    assert measured["precision"] == sk.precision_score(y, predicted, **macro)
    assert measured["recall"] == sk.recall_score(y, predicted, **macro)
    assert measured["f1"] == sk.f1_score(y, predicted, **macro)
    if set(predicted) <= set(y) and len(set(y)) > 1:
        assert measured["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, predicted))


@LAW
@given(NUMBERS)
def test_regression_metrics_are_those_of_scikit_learn(pairs):
    """R² and the errors equal scikit-learn's own functions; R² of a constant target is not a number."""
    y, predicted = columns(pairs)
    measured = evaluation.regression_metrics(y, predicted)
    assert measured["mae"] == pytest.approx(sk.mean_absolute_error(y, predicted))
    assert measured["rmse"] == pytest.approx(sk.root_mean_squared_error(y, predicted))
    if np.ptp(y) > 1e-3:
        assert measured["r2"] == pytest.approx(sk.r2_score(y, predicted), rel=1e-6, abs=1e-6)
    if np.ptp(y) == 0:
        assert np.isnan(measured["r2"]) or np.std(y) > 0


def test_texts_are_measured_like_numbers():
    """Labels may be texts."""
    words = np.array(["u", "v", "w"], dtype=object)
    assert evaluation.classification_metrics(words[TRUE], words[HALF]) == evaluation.classification_metrics(TRUE, HALF)


def test_per_class_is_that_of_scikit_learn():
    """Each class has its precision, recall, F1 and support, one that never occurs too."""
    found = evaluation.per_class(TRUE, HALF, np.array([0, 1, 2, 3]))
    report = sk.classification_report(TRUE, HALF, output_dict=True, labels=[0, 1, 2, 3], zero_division=0)
    assert set(found) == {"0", "1", "2", "3"}
    for label, told in found.items():
        assert told["f1"] == report[label]["f1-score"]
        assert {told[name] == report[label][name] for name in ("precision", "recall", "support")} == {True}


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 3))
def test_intervals_contain_the_value(seed, noise):
    """A 95 % interval lies around its value, for classes and for numbers."""
    random = np.random.default_rng(seed)
    y = random.normal(size=80)
    predicted = y + random.normal(scale=noise, size=80)
    measured = [
        evaluation.with_intervals("regression", y, predicted, seed, rounds=100),
        evaluation.with_intervals("classification", (y > 0) * 1, (predicted > 0) * 1, seed, rounds=100),
    ]
    for metrics in measured:
        for name, metric in metrics.items():
            assert metric.low <= metric.value <= metric.high, name


def test_intervals_are_those_of_the_bootstrap():
    """The ends are the 2.5 and 97.5 percentiles of metrics on rows drawn anew, the same for the same seed."""
    first = evaluation.with_intervals("classification", TRUE, HALF, seed=4, rounds=400)
    assert first == evaluation.with_intervals("classification", TRUE, HALF, seed=4, rounds=400)
    right = np.sort(np.random.default_rng(9).binomial(12, 0.5, 20_000) / 12)
    assert first["accuracy"].value == 0.5
    assert first["accuracy"].low == pytest.approx(right[500], abs=0.09)
    assert first["accuracy"].high == pytest.approx(right[19_500], abs=0.09)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_wider_spread_gives_a_wider_interval(spread):
    """A model that is always right has an interval without width; one that errs has one with it."""
    predicted = np.where(np.arange(12) < 6 * spread, 1 - np.minimum(TRUE, 1), TRUE)
    accuracy = evaluation.with_intervals("classification", TRUE, predicted, seed=0, rounds=50)["accuracy"]
    assert (accuracy.high > accuracy.low) == bool(spread)


REFUSED = {
    "empty": (TRUE[:0], TRUE[:0], MOST[:0], None, "only 0 rows were held out"),
    "too few": (TRUE[:9], TRUE[:9], MOST[:9], None, "only 9 rows were held out from both models, at least 10"),
    "one class": (MOST, MOST, MOST, None, "have only one value of the target"),
    "as good as the baseline": (TRUE, MOST, MOST, None, "failed: accuracy 0.333 against the baseline's 0.333"),
    "worse than the baseline": (TRUE, (TRUE + 1) % 3, MOST, None, "failed: accuracy 0.000 against the baseline's"),
    "worse than the champion": (TRUE, HALF, MOST, TRUE, "0.500 against 1.000 of the champion, version 7"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_the_gate_refuses(case):
    """The gate holds a version back for each of these reasons, and says which."""
    y, challenger, baseline, champion, told = REFUSED[case]
    verdict = judge("classification", y, challenger, baseline, champion, 7 if champion is not None else None)
    assert not verdict.promote
    assert any(told in reason for reason in verdict.reasons)


@pytest.mark.parametrize("nan_in", ["challenger", "champion", "y", "baseline"])
def test_the_gate_refuses_what_is_not_a_number(nan_in):
    """A figure that cannot be compared never promotes."""
    y = np.linspace(0, 1, 12)
    given = {"y": y, "challenger": y.copy(), "baseline": np.full(12, 0.5), "champion": y + 0.1}
    assert judge("regression", *given.values(), 1).promote
    given[nan_in] = np.where(np.arange(12) == 3, np.nan, given[nan_in])
    assert not judge("regression", *given.values(), 1).promote


@pytest.mark.parametrize("champion", [None, HALF, TRUE])
def test_the_gate_lets_pass(champion):
    """A version that beats the baseline and is not worse than the champion passes, an equal one too."""
    verdict = judge("classification", TRUE, TRUE, MOST, champion, None if champion is None else 3)
    assert verdict.promote and verdict.champion == (None if champion is None else 3)
    assert all(reason.startswith("passed: accuracy 1.000 against") for reason in verdict.reasons)
    assert all(reason.endswith("on 12 held-out rows") for reason in verdict.reasons)
