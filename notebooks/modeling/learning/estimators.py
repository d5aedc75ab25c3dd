"""The families of estimators that `02_train` compares, by task, the simplest first, each with its search space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modeling.learning.discriminant import RegularizedDiscriminantAnalysis
from modeling.tables.target import Task
from service.errors import DataError, meant

AUTO = "auto"
"""In place of a family's name: compare them all."""


class Limit(NamedTuple):
    """The most rows that a kind of estimator can be fitted to in minutes and kept in a file, and what sets them."""

    rows: int
    why: str


class Family(NamedTuple):
    """A kind of estimator: `make(random_state=seed)` or `make()`, what to search, and what limits it."""

    name: str
    make: Callable[..., BaseEstimator]
    space: Mapping[str, list[Any]] = MappingProxyType({})
    scaled: bool = True
    limit: Limit | None = None

    def estimator(self, seed: int) -> BaseEstimator:
        """Return the estimator, unfitted; what draws is seeded."""
        made = self.make()
        draws = [name for name in made.get_params() if name.endswith("random_state")]
        return made.set_params(**dict.fromkeys(draws, seed))


def names(task: Task) -> list[str]:
    """Return the estimators that a task allows, the simplest first."""
    return [family.name for family in FAMILIES[task]]


def told(name: str) -> str:
    """Return a family's name as a sentence has it: LDA, logistic regression."""
    return name.upper() if len(name) == 3 else name.replace("_", " ")


def check_name(name: str, task: Task | Literal[""]) -> None:
    """Raise DataError unless the task, or with "" any task, allows an estimator of this name, or all are compared."""
    if task and name != AUTO:
        find(name, task)
    known = [AUTO, *dict.fromkeys(known for each in FAMILIES for known in names(each))]
    if name not in known:
        raise _unknown(name, known)


def find(name: str, task: Task) -> Family:
    """Return a family by its name; raise DataError with those that there are if it is none of the task's."""
    for family in FAMILIES[task]:
        if family.name == name:
            return family
    known = [AUTO, *names(task)]
    for other in FAMILIES:
        if name in names(other):
            cure = f'choose among {", ".join(known)}; or say `task = "{other}"` as parameter or in the card'
            raise DataError(f"the parameter `estimator`: {name!r} is for {other}, and this is a {task}; {cure}")
    raise _unknown(name, known)


def _unknown(name: str, known: Sequence[str]) -> DataError:
    near = meant(name, known, f"choose among {', '.join(known)}")
    return DataError(f"the parameter `estimator`: {name[:80]!r} is not an estimator here; {near}")


def contenders(name: str, task: Task, rows: int) -> tuple[list[Family], dict[str, str]]:
    """Return the families to compare and, for those left out, {name: why}; `rows` is how many they are fitted to.

    One that is named is taken whatever the number of rows; `auto` leaves out what could not finish.
    """
    if name != AUTO:
        return [find(name, task)], {}
    able, left_out = [], {}
    for family in FAMILIES[task]:
        if family.limit and rows > family.limit.rows:
            left_out[family.name] = f"{family.limit.why}; it is compared up to {family.limit.rows:,} rows"
        else:
            able.append(family)
    return able, left_out


def _svm_classifier() -> BaseEstimator:
    # SVC itself gives no probabilities any more; Platt's sigmoid on cross-validated scores does.
    return CalibratedClassifierCV(SVC(), ensemble=False, cv=3)


def _standardised(make: Callable[..., BaseEstimator], **parameters: Any) -> BaseEstimator:
    """Return a regressor with its target standardised, so that its penalty means the same in every unit."""
    return TransformedTargetRegressor(make(**parameters), transformer=StandardScaler())


# The least size of a leaf is a share of the rows: what suits a sample then suits the whole table.
LEAF = [0.002, 0.01, 0.03]
SQUARE = Limit(10_000, "its time grows with the square of the rows")
KEEPS = Limit(20_000, "it keeps every row, in its file too")
GROWS = Limit(50_000, "its file and its time grow with the rows")
STEPS = Limit(50_000, "each of its many steps takes all rows")

