from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from service.app import create_app

AREA, SIDE, FLOORS, QUOTED, HEATING = (
    "living area (m²)",
    "<script>alert(1)</script>",
    "floors/level",
    'it\'s "quoted"',
    "heating, by",
)
PLENTY = settings(deadline=None, max_examples=60, database=None, suppress_health_check=[HealthCheck.too_slow])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=20,
)
HOUSE = st.fixed_dictionaries(
    {
        AREA: st.floats(0, 1000, width=32),
        SIDE: st.sampled_from(["Süd", "北", "<b>west</b>"]) | st.text(min_size=1, max_size=8),
        FLOORS: st.none() | st.integers(0, 9),
        QUOTED: st.floats(-5, 5, width=32),
        HEATING: st.none() | st.sampled_from(["gas", "wood / coal", ""]),
    }
)


@pytest.fixture(scope="module")
def wine(wine_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of the service on `wine`."""
    return create_app({"artifacts": wine_artifacts, "reports": tmp_path_factory.mktemp("reports")}).test_client()


@pytest.fixture(scope="module")
def houses(houses_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of the service on `houses` and `prices`; `houses` answers `/predict`."""
    reports = tmp_path_factory.mktemp("reports")
    return create_app({"artifacts": houses_artifacts, "reports": reports, "default_model": "houses"}).test_client()


@pytest.fixture(scope="module")
def bottle(wine: FlaskClient) -> dict[str, Any]:
    """A row that fits `wine`."""
    return {feature["name"]: feature["example"] for feature in wine.get("/models/wine").json["features"]}


@pytest.fixture(scope="module")
def house(houses: FlaskClient) -> dict[str, Any]:
    """A row that fits `houses` and `prices`."""
    return {feature["name"]: feature["example"] for feature in houses.get("/models/houses").json["features"]}


def ask(client: FlaskClient, *rows: Any, address: str = "/predict", **options: Any) -> TestResponse:
    """Ask for a prediction of each row."""
    return client.post(address, data=json.dumps({"instances": rows}), **options)


def refusal(reply: TestResponse, status: int) -> dict[str, Any]:
    """Return the problem document of a refused request, which tells nothing of the machine or the code."""
    assert reply.status_code == status, reply.text
    assert reply.mimetype == "application/problem+json"
    document = reply.json
    assert document["status"] == status
    assert document["type"] == "about:blank"
    assert document["title"]
    assert document["detail"]
    assert document["id"] == reply.headers["X-Request-Id"]
    for secret in ("Traceback", ".py", str(Path(__file__).parents[1]), "/tmp/", "site-packages"):
        assert secret not in reply.text
    assert len(reply.data) < 8000
    return document


# The verdict table


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"instances": [[1,]]}',
        b"not json",
        b"\xff\xfe{}",
        b'{"instances": [["\\ud800"]]}',
        b"[NaN]",
        b'{"features": [NaN, 1]}',
        b'{"features": [Infinity]}',
        b'{"features": [-Infinity]}',
        b'{"features": [1e999]}',
        b"[1" + b"0" * 5000 + b"]",
        b"[" * 65 + b"]" * 65,
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
    ids=lambda body: body[:24].decode("ascii", "replace") + f" ({len(body)})",
)
def test_what_is_not_json_is_refused(wine: FlaskClient, body: bytes):
    """A body that is not JSON, has no finite numbers or nests too deeply is answered by 400."""
    refusal(wine.post("/predict", data=body), 400)


@pytest.mark.parametrize("place", ["value", "row", "unknown field"])
def test_deep_nesting_is_refused_wherever_it_stands(wine: FlaskClient, bottle: dict[str, Any], place: str):
    """A request that nests deeper than 64 levels is answered by 400, not taken for a wrong value."""
    deep = json.loads("[" * 70 + "]" * 70)
    rows = {"value": {**bottle, "ash": deep}, "row": deep, "unknown field": {**bottle, "other": deep}}
    assert "deeper than 64" in refusal(ask(wine, rows[place]), 400)["detail"]


