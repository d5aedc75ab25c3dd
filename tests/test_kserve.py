from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from speaking import Sent, told


@pytest.mark.parametrize(
    "body", [[], {}, {"inputs": [[1]]}, {"instances": {"alcohol": 1}}, {"instances": [], "parameters": {}}]
)
def test_a_body_of_another_form(client: FlaskClient, body: Any):
    """What is no object with a list of instances is told."""
    assert "'instances'" in told(Sent("/v1/models/wine:predict", json.dumps(body).encode()).ask(client), 400)


def test_a_model_tells_that_it_is_ready(client: FlaskClient):
    """One reply holds the words of KServe and those of TensorFlow Serving."""
    assert client.get("/v1/models").json == {"models": ["wine"]}
    for path in ("/v1/models/wine", "/v1/models/wine/versions/1"):
        reply = client.get(path)
        assert (reply.json["name"], reply.json["ready"]) == ("wine", True)
        (state,) = reply.json["model_version_status"]
        assert (state["version"], state["state"], state["status"]["error_code"]) == ("1", "AVAILABLE", "OK")
        assert reply.headers["X-Model-Version"] == "1"


def test_a_version_answers_by_its_number(client: FlaskClient):
    """A version's own address answers as the champion does, where it is the same."""
    row = [feature["example"] for feature in client.get("/models/wine").json["features"]]
    body = {"instances": [row], "signature_name": "serving_default"}
    expected = client.post("/v1/models/wine:predict", json=body)
    assert expected.status_code == 200
    assert client.post("/v1/models/wine/versions/1:predict", json=body).json == expected.json


@pytest.mark.parametrize("verb", ["predict", "explain"])
@pytest.mark.parametrize("place", ["/v1/models/wine", "/v1/models/wine/versions/1"])
def test_a_verb_is_only_posted(client: FlaskClient, place: str, verb: str):
    """A verb asked by another method is no model of that name: what is allowed is to post it."""
    for method in ("GET", "PUT", "DELETE"):
        reply = client.open(f"{place}:{verb}", method=method)
        told(reply, 405)
        assert reply.headers["Allow"] == "OPTIONS, POST"
    assert set(client.options(f"{place}:{verb}").headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
    told(client.get(f"{place}:explode"), 404)


def test_predictions_are_explained(client: FlaskClient):
    """`:explain` gives what the native interface gives, for the model and for a version, and tells wrong rows."""
    row = [feature["example"] for feature in client.get("/models/wine").json["features"]]
    expected = client.post("/predict?include=explanation", json={"instances": [row]}).json["explanations"]
    for path in ("/v1/models/wine:explain", "/v1/models/wine/versions/1:explain"):
        assert client.post(path, json={"instances": [row]}).json == {"explanations": expected}
    assert "row 0" in told(client.post("/v1/models/wine:explain", json={"instances": [[1]]}), 400)
    told(client.get("/v1/models/wine:explain"), 405)
