from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from modeling.learning import inspection

DRAW = np.random.default_rng(0)
X = pd.DataFrame({"area": DRAW.uniform(20, 300, 200), "floors": DRAW.integers(1, 5, 200).astype(float)})
X["side"] = DRAW.choice(["north", "south"], 200)
PRICE = 3 * X["area"].to_numpy() - 40 * X["floors"].to_numpy() + 120 * (X["side"] == "south").to_numpy()


def fitted(estimator, y=PRICE, numbers=None) -> Pipeline:
    """Return a pipeline fitted to the houses, prepared as 02_train does."""
    numbers = numbers or make_pipeline(SimpleImputer(), StandardScaler())
    encoder = OneHotEncoder(sparse_output=False)
    prepare = ColumnTransformer([("numbers", numbers, [0, 1]), ("categories", encoder, [2])])
    return Pipeline([("prepare", prepare), ("estimator", estimator)]).fit(X, y)


def test_columns_are_named_as_people_know_them():
    """The step that made a column is no part of its name, and a category's is."""
    assert inspection.prepared_names(fitted(LinearRegression()), X) == ["area", "floors", "side_north", "side_south"]


@pytest.mark.parametrize("numbers", [None, "passthrough"])
def test_coefficients_count_in_the_units_of_the_columns(numbers):
    """Standardised or not, a square metre is worth what the prices were made with."""
    found = inspection.coefficients(fitted(LinearRegression(), numbers=numbers), X)
    assert found.loc["area", "for one unit"] == pytest.approx(3)
    assert found.loc["floors", "for one unit"] == pytest.approx(-40)
    assert found.loc["area", "for one standard deviation"] == pytest.approx(3 * X["area"].std(ddof=0))
    gap = found.loc["side_south", "for one unit"] - found.loc["side_north", "for one unit"]
    assert gap == pytest.approx(120)


def test_a_standardised_target_counts_in_its_own_unit():
    """A lasso that learned a standardised target tells its coefficients in the target's unit."""
    lasso = TransformedTargetRegressor(Lasso(alpha=1e-6, max_iter=100_000), transformer=StandardScaler())
    found = inspection.coefficients(fitted(lasso), X)
    assert found.loc["area", "for one unit"] == pytest.approx(3, rel=1e-3)


def test_of_several_classes_the_strongest_coefficient_is_told():
    """With three classes a column has three; the one with the largest absolute value stands for them."""
    y = np.digitize(PRICE, np.quantile(PRICE, [0.33, 0.66]))
    pipeline = fitted(LogisticRegression(), y)
    found = inspection.coefficients(pipeline, X)["for one standard deviation"] / pipeline[0].transform(X).std(axis=0)
    assert np.abs(found.to_numpy()) == pytest.approx(np.abs(pipeline[-1].coef_).max(axis=0))


def test_importances_are_shares():
    """A tree tells how much each column did; the shares add up to one."""
    found = inspection.importances(fitted(DecisionTreeRegressor(max_depth=3)), X)
    assert found.sum() == pytest.approx(1)
    assert found.idxmax() == "area"


def test_a_model_without_them_has_neither():
    """Neighbours have no coefficients and no importances."""
    pipeline = fitted(KNeighborsRegressor())
    assert inspection.coefficients(pipeline, X) is None and inspection.importances(pipeline, X) is None