def test_shallow_nesting_is_a_wrong_value(wine: FlaskClient, bottle: dict[str, Any]):
    """A list that nests a little where a number belongs is a wrong value, answered by 422."""
    (error,) = refusal(ask(wine, {**bottle, "ash": [[[1]]]}), 422)["errors"]
    assert error["reason"] == "must be a number, got a list"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, "must be a number, got true"),
        ("12.5", "must be a number, got '12.5'"),
        ("", "must be a number, got ''"),
        ([1], "must be a number, got a list"),
        ({"a": 1}, "must be a number, got an object"),
        (None, "must not be missing: training saw no missing value here"),
        (1e39, "must lie between -3.4e38 and 3.4e38, got 1e+39"),
        (-1e308, "must lie between -3.4e38 and 3.4e38, got -1e+308"),
        (10**39, f"must lie between -3.4e38 and 3.4e38, got {10**39}"),
        (10**400, "must lie between -3.4e38 and 3.4e38, got a number of more than 40 digits"),
        (-(10**400), "must lie between -3.4e38 and 3.4e38, got a number of more than 40 digits"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_wrong_number_is_named(wine: FlaskClient, bottle: dict[str, Any], value: Any, reason: str):
    """Whatever is not a number of 32 bits is answered by 422 with its row, field and reason."""
    document = refusal(ask(wine, bottle, {**bottle, "ash": value}), 422)
    (error,) = document["errors"]
    assert (error["row"], error["field"], error["reason"]) == (1, "ash", reason)
    assert document["detail"] == f"row 1: 'ash' {reason}"


@pytest.mark.parametrize("value", [7, 0.5, True, ["gas"], {"a": "gas"}], ids=repr)
def test_wrong_category_is_named(houses: FlaskClient, house: dict[str, Any], value: Any):
    """Whatever is not a text is answered by 422 where the model reads a category."""
    (error,) = refusal(ask(houses, {**house, HEATING: value}), 422)["errors"]
    assert (error["row"], error["field"]) == (0, HEATING)
    assert error["reason"].startswith("must be a text, got ")


@pytest.mark.parametrize(("field", "value"), [(FLOORS, None), (HEATING, None), (HEATING, "")])
def test_missing_value_is_taken_where_training_saw_some(
    houses: FlaskClient, house: dict[str, Any], field: str, value: Any
):
    """`null`, and an empty category, are answered without a warning where the manifest says nullable."""
    reply = ask(houses, {**house, field: value})
    assert reply.status_code == 200
    assert "warnings" not in reply.json


@pytest.mark.parametrize(("field", "value"), [(AREA, None), (SIDE, None), (SIDE, ""), (FLOORS, "")])
def test_missing_value_is_wrong_elsewhere(houses: FlaskClient, house: dict[str, Any], field: str, value: Any):
    """`null` and empty texts are answered by 422 where training saw no missing value."""
    (error,) = refusal(ask(houses, {**house, field: value}), 422)["errors"]
    assert (error["row"], error["field"]) == (0, field)


def test_missing_field_is_named(wine: FlaskClient, bottle: dict[str, Any]):
    """A row that lacks a field is answered by 422 with the row and the field."""
    without = {name: value for name, value in bottle.items() if name != "ash"}
    assert refusal(ask(wine, bottle, without), 422)["errors"] == [{"reason": "is missing", "row": 1, "field": "ash"}]


def test_unknown_field_is_answered_with_the_nearest_name(wine: FlaskClient, bottle: dict[str, Any]):
    """A field that is no feature is wrong, and the reply offers the name that was probably meant."""
    (error,) = refusal(ask(wine, {**bottle, "alcohl": 1}), 422)["errors"]
    assert (error["field"], error["reason"]) == ("alcohl", "is not a feature; did you mean 'alcohol'?")


def test_unknown_field_unlike_any_other_is_answered_with_names(wine: FlaskClient, bottle: dict[str, Any]):
    """A field that resembles nothing is answered with the features there are."""
    (error,) = refusal(ask(wine, {**bottle, "zzzz": 1}), 422)["errors"]
    assert error["reason"].endswith("and 7 more")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (SIDE, "north", "was never seen in training"),
        (SIDE, "Süd\x00", "was never seen in training"),
        (AREA, 1e6, "is outside the range seen in training, 21.2 to 299.1"),
        (AREA, -5, "is outside the range seen in training, 21.2 to 299.1"),
    ],
)
def test_unheard_of_value_is_answered_with_a_warning(
    houses: FlaskClient, house: dict[str, Any], field: str, value: Any, reason: str
):
    """A category never seen and a number out of range are answered, and the reply warns of them."""
    reply = ask(houses, house, {**house, field: value})
    assert reply.status_code == 200
    assert len(reply.json["predictions"]) == 2
    (warning,) = reply.json["warnings"]
    assert (warning["row"], warning["field"], warning["value"]) == (1, field, value)
    assert warning["reason"].split(",")[0] == reason.split(",")[0]


