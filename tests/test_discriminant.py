from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from modeling.exporting import export, parity
from modeling.learning.discriminant import RegularizedDiscriminantAnalysis
from modeling.tables import columns, dataset
from service import runtime
from service.errors import DataError

SHARES = st.floats(0, 1)
UNDETERMINED = RegularizedDiscriminantAnalysis(lam=0, gamma=0)


@cache
def wine() -> tuple:
    """Return the wines as the model sees them, their cultivars and the described features."""
    table = dataset.load("../data/wine.csv")
    chosen = columns.choose_features(table, [])
    X = columns.as_model_input(table.table, chosen)
    return X, columns.as_labels(table.table[table.target], whole=True), columns.describe_features(table, X, [])


def standardised() -> tuple:
    """Return the z-scored wines and their cultivars."""
    X, y, _ = wine()
    return scale(X), y


def blobs(seed: int, rows: int = 60, width: int = 3) -> tuple:
    """Return rows of three correlated classes of different sizes."""
    draw = np.random.default_rng(seed)
    y = np.sort(draw.choice(3, rows, p=[0.5, 0.3, 0.2]))
    y[: 3 * width] = np.repeat(range(3), width)
    return draw.normal(size=(rows, width)) @ draw.normal(size=(width, width)) + y[:, np.newaxis], y


@parametrize_with_checks([RegularizedDiscriminantAnalysis(), UNDETERMINED, RegularizedDiscriminantAnalysis(1, 1)])
def test_scikit_learn_finds_no_fault(estimator, check):
    """The estimator keeps every convention of scikit-learn."""
    check(estimator)


