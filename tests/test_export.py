from __future__ import annotations

import json

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from modeling import export
from modeling.dataset import NOTEBOOKS
from service.errors import CellarError, DataError
from service.files import sha256
from service.inputs import Schema
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
    rows = export.parity_rows(trained.pipeline, trained.X, described(trained))
    spread = 1.0 if hasattr(trained.pipeline, "classes_") else 100.0
    assert export.check_parity(export.to_onnx(trained.pipeline, trained.X), trained.pipeline, rows, spread) < 1e-5


def test_parity_fails_for_a_tampered_model(trained):
    """A model whose coefficients moved a little is refused with the cure."""
    model = export.to_onnx(trained.pipeline, trained.X)
    assert tamper(model, 0.01) != model
    with pytest.raises(DataError, match=r"the exported model .* scikit-learn: choose another `estimator`"):
        export.check_parity(tamper(model, 0.01), trained.pipeline, trained.X)


def test_parity_fails_where_answers_are_no_numbers(trained_wine):
    """A model that answers NaN is refused: nothing compares as nearer than the tolerance."""
    model = tamper(export.to_onnx(trained_wine.pipeline, trained_wine.X), float("nan"))
    with pytest.raises(DataError, match="choose another `estimator`"):
        export.check_parity(model, trained_wine.pipeline, trained_wine.X)


def test_parity_fails_for_the_model_of_another_table(trained_wine):
    """Swapped columns, which no shape betrays, are refused."""
    swapped = trained_wine.X.rename(columns={"hue": "ash", "ash": "hue"})[list(trained_wine.X)]
    model = export.to_onnx(trained_wine.pipeline, trained_wine.X)
    answers = type("Other", (), {"predict": lambda _, X: trained_wine.pipeline.predict(swapped)})()
    answers.predict_proba = lambda X: trained_wine.pipeline.predict_proba(swapped)
    with pytest.raises(DataError, match="choose another `estimator`"):
        export.check_parity(model, answers, trained_wine.X)


def test_edge_rows_hold_extremes_gaps_and_unseen_categories(trained_houses):
    """Each feature is at its least and its largest, missing where it may be, and a text that was never seen."""
    features = described(trained_houses)
    rows = export.edge_rows(trained_houses.pipeline, trained_houses.X, features)
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
    rows = export.edge_rows(pipeline, X, described(trained_wine)).to_numpy()
    splits = export._splits(pipeline[-1])
    assert 0 < len(splits) < export.MOST_THRESHOLDS
    for column, threshold in splits:
        values = np.unique(rows[:, chosen[column]])
        below, above = values[values <= threshold].max(), values[values > threshold].min()
        assert np.nextafter(np.float32(below), np.float32(np.inf)) == np.float32(above)


def test_parity_of_a_large_table_is_checked_on_a_sample(trained_wine, monkeypatch):
    """At most so many rows are drawn, always the same, and every edge row is there."""
    monkeypatch.setattr(export, "MOST_ROWS", 50)
    X, features = trained_wine.X, described(trained_wine)
    rows = export.parity_rows(trained_wine.pipeline, X, features)
    edges = export.edge_rows(trained_wine.pipeline, X, features)
    assert len(rows) == 50 + len(edges)
    pd.testing.assert_frame_equal(rows[50:].reset_index(drop=True), edges)
    pd.testing.assert_frame_equal(rows, export.parity_rows(trained_wine.pipeline, X, features))
    assert set(map(tuple, rows[:50].to_numpy())) <= set(map(tuple, X.to_numpy()))


def test_an_export_is_the_same_bytes_again(trained, trained_wine, trained_houses):
    """Twice in one process, with other exports in between."""
    first = export.to_onnx(trained.pipeline, trained.X)
    for other in (trained_wine, trained_houses):
        export.to_onnx(other.pipeline, other.X)
    assert export.to_onnx(trained.pipeline, trained.X) == first