def test_text_with_a_zero_byte_is_not_taken_for_the_category_before_it(houses: FlaskClient, house: dict[str, Any]):
    """Texts are compared whole, so that "Süd" and a zero byte behind it gets the answer of an unseen category."""
    rows = [{**house, SIDE: side} for side in ("Süd", "Süd\x00", "Süd\x00x", "never seen")]
    known, *others, unseen = ask(houses, *rows, address="/predict?include=probabilities").json["probabilities"]
    assert known != unseen
    assert others == [unseen, unseen]


def test_order_of_fields_makes_no_difference(wine: FlaskClient, bottle: dict[str, Any]):
    """The same fields in another order get the same answer to the last bit."""
    address = "/predict?include=probabilities"
    turned = dict(reversed(bottle.items()))
    first, second = ask(wine, bottle, turned, address=address).json["probabilities"]
    assert first == second


@pytest.mark.parametrize("rows", [[[1, 2]], [[]], [list(range(14))]])
def test_ragged_row_is_named(wine: FlaskClient, bottle: dict[str, Any], rows: list[Any]):
    """A list of the wrong length is answered by 422 with its row and both lengths."""
    (error,) = refusal(ask(wine, list(bottle.values()), *rows), 422)["errors"]
    assert error == {"row": 1, "reason": f"has {len(rows[0])} values, the model has 13 features"}


@pytest.mark.parametrize("other", [1, "text", None, True, [1.0] * 13])
def test_row_of_another_kind_is_named(wine: FlaskClient, bottle: dict[str, Any], other: Any):
    """Among records, whatever is none is answered by 422 with its row."""
    (error,) = refusal(ask(wine, bottle, other), 422)["errors"]
    assert error["row"] == 1
    assert error["reason"].startswith("must be an object with the fields 'alcohol'")


def test_record_among_lists_is_named(wine: FlaskClient, bottle: dict[str, Any]):
    """Among lists, a record is answered by 422 with its row."""
    (error,) = refusal(ask(wine, list(bottle.values()), bottle), 422)["errors"]
    assert error == {"row": 1, "reason": "must be a list of 13 values, got an object"}


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        ({"instances": []}, {"predictions": []}),
        ({"features": []}, {"prediction": []}),
        ([], []),
    ],
)
def test_no_rows_give_an_empty_answer(wine: FlaskClient, body: Any, reply: Any):
    """A request without rows is answered by no predictions."""
    answer = wine.post("/predict", json=body)
    assert answer.status_code == 200
    document = answer.json
    assert document == reply if isinstance(reply, list) else reply.items() <= document.items()


def test_too_many_rows_are_refused(wine_artifacts: Path, tmp_path: Path, bottle: dict[str, Any]):
    """One row more than CELLAR_MAX_ROWS is answered by 413, and as many as it allows are not."""
    client = create_app({"artifacts": wine_artifacts, "reports": tmp_path, "max_rows": 3}).test_client()
    assert ask(client, *[bottle] * 3).status_code == 200
    assert "the limit is 3 (CELLAR_MAX_ROWS)" in refusal(ask(client, *[bottle] * 4), 413)["detail"]


