from __future__ import annotations

import json
import math
import subprocess
import tracemalloc
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Trained, train
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from modeling.exporting import export
from service import explanation
from service.contents import Feature
from service.errors import DeadlineError, ExplanationError, RequestError, TooLargeError
from service.explanation import Explanation, as_documents, class_named, explain, most_rows
from service.model import Model, load
from service.rows.inputs import Inputs
from workshop.installers import without

DIABETES = ROOT / "data" / "diabetes.csv"
FEW = ["bmi", "bp", "s1", "s5"]
PLENTY = settings(deadline=None, max_examples=25, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A linear regression on ten numbers."""
    return train(tmp_path_factory.mktemp("diabetes"), DIABETES, estimator="linear_regression")


@pytest.fixture(scope="module")
def linear(diabetes: Trained) -> Model:
    """The model of `diabetes`."""
    return load(diabetes.folder)


@pytest.fixture(scope="module")
def models(trained_wine: Trained, trained_houses: Trained, trained_prices: Trained, linear: Model) -> dict[str, Model]:
    """Classifications and regressions, on numbers alone and on mixed features that may be missing."""
    trained = {"wine": trained_wine, "houses": trained_houses, "prices": trained_prices}
    X = trained_wine.X
    forest = RandomForestClassifier(20, random_state=0).fit(X, trained_wine.pipeline.predict(X))
    found = {name: load(one.folder) for name, one in trained.items()}
    return {**found, "diabetes": linear, "forest": exported(found["wine"], make_pipeline(forest), X)}


def exported(like: Model, pipeline: Any, X: pd.DataFrame) -> Model:
    """Return the model of a fitted pipeline, described as another model is, by the features that are in `X`."""
    features = [feature for feature in like.manifest.features if feature.name in X]
    spread = 1.0 if like.classes else 100.0
    source = msgspec.structs.replace(
        like.bundle,
        manifest=msgspec.structs.replace(like.manifest, features=features),
        golden=export.golden_rows(pipeline, X, features, spread),
        model=export.to_onnx(pipeline, X),
    )
    return Model(source)


def regression(diabetes: Trained, linear: Model, estimator: Any, names: Sequence[str] = FEW) -> Model:
    """Return an estimator fitted to some columns of diabetes, with the target that the linear model predicts, bent."""
    X = diabetes.X[list(names)]
    y = diabetes.pipeline.predict(diabetes.X)
    y = y + 40 * np.sin(y / 20) + 4 * (X["bmi"] - X["bmi"].mean()) * (X["bp"] > X["bp"].median())
    return exported(linear, make_pipeline(StandardScaler(), estimator).fit(X, y), X)


def explained(model: Model, rows: Sequence[Any], label: Any = None) -> Explanation:
    """Return the explanation of rows as a client sends them."""
    inputs = model.schema.read(rows)
    return explain(model, inputs, model.predict(inputs), label)


def outputs(model: Model, inputs: Inputs, label: Any = None) -> np.ndarray:
    """Return what is explained: the numbers, or the probabilities of a class, else of each row's predicted class."""
    prediction = model.predict(inputs)
    if prediction.probabilities is None:
        return prediction.values.astype(float)
    labels = prediction.values.tolist() if label is None else [label] * len(inputs)
    return prediction.probabilities[np.arange(len(inputs)), [model.classes.index(one) for one in labels]].astype(float)


def shapley(model: Model, row: dict[str, Any]) -> np.ndarray:
    """Return a row's Shapley values by their definition, over all coalitions of its features, for the first output."""
    names, label = model.schema.names, model.classes[0] if model.classes else None
    worth = {}
    for coalition in product([False, True], repeat=len(names)):
        taken = [name for name, inside in zip(names, coalition, strict=True) if inside]
        mixed = [{**start, **{name: row[name] for name in taken}} for start in model.bundle.golden.background]
        worth[coalition] = outputs(model, model.schema.read_records(mixed), label).mean()
    found = np.zeros(len(names))
    for coalition, value in worth.items():
        for at, inside in enumerate(coalition):
            if not inside:
                weight = 1 / (len(names) * math.comb(len(names) - 1, sum(coalition)))
                found[at] += weight * (worth[*coalition[:at], True, *coalition[at + 1 :]] - value)
    return found


def values(feature: Feature) -> st.SearchStrategy[Any]:
    """Return values that a feature takes: in its range and around it, of its categories and others, missing ones."""
    if feature.kind == "category":
        taken = st.sampled_from(feature.categories) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
    else:
        low, high = float(feature.min or 0), float(feature.max or 0)
        taken = st.floats(2 * low - high, 2 * high - low) if high > low else st.just(low)
    return st.none() | taken if feature.nullable else taken


# ---- laws


@PLENTY
@given(data=st.data())
@pytest.mark.parametrize("name", ["wine", "houses", "prices", "diabetes", "forest"])
def test_base_and_contributions_sum_up_to_the_prediction(models: dict[str, Model], name: str, data: st.DataObject):
    """For any rows and any class, to 1e-6 of the output's size."""
    model = models[name]
    row = st.fixed_dictionaries({feature.name: values(feature) for feature in model.schema.features})
    rows, label = data.draw(st.lists(row, max_size=3)), data.draw(st.sampled_from([None, *model.classes]))
    found, expected = explained(model, rows, label), outputs(model, model.schema.read(rows), label)
    assert found.contributions.shape == (len(rows), len(model.schema.names)) and len(found.base) == len(rows)
    scale = np.maximum(1, np.abs(expected))
    assert (np.abs(found.base + found.contributions.sum(axis=1) - expected) <= 1e-6 * scale).all()


@PLENTY
@given(data=st.data())
@pytest.mark.parametrize("name", ["wine", "houses", "prices"])
def test_what_is_as_in_the_background_contributes_nothing(models: dict[str, Model], name: str, data: st.DataObject):
    """A feature that has the one value of every background row cannot have changed anything."""
    source = models[name].bundle
    row = data.draw(st.sampled_from(source.golden.background))
    same = data.draw(st.sampled_from(models[name].schema.names))
    background = [{**start, same: row[same]} for start in source.golden.background]
    model = Model(msgspec.structs.replace(source, golden=msgspec.structs.replace(source.golden, background=background)))
    (contributions,) = explained(model, [row]).contributions
    assert contributions[model.schema.names.index(same)] == pytest.approx(0, abs=1e-4)
    assert np.abs(contributions).max() > 1e-3


@pytest.mark.parametrize("name", ["wine", "houses", "forest"])
def test_contributions_to_all_classes_cancel(models: dict[str, Model], name: str):
    """Probabilities sum up to one whatever the features are: what one class gains the others lose."""
    model = models[name]
    rows = model.bundle.golden.rows[:3]
    total = sum(explained(model, rows, label).contributions for label in model.classes)
    assert np.abs(total).max() < 1e-5


@pytest.mark.parametrize("name", ["wine", "houses", "prices", "diabetes", "forest"])
def test_other_rows_of_the_request_make_no_difference(models: dict[str, Model], name: str):
    """A row alone, among others and once more has one explanation, up to the runtime's rounding."""
    model = models[name]
    rows = model.bundle.golden.rows[:6]
    together, again = explained(model, rows), explained(model, rows)
    np.testing.assert_array_equal(together.contributions, again.contributions)
    for at, row in enumerate(rows):
        alone = explained(model, [row])
        assert alone.base[0] == together.base[at]
        rounding = 1e-6 * max(1, np.abs(alone.contributions).max())
        np.testing.assert_allclose(alone.contributions[0], together.contributions[at], rtol=0, atol=rounding)


# ---- exactness


def test_linear_model_is_explained_exactly(diabetes: Trained, linear: Model):
    """A coefficient times the feature's distance from its mean in the background, the closed form."""
    rows = linear.bundle.golden.rows[:5]
    scaled = diabetes.pipeline[-1].coef_ / diabetes.pipeline[0].transformers_[0][1][-1].scale_
    background, given = (pd.DataFrame(each)[linear.schema.names] for each in (linear.bundle.golden.background, rows))
    found = explained(linear, rows)
    np.testing.assert_allclose(found.contributions, scaled * (given - background.mean()), atol=1e-3, rtol=1e-5)
    np.testing.assert_allclose(found.base, diabetes.pipeline.predict(background).mean(), rtol=1e-6)


def test_what_interacts_in_pairs_is_explained_exactly(diabetes: Trained, linear: Model):
    """A tree of depth two, against the definition over all coalitions."""
    model = regression(diabetes, linear, DecisionTreeRegressor(max_depth=2))
    for row in model.bundle.golden.rows[:5]:
        true = shapley(model, row)
        assert np.abs(true).max() > 1
        np.testing.assert_allclose(explained(model, [row]).contributions[0], true, atol=1e-4)


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeRegressor(max_depth=6, random_state=0),
        RandomForestRegressor(20, random_state=0),
        MLPRegressor(hidden_layer_sizes=(16,), solver="lbfgs", max_iter=5000, random_state=0),
        SVR(C=100),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_others_are_explained_nearly(diabetes: Trained, linear: Model, estimator: Any):
    """Of a few features of any kind of model, to a fiftieth of what all contributions come to."""
    model = regression(diabetes, linear, estimator)
    for row in model.bundle.golden.rows[:4]:
        true = shapley(model, row)
        off = np.abs(explained(model, [row]).contributions[0] - true)
        assert off.max() < 0.02 * np.abs(true).sum()


@pytest.mark.parametrize("name", ["houses", "prices"])
def test_categories_and_missing_values_contribute_under_their_own_names(models: dict[str, Model], name: str):
    """Texts and gaps take part as numbers do, and each value is told of the feature that it belongs to."""
    model = models[name]
    rows = [row for row in model.bundle.golden.rows if None in row.values()][:3]
    assert rows and model.schema.categories and model.schema.names != sorted(model.schema.names)
    tolerance = 0.01 if model.classes else 1e-3
    for row in rows:
        label = model.classes[0] if model.classes else None
        true = shapley(model, row)
        np.testing.assert_allclose(explained(model, [row], label).contributions[0], true, atol=tolerance)
        assert np.abs(true).max() > 3 * tolerance


def test_dates_and_truth_values_are_explained_as_they_are_sent(tmp_path: Path):
    """What they add to a price that is a sum of its parts, compared with what they add on average."""
    draw = np.random.default_rng(1)
    days, furnished = draw.integers(0, 2000, 120), draw.integers(0, 2, 120).astype(bool)
    table = pd.DataFrame({"area": draw.uniform(20, 90, 120).round(1), "furnished": furnished})
    table["sold on"] = (pd.Timestamp("2019-01-01") + pd.to_timedelta(days, unit="D")).strftime("%Y-%m-%d")
    table["price"] = 3 * table["area"] + 200 * furnished + 0.2 * days
    table.to_csv(tmp_path / "flats.csv", index=False)
    model = load(train(tmp_path / "artifacts", tmp_path / "flats.csv", target="price").folder)
    assert {feature.kind for feature in model.schema.features} == {"number", "boolean", "date"}
    row = {"area": 50.0, "furnished": True, "sold on": "2019-01-01"}
    (document,) = as_documents(model, explained(model, [row]))
    background = pd.DataFrame(model.bundle.golden.background)
    later = (pd.to_datetime(background["sold on"]) - pd.Timestamp("2019-01-01")).dt.days
    expected = {"area": 3 * (50 - background["area"].mean()), "furnished": 200 * (1 - background["furnished"].mean())}
    assert document["contributions"] == pytest.approx({**expected, "sold on": -0.2 * later.mean()}, abs=0.1)


def test_features_keep_their_order_where_categories_stand_between_numbers(models: dict[str, Model]):
    """The manifest's order is what counts, not that of the tensors."""
    source = models["prices"].bundle
    features = source.manifest.features
    between = [features[0], *features[3:], *features[1:3]]
    assert [feature.kind for feature in between] != sorted((f.kind for f in between), reverse=True)
    manifest = msgspec.structs.replace(source.manifest, features=between)
    other = Model(msgspec.structs.replace(source, manifest=manifest))
    rows = source.golden.rows[:4]
    before, after = (as_documents(model, explained(model, rows)) for model in (models["prices"], other))
    assert list(after[0]["contributions"]) == [feature.name for feature in between]
    for one, two in zip(before, after, strict=True):
        for feature, value in one["contributions"].items():
            assert two["contributions"][feature] == pytest.approx(value, abs=1e-3)


# ---- what it costs


@pytest.mark.parametrize("name", ["wine", "houses", "diabetes"])
def test_chunks_make_no_difference(models: dict[str, Model], name: str, monkeypatch: pytest.MonkeyPatch):
    """Few values at a time give what many give, up to the runtime's rounding."""
    rows = models[name].bundle.golden.rows[:2]
    whole = explained(models[name], rows)
    monkeypatch.setattr(explanation, "CELLS", 100)
    parts = explained(models[name], rows)
    np.testing.assert_allclose(parts.contributions, whole.contributions, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def wide(linear: Model) -> Model:
    """A linear model of four hundred numbers."""
    draw = np.random.default_rng(0)
    X = pd.DataFrame(draw.normal(size=(80, 400)).astype(np.float32)).rename(columns="x{}".format)
    features = [Feature(name, "number") for name in X]
    like = msgspec.structs.replace(linear.bundle, manifest=msgspec.structs.replace(linear.manifest, features=features))
    pipeline = make_pipeline(LinearRegression().fit(X, X @ np.arange(400)))
    golden, onnx = export.golden_rows(pipeline, X, features, 100.0), export.to_onnx(pipeline, X)
    return Model(msgspec.structs.replace(like, golden=golden, model=onnx))


def test_many_features_need_little_memory(wide: Model):
    """The rows in between would hold 82 MB as 32-bit numbers alone; they are never there at once."""
    row = wide.bundle.golden.rows[:1]
    tracemalloc.start()
    found = explained(wide, row)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.base[0] + found.contributions.sum() == pytest.approx(outputs(wide, wide.schema.read(row))[0])
    assert most < 40e6


def test_limit_of_rows_falls_with_the_features(linear: Model, wide: Model):
    """One request never asks the model for more than a million rows; what goes beyond is told the limit."""
    assert most_rows(wide) == 1_000_000 // (2 * 64 * 399) < most_rows(linear) == 156
    with pytest.raises(TooLargeError, match=r"20 rows to explain, the limit for diabetes is 19: send fewer at once"):
        explained(wide, wide.bundle.golden.rows[:20])


def test_one_feature_has_all_of_the_difference(diabetes: Trained, linear: Model):
    """There is but one way to let one feature in."""
    X = diabetes.X[["bmi"]]
    model = exported(linear, make_pipeline(LinearRegression().fit(X, X["bmi"] * 3)), X)
    found = explained(model, [[30.0], [20.0]])
    mean = pd.DataFrame(model.bundle.golden.background)["bmi"].mean()
    np.testing.assert_allclose(found.contributions[:, 0], [3 * (30 - mean), 3 * (20 - mean)], rtol=1e-4)


def test_time_is_looked_at_between_rows(linear: Model):
    """Whatever is raised there ends the work."""
    inputs, seen = linear.schema.read(linear.bundle.golden.rows[:5]), []

    def check() -> None:
        seen.append(len(seen))
        if len(seen) == 3:
            raise DeadlineError("too slow")

    with pytest.raises(DeadlineError):
        explain(linear, inputs, linear.predict(inputs), None, check)
    assert seen == [0, 1, 2]


# ---- refusals


def test_version_without_a_background_says_the_cure(linear: Model):
    """A bundle of an earlier Cellar is served as ever, and tells how to have it explained."""
    golden = msgspec.structs.replace(linear.bundle.golden, background=[])
    old = Model(msgspec.structs.replace(linear.bundle, golden=golden))
    assert len(old.predict(old.schema.read(golden.rows)).values) == len(golden.rows)
    with pytest.raises(ExplanationError, match=r"diabetes version 1 keeps no rows to explain by.*: train it again"):
        explained(old, golden.rows[:1])


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("wine", "7", "class='7' is not a class of wine; the classes are '0', '1', '2'"),
        ("houses", "schon", "class='schon' is not a class of houses; did you mean 'schön'?"),
        ("houses", "", "class='' is not a class of houses; the classes are '<i>none</i>', 'grand', 'schön'"),
        ("prices", "0", "class='0' names no class: prices predicts a number"),
    ],
)
def test_unknown_class_is_told_the_known_ones(models: dict[str, Model], name: str, given: str, told: str):
    """The nearest name, else all of them."""
    with pytest.raises(RequestError) as raised:
        class_named(models[name], given)
    assert str(raised.value) == told


