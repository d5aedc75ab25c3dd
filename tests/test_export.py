from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from modeling.exporting import export, parity
from modeling.tables.dataset import NOTEBOOKS
from service.errors import CellarError, DataError
from service.files import sha256
from service.model import load
from service.rows.inputs import Schema


def described(trained) -> list:
    """Return the features as the bundle describes them."""
    return load(trained.folder).manifest.features


@pytest.fixture(params=["trained_wine", "trained_houses", "trained_prices"])
def trained(request):
    """A classification on numbers, one on mixed features with gaps, and a regression on the same."""
    return request.getfixturevalue(request.param)


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
    if hasattr(trained.pipeline, "classes_"):
        assert golden.tolerance == parity.TOLERANCE
        assert golden.predict == expected.tolist()
        np.testing.assert_allclose(golden.predict_proba, trained.pipeline.predict_proba(rows), atol=1e-6)
    else:
        assert 50 * parity.TOLERANCE < golden.tolerance == parity.tolerance(50.0, expected)
        np.testing.assert_allclose(golden.predict, expected, rtol=1e-6)
        assert golden.predict_proba == [[]] * len(golden.rows)


def test_background_is_drawn_from_the_training_rows(trained):
    """At most 64 of them, each a row that the model was fitted to, no two at one place, the same each time."""
    features = described(trained)
    golden, again = (export.golden_rows(trained.pipeline, trained.X, features) for _ in range(2))
    assert golden.background == again.background
    assert len(golden.background) == 64 == export.BACKGROUND < len(trained.X)
    drawn, given = Schema(features).read_records(golden.background), export.as_inputs(trained.X, features)
    rows = {(*map(str, numbers), *texts) for numbers, texts in zip(given.numbers, given.categories, strict=True)}
    own = {(*map(str, numbers), *texts) for numbers, texts in zip(drawn.numbers, drawn.categories, strict=True)}
    assert own <= rows and len(own) == 64


def test_background_of_few_rows_is_all_of_them(trained_wine):
    """A table smaller than that is kept whole."""
    X = trained_wine.X.iloc[:20]
    assert len(export.golden_rows(trained_wine.pipeline, X, described(trained_wine)).background) == 20


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