@pytest.mark.parametrize("chunked", [False, True])
def test_too_large_body_is_refused(wine_artifacts: Path, tmp_path: Path, chunked: bool):
    """A body of more than CELLAR_MAX_BODY bytes is answered by 413, whether it tells its length or not."""
    client = create_app({"artifacts": wine_artifacts, "reports": tmp_path, "max_body": 1000}).test_client()
    # As our server hands over a chunked body: no length, and a stream that ends by itself.
    unknown = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""} if chunked else {}
    for size, status in ((1000, 200), (1001, 413), (5000, 413)):
        body = io.BytesIO(b"[]".ljust(size))
        reply = client.post("/predict", input_stream=body, content_length=size, environ_overrides=unknown)
        assert reply.status_code == status, (size, reply.text)
    assert "1000 bytes (CELLAR_MAX_BODY)" in refusal(reply, 413)["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
    ],
    ids=lambda headers: " ".join(headers.values()),
)
def test_media_type_that_is_not_spoken(wine: FlaskClient, bottle: dict[str, Any], headers: dict[str, str]):
    """Another media type, or a compression that is not spoken, is answered by 415."""
    refusal(ask(wine, bottle, headers=headers), 415)


@pytest.mark.parametrize("media", [None, "application/json", "application/json; charset=utf-8", "application/ld+json"])
def test_json_needs_no_content_type(wine: FlaskClient, bottle: dict[str, Any], media: str | None):
    """JSON is read by whatever name it goes, and without one."""
    assert ask(wine, bottle, content_type=media).status_code == 200


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_method_that_is_not_spoken(wine: FlaskClient, method: str):
    """Another method than POST is answered by 405 with the methods that are allowed."""
    reply = getattr(wine, method)("/predict")
    refusal(reply, 405)
    assert "POST" in reply.headers["Allow"]


@pytest.mark.parametrize(
    "address",
    [
        "/models/beer/predict",
        "/models/wine/versions/2/predict",
        "/models/wine/versions/0/predict",
        "/models/wine/versions/x/predict",
        f"/models/wine/versions/{'9' * 5000}/predict",
        "/models/wine/versions/-1/predict",
        "/models/../predict",
        "/models/%2e%2e/predict",
        "/models/a%2fb/predict",
        "/models/..%2f..%2fetc/predict",
        "/models/WINE/predict",
        "/models/%00/predict",
        f"/models/{'w' * 300}/predict",
        "/models/wine%0a/predict",
        "/nowhere",
    ],
    ids=lambda address: address[:40],
)
def test_what_does_not_exist_is_not_found(wine: FlaskClient, bottle: dict[str, Any], address: str):
    """A model, version or address that does not exist, however hostile its name, is answered by 404."""
    refusal(ask(wine, bottle, address=address), 404)


def test_empty_name_of_a_model_is_the_callers_fault(wine: FlaskClient, bottle: dict[str, Any]):
    """An address without a name where one belongs is answered by 4xx."""
    assert 400 <= ask(wine, bottle, address="/models//predict", follow_redirects=True).status_code < 500


def test_without_a_model_the_service_is_not_ready(tmp_path: Path, bottle: dict[str, Any]):
    """Before the first promotion predictions and readiness are answered by 503, liveness by 200."""
    client = create_app({"artifacts": tmp_path / "none", "reports": tmp_path}).test_client()
    refusal(ask(client, bottle), 503)
    refusal(client.get("/health/ready"), 503)
    assert client.get("/health/live").status_code == 200


# Shapes of bodies and replies


@pytest.mark.parametrize("as_lists", [False, True])
def test_instances_give_predictions(wine: FlaskClient, bottle: dict[str, Any], as_lists: bool):
    """`instances`, as records or lists, give `predictions` with model, version and the request's id."""
    reply = ask(wine, *[list(bottle.values()) if as_lists else bottle] * 2)
    assert reply.json == {
        "predictions": [0, 0],
        "model": "wine",
        "version": 1,
        "id": reply.headers["X-Request-Id"],
    }


def test_one_row_of_features_gives_one_prediction(wine: FlaskClient, bottle: dict[str, Any]):
    """`features` as one list of values gives one `prediction`, no list."""
    reply = wine.post("/predict", json={"features": list(bottle.values())})
    assert reply.json == {"prediction": 0, "model": "wine", "version": 1, "id": reply.headers["X-Request-Id"]}


def test_rows_of_features_give_a_list(wine: FlaskClient, bottle: dict[str, Any]):
    """`features` as a list of rows gives a list of predictions, also for a single row."""
    assert wine.post("/predict", json={"features": [list(bottle.values())]}).json["prediction"] == [0]
    assert wine.post("/predict", json={"features": [bottle, bottle]}).json["prediction"] == [0, 0]


