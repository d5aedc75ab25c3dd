from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flask.testing import FlaskClient
from speaking import Sent, told

from service.app import create_app
from service.config import VERSION
from service.tables.texts import ROWS


@pytest.fixture
def bottle(client: FlaskClient) -> dict[str, Any]:
    """A row that fits `wine`."""
    return {feature["name"]: feature["example"] for feature in client.get("/models/wine").json["features"]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([[1]], "exactly one of dataframe_split, dataframe_records, instances, inputs"),
        ({}, "exactly one of"),
        ({"instances": [], "inputs": []}, "exactly one of"),
        ({"inputs": [], "params": [1]}, "'params' must be an object"),
        ({"inputs": "x"}, "'inputs' must be a list of rows"),
        ({"dataframe_records": {"alcohol": [1]}}, "'dataframe_records' must be a list of rows"),
        ({"dataframe_records": [[1.0] * 13]}, "row 0: must be an object with the fields 'alcohol'"),
        ({"dataframe_split": {"columns": ["alcohol"]}}, "'dataframe_split' lacks the field 'data'"),
        ({"dataframe_split": {"columns": [1], "data": []}}, "'columns[0]' must be a text, got a whole number"),
        ({"dataframe_split": {"columns": ["ash", "ash"], "data": []}}, "names a column twice"),
        (
            {"dataframe_split": {"columns": ["ash", "x"], "data": [[1, 2], [1]]}},
            "row 1: has 1 values, 'columns' names 2",
        ),
        ({"inputs": {"alcohol": [1.0], "ash": [1.0, 2.0]}}, "a list of values for each column, all of one length"),
        ({"inputs": {"alcohol": 1.0}}, "a list of values for each column"),
        ({"inputs": {"alcohol": [1.0, 2.0]}}, "row 0: 'malic_acid' is missing"),
    ],
)
def test_a_body_of_another_form(client: FlaskClient, body: Any, expected: str):
    """What is none of the four forms is told in MLflow's shape."""
    assert expected in told(Sent("/invocations", json.dumps(body).encode()).ask(client), 400)


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/json;charset=UTF-8", 200),
        ("application/json; charset=latin-1", 415),
        ("application/json; orient=split", 415),
        ("text/csv", 200),
        ("Text/CSV; charset=UTF-8", 200),
        ('text/csv; charset="utf-8"', 200),
        ("text/csv; header=present", 415),
        ("text/csv; charset=latin-1", 415),
    ],
)
def test_parameters_of_the_content_type(client: FlaskClient, bottle: dict[str, Any], media: str, status: int):
    """Of its parameters only the charset that all bodies have is taken."""
    names, values = ",".join(bottle), ",".join(map(str, bottle.values()))
    body = f"{names}\n{values}\n" if "csv" in media.lower() else json.dumps({"instances": [bottle]})
    sent = Sent("/invocations", body.encode(), {"Content-Type": media})
    reply = sent.ask(client)
    assert reply.status_code == status
    if status != 200:
        assert "is not spoken: charset=utf-8 is" in told(reply, 415)


def test_what_the_model_does_not_read_is_ignored(client: FlaskClient, bottle: dict[str, Any]):
    """A column more, parameters and an index of the frame change nothing."""
    plain = client.post("/invocations", json={"instances": [bottle]}).json
    more = {**bottle, "colour": "red"}
    for body in (
        {"inputs": [more], "params": {"temperature": 1}},
        {"inputs": {name: [value] for name, value in more.items()}, "params": None},
        {"dataframe_records": [more]},
        {"dataframe_split": {"columns": list(more), "index": [9], "data": [list(more.values())]}},
    ):
        assert client.post("/invocations", json=body).json == plain


def test_ping_and_version(client: FlaskClient):
    """Health is an empty line for MLflow's client and JSON for vetiver's; the version is bare text."""
    for path in ("/ping", "/health"):
        assert client.get(path).data == client.get(path, headers={"Accept": "*/*"}).data == b"\n"
    assert client.get("/ping", headers={"Accept": "application/json"}).json == {"ping": "pong"}
    assert client.get("/version").text == VERSION