@given(lam=SHARES, gamma=st.floats(0.01, 1), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_posteriors_follow_from_the_paper(lam, gamma, seed):
    """Covariances by the paper's equations 16 to 18 and scipy's densities give the same posteriors."""
    X, y = blobs(seed)
    fitted = RegularizedDiscriminantAnalysis(lam, gamma).fit(X, y)
    scatters = [(len(rows) - 1) * np.cov(rows.T) for rows in (X[y == k] for k in range(3))]
    joint = []
    for k, scatter in enumerate(scatters):
        count = (y == k).sum()
        covariance = ((1 - lam) * scatter + lam * sum(scatters)) / ((1 - lam) * count + lam * len(y))
        covariance = (1 - gamma) * covariance + gamma * np.trace(covariance) / 3 * np.eye(3)
        density = multivariate_normal(X[y == k].mean(axis=0), covariance).pdf(X)
        joint.append(density * count / len(y))
    expected = np.transpose(joint) / np.sum(joint, axis=0)[:, np.newaxis]
    np.testing.assert_allclose(fitted.predict_proba(X), expected, rtol=1e-8, atol=1e-12)


def test_whole_pooling_is_linear_discriminant_analysis():
    """Lambda 1 and gamma 0 give scikit-learn's linear discriminant analysis of the same covariance."""
    X, y = standardised()
    linear = LinearDiscriminantAnalysis(solver="lsqr").fit(X, y)
    ours = RegularizedDiscriminantAnalysis(lam=1, gamma=0).fit(X, y)
    np.testing.assert_allclose(ours.predict_log_proba(X), linear.predict_log_proba(X), rtol=1e-8, atol=1e-8)


def test_both_whole_is_the_nearest_mean():
    """Lambda 1 and gamma 1 with equal priors give the class with the nearest mean."""
    X, y = standardised()
    ours = RegularizedDiscriminantAnalysis(1, 1, priors=[1 / 3] * 3).fit(X, y)
    assert (ours.predict(X) == NearestCentroid().fit(X, y).predict(X)).all()


@given(seed=st.integers(0, 99), lam=SHARES)
@settings(deadline=None, max_examples=25)
def test_a_change_of_axes_changes_nothing_without_gamma(seed, lam):
    """Without gamma the posteriors are the same in every linear system of coordinates."""
    X, y = blobs(seed)
    turn = np.random.default_rng(seed).normal(size=(3, 3)) + 3 * np.eye(3)
    ours = RegularizedDiscriminantAnalysis(lam, gamma=0)
    expected = ours.fit(X, y).predict_proba(X)
    np.testing.assert_allclose(clone(ours).fit(X @ turn + 7, y).predict_proba(X @ turn + 7), expected, atol=1e-6)


def test_the_decision_of_two_classes_is_one_number():
    """With two classes the decision function is the log odds of the second; its sign is the prediction."""
    X, y = standardised()
    X, y = X[y < 2], np.array(["red", "white"])[y[y < 2]]
    fitted = RegularizedDiscriminantAnalysis().fit(X, y)
    odds = fitted.decision_function(X)
    assert odds.shape == (len(X),)
    np.testing.assert_allclose(odds, fitted.predict_log_proba(X) @ [-1, 1], atol=1e-9)
    assert (fitted.predict(X) == np.where(odds > 0, "white", "red")).all()


def test_logarithms_stay_finite_far_away():
    """Where a probability is zero to the last bit its logarithm still says how improbable."""
    X, y = standardised()
    far = RegularizedDiscriminantAnalysis().fit(X, y).predict_log_proba(X[:1] + 1000)
    assert np.isfinite(far).all() and far.min() < -1e5


def test_priors_move_the_decision():
    """A class with a larger prior is predicted at least as often."""
    X, y = blobs(1)
    counts = [
        (RegularizedDiscriminantAnalysis(priors=[1 - 2 * p, p, p]).fit(X, y).predict(X) == 0).sum()
        for p in (0.49, 0.3, 0.1, 0.001)
    ]
    assert counts == sorted(counts) and counts[0] < counts[-1]


@pytest.mark.parametrize("priors", [[0.5, 0.5], [0.5, 0.4, 0.2], [1, 0, 0], [[0.3, 0.3, 0.4]]])
def test_priors_that_are_no_shares_are_refused(priors):
    """One positive share a class, and a sum of 1."""
    with pytest.raises(ValueError, match="priors must be 3 positive shares with the sum 1"):
        RegularizedDiscriminantAnalysis(priors=priors).fit(*blobs(0))


@pytest.mark.parametrize("name", ["lam", "gamma"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_weight_outside_its_range_is_refused(name, value):
    """Both weights are shares."""
    with pytest.raises(ValueError, match=f"{name} must lie between 0 and 1, got {value}"):
        RegularizedDiscriminantAnalysis(**{name: value}).fit(*blobs(0))


def spoil(X, y, how: str) -> np.ndarray:
    """Return the rows with a feature that is constant, or that others determine, in one class at least."""
    feature = {"constant": np.full(len(X), 0.1), "sum": X.sum(axis=1), "class": np.where(y == 1, 0.1, X[:, 0] ** 2)}
    return np.column_stack([X, feature[how]])


@pytest.mark.parametrize("how", ["constant", "sum", "class"])
def test_a_singular_covariance_is_told_with_the_cure(how):
    """What cannot be inverted is refused with the class and the cure, which helps."""
    X, y = standardised()
    X = spoil(X, y, how)
    with pytest.raises(DataError, match=r"the covariance of class \d is singular: raise `gamma`, or leave out"):
        RegularizedDiscriminantAnalysis(lam=0, gamma=0).fit(X, y)
    assert RegularizedDiscriminantAnalysis(lam=0, gamma=0.01).fit(X, y).score(X, y) > 0.98


def test_lambda_alone_cures_a_class_with_few_rows():
    """Fewer rows than features in a class are no obstacle once the pooled covariance helps."""
    X, y = standardised()
    few = np.r_[0:59, 59:130, 130:135]
    with pytest.raises(DataError, match="class 2 is singular"):
        RegularizedDiscriminantAnalysis(lam=0, gamma=0).fit(X[few], y[few])
    assert RegularizedDiscriminantAnalysis(lam=0.2, gamma=0).fit(X[few], y[few]).score(X, y) > 0.95


@pytest.mark.parametrize(("lam", "gamma"), [(0, 0), (0.1, 0.05), (1, 0), (0.5, 1), (0, 0.001)])
@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("before", [[], [StandardScaler()]], ids=["raw", "scaled"])
def test_onnx_answers_the_same(lam, gamma, texts, before):
    """The exported model agrees on wine and its edge rows, with labels that are numbers or texts."""
    X, y, features = wine()
    y = np.array(["Barolo", "Grignolino", "Barbera"], dtype=object)[y] if texts else y
    pipeline = make_pipeline(*before, RegularizedDiscriminantAnalysis(lam, gamma)).fit(X, y)
    rows = pd.concat([X, parity.edge_rows(pipeline, X, features)], ignore_index=True)
    model = export.to_onnx(pipeline, X)
    assert parity.check_parity(model, pipeline, rows) <= parity.TOLERANCE
    assert parity.check_parity(model, pipeline, 100 * rows) <= parity.TOLERANCE


@pytest.mark.parametrize("count", [0, 1, 2, 178])
def test_onnx_takes_any_number_of_rows(count):
    """The graph answers n labels and `[n, classes]` probabilities in 32 bits, for any n."""
    X, y, _ = wine()
    model = export.to_onnx(make_pipeline(StandardScaler(), RegularizedDiscriminantAnalysis()).fit(X, y), X)
    session = runtime.session(model)
    label, probabilities = session.run(None, {"numbers": X.to_numpy(dtype=np.float32)[:count]})
    assert label.shape == (count,) and label.dtype == np.int64
    assert probabilities.shape == (count, 3) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