def test_bare_rows_give_a_bare_list(wine: FlaskClient, bottle: dict[str, Any]):
    """A list of rows gives a list of predictions and nothing else."""
    assert wine.post("/predict", json=[list(bottle.values())]).json == [0]


def test_bare_records_give_what_vetiver_reads(wine: FlaskClient, bottle: dict[str, Any]):
    """A list of records gives `predict` alone, from which vetiver's client builds a table."""
    assert wine.post("/predict", json=[bottle, bottle]).json == {"predict": [0, 0]}


@pytest.mark.parametrize(
    "body",
    [
        5,
        "text",
        True,
        None,
        {},
        {"rows": []},
        {"instances": [], "features": []},
        {"instances": [], "other": 1},
        {"instances": None},
        {"instances": {"ash": 1}},
        {"features": {"ash": [1]}},
        {"features": 1},
    ],
    ids=repr,
)
def test_body_without_rows_is_refused(wine: FlaskClient, body: Any):
    """JSON that holds rows under no known name is answered by 400 with what was expected."""
    detail = refusal(wine.post("/predict", data=json.dumps(body)), 400)["detail"]
    assert "instances" in detail or "features" in detail


@pytest.mark.parametrize("address", ["/predict", "/models/wine/predict", "/models/wine/versions/1/predict"])
def test_every_address_answers_alike(wine: FlaskClient, bottle: dict[str, Any], address: str):
    """The default model, a model by name and a version by number are asked the same way."""
    reply = ask(wine, bottle, address=address)
    assert reply.json["predictions"] == [0]
    assert (reply.headers["X-Model"], reply.headers["X-Model-Version"]) == ("wine", "1")


@pytest.mark.parametrize("refused", [False, True])
def test_headers_name_the_model_also_when_rows_are_refused(wine: FlaskClient, bottle: dict[str, Any], refused: bool):
    """X-Model and X-Model-Version are on every reply of a prediction."""
    reply = ask(wine, {} if refused else bottle)
    assert reply.status_code == (422 if refused else 200)
    assert (reply.headers["X-Model"], reply.headers["X-Model-Version"]) == ("wine", "1")


def test_texts_are_predicted_as_texts(houses: FlaskClient, house: dict[str, Any]):
    """Classes that are texts come back as texts, awkward ones included."""
    asked = ask(houses, house, {**house, AREA: 25, SIDE: "北"}, {**house, AREA: 25, SIDE: "Süd", QUOTED: -2})
    assert set(asked.json["predictions"]) <= {"grand", "<i>none</i>", "schön"}
    assert "<i>none</i>" in asked.json["predictions"]


def test_probabilities_come_when_asked_for(houses: FlaskClient, house: dict[str, Any]):
    """`include=probabilities` adds for each row one probability per class, which sum to one."""
    reply = ask(houses, house, house, address="/predict?include=probabilities").json
    assert len(reply["probabilities"]) == 2
    for answer, row in zip(reply["predictions"], reply["probabilities"], strict=True):
        assert set(row) == {"grand", "<i>none</i>", "schön"}
        assert sum(row.values()) == pytest.approx(1, abs=1e-5)
        assert max(row, key=row.__getitem__) == answer


def test_probabilities_of_one_row_of_features(wine: FlaskClient, bottle: dict[str, Any]):
    """`include` works for every shape that has room for it."""
    reply = wine.post("/predict?include=probabilities", json={"features": list(bottle.values())}).json
    assert set(reply["probabilities"][0]) == {"0", "1", "2"}


def test_number_has_no_probabilities(houses: FlaskClient, house: dict[str, Any]):
    """A regression asked for probabilities answers 400."""
    reply = ask(houses, house, address="/models/prices/predict?include=probabilities")
    assert "predicts a number" in refusal(reply, 400)["detail"]


def test_unknown_include_is_refused(wine: FlaskClient, bottle: dict[str, Any]):
    """A word that `include` does not know is answered by 400 with those it knows."""
    assert "known are probabilities" in refusal(ask(wine, bottle, address="/predict?include=secrets"), 400)["detail"]


# Explanations


def explain(client: FlaskClient, body: Any, address: str = "/explain") -> TestResponse:
    """Ask why."""
    return client.post(address, json=body)


