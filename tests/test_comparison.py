from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_info

from modeling.learning import comparison
from modeling.learning.estimators import Family, find
from service.errors import DataError

DRAW = np.random.default_rng(0)
X = pd.DataFrame(DRAW.normal(size=(120, 3)), columns=["a", "b", "c"])
CLASSES = np.where(X["a"] + DRAW.normal(scale=0.3, size=120) > 0, "yes", "no").astype(object)
RIGHT = {"accuracy": get_scorer("accuracy")}
FOLDS = list(StratifiedKFold(4, shuffle=True, random_state=0).split(X, CLASSES))


def pipeline(estimator) -> Pipeline:
    """Return a pipeline that ends in the step `estimator`."""
    return Pipeline([("prepare", StandardScaler()), ("estimator", estimator)])


@given(st.integers(2, 300), st.integers(2, 300), st.booleans())
def test_a_sample_holds_different_rows_in_their_order(rows, most, classify):
    """It is all rows, or exactly as many as asked for, none twice; the same seed draws the same."""
    y = np.arange(rows) % 2
    drawn = comparison.sample(y, classify, 3, most)
    assert len(drawn) == min(rows, most)
    assert (np.diff(drawn) > 0).all() and drawn.min() >= 0 and drawn.max() < rows
    assert drawn.tolist() == comparison.sample(y, classify, 3, most).tolist()


def test_each_class_keeps_its_share_in_a_sample():
    """One row in ten of a class in the table is one in ten in the sample."""
    y = np.array(["rare"] * 1000 + ["common"] * 9000)
    drawn = comparison.sample(y, True, 0, 500)
    assert (y[drawn] == "rare").sum() == 50


def test_a_class_of_one_row_does_not_stop_a_sample():
    """Where the shares cannot be kept, rows are drawn without regard to them."""
    y = np.array([1] * 99 + [2])
    assert len(comparison.sample(y, True, 0, 50)) == 50


@pytest.mark.parametrize(("search", "kind"), [("grid", GridSearchCV), ("random", RandomizedSearchCV)])
def test_a_search_stands_around_the_pipeline(search, kind):
    """Grid and random search choose among the family's settings; the pipeline is what they fit."""
    family = find("logistic_regression", "classification")
    made = comparison.tuned(pipeline(family.estimator(0)), family, search, FOLDS, "accuracy", 0)
    assert isinstance(made, kind)
    fitted = comparison.fit(made, X, CLASSES)
    assert fitted.best_params_["estimator__C"] in family.space["C"]
    tried = len(fitted.cv_results_["params"])
    assert tried == (len(family.space["C"]) if search == "grid" else comparison.DRAWS)


def test_without_a_search_the_pipeline_stays_as_it_is():
    """`none`, and a family with nothing to search, leave the usual settings."""
    plain = pipeline(Ridge())
    assert comparison.tuned(plain, find("ridge", "regression"), "none", FOLDS, "r2", 0) is plain
    assert comparison.tuned(plain, find("linear_regression", "regression"), "grid", FOLDS, "r2", 0) is plain


def test_a_random_search_draws_no_more_than_there_is():
    """A space of two settings is tried whole, without scikit-learn's warning."""
    family = Family("ridge", Ridge, {"alpha": [1, 2]})
    made = comparison.tuned(pipeline(Ridge()), family, "random", KFold(2), "r2", 0)
    assert made.n_iter == 2


def test_a_candidate_is_scored_on_rows_that_it_was_not_fitted_to():
    """A tree that learns by heart is right on its own rows and not on others."""
    noise = DRAW.permutation(CLASSES)
    tree = pipeline(DecisionTreeClassifier(random_state=0))
    (train, test), *_ = FOLDS
    assert comparison.score(tree, X, noise, train, test, RIGHT)["accuracy"] < 0.9
    assert comparison.score(tree, X, noise, train, train, RIGHT)["accuracy"] == 1


def test_scores_are_those_of_scikit_learn():
    """Each measure asked for is there, and the candidate itself stays unfitted."""
    from sklearn.model_selection import cross_validate

    measures = {name: get_scorer(name) for name in ("accuracy", "balanced_accuracy", "f1_macro")}
    estimator = pipeline(LogisticRegression())
    ours = [comparison.score(estimator, X, CLASSES, *rows, measures) for rows in FOLDS]
    theirs = cross_validate(estimator, X, CLASSES, cv=FOLDS, scoring=list(measures))
    for measure in measures:
        assert [found[measure] for found in ours] == pytest.approx(theirs[f"test_{measure}"].tolist())
    assert not hasattr(estimator[-1], "coef_")


def test_a_candidate_that_cannot_be_fitted_says_why():
    """What one family cannot do does not end the comparison."""
    estimator = pipeline(LogisticRegression(C=-1.0))
    (train, test), *_ = FOLDS
    found = comparison.score(estimator, X, CLASSES, train, test, RIGHT)
    assert list(found) == ["failed"] and "'C' parameter" in found["failed"]


