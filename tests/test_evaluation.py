from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier

from modeling.grading import evaluation
from modeling.grading.evaluation import judge
from service.contents import Metric, Verdict

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


def test_a_metric_that_no_draw_moves_has_an_interval_without_width():
    """A model that is off by the same everywhere is so in every draw; one that errs by chance is not."""
    y = np.linspace(0, 1, 30)
    same, noisy = (
        evaluation.with_intervals("regression", y, y + off, seed=0, rounds=50)["mae"]
        for off in (0.1, np.random.default_rng(0).normal(size=30))
    )
    assert same.high == pytest.approx(same.low) and noisy.high > noisy.low


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


@pytest.mark.parametrize(
    ("counts", "metric"),
    [
        ([59, 71, 48], "accuracy"),
        ([5] * 20, "accuracy"),
        ([66, 34], "accuracy"),
        ([67, 33], "roc_auc"),
        ([45, 45, 5], "roc_auc"),
        ([95, 5], "roc_auc"),
    ],
)
def test_uneven_classes_are_graded_by_their_ranking(counts, metric):
    """One class with over two thirds of the rows, or one far below an equal share, changes the headline."""
    labels = np.repeat(np.arange(len(counts)), counts)
    assert evaluation.headline("classification", labels) == metric
    assert evaluation.headline("regression", labels) == "r2"


def test_the_gate_goes_by_the_metric_it_is_given():
    """Always answering the large class beats nobody by balanced accuracy, whatever its accuracy."""
    y = np.repeat([0, 1], [90, 10])
    lazy, eager = np.zeros(100, dtype=int), np.where(np.arange(100) % 10 < 2, 1 - y, y)
    assert not judge("classification", y, lazy, lazy, None, None, metric="balanced_accuracy").promote
    better = judge("classification", y, eager, lazy, lazy, 4, metric="balanced_accuracy")
    assert better.promote and "balanced_accuracy 0.800 against 0.500 of the champion" in better.reasons[1]
    assert not judge("classification", y, eager, lazy, lazy, 4).promote


def test_what_stands_on_record_says_whose_will_it_was():
    """A promotion by the gate is told with all of its reasons, one in spite of it with those that speak against."""
    passed, failed = Verdict(True, ["passed: a", "passed: b"]), Verdict(False, ["passed: a", "failed: b"])
    assert evaluation.on_record(passed) == "passed: a; passed: b"
    assert evaluation.on_record(failed) == "promote=always, in spite of the gate: failed: b"


def test_the_verdict_tells_the_difference_to_the_champion():
    """The difference on the same draws, with its interval, stands in the verdict and in its words."""
    random = np.random.default_rng(0)
    y = random.normal(size=300)
    ours, theirs = y + random.normal(size=300) * 0.2, y + random.normal(size=300) * 0.5
    verdict = judge("regression", y, ours, np.zeros(300), theirs, 2)
    gain = verdict.difference
    assert 0 < gain.low < gain.value < gain.high
    assert f"(a difference of {gain.value:+.3f}, 95 % interval {gain.low:+.3f} to" in verdict.reasons[1]
    assert judge("regression", y, ours, np.zeros(300), None, None).difference is None


def test_pairing_narrows_the_difference():
    """Errors that both models share cancel: the paired interval is far narrower than each one's own."""
    random = np.random.default_rng(1)
    y = random.normal(size=200)
    shared = y + random.normal(size=200)
    gain = evaluation.compare("regression", "mae", y, shared + 0.01, shared, seed=0).gain
    alone = evaluation.with_intervals("regression", y, shared, seed=0)["mae"]
    assert gain.high - gain.low < (alone.high - alone.low) / 10
    assert evaluation.compare("regression", "mae", y, shared, shared, seed=0).gain.high == 0