CLASSIFIERS = [
    Family("logistic_regression", partial(LogisticRegression, max_iter=5000), {"C": [0.01, 0.1, 1, 10, 100]}),
    Family("lda", partial(LinearDiscriminantAnalysis, solver="lsqr"), {"shrinkage": [None, "auto"]}),
    Family("naive_bayes", GaussianNB, {"var_smoothing": [1e-9, 1e-2, 1e-1]}),
    Family("qda", QuadraticDiscriminantAnalysis, {"reg_param": [0.0, 0.1, 0.5]}),
    Family("rda", RegularizedDiscriminantAnalysis, {"lam": [0.1, 0.5], "gamma": [0.0, 0.1]}),
    Family("decision_tree", partial(DecisionTreeClassifier, min_samples_leaf=0.01), {"min_samples_leaf": LEAF}, False),
    Family("knn", KNeighborsClassifier, {"n_neighbors": [1, 5, 15]}, limit=KEEPS),
    Family("svm", _svm_classifier, {"estimator__C": [0.1, 1, 10]}, limit=SQUARE),
    Family("random_forest", RandomForestClassifier, {"min_samples_leaf": [1, 5]}, False, GROWS),
    Family("extra_trees", ExtraTreesClassifier, {"min_samples_leaf": [1, 5]}, False, GROWS),
    Family("gradient_boosting", GradientBoostingClassifier, {"max_depth": [1, 3]}, False, GROWS),
    Family(
        "hist_gradient_boosting",
        partial(HistGradientBoostingClassifier, early_stopping=False),
        {"max_leaf_nodes": [4, 15]},
        False,
    ),
    Family(
        "mlp",
        partial(MLPClassifier, (32,), solver="lbfgs", alpha=0.1, max_iter=2000),
        {"alpha": [0.01, 1]},
        limit=STEPS,
    ),
]

REGRESSORS = [
    Family("linear_regression", LinearRegression),
    Family("ridge", Ridge, {"alpha": [0.1, 1, 10, 100]}),
    Family("lasso", partial(_standardised, Lasso, alpha=0.01), {"regressor__alpha": [0.001, 0.01, 0.1]}),
    Family("elastic_net", partial(_standardised, ElasticNet, alpha=0.01), {"regressor__alpha": [0.001, 0.01, 0.1]}),
    Family("decision_tree", partial(DecisionTreeRegressor, min_samples_leaf=0.03), {"min_samples_leaf": LEAF}, False),
    Family("knn", partial(KNeighborsRegressor, 15), {"n_neighbors": [5, 15, 40]}, limit=KEEPS),
    Family("svm", partial(_standardised, SVR), {"regressor__C": [0.1, 1, 10]}, limit=SQUARE),
    Family(
        "random_forest", partial(RandomForestRegressor, min_samples_leaf=5), {"min_samples_leaf": [1, 5]}, False, GROWS
    ),
    Family("extra_trees", partial(ExtraTreesRegressor, min_samples_leaf=5), {"min_samples_leaf": [1, 5]}, False, GROWS),
    Family("gradient_boosting", partial(GradientBoostingRegressor, max_depth=2), {"max_depth": [1, 3]}, False, GROWS),
    Family(
        "hist_gradient_boosting",
        partial(HistGradientBoostingRegressor, early_stopping=False),
        {"max_leaf_nodes": [4, 15]},
        False,
    ),
    Family(
        "mlp",
        partial(_standardised, MLPRegressor, hidden_layer_sizes=(16,), solver="lbfgs", alpha=10.0, max_iter=5000),
        {"regressor__alpha": [1, 10]},
        limit=STEPS,
    ),
]

FAMILIES: dict[Task, list[Family]] = {"classification": CLASSIFIERS, "regression": REGRESSORS}
"""Every family, the simplest first: of those that do equally well, the first is taken."""