@pytest.mark.parametrize(("status", "code"), [(404, "RESOURCE_DOES_NOT_EXIST"), (405, "BAD_REQUEST")])
def test_errors_have_codes(client: FlaskClient, status: int, code: str):
    """Each status has MLflow's word for it."""
    reply = client.get("/invocations" if status == 405 else "/invocations/x")
    told(reply, status)
    assert reply.json["error_code"] == code


@pytest.fixture(scope="module")
def many(wine_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of the service that takes many rows."""
    return create_app({"artifacts": wine_artifacts, "reports": tmp_path_factory.mktemp("r")}).test_client()


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as pandas writes them, with their index as a column without a name."""
    return pd.DataFrame(rows).to_csv().encode()


def test_a_csv_is_answered_as_json(many: FlaskClient, bottle: dict[str, Any]):
    """More rows than are read at once get the same predictions and warnings, bit for bit."""
    rows = [{"vineyard": "north, by the river", **bottle, "ash": 1.5 + at / 512} for at in range(3 * ROWS)]
    expected = many.post("/invocations", json={"dataframe_records": rows}).json
    assert len(expected["predictions"]) == 3 * ROWS
    assert expected["warnings"][0]["row"] > ROWS
    found = many.post("/invocations", data=as_csv(rows), content_type="text/csv")
    assert found.json == expected


def test_the_rows_of_a_csv_are_counted_over_all_of_it(many: FlaskClient, bottle: dict[str, Any]):
    """A wrong cell behind the first piece is told with its row in the table, and a warning too."""
    rows = [bottle] * (ROWS + 7)
    wrong = many.post("/invocations", data=as_csv([*rows, {**bottle, "ash": "much"}]), content_type="text/csv")
    assert f"row {ROWS + 7}: 'ash' must be a number" in told(wrong, 400)
    far = many.post("/invocations", data=as_csv([*rows, {**bottle, "ash": 999.0}]), content_type="text/csv")
    assert [(one["row"], one["field"]) for one in far.json["warnings"]] == [(ROWS + 7, "ash")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: b"", "the table is empty"),
        (lambda text: text.replace(b"alcohol", b"alcohl"), "'alcohol' is missing"),
        (lambda text: b"alcohol" + text, "'alcohol' is the name of 2 columns"),
        (lambda text: text.replace(b",", b";"), "separate the columns by commas"),
        (lambda text: text + b"1,2\n", "row 1: has 2 values, the header names 14 columns"),
        (lambda text: text + b"\xff", "not UTF-8"),
    ],
)
def test_what_is_no_csv_of_the_model(
    client: FlaskClient, bottle: dict[str, Any], change: Callable[[bytes], bytes], expected: str
):
    """A header that lacks a feature or has it twice, uneven rows, and what is no CSV are told in MLflow's shape."""
    body = change(as_csv([bottle]))
    assert expected in told(Sent("/invocations", body, {"Content-Type": "text/csv"}).ask(client), 400)


@pytest.mark.parametrize("form", ["instances", "dataframe_split"])
@pytest.mark.parametrize("media", ["text/plain", "application/x-ndjson", "application/octet-stream"])
def test_another_media_type_is_refused_whatever_the_body(
    client: FlaskClient, bottle: dict[str, Any], media: str, form: str
):
    """Well-formed JSON under another name is refused in every form, not only in those that are read slowly."""
    row = list(bottle.values())
    body = {"instances": [row], "dataframe_split": {"columns": list(bottle), "data": [row]}}[form]
    reply = client.post("/invocations", data=json.dumps({form: body}), content_type=media)
    assert reply.status_code == 415


def test_rows_without_a_field_are_refused(client: FlaskClient):
    """Two rows of no columns are two rows that lack every feature; no rows of no columns are none."""
    reply = client.post("/invocations", json={"dataframe_split": {"columns": [], "data": [[], []]}})
    assert reply.status_code == 400 and "row 0: 'alcohol' is missing" in reply.json["message"]
    reply = client.post("/invocations", json={"dataframe_split": {"columns": [], "data": []}})
    assert reply.json == {"predictions": []}
