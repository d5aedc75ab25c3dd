from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVR

from modeling.exporting import converters, export, parity
from modeling.learning.date_parts import DateParts
from modeling.learning.derived import Derived
from modeling.tables import columns
from modeling.tables import dataset as tables
from service.errors import DataError


@cache
def table(name: str) -> tuple:
    """Return X, y and the described features of a table, with gaps in two columns."""
    dataset = tables.load(f"../data/{name}.csv")
    X = columns.as_model_input(dataset.table, columns.choose_features(dataset, []))
    X.iloc[::7, 1] = X.iloc[::11, 3] = np.nan
    y = dataset.table[dataset.target]
    y = columns.as_labels(y, whole=True) if dataset.task == "classification" else y.to_numpy(dtype=float)
    return X, y, columns.describe_features(dataset, X, [X.columns[1], X.columns[3]])


def fit(estimator: BaseEstimator, X: pd.DataFrame, y, numbers="passthrough") -> Pipeline:
    """Fit an estimator to numbers, prepared as the notebook does."""
    prepare = ColumnTransformer([("numbers", numbers, list(range(X.shape[1])))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the solver of a network stopped early is no concern here
        return Pipeline([("prepare", prepare), ("estimator", estimator)]).fit(X, y)


def prepared() -> Pipeline:
    """Return what prepares numbers for estimators that need them complete and of one scale."""
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler())


def difference(pipeline: Pipeline, X: pd.DataFrame, features, spread=1.0) -> float:
    """Return how far ONNX is from scikit-learn, edge rows included."""
    rows = parity.parity_rows(pipeline, X, features)
    assert len(rows) > len(X)
    return parity.check_parity(export.to_onnx(pipeline, X), pipeline, rows, spread)


@pytest.mark.parametrize("classes", [[0, 1, 2], ["no", "yes", "yes"], ["a", "ü", "北"]])
def test_quadratic_discriminant_analysis_answers_each_row(classes):
    """Labels, as numbers or texts, and probabilities are scikit-learn's, one of each for every row."""
    X, y, features = table("wine")
    labels = np.array(classes, dtype=object if isinstance(classes[0], str) else np.int64)[y]
    pipeline = fit(QuadraticDiscriminantAnalysis(), X, labels, prepared())
    assert difference(pipeline, X, features) < 1e-5
    label, probabilities = parity.run(export.to_onnx(pipeline, X), X)
    assert label.shape == (len(X),) and probabilities.shape == (len(X), len(set(classes)))
    assert label.tolist() == pipeline.predict(X).tolist()


@pytest.mark.parametrize(
    "regressor",
    [SVR(C=10), MLPRegressor(hidden_layer_sizes=(16,), solver="lbfgs", alpha=1, max_iter=300, random_state=0)],
)
def test_a_standardised_target_is_told_in_its_own_unit(regressor):
    """The inner regressor's answer is scaled back inside the graph."""
    X, y, features = table("diabetes")
    pipeline = fit(TransformedTargetRegressor(regressor, transformer=StandardScaler()), X, y + 1000, prepared())
    assert difference(pipeline, X, features, y.std()) < 1e-5
    assert abs(pipeline.predict(X).mean() - (y + 1000).mean()) < 20


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_support_vectors_keep_their_digits(kernel):
    """A large C, with many large coefficients, answers within a millionth of the target's spread."""
    X, y, features = table("diabetes")
    assert difference(fit(SVR(kernel=kernel, C=1000), X, y, prepared()), X, features, y.std()) < 1e-5


def test_another_kernel_is_refused():
    """What is not written is told with the cure."""
    X, y, _ = table("diabetes")
    with pytest.raises(DataError, match="the kernel 'poly' of an SVR cannot be exported: use rbf or linear"):
        export.to_onnx(fit(SVR(kernel="poly"), X, y, prepared()), X)


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "logistic"])
def test_networks_have_their_activation_in_every_layer(activation):
    """Two hidden layers, whatever they apply, answer as scikit-learn's."""
    X, y, features = table("diabetes")
    layers = MLPRegressor(hidden_layer_sizes=(9, 7), activation=activation, max_iter=100, random_state=0)
    assert difference(fit(layers, X, y, prepared()), X, features, y.std()) < 1e-5


def test_a_target_transformed_otherwise_is_refused():
    """Nothing is exported that would answer in another unit."""
    X, y, _ = table("diabetes")
    pipeline = fit(TransformedTargetRegressor(SVR(), transformer=MinMaxScaler()), X, y, prepared())
    with pytest.raises(DataError, match="MinMaxScaler cannot be exported: use a StandardScaler"):
        export.to_onnx(pipeline, X)


@pytest.mark.parametrize("parts", [{}, {"with_mean": False}, {"with_std": False}])
def test_scaling_keeps_digits_where_the_mean_is_large(parts):
    """A year, or a count of seconds, has a deviation much smaller than its mean."""
    X = pd.DataFrame({"year": np.arange(1990.0, 2020.0), "seconds": np.float32(1.6e9) + np.arange(30.0) * 128})
    y = np.sin(np.arange(30.0))
    pipeline = fit(LinearRegression(), X, y, StandardScaler(**parts))
    if parts:
        found = parity.run(export.to_onnx(pipeline, X), X)[0]
        assert found.shape == (30, 1)
    else:
        assert parity.check_parity(export.to_onnx(pipeline, X), pipeline, X, y.std()) < 1e-6


def test_derived_features_and_dates_stand_beside_numbers():
    """All parts of a preparation go into one graph, missing values included."""
    draw = np.random.default_rng(0)
    days = np.float32(draw.integers(10_000, 20_000, 300) + draw.integers(0, 4, 300) / 4).astype(float)
    X = pd.DataFrame({"rooms": draw.integers(1, 9, 300) * 1.0, "homes": draw.integers(0, 5, 300) * 1.0, "sold": days})
    X["heating"] = pd.Series(draw.choice(["gas", "wood"], 300), dtype=object)
    X.iloc[::9, 2] = X.iloc[::13, 0] = np.nan
    derived = Derived(["rooms / homes", "log(rooms + 1)"], ["rooms", "homes"])
    prepare = ColumnTransformer(
        [
            ("numbers", prepared(), [0, 1]),
            ("derived", make_pipeline(derived, SimpleImputer(), StandardScaler()), [0, 1]),
            ("dates", make_pipeline(DateParts(), SimpleImputer(), StandardScaler()), [2]),
            ("categories", OneHotEncoder(sparse_output=False), [3]),
        ]
    )
    y = draw.normal(size=300)
    pipeline = Pipeline([("prepare", prepare), ("estimator", Ridge())]).fit(X, y)
    assert parity.check_parity(export.to_onnx(pipeline, X), pipeline, X, y.std()) < 1e-5
    names = prepare.get_feature_names_out(X.columns).tolist()
    assert {"derived__rooms / homes", "dates__sold: hour", "categories__heating_gas"} <= set(names)


def test_registering_again_changes_nothing():
    """A notebook that runs again in the same kernel exports as before."""
    X, y, _ = table("diabetes")
    pipeline = fit(HistGradientBoostingRegressor(max_iter=3), X, y)
    first = export.to_onnx(pipeline, X)
    converters.register()
    converters.register()
    assert export.to_onnx(pipeline, X) == first