@pytest.mark.parametrize("address", ["/explain", "/models/wine/explain", "/models/wine/versions/1/explain"])
def test_explanations_lead_from_the_base_to_the_probability(wine: FlaskClient, bottle: dict[str, Any], address: str):
    """`instances` give `explanations`, whose contributions to the predicted class sum up to its probability."""
    body = {"instances": [bottle, {**bottle, "hue": 1.2}]}
    reply = explain(wine, body, address)
    assert (reply.json["model"], reply.json["version"]) == ("wine", 1)
    assert reply.json["id"] == reply.headers["X-Request-Id"] and reply.headers["X-Model"] == "wine"
    probabilities = wine.post("/predict?include=probabilities", json=body).json["probabilities"]
    for why, row in zip(reply.json["explanations"], probabilities, strict=True):
        assert set(why) == {"class", "prediction", "base", "contributions"}
        assert why["class"] == why["prediction"] == 0
        assert list(why["contributions"]) == list(bottle)
        assert why["base"] + sum(why["contributions"].values()) == pytest.approx(row["0"], abs=1e-6)


def test_number_is_explained_without_a_class(houses: FlaskClient, house: dict[str, Any]):
    """The contributions to a number sum up to it, categories and missing values among them."""
    rows = [house, {**house, FLOORS: None, HEATING: None}]
    predictions = ask(houses, *rows, address="/models/prices/predict").json["predictions"]
    answers = explain(houses, {"instances": rows}, "/models/prices/explain").json["explanations"]
    for why, number in zip(answers, predictions, strict=True):
        assert set(why) == {"prediction", "base", "contributions"} and why["prediction"] == number
        assert why["base"] + sum(why["contributions"].values()) == pytest.approx(number, abs=1e-6)
    assert answers[0]["contributions"] != answers[1]["contributions"]


def test_another_class_may_be_explained(houses: FlaskClient, house: dict[str, Any]):
    """`class` names whose probability is explained, the prediction stays; an unknown one is told the nearest."""
    row = ask(houses, house, address="/predict?include=probabilities").json
    for label, probability in row["probabilities"][0].items():
        reply = houses.post("/explain", query_string={"class": label}, json={"instances": [house]})
        (why,) = reply.json["explanations"]
        assert (why["class"], why["prediction"]) == (label, row["predictions"][0])
        assert why["base"] + sum(why["contributions"].values()) == pytest.approx(probability, abs=1e-6)
    refused = explain(houses, {"instances": [house]}, "/explain?class=grande")
    assert refusal(refused, 400)["detail"] == "class='grande' is not a class of houses; did you mean 'grand'?"
    number = explain(houses, {"instances": [house]}, "/models/prices/explain?class=grand")
    assert "predicts a number" in refusal(number, 400)["detail"]


def test_shape_of_the_body_decides_the_shape_of_the_explanation(wine: FlaskClient, bottle: dict[str, Any]):
    """As it does for predictions."""
    (why,) = explain(wine, {"instances": [bottle]}).json["explanations"]
    values = list(bottle.values())
    assert explain(wine, {"features": values}).json["explanation"] == why
    assert explain(wine, {"features": [values]}).json["explanation"] == [why]
    assert explain(wine, [values]).json == [why]
    assert explain(wine, [bottle]).json == {"explain": [why]}
    assert explain(wine, {"instances": []}).json["explanations"] == []


def test_explanations_stand_beside_predictions(wine: FlaskClient, bottle: dict[str, Any]):
    """`include=explanation` gives what `/explain` does, which can have probabilities and warnings beside it."""
    beside = ask(wine, bottle, address="/predict?include=explanation&class=2").json
    reply = explain(wine, {"instances": [{**bottle, "alcohol": 99}]}, "/explain?class=2&include=probabilities").json
    assert beside["predictions"] == [0]
    assert beside["explanations"][0]["class"] == reply["explanations"][0]["class"] == 2
    assert reply["warnings"][0]["field"] == "alcohol" and set(reply["probabilities"][0]) == {"0", "1", "2"}
    (why,) = explain(wine, {"instances": [bottle]}, "/explain?class=2").json["explanations"]
    assert why == {"prediction": 0, **beside["explanations"][0]}


