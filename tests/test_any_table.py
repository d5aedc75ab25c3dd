"""A table that nobody prepared, from the file to the service's answer."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Trained, evaluate, train
from flask.testing import FlaskClient
from test_pipeline import run

from modeling.tables import columns, split
from modeling.tables import dataset as tables
from service.app import create_app
from service.model import load
from workshop.batch import predict_file
from workshop.execution import Job

LONG = "a name that is far too long to be shown " * 12
NUMBERS = ["living area (m²)", "rooms/level", ' "quoted" ', "class", "Class", "größe\n北", LONG]
TARGET = "price; net"


def cells(rows: int = 240) -> list[dict[str, str]]:
    """Return the rows of a table with every kind of column, as a German spreadsheet writes them."""
    draw, made = np.random.default_rng(4), []
    for at in range(rows):
        numbers = draw.normal(50, 20, len(NUMBERS)).round(2)
        day = pd.Timestamp("2019-01-01") + pd.Timedelta(days=int(draw.integers(0, 2000)))
        furnished, side = bool(draw.integers(0, 2)), ["Süd", "north; or so", 'the "left"', "<b>west</b>"][at * 7 % 4]
        price = 900 + 3 * numbers[0] + 200 * furnished + 0.2 * (day - pd.Timestamp("2019-01-01")).days
        made.append(
            {
                **{name: f"{number:.2f}".replace(".", ",") for name, number in zip(NUMBERS, numbers, strict=True)},
                "nr": str(at + 1),
                "sold on": "" if at % 9 == 0 else f"{day.day}.{day.month}.{day.year}",
                "furnished": "" if at % 11 == 0 else ["False", "TRUE"][furnished],
                "side": "" if at % 13 == 0 else side,
                "remark": f"The tenant of house {at} says that it is\nfine; or nearly so.",
                "empty": "",
                TARGET: f"{price:,.2f}".translate(str.maketrans(",.", ".,")),
            }
        )
        if at % 10 == 0:
            made[-1]["rooms/level"] = "NA"
    return made


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as a spreadsheet does: semicolons, CRLF, Windows-1252 where that can be."""
    with path.open("w", encoding="utf-16", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """The table as a file."""
    return write(tmp_path_factory.mktemp("any") / "Häuser (1).csv", cells())


@pytest.fixture(scope="module")
def trained(path, tmp_path_factory) -> Trained:
    """A regression on it, published."""
    trained = train(tmp_path_factory.mktemp("any"), path, "any", target=TARGET)
    evaluate(trained)
    return trained


@pytest.fixture(scope="module")
def client(trained, tmp_path_factory) -> FlaskClient:
    """A client of the service that serves it."""
    return create_app({"artifacts": trained.folder.parents[1], "reports": tmp_path_factory.mktemp("r")}).test_client()


def test_it_is_understood(path):
    """Form, kinds and what is left out are found and told."""
    dataset = tables.load(path, TARGET)
    assert dataset.form.told() == ";-separated, decimal comma, thousands set off by points, UTF-16"
    assert dataset.task == "regression"
    kinds = {name: kind for name, kind in dataset.kinds.items() if name not in NUMBERS}
    assert kinds == {
        "nr": "identifier",
        "sold on": "date",
        "furnished": "boolean",
        "side": "category",
        "remark": "text",
        "empty": "number",
        TARGET: "number",
    }
    assert {dataset.kinds[name] for name in NUMBERS} == {"number"}
    assert set(columns.left_out(dataset)) == {"nr", "remark", "empty"}


def test_the_manifest_has_its_own_names(trained):
    """Features are called as the file calls them, truth values and dates are of their kinds."""
    features = {feature.name: feature for feature in load(trained.folder).manifest.features}
    assert list(features) == [*NUMBERS, "sold on", "furnished", "side"]
    assert [features[name].nullable for name in ("sold on", "furnished", "side", "rooms/level", "class")] == [
        True, True, True, True, False,
    ]  # fmt: skip
    assert features["sold on"].kind == "date" and str(features["sold on"].min).startswith("2019-")
    assert features["furnished"].kind == "boolean"
    assert (
        features["side"].categories == ["<b>west</b>", "Süd", "north; or so", 'the "left"']
        or len(features["side"].categories) == 4
    )


def test_it_answers_as_it_was_trained(trained, client):
    """Every held-out row sent as JSON, gaps included, is answered as scikit-learn's own pipeline answers it."""
    X = columns.as_model_input(trained.held_out, list(trained.X))
    expected = trained.pipeline.predict(X)
    features = load(trained.folder).manifest.features
    kinds = {feature.name: feature.kind for feature in features}
    rows = [{name: columns.as_sent(value, kinds[name]) for name, value in row.items()} for row in X.to_dict("records")]
    assert {True, False, None} == {row["furnished"] for row in rows} and None in {row["sold on"] for row in rows}
    answer = client.post("/models/any/predict", json={"instances": rows})
    assert answer.status_code == 200
    np.testing.assert_allclose(answer.json["predictions"], expected, rtol=1e-5)


def test_it_is_described(client):
    """The examples of /models can be sent as they stand, and the page shows ranges as dates and nothing as markup."""
    features = client.get("/models/any").json["features"]
    row = {feature["name"]: feature["example"] for feature in features}
    assert client.post("/models/any/predict", json=[row]).status_code == 200
    page = client.get("/", headers={"Accept": "text/html"}).text
    assert "true or false" in page and "&lt;b&gt;west" in page and "<b>west" not in page
    dated = next(feature for feature in features if feature["name"] == "sold on")
    assert f"{dated['min']} to {dated['max']}" in page


def test_what_was_never_seen_is_told(client):
    """An unseen category and a date out of range are answered, with a warning each."""
    row = {feature["name"]: feature["example"] for feature in client.get("/models/any").json["features"]}
    answer = client.post("/models/any/predict", json={"instances": [{**row, "side": "北", "sold on": "1999-12-31"}]})
    assert [(warning["field"], warning["value"]) for warning in answer.json["warnings"]] == [
        ("sold on", "1999-12-31"),
        ("side", "北"),
    ]


def test_golden_rows_are_as_clients_send_them(path, tmp_path):
    """Truth values, ISO dates and nulls stand in the golden rows, also those at a tree's thresholds, and replay."""
    model = load(train(tmp_path, path, "any", target=TARGET, estimator="decision_tree").folder)
    rows = model.bundle.golden.rows
    assert {row["furnished"] for row in rows} == {True, False, None}
    assert {type(row["sold on"]) for row in rows} == {str, type(None)}
    assert model.schema.read_records(rows).numbers.dtype == np.float32


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("sold on", "1.5.2024", "must be a date such as 2024-05-01, got '1.5.2024'"),
        ("furnished", "true", "must be true or false, got 'true'"),
        ("side", False, "must be a text, got false"),
        ("Class", None, "must not be missing: training saw no missing value here"),
    ],
)
def test_a_wrong_value_is_named(client, field, value, reason):
    """The service speaks ISO dates and JSON's truth values only, and says so."""
    row = {feature["name"]: feature["example"] for feature in client.get("/models/any").json["features"]}
    (error,) = client.post("/models/any/predict", json=[{**row, field: value}]).json["errors"]
    assert (error["field"], error["reason"]) == (field, reason)


