from __future__ import annotations

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from modeling.exporting import export, parity
from service.errors import DataError
from service.model import load


def described(trained) -> list:
    """Return the features as the bundle describes them."""
    return load(trained.folder).manifest.features


def tamper(model: bytes, change: float) -> bytes:
    """Return the model with its coefficients larger by a share, or no numbers at all."""
    graph = onnx.load_from_string(model)
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("coefficients", "intercepts"):
                attribute.floats[:] = [value * (1 + change) for value in attribute.floats]
    for tensor in graph.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.name in ("coef", "intercept"):
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1 + change), tensor.name)
            )
    return graph.SerializeToString()


@pytest.fixture(params=["trained_wine", "trained_houses", "trained_prices"])
def trained(request):
    """A classification on numbers, one on mixed features with gaps, and a regression on the same."""
    return request.getfixturevalue(request.param)


def test_parity_holds_for_an_honest_export(trained):
    """An export differs from scikit-learn by less than the tolerance, missing values and edge rows included."""
    rows = parity.parity_rows(trained.pipeline, trained.X, described(trained))
    spread = 1.0 if hasattr(trained.pipeline, "classes_") else 100.0
    assert parity.check_parity(export.to_onnx(trained.pipeline, trained.X), trained.pipeline, rows, spread) < 1e-5


def test_parity_fails_for_a_tampered_model(trained):
    """A model whose coefficients moved a little is refused with the cure."""
    model = export.to_onnx(trained.pipeline, trained.X)
    assert tamper(model, 0.01) != model
    with pytest.raises(DataError, match=r"the exported model .* scikit-learn: choose another `estimator`"):
        parity.check_parity(tamper(model, 0.01), trained.pipeline, trained.X)


def test_parity_fails_where_answers_are_no_numbers(trained_wine):
    """A model that answers NaN is refused: nothing compares as nearer than the tolerance."""
    model = tamper(export.to_onnx(trained_wine.pipeline, trained_wine.X), float("nan"))
    with pytest.raises(DataError, match="choose another `estimator`"):
        parity.check_parity(model, trained_wine.pipeline, trained_wine.X)


def test_parity_fails_for_the_model_of_another_table(trained_wine):
    """Swapped columns, which no shape betrays, are refused."""
    swapped = trained_wine.X.rename(columns={"hue": "ash", "ash": "hue"})[list(trained_wine.X)]
    model = export.to_onnx(trained_wine.pipeline, trained_wine.X)
    answers = type("Other", (), {"predict": lambda _, X: trained_wine.pipeline.predict(swapped)})()
    answers.predict_proba = lambda X: trained_wine.pipeline.predict_proba(swapped)
    with pytest.raises(DataError, match="choose another `estimator`"):
        parity.check_parity(model, answers, trained_wine.X)


def test_edge_rows_hold_extremes_gaps_and_unseen_categories(trained_houses):
    """Each feature is at its least and its largest, missing where it may be, and a text that was never seen."""
    features = described(trained_houses)
    rows = parity.edge_rows(trained_houses.pipeline, trained_houses.X, features)
    assert list(rows.columns) == list(trained_houses.X)
    for feature in features:
        values = rows[feature.name]
        if feature.kind == "number":
            assert {values.min(), values.max()} == {np.float32(feature.min), np.float32(feature.max)}
            assert values.isna().any() == feature.nullable
        else:
            assert set(values) == {*feature.categories, "never seen", *([""] if feature.nullable else [])}


@pytest.mark.parametrize(
    "estimator", [DecisionTreeClassifier(), ExtraTreesClassifier(10), HistGradientBoostingClassifier(max_iter=20)]
)
def test_edge_rows_stand_on_both_sides_of_a_trees_thresholds(trained_wine, estimator):
    """A tree is asked at the numbers nearest to where it splits: the largest that goes left, and the next."""
    X, y = trained_wine.X, trained_wine.pipeline.predict(trained_wine.X)
    chosen = [7, 0, 4]
    prepare = ColumnTransformer([("texts", "drop", [1]), ("numbers", "passthrough", chosen)])
    pipeline = make_pipeline(prepare, estimator.set_params(random_state=0)).fit(X, y)
    rows = parity.edge_rows(pipeline, X, described(trained_wine)).to_numpy()
    splits = parity._splits(pipeline[-1])
    assert 0 < len(splits) < parity.MOST_THRESHOLDS
    for column, threshold in splits:
        values = np.unique(rows[:, chosen[column]])
        below, above = values[values <= threshold].max(), values[values > threshold].min()
        assert np.nextafter(np.float32(below), np.float32(np.inf)) == np.float32(above)


def test_parity_of_a_large_table_is_checked_on_a_sample(trained_wine, monkeypatch):
    """At most so many rows are drawn, always the same, and every edge row is there."""
    monkeypatch.setattr(parity, "MOST_ROWS", 50)
    X, features = trained_wine.X, described(trained_wine)
    rows = parity.parity_rows(trained_wine.pipeline, X, features)
    edges = parity.edge_rows(trained_wine.pipeline, X, features)
    assert len(rows) == 50 + len(edges)
    pd.testing.assert_frame_equal(rows[50:].reset_index(drop=True), edges)
    pd.testing.assert_frame_equal(rows, parity.parity_rows(trained_wine.pipeline, X, features))
    assert set(map(tuple, rows[:50].to_numpy())) <= set(map(tuple, X.to_numpy()))


def test_large_numbers_may_differ_by_their_own_rounding():
    """Around 101,325 numbers of 32 bits lie 0.008 apart, which no estimator is to blame for."""
    near, far = parity.tolerance(100.0, np.array([3.0])), parity.tolerance(100.0, np.array([101_325.0, -5.0]))
    assert near == pytest.approx(100 * parity.TOLERANCE, rel=0.01)
    assert far == pytest.approx(100 * parity.TOLERANCE + 4 * 2**-7)


def test_a_target_that_32_bits_cannot_tell_apart_is_refused():
    """Seconds since 1970 that differ by minutes need a constant taken off; the sentence says so."""
    with pytest.raises(DataError, match="cannot tell its values apart: subtract a constant from it"):
        parity.tolerance(60.0, np.array([1.7e9]))
