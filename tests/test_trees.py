from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from test_converters import difference, fit, table

from modeling.exporting import export, parity
from service.errors import DataError


@pytest.mark.parametrize("classes", [[0, 1, 2], ["no", "yes", "yes"], ["a", "ü", "北"]])
@pytest.mark.parametrize("forest", [RandomForestClassifier, ExtraTreesClassifier])
def test_forests_of_classes_are_those_of_scikit_learn(classes, forest):
    """Two classes or three, numbers or texts, around every threshold, and with missing values."""
    X, y, features = table("wine")
    labels = np.array(classes, dtype=object if isinstance(classes[0], str) else np.int64)[y]
    assert difference(fit(forest(20, random_state=0), X, labels), X, features) < 1e-6


@pytest.mark.parametrize("forest", [RandomForestRegressor, ExtraTreesRegressor])
def test_forests_of_numbers_keep_their_digits(forest):
    """Around every threshold and with missing values, for a target whose mean is far from zero too."""
    X, y, features = table("diabetes")
    assert difference(fit(forest(20, random_state=0), X, y + 1000), X, features, y.std()) < 1e-6


@pytest.mark.parametrize("classes", [[0, 1, 2], ["no", "yes", "yes"], ["a", "ü", "北"]])
@pytest.mark.parametrize("numbers", ["passthrough", SimpleImputer(strategy="median")])
def test_boosted_classes_are_those_of_scikit_learn(classes, numbers):
    """Two classes or three, around every threshold, and with missing values, which boosted trees take as they are."""
    X, y, features = table("wine")
    labels = np.array(classes, dtype=object if isinstance(classes[0], str) else np.int64)[y]
    pipeline = fit(HistGradientBoostingClassifier(max_iter=30, min_samples_leaf=5), X, labels, numbers)
    assert difference(pipeline, X, features) < 1e-6


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson", "gamma"])
def test_boosted_numbers_are_those_of_scikit_learn(loss):
    """Around every threshold, with missing values, for losses that predict a logarithm too."""
    X, y, features = table("diabetes")
    pipeline = fit(HistGradientBoostingRegressor(loss=loss, max_iter=30), X, y)
    assert difference(pipeline, X, features, y.std()) < 1e-6


def test_a_boosted_tree_parts_neighbouring_numbers():
    """Where training values are neighbours in 32 bits, each is still on its side of the threshold."""
    low = np.float32(16777210)
    values = np.array([low, np.nextafter(low, np.float32(np.inf))]).astype(float).repeat(40)
    X, y = pd.DataFrame({"x": values}), np.arange(80) >= 40
    pipeline = fit(HistGradientBoostingClassifier(min_samples_leaf=1), X, y.astype(np.int64))
    label, _ = parity.run(export.to_onnx(pipeline, X), X)
    assert label.tolist() == y.tolist() == pipeline.predict(X).tolist()


def test_boosted_splits_by_category_are_refused():
    """What the graph cannot say is told with the cure."""
    X = pd.DataFrame({"code": np.arange(200.0) % 4})
    trees = HistGradientBoostingRegressor(categorical_features=[0])
    with pytest.raises(DataError, match="by category cannot be exported: encode categories as numbers"):
        export.to_onnx(fit(trees, X, X["code"].isin([0, 2]).to_numpy() * 5.0), X)
