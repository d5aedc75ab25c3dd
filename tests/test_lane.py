from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder

from service.web.lane import FEW, FOUND, Lane


@pytest.fixture
def row(client: FlaskClient) -> list[Any]:
    """A row that fits `wine`."""
    return [feature["example"] for feature in client.get("/models/wine").json["features"]]


@pytest.fixture
def lane(app: Flask) -> Lane:
    """The lane of a service on `wine`."""
    return app.wsgi_app.lane


def environ(path: str = "/predict", data: bytes = b"[[1]]", kind: str = "application/json", **more: Any) -> dict:
    """Return a request as a server hands it over."""
    return EnvironBuilder(path, method=more.pop("method", "POST"), data=data, content_type=kind, **more).get_environ()


def test_the_lane_answers_as_the_application_does(app: Flask, row: list[Any]):
    """What is answered in front of Flask is what Flask's own view answers, byte for byte, with the same headers."""
    client = app.test_client()
    for body in ([row], {"instances": [row, row]}, {"features": row}, {"features": [row]}, [[1]], [], "x"):
        options = {"data": json.dumps(body), "headers": {"X-Request-Id": "same"}}
        quick = client.post("/predict", content_type="application/json", **options)
        slow = client.post("/predict", content_type="application/json; charset=utf-8", **options)
        assert quick.status_code == slow.status_code and quick.data == slow.data
        for name in set(dict(quick.headers)) | set(dict(slow.headers)):
            assert name == "Server-Timing" or quick.headers[name] == slow.headers[name], name


@pytest.mark.parametrize("path", ["/predict", "/models/wine/predict", "/invocations", "/v2/models/wine/infer"])
def test_a_plain_prediction_is_found(lane: Lane, path: str):
    """Each dialect's address of a model that answers leads to the dialect and the model."""
    dialect, name = lane.find(environ(path))
    assert name == "wine" and path.replace("wine", "<name>") in dialect.PREDICT


@pytest.mark.parametrize(
    "odd",
    [
        {"path": "/models/beer/predict"},
        {"path": "/models/wine/versions/1/predict"},
        {"path": "/models"},
        {"method": "PUT"},
        {"kind": "text/csv"},
        {"kind": "application/octet-stream"},
        {"headers": {"Content-Encoding": "gzip"}},
        {"data": b"", "headers": {"Transfer-Encoding": "chunked"}, "environ_overrides": {"CONTENT_LENGTH": ""}},
        {"environ_overrides": {"CONTENT_LENGTH": "-1"}},
        {"environ_overrides": {"CONTENT_LENGTH": str(1 << 40)}},
    ],
    ids=str,
)
def test_anything_else_is_the_applications(lane: Lane, odd: dict[str, Any]):
    """Another path, verb, type, encoding or length than a plain prediction's is not answered here."""
    assert lane.find(environ(**odd)) is None


def test_binary_tensors_are_plain(lane: Lane):
    """Their type alone is not enough: the header says where the JSON ends."""
    tensors = environ("/v2/models/wine/infer", kind="application/octet-stream")
    assert lane.find(tensors | {"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": "2"})


def test_a_request_is_looked_at_once(lane: Lane):
    """What was found stands with the request, whatever becomes of the models meanwhile."""
    asked, other = environ(), environ("/models")
    assert lane.find(asked) and not lane.find(other)
    lane.routes = {"/models": lane.routes["/predict"]}
    assert asked[FOUND] is lane.find(asked) and lane.find(asked) and not lane.find(other)
    assert lane.find(environ()) is None


@pytest.mark.parametrize(
    ("path", "length", "short"),
    [
        ("/predict", FEW, True),
        ("/predict", FEW + 1, False),
        ("/predict?include=interval", 9, True),
        ("/predict?include=explanation", 9, False),
        ("/predict?include=%65xplanation", 9, False),
        ("/models", 9, False),
    ],
)
def test_few_rows_and_no_explanation_are_short(lane: Lane, path: str, length: int, short: bool):
    """What is answered at once is told by its path, its length and its query."""
    assert lane.is_short(environ(path, environ_overrides={"CONTENT_LENGTH": str(length)})) is short


def test_a_new_model_has_its_paths(app: Flask, lane: Lane):
    """When another model comes, its address is known and the others stay."""
    live = app.extensions["live"]
    live.champions["beer"] = live.champions["wine"]
    live.on_new_model()
    assert {"/models/beer/predict", "/models/wine/predict", "/predict"} <= set(lane.routes)