def test_rankings_are_compared_on_the_same_draws():
    """Probabilities are compared by the area under the ROC curve, which a monotone change does not move."""
    random = np.random.default_rng(2)
    y = np.array(["no", "yes"])[(random.random(300) < 0.1).astype(int)]
    sure = np.where(y == "yes", 0.3, 0.1) + random.normal(scale=0.1, size=300)
    ours, same, coin = (np.stack([1 - p, p], axis=1) for p in (sure, sure / 2, np.full(300, 0.1)))
    found = evaluation.compare("classification", "roc_auc", y, ours, same, 0, ["no", "yes"])
    assert found.ours == found.theirs == pytest.approx(sk.roc_auc_score(y == "yes", sure))
    assert (found.gain.low, found.gain.high) == (0, 0)
    verdict = judge("classification", y, ours, coin, same, 3, metric="roc_auc", classes=["no", "yes"])
    assert verdict.promote and "against the baseline's 0.500" in verdict.reasons[0]


def test_answers_stand_in_the_order_of_the_classes():
    """A champion that knows its classes in another order, or fewer, is read by their names."""
    model = DummyClassifier(strategy="prior").fit([[0]] * 4, ["b", "b", "b", "a"])
    found = evaluation.answers(model, [[0]], "roc_auc", ["b", "c", "a"])
    assert found.tolist() == [[0.75, 0.0, 0.25]]
    assert evaluation.answers(model, [[0]], "accuracy", ["b", "c", "a"]).tolist() == ["b"]


@pytest.mark.parametrize(
    ("predicted", "metric", "told"),
    [
        (["a", "b"], "accuracy", ""),
        (["a", "a"], "accuracy", "It never answers `b`:"),
        (["a", "a"], "roc_auc", "The classes are uneven"),
    ],
)
def test_what_metrics_of_classes_do_not_tell_is_remarked(predicted, metric, told):
    """A class that is never answered is named, and why another metric leads."""
    assert evaluation.remark(np.array(["a", "b"]), np.array(predicted), metric).startswith(told)
    assert bool(evaluation.remark(np.array(["a", "b"]), np.array(predicted), metric)) == bool(told)


def test_the_table_names_headline_and_units():
    """Each metric has a row with its interval and the baseline's value; errors carry the target's unit."""
    y = np.linspace(0, 1, 20)
    measured = evaluation.with_intervals("regression", y, y + 0.1, seed=0, rounds=20)
    table = evaluation.table(measured, evaluation.regression_metrics(y, y * 0), "r2", "m²")
    assert list(table.index) == ["r2 (the headline)", "mae", "rmse"]
    assert list(table["unit"]) == ["", "m²", "m²"] and table.loc["mae", "value"] == pytest.approx(0.1)
    assert "unit" not in evaluation.table(measured, {}, "r2", "")


def test_a_scorer_is_asked_as_scikit_learn_asks():
    """Each metric of an estimator's answers is a function of estimator, rows and truth; the headline comes first."""
    dummy = DummyClassifier(strategy="constant", constant=0).fit([[0], [0]], [0, 1])
    scorers = evaluation.scorers("classification", "roc_auc")
    assert list(scorers) == ["roc_auc", "accuracy", "balanced_accuracy"]
    y = np.array([0, 0, 0, 1])
    assert [scorer(dummy, [[0]] * 4, y) for scorer in scorers.values()] == [0.5, 0.75, 0.5]
    assert list(evaluation.scorers("regression", "r2")) == ["r2", "mae"]


@pytest.mark.parametrize(("low", "told"), [(0.4, " The interval includes the baseline's 0.500."), (0.6, "")])
def test_a_figure_is_told_with_its_doubt(low, told):
    """An interval that holds the baseline is no proof; the sentence says so."""
    assert evaluation.doubt(Metric(0.8, low, 1.0), 0.5) == told


def test_no_error_among_few_rows_is_no_certainty():
    """Forty-seven right answers of forty-seven allow for an accuracy of 0.925, by the binomial law."""
    y = np.arange(47) % 3
    found = evaluation.with_intervals("classification", y, y, seed=0, rounds=20)["accuracy"]
    assert (found.value, found.high) == (1, 1) and found.low == pytest.approx(0.925, abs=0.001)
    assert found.low**47 == pytest.approx(0.025)