@pytest.mark.parametrize("chunk", [7, 50_000])
def test_the_file_itself_can_be_predicted(trained, path, tmp_path, monkeypatch, chunk):
    """The same file goes through `inv predict`, chunk by chunk, with the answers of training."""
    monkeypatch.setattr("workshop.batch.CHUNK", chunk)
    predict_file(load(trained.folder), path, tmp_path / "out.csv")
    table = tables.load(path, TARGET).table
    expected = trained.pipeline.predict(columns.as_model_input(table, list(trained.X)))
    np.testing.assert_allclose(pd.read_csv(tmp_path / "out.csv")["prediction"], expected, rtol=1e-5)


@pytest.mark.kernel
def test_the_notebooks_go_through_and_tell(path, tmp_path):
    """The three notebooks make a version of it, unprepared, and say what they assumed and left out."""
    house = run(tmp_path, Job(path, {"target": TARGET, "model": "any"}))
    (outcome,) = house.outcomes.values()
    assert outcome.error == "" and house.registry.versions("any") == [1]
    for step in ("01_explore", "02_train"):
        text = " ".join(house.page("any", "1", f"{step}.html").text.split())
        assert "Read as ;-separated, decimal comma, thousands set off by points, UTF-16." in text
        assert "nr is left out: it is an identifier" in text and "empty is left out: it has no values" in text
        assert "UserWarning" not in text


@pytest.mark.parametrize(
    "change",
    [
        {"sold on": "unknown"},
        {"furnished": "perhaps"},
        {"class": "many"},
        {"rooms/level": "n. a."},
        {"nr": "A17"},
        {"empty": "not any more"},
        {"sold on": "", "furnished": "", "side": "", "class": ""},
    ],
)
def test_an_appended_row_moves_no_other(path, tmp_path, change):
    """Whatever a new row makes of a column, the rows before it keep their hashes."""
    rows = cells()
    names = [name for name in rows[0] if name != TARGET]
    more = write(tmp_path / "more.csv", [*rows, {**rows[0], **change}])
    before, after = (split.row_hashes(tables.load(file, TARGET).table, names, 0) for file in (path, more))
    assert (before == after[:-1]).all()