def test_what_cannot_be_explained_is_refused(wine: FlaskClient, bottle: dict[str, Any]):
    """Wrong rows as for a prediction, too many rows with the limit."""
    assert "'ash'" in refusal(explain(wine, {"instances": [{**bottle, "ash": "much"}]}), 422)["detail"]
    assert "the limit for wine is 156" in refusal(explain(wine, {"instances": [bottle] * 157}), 413)["detail"]
    assert "known are" in refusal(explain(wine, [bottle], "/explain?include=explanation"), 400)["detail"]


def test_version_that_keeps_no_rows_is_not_explained(
    artifacts: Path, reseal: Callable[[Path], None], tmp_path: Path, bottle: dict[str, Any]
):
    """One that was made before bundles kept them predicts as ever; asked why, it says the cure."""
    golden = artifacts / "wine" / "1" / "golden.json"
    content = json.loads(golden.read_text())
    del content["background"]
    golden.write_text(json.dumps(content))
    reseal(golden.parent)
    client = create_app({"artifacts": artifacts, "reports": tmp_path}).test_client()
    assert ask(client, bottle).json["predictions"] == [0]
    for address in ("/explain", "/predict?include=explanation"):
        assert "train it again" in refusal(ask(client, bottle, address=address), 409)["detail"]


def test_explaining_ends_at_the_deadline(wine_artifacts: Path, tmp_path: Path, bottle: dict[str, Any]):
    """What takes too long is answered by 504 and not brought to its end."""
    client = create_app({"artifacts": wine_artifacts, "reports": tmp_path, "deadline": 0.03}).test_client()
    assert "CELLAR_DEADLINE" in refusal(ask(client, *[bottle] * 156, address="/explain"), 504)["detail"]


# Problems


def test_all_problems_are_told_at_once(houses: FlaskClient, house: dict[str, Any]):
    """One reply names missing, unknown and wrong fields of every row, in the order of rows."""
    lacking = {name: value for name, value in house.items() if name != QUOTED}
    document = refusal(ask(houses, {**house, AREA: "wide"}, lacking, {**house, SIDE: 3, "x": 1}), 422)
    told = [(error["row"], error["field"]) for error in document["errors"]]
    assert told[:2] == [(0, AREA), (1, QUOTED)]
    assert set(told[2:]) == {(2, SIDE), (2, "x")}
    assert document["detail"].endswith("(and 3 more)")


def test_all_problems_of_lists_are_told_at_once(wine: FlaskClient, bottle: dict[str, Any]):
    """Beside rows of the wrong length, wrong values of the other rows are named."""
    wrong = list({**bottle, "ash": "high"}.values())
    errors = refusal(ask(wine, [1], wrong), 422)["errors"]
    assert [(error["row"], error.get("field")) for error in errors] == [(0, None), (1, "ash")]


@pytest.mark.parametrize("kind", ["wrong", "missing", "unknown", "ragged"])
def test_problems_are_told_up_to_a_cap(wine: FlaskClient, bottle: dict[str, Any], kind: str):
    """However many problems a request has, twenty are told, and that there are more."""
    wrong = {
        "wrong": [{**bottle, "ash": "x"}] * 500,
        "missing": [{}] * 500,
        "unknown": [{**bottle, **{f"x{number}": 1 for number in range(500)}}],
        "ragged": [[1]] * 500,
    }
    document = refusal(ask(wine, *wrong[kind]), 422)
    assert len(document["errors"]) == 20
    assert document["detail"].endswith("(and many more)")


def test_long_value_is_not_echoed_whole(wine: FlaskClient, bottle: dict[str, Any]):
    """A wrong text of a megabyte, as value or as name, is told by its beginning only."""
    refusal(ask(wine, {**bottle, "ash": "x" * 1_000_000}), 422)
    refusal(ask(wine, {**bottle, "x" * 1_000_000: 1}), 422)


# Properties


@PLENTY
@given(body=JSON)
def test_any_json_is_answered(houses: FlaskClient, body: Any):
    """No JSON makes the service fail."""
    assert houses.post("/predict", data=json.dumps(body)).status_code < 500


@PLENTY
@given(body=st.binary(max_size=80))
def test_any_bytes_are_answered(houses: FlaskClient, body: bytes):
    """No bytes make the service fail."""
    assert houses.post("/predict", data=body).status_code < 500