def test_golden_rows_are_what_a_client_would_send(trained):
    """They are JSON with null for what is missing, the shortest numbers, and pass the service's own checks."""
    features = described(trained)
    golden = export.golden_rows(trained.pipeline, trained.X, features)
    assert json.loads(json.dumps(golden.rows, allow_nan=False)) == golden.rows
    assert {name for row in golden.rows for name in row} == {feature.name for feature in features}
    nullable = {feature.name for feature in features if feature.nullable}
    assert {name for row in golden.rows for name, value in row.items() if value is None} == nullable
    assert not any(value == "" for row in golden.rows for value in row.values())
    assert len(Schema(features).read_records(golden.rows)) == len(golden.rows) >= 20
    assert len(str(golden.rows[0][features[0].name])) < 10


def test_golden_answers_are_those_of_scikit_learn(trained):
    """What the service has to replay are scikit-learn's own answers, one for each row."""
    golden = export.golden_rows(trained.pipeline, trained.X, described(trained), spread=50.0)
    rows = pd.DataFrame(golden.rows, columns=list(trained.X))
    texts = rows.select_dtypes(exclude="number").columns
    rows[texts] = rows[texts].astype(object).where(rows[texts].notna(), "")
    expected = trained.pipeline.predict(rows)
    assert golden.tolerance == pytest.approx(50 * export.TOLERANCE)
    if hasattr(trained.pipeline, "classes_"):
        assert golden.predict == expected.tolist()
        np.testing.assert_allclose(golden.predict_proba, trained.pipeline.predict_proba(rows), atol=1e-6)
    else:
        np.testing.assert_allclose(golden.predict, expected, rtol=1e-6)
        assert golden.predict_proba == [[]] * len(golden.rows)


def test_golden_rows_leave_out_a_draw(trained_wine):
    """A row for which two classes are equally likely is no test of a label; with no other rows nothing is exported."""
    from sklearn.dummy import DummyClassifier

    y = np.arange(len(trained_wine.X)) % 2
    y = y[: len(y) // 2 * 2]
    X = trained_wine.X.iloc[: len(y)]
    draw = make_pipeline("passthrough", DummyClassifier(strategy="prior")).fit(X, y)
    with pytest.raises(DataError, match="two classes equally likely for every row: add features"):
        export.golden_rows(draw, X, described(trained_wine))


def test_inputs_are_those_of_the_service(trained_houses):
    """Held-out rows go through the service's own checks: numbers as 32 bits, NaN and "" where missing."""
    X = trained_houses.X
    inputs = export.as_inputs(X, described(trained_houses))
    assert inputs.numbers.dtype == np.float32 and len(inputs) == len(X)
    np.testing.assert_array_equal(np.isnan(inputs.numbers[:, 1]), X["floors/level"].isna())
    assert inputs.categories[:, 1].tolist() == X["heating, by"].tolist()


def test_inputs_with_a_gap_that_training_did_not_see_are_refused(trained_wine):
    """A newer table with a missing value where training had none is told by row and column."""
    X = trained_wine.X.reset_index(drop=True)
    X.loc[3, "hue"] = np.nan
    with pytest.raises(CellarError, match=r"row 3: 'hue' must not be missing"):
        export.as_inputs(X, described(trained_wine))


def test_provenance_names_notebook_commit_packages_and_time():
    """A manifest says what made the model."""
    found = export.provenance("02_train.ipynb")
    assert found["notebook_sha256"] == sha256((NOTEBOOKS / "02_train.ipynb").read_bytes())
    assert set(found["packages"]) == set(export.PACKAGES)
    assert found["created"].endswith("+00:00")
    assert len(found["git_commit"].rstrip("+")) in (0, 40)


def test_without_git_the_commit_is_empty(monkeypatch):
    """A folder that is no clone, or a machine without git, trains all the same."""
    monkeypatch.setenv("PATH", "")
    assert export.provenance("02_train.ipynb")["git_commit"] == ""
