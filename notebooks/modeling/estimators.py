"""The estimators that the parameter `estimator` picks from, by task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator

from modeling.dataset import Task
from service.errors import DataError

DEFAULT = {"classification": "decision_tree", "regression": "linear_regression"}

UNSCALED = {"decision_tree", "random_forest", "extra_trees", "gradient_boosting"}
"""Families for which the scale of a feature makes no difference."""


def names(task: Task) -> list[str]:
    """Return the estimators that a task allows, the simplest first."""
    return list(CATALOGUE[task])


def make(name: str, task: Task, seed: int) -> tuple[str, BaseEstimator]:
    """Return the estimator's name and the estimator, unfitted; `default` picks the one people expect for the task."""
    name = DEFAULT[task] if name == "default" else name
    if name not in CATALOGUE[task]:
        elsewhere = [other for other in CATALOGUE if name in CATALOGUE[other]]
        why = f"is for {elsewhere[0]}, and this is a {task}" if elsewhere else "is not an estimator here"
        raise DataError(f"the parameter `estimator`: {name!r} {why}; choose among {', '.join(names(task))}")
    return name, CATALOGUE[task][name](seed)


def _logistic_regression(seed: int) -> BaseEstimator:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=5000)


def _decision_tree_classifier(seed: int) -> BaseEstimator:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(min_samples_leaf=2, random_state=seed)


def _knn_classifier(seed: int) -> BaseEstimator:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=5)


def _svm_classifier(seed: int) -> BaseEstimator:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    # SVC itself gives no probabilities any more; Platt's sigmoid on cross-validated scores does.
    return CalibratedClassifierCV(SVC(), ensemble=False, cv=3)


def _random_forest_classifier(seed: int) -> BaseEstimator:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=100, random_state=seed)


def _extra_trees_classifier(seed: int) -> BaseEstimator:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(n_estimators=100, random_state=seed)


def _gradient_boosting_classifier(seed: int) -> BaseEstimator:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(random_state=seed)


def _lda(seed: int) -> BaseEstimator:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis()


def _naive_bayes(seed: int) -> BaseEstimator:
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB()


def _mlp_classifier(seed: int) -> BaseEstimator:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(hidden_layer_sizes=(32,), solver="lbfgs", alpha=0.1, max_iter=2000, random_state=seed)


def _linear_regression(seed: int) -> BaseEstimator:
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


def _ridge(seed: int) -> BaseEstimator:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=1.0)


def _lasso(seed: int) -> BaseEstimator:
    from sklearn.linear_model import Lasso

    return Lasso(alpha=1.0, max_iter=10_000)


def _elastic_net(seed: int) -> BaseEstimator:
    from sklearn.linear_model import ElasticNet

    return ElasticNet(alpha=0.1, max_iter=10_000)


def _extra_trees_regressor(seed: int) -> BaseEstimator:
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(n_estimators=100, min_samples_leaf=5, random_state=seed)


def _gradient_boosting_regressor(seed: int) -> BaseEstimator:
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(max_depth=2, random_state=seed)


def _decision_tree_regressor(seed: int) -> BaseEstimator:
    from sklearn.tree import DecisionTreeRegressor

    return DecisionTreeRegressor(min_samples_leaf=10, random_state=seed)


def _knn_regressor(seed: int) -> BaseEstimator:
    from sklearn.neighbors import KNeighborsRegressor

    return KNeighborsRegressor(n_neighbors=10)


def _svm_regressor(seed: int) -> BaseEstimator:
    from sklearn.svm import SVR

    return SVR(C=100.0)


def _random_forest_regressor(seed: int) -> BaseEstimator:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(n_estimators=100, min_samples_leaf=5, random_state=seed)


def _mlp_regressor(seed: int) -> BaseEstimator:
    from sklearn.neural_network import MLPRegressor

    return MLPRegressor(hidden_layer_sizes=(16,), solver="lbfgs", alpha=10.0, max_iter=5000, random_state=seed)


CATALOGUE: dict[str, dict[str, Callable[[int], Any]]] = {
    "classification": {
        "logistic_regression": _logistic_regression,
        "lda": _lda,
        "naive_bayes": _naive_bayes,
        "decision_tree": _decision_tree_classifier,
        "knn": _knn_classifier,
        "svm": _svm_classifier,
        "random_forest": _random_forest_classifier,
        "extra_trees": _extra_trees_classifier,
        "gradient_boosting": _gradient_boosting_classifier,
        "mlp": _mlp_classifier,
    },
    "regression": {
        "linear_regression": _linear_regression,
        "ridge": _ridge,
        "lasso": _lasso,
        "elastic_net": _elastic_net,
        "decision_tree": _decision_tree_regressor,
        "knn": _knn_regressor,
        "svm": _svm_regressor,
        "random_forest": _random_forest_regressor,
        "extra_trees": _extra_trees_regressor,
        "gradient_boosting": _gradient_boosting_regressor,
        "mlp": _mlp_regressor,
    },
}