@PLENTY
@given(rows=st.lists(st.dictionaries(st.sampled_from([AREA, SIDE, FLOORS, QUOTED, HEATING]), JSON), max_size=4))
def test_rows_of_any_values_are_answered(houses: FlaskClient, rows: list[Any]):
    """No values under the model's own names make the service fail."""
    assert ask(houses, *rows).status_code < 500


@PLENTY
@given(rows=st.lists(HOUSE, min_size=1, max_size=5), order=st.permutations([AREA, SIDE, FLOORS, QUOTED, HEATING]))
def test_shapes_and_orders_give_the_same_numbers(houses: FlaskClient, rows: list[dict[str, Any]], order: list[str]):
    """Records, records in another order, and lists get predictions that are equal to the last bit."""
    names = [feature["name"] for feature in houses.get("/models/prices").json["features"]]
    shapes = [
        {"instances": rows},
        {"instances": [{name: row[name] for name in order} for row in rows]},
        {"instances": [[row[name] for name in names] for row in rows]},
        {"features": [[row[name] for name in names] for row in rows]},
    ]
    for address in ("/predict?include=probabilities", "/models/prices/predict"):
        replies = [houses.post(address, json=body) for body in shapes]
        assert all(reply.status_code == 200 for reply in replies)
        answers = [reply.json.get("predictions", reply.json.get("prediction")) for reply in replies]
        assert answers == [answers[0]] * len(shapes)
        assert len({json.dumps(reply.json.get("probabilities")) for reply in replies}) == 1


# Agreement with scikit-learn


def as_records(table: Any) -> list[dict[str, Any]]:
    """Return rows as a client sends them: `null` for what is missing."""
    return [
        {name: None if value == "" or value != value else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


@pytest.mark.parametrize("name", ["wine", "houses"])
def test_classes_are_scikit_learns(request: pytest.FixtureRequest, name: str):
    """Over HTTP, labels and probabilities are those of the fitted pipeline within the golden tolerance."""
    client, trained = request.getfixturevalue(name), request.getfixturevalue(f"trained_{name}")
    reply = ask(client, *as_records(trained.X), address="/predict?include=probabilities").json
    assert reply["predictions"] == trained.pipeline.predict(trained.X).tolist()
    found = np.array([list(row.values()) for row in reply["probabilities"]])
    assert np.abs(found - trained.pipeline.predict_proba(trained.X)).max() < 1e-5
    assert len(np.unique(found.round(4))) > 50


def test_numbers_are_scikit_learns(houses: FlaskClient, trained_prices: Any):
    """Over HTTP, a regression's numbers are those of the fitted pipeline, missing values included."""
    X = trained_prices.X
    expected = trained_prices.pipeline.predict(X)
    found = np.array(ask(houses, *as_records(X), address="/models/prices/predict").json["predictions"])
    assert np.abs(found - expected).max() < 1e-5 * expected.std()


@pytest.mark.parametrize(
    ("name", "cure"), [("cultivar", "it is what the model predicts, leave it out"), ("", "may be a table's index")]
)
def test_a_column_too_many_is_told_what_it_is(wine: FlaskClient, bottle: dict[str, Any], name: str, cure: str):
    """Rows of the training table still hold the target, or an index that pandas wrote: the cure is to leave it out."""
    (error,) = refusal(ask(wine, {**bottle, name: 1}), 422)["errors"]
    assert cure in error["reason"]


@pytest.mark.parametrize(
    ("method", "address", "status", "cure"),
    [("GET", "/predict", 405, "takes OPTIONS, POST"), ("POST", "/predict/", 404, "/docs shows every address")],
)
def test_an_address_that_is_wrong_is_told_the_cure(
    wine: FlaskClient, method: str, address: str, status: int, cure: str
):
    """A wrong method or address is told what can be asked instead."""
    assert cure in refusal(wine.open(address, method=method), status)["detail"]


def test_a_table_of_an_unknown_type_is_told_those_that_are_known(wine: FlaskClient):
    """Who sends a table under another name is told the names that are spoken."""
    reply = wine.post("/predict", data=b"alcohol\n1", content_type="application/csv")
    assert "or a table as text/csv, application/x-ndjson" in refusal(reply, 415)["detail"]