def test_class_is_named_by_its_text(models: dict[str, Model]):
    """A label that is a number is found by its digits."""
    assert class_named(models["wine"], "2") == 2
    assert class_named(models["houses"], "schön") == "schön"


# ---- the shap package


def by_shap(python: Path, folder: Path, model: Model, rows: list[dict[str, Any]], **how: Any) -> tuple[Any, Any]:
    """Return base values and contributions by the shap package, whose environment has nothing of this one."""
    path = folder / "model.onnx"
    path.write_bytes(model.bundle.model)
    background, given = (model.schema.read(each).numbers.tolist() for each in (model.bundle.golden.background, rows))
    asked = {"model": str(path), "background": background, "rows": given, "output": None, **how}
    done = subprocess.run(
        [python, ROOT / "tests" / "clients" / "shap_values.py"],
        input=json.dumps(asked), env=without("PYTHONDONTWRITEBYTECODE"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return np.array(found["base"]), np.array(found["values"])


@pytest.mark.slow
@pytest.mark.clients
def test_shap_explains_a_linear_model_alike(clients_python: Path, diabetes: Trained, linear: Model, tmp_path: Path):
    """Its LinearExplainer has the same base and contributions, up to 32 bits' rounding of numbers of some hundreds."""
    rows = linear.bundle.golden.rows[:5]
    scaled = diabetes.pipeline[-1].coef_ / diabetes.pipeline[0].transformers_[0][1][-1].scale_
    start = diabetes.pipeline.predict(diabetes.X * 0)[0]
    base, values = by_shap(clients_python, tmp_path, linear, rows, linear=[scaled.tolist(), float(start)])
    found = explained(linear, rows)
    np.testing.assert_allclose(found.base, base, atol=1e-3)
    np.testing.assert_allclose(found.contributions, values, atol=1e-3)


@pytest.mark.slow
@pytest.mark.clients
def test_shap_explains_a_tree_of_depth_two_alike(
    clients_python: Path, diabetes: Trained, linear: Model, tmp_path: Path
):
    """Its TreeExplainer, interventional and on the same background."""
    names = linear.schema.names
    X, y = diabetes.X, diabetes.pipeline.predict(diabetes.X)
    pipeline = make_pipeline(DecisionTreeRegressor(max_depth=2).fit(X, y))
    model, nodes = exported(linear, pipeline, X), pipeline[-1].tree_
    tree = {
        "children_left": nodes.children_left, "children_right": nodes.children_right,
        "children_default": nodes.children_right, "features": nodes.feature, "thresholds": nodes.threshold,
        "values": nodes.value.reshape(-1, 1), "node_sample_weight": nodes.weighted_n_node_samples,
    }  # fmt: skip
    rows = model.bundle.golden.rows[:5]
    as_lists = {name: part.tolist() for name, part in tree.items()}
    base, values = by_shap(clients_python, tmp_path, model, rows, tree=as_lists)
    found = explained(model, rows)
    assert model.schema.names == names and np.abs(values).max() > 1
    np.testing.assert_allclose(found.base, base, atol=1e-3)
    np.testing.assert_allclose(found.contributions, values, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wine", "forest"])
@pytest.mark.clients
def test_shap_explains_probabilities_nearly_alike(
    clients_python: Path, models: dict[str, Model], name: str, tmp_path: Path
):
    """Its ExactExplainer asks the same file about all 8,192 coalitions of thirteen features; sampled, it is near."""
    model = models[name]
    rows = model.bundle.golden.rows[:1]
    base, values = by_shap(clients_python, tmp_path, model, rows, output=1)
    found = explained(model, rows, model.classes[1])
    np.testing.assert_allclose(found.base, base, atol=1e-5)
    assert np.abs(values).max() > 0.03
    assert np.abs(found.contributions - values).max() < 0.02
    assert np.abs(found.contributions - values).mean() < 0.005