def test_fitting_is_quiet_and_on_one_thread():
    """Warnings of a fit go nowhere, and no library of linear algebra adds up on two threads."""

    class Loud(DummyClassifier):
        def fit(self, X, y):
            warnings.warn("not converged", stacklevel=1)
            self.threads = {pool["num_threads"] for pool in threadpool_info()}
            return super().fit(X, y)

    assert comparison.fit(Loud(), X, CLASSES).threads == {1}


def test_the_summary_is_mean_deviation_and_corrected_error():
    """Candidates keep their order; the standard error allows for the rows that folds share."""
    scores = pd.DataFrame({"candidate": ["z"] * 4 + ["a"] * 4, "r2": [1, 2, 3, 4, 0, 0, 0, 0]})
    table = comparison.summary(scores, "r2", 4)
    assert table.index.tolist() == ["z", "a"]
    deviation = np.std([1, 2, 3, 4], ddof=1)
    assert table.loc["z"].tolist() == pytest.approx([2.5, deviation, deviation * np.sqrt(1 / 4 + 1 / 3)])
    assert table.loc["a"].tolist() == [0, 0, 0]


def test_what_failed_in_one_fold_was_not_measured():
    """A mean of the folds that happened to work would flatter."""
    scores = pd.DataFrame({"candidate": ["qda"] * 3, "r2": [1.0, np.nan, 1.0]})
    assert comparison.summary(scores, "r2", 3).isna().all(axis=None)


def table(**candidates: tuple[float, float]) -> pd.DataFrame:
    """Return a summary of candidates given as (mean, standard error)."""
    return pd.DataFrame(candidates, index=["mean", "standard error"]).T


def test_the_simplest_within_one_standard_error_comes_first():
    """A simpler family that does nearly as well is preferred to the best; one that does worse comes after."""
    found = table(simple=(0.90, 0.01), middle=(0.95, 0.02), best=(0.96, 0.015), poor=(0.5, 0.1))
    assert comparison.preferred(found, list(found.index)) == ["middle", "best", "simple", "poor"]


@pytest.mark.parametrize(
    ("candidates", "told"),
    [
        ({"tree": (0.9, 0.1)}, "is the only one"),
        ({"simple": (0.9, 0.01), "complex": (0.5, 0.01)}, "has the highest mean, and no simpler one"),
        ({"simple": (0.90, 0.01), "complex": (0.91, 0.02)}, "the simplest within one standard error of `complex`"),
    ],
)
def test_the_choice_is_told_in_words(candidates, told):
    """Whoever reads the report learns by which rule a family was taken."""
    found = table(**candidates)
    assert told in comparison.reason(found, comparison.preferred(found, list(found.index)))


def test_what_was_not_measured_is_not_taken():
    """A family that could not be fitted in some fold does not stand for choice, nor does a baseline."""
    found = table(baseline=(0.99, 0.0), broken=(np.nan, np.nan), sound=(0.4, 0.1))
    assert comparison.preferred(found, ["broken", "sound"]) == ["sound"]


def test_where_nothing_could_be_fitted_nothing_is_taken():
    """That is told, instead of an index that is out of range."""
    with pytest.raises(DataError, match="no family of estimators could be fitted"):
        comparison.preferred(table(broken=(np.nan, np.nan)), ["broken"])


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 0.5)), min_size=1, max_size=12))
def test_the_order_holds_each_candidate_once_and_the_first_is_nearly_best(pairs):
    """Whatever the scores, all are in the order, and the first is within one error of the best."""
    found = table(**{f"c{at}": pair for at, pair in enumerate(pairs)})
    order = comparison.preferred(found, list(found.index))
    assert sorted(order) == sorted(found.index)
    best = found["mean"].idxmax()
    assert found["mean"][order[0]] >= found["mean"][best] - found["standard error"][best]


def test_a_learning_curve_has_a_point_for_each_share_of_the_rows():
    """From a fifth of the rows to all that a fold leaves, on rows seen and unseen."""
    counts, seen, unseen = comparison.learning_curve(
        pipeline(LogisticRegression()), X, CLASSES, FOLDS, "accuracy", 0, 1
    )
    assert counts.tolist() == [18, 36, 54, 72, 90]
    assert seen.shape == unseen.shape == (5, 4)
    assert 0.7 < unseen[-1].mean() <= 1


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ([0.5, 0.6, 0.7], [0.6, 0.7, 0.8], "More rows would help: the last step of the learning curve is +0.100"),
        ([0.9, 0.9, 0.9], [0.901, 0.9, 0.899], "More rows of the same kind would change little"),
        ([0.9, 0.5, 0.7], [0.6, 0.7, 0.8], "Whether more rows would help cannot be told"),
        ([np.nan] * 3, [0.6, 0.7, 0.8], "The learning curve could not be measured."),
    ],
)
def test_the_outlook_goes_no_further_than_the_folds_do(before, after, told):
    """A step counts only beyond what the folds differ by."""
    assert comparison.outlook(np.array([before, after])).startswith(told)


def test_a_comparison_is_told_without_a_number_that_json_has_not():
    """What was not measured is null in a manifest."""
    found = comparison.told(pd.DataFrame({"mean": [0.5, np.nan], "taken": ["yes", ""]}, index=["lda", "qda"]))
    assert found == {"lda": {"mean": 0.5, "taken": "yes"}, "qda": {"mean": None, "taken": ""}}
