from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from modeling.exporting import export, parity
from modeling.learning import estimators
from modeling.tables import columns
from modeling.tables import dataset as tables
from service.errors import DataError

HERE = Path(__file__).parent
TABLES = {"classification": "wine", "regression": "diabetes"}
EVERY = [(task, name) for task in TABLES for name in estimators.names(task)]


@cache
def training(task: str) -> tuple:
    """Return X, y and the described features of a task's table."""
    dataset = tables.load(f"../data/{TABLES[task]}.csv")
    chosen = columns.choose_features(dataset, [])
    X, y = columns.as_model_input(dataset.table, chosen), dataset.table[dataset.target]
    y = columns.as_labels(y, whole=True) if task == "classification" else y.to_numpy(dtype=float)
    return X, y, columns.describe_features(dataset, X, [])


def fit(task: str, name: str, labels: np.ndarray | None = None) -> Pipeline:
    """Fit an estimator to its task's table, or to other labels of it, as 02_train does."""
    X, y, _ = training(task)
    y = y if labels is None else labels
    family = estimators.find(name, task)
    scale = StandardScaler() if family.scaled else "passthrough"
    prepare = ColumnTransformer([("numbers", scale, list(range(X.shape[1])))])
    return Pipeline([("prepare", prepare), ("estimator", family.estimator(3))]).fit(X, y)


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_every_estimator_is_exported_and_answers_the_same(task, name):
    """Each estimator fits its table and answers as ONNX what scikit-learn answers, edge rows included."""
    X, y, features = training(task)
    pipeline = fit(task, name)
    rows = parity.parity_rows(pipeline, X, features)
    spread = 1.0 if task == "classification" else float(y.std())
    assert len(rows) > len(X)
    assert 0 <= parity.check_parity(export.to_onnx(pipeline, X), pipeline, rows, spread) <= parity.TOLERANCE
    assert pipeline.score(X, y) > (0.8 if task == "classification" else 0.3)


@pytest.mark.parametrize("name", estimators.names("classification"))
def test_two_classes_with_names_are_exported_too(name):
    """Of two classes scikit-learn keeps one set of coefficients, and a graph has to answer for both, far away too."""
    X, y, features = training("classification")
    pipeline = fit("classification", name, np.array(["red", "white"], dtype=object)[(y > 0).astype(int)])
    rows = pd.concat([parity.parity_rows(pipeline, X, features), 1000 * X], ignore_index=True)
    assert parity.check_parity(export.to_onnx(pipeline, X), pipeline, rows) <= parity.TOLERANCE


@pytest.mark.slow
def test_every_estimator_is_made_again_byte_for_byte():
    """Another process makes the same files of the same rows and seed, whatever the order of Python's sets."""
    folders = os.pathsep.join(map(str, (HERE, HERE.parent, HERE.parent / "notebooks")))
    other = subprocess.run(
        [sys.executable, "-m", "test_estimators"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": folders, "PYTHONHASHSEED": "1"},
        check=True,
        timeout=120,
    )
    assert json.loads(other.stdout) == sums()


@pytest.mark.parametrize("task", TABLES)
@pytest.mark.parametrize("name", ["", "xgboost", "Decision_Tree", "__class__", "auto "])
def test_an_unknown_estimator_is_refused_with_the_list(task, name):
    """A name that is none of ours is answered with those that are."""
    with pytest.raises(DataError, match=r"is not an estimator here; choose among ") as caught:
        estimators.find(name, task)
    assert all(known in str(caught.value) for known in ["auto", *estimators.names(task)])


@pytest.mark.parametrize(
    ("task", "name", "other"),
    [("classification", "ridge", "regression"), ("regression", "logistic_regression", "classification")],
)
def test_an_estimator_of_the_other_task_is_refused(task, name, other):
    """An estimator for the other task is answered with what it is for and what may be chosen."""
    with pytest.raises(DataError, match=rf"'{name}' is for {other}, and this is a {task}; choose among") as caught:
        estimators.find(name, task)
    assert all(known in str(caught.value) for known in estimators.names(task))


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_the_seed_reaches_what_draws(task, name):
    """Whatever in an estimator has a random state gets the seed; what has none draws nothing."""
    parameters = estimators.find(name, task).estimator(7).get_params()
    drawing = {"random_forest", "extra_trees", "gradient_boosting", "hist_gradient_boosting", "decision_tree", "mlp"}
    seeds = [value for parameter, value in parameters.items() if parameter.endswith("random_state")]
    assert set(seeds) <= {7}
    assert seeds or name not in drawing


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_each_setting_of_the_search_can_be_made(task, name):
    """A family's search names parameters that its estimator has, with two settings each at least."""
    family = estimators.find(name, task)
    for parameter, values in family.space.items():
        assert len(values) >= 2
        for value in values:
            assert family.estimator(0).set_params(**{parameter: value}).get_params()[parameter] == value


@pytest.mark.parametrize("task", TABLES)
def test_auto_takes_every_family_of_a_small_table(task):
    """With a few hundred rows nothing is left out, and the simplest comes first."""
    able, left_out = estimators.contenders("auto", task, 500)
    assert [family.name for family in able] == estimators.names(task) and left_out == {}
    assert able[0].name in ("logistic_regression", "linear_regression")


@pytest.mark.parametrize("task", TABLES)
def test_auto_leaves_out_what_could_not_finish_and_says_why(task):
    """With a million rows some families are left, and each of the others has its reason."""
    able, left_out = estimators.contenders("auto", task, 1_000_000)
    assert {family.name for family in able} | set(left_out) == set(estimators.names(task))
    assert {"decision_tree", "hist_gradient_boosting"} <= {family.name for family in able}
    assert "square of the rows; it is compared up to 10,000 rows" in left_out["svm"]


@pytest.mark.parametrize(("name", "told"), [("rda", "RDA"), ("svm", "SVM"), ("random_forest", "random forest")])
def test_a_family_is_told_as_people_write_it(name, told):
    """Initials are capitals, words are words."""
    assert estimators.told(name) == told


def test_a_family_that_is_named_is_taken_at_any_size():
    """Whoever asks for neighbours of a million rows gets them."""
    able, left_out = estimators.contenders("knn", "regression", 1_000_000)
    assert [family.name for family in able] == ["knn"] and left_out == {}


def test_published_coefficients_of_diabetes():
    """Least squares on the standardised table gives the coefficients that Efron et al. and scikit-learn print."""
    X, y, _ = training("regression")
    pipeline = fit("regression", "linear_regression")
    published = [-10.01, -239.82, 519.85, 324.38, -792.18, 476.74, 101.04, 177.06, 751.27, 67.63]
    np.testing.assert_allclose(pipeline[-1].coef_ * np.sqrt(len(y)), published, atol=0.02)
    assert pipeline[-1].intercept_ == pytest.approx(152.133, abs=0.001)
    assert pipeline.score(X, y) == pytest.approx(0.51775, abs=0.00001)


def sums() -> dict[str, str]:
    """Fit and export every estimator; return the hash of each file."""
    made = {f"{task} {name}": export.to_onnx(fit(task, name), training(task)[0]) for task, name in EVERY}
    return {name: hashlib.sha256(model).hexdigest() for name, model in made.items()}


if __name__ == "__main__":
    print(json.dumps(sums()))
