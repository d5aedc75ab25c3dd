"""KServe's first protocol, whose paths TensorFlow Serving's REST interface shares."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response

from service import include
from service.calls import Answer, Call
from service.errors import RequestError
from service.rows.inputs import Inputs
from service.web import current
from service.web.replies import json_reply

NAME = "kserve"
PREDICT = ("/v1/models/<name>:predict", "/v1/models/<name>/versions/<int:version>:predict")
EXPLAIN = ("/v1/models/<name>:explain", "/v1/models/<name>/versions/<int:version>:explain")
PATHS = ("/v1",)

KEYS = ("instances", "signature_name")
"""What a body may hold; of signatures a model has one, whatever it is called."""

pages = Blueprint("kserve", __name__)


def predict(call: Call) -> Answer:
    """Answer the rows under `instances`."""
    return include.predictions(call, _inputs(call))


def explain(call: Call) -> Answer:
    """Explain the predictions of the rows under `instances`."""
    inputs = _inputs(call)
    explanations = call.explain(inputs, call.predict(inputs))
    return Answer(msgspec.json.encode({"explanations": explanations}))


def error(status: int, detail: str) -> Response:
    """Tell an error as both servers do."""
    return json_reply({"error": detail}, status)


@pages.get("/v1/models")
def models() -> Response:
    """List the models by name."""
    return json_reply({"models": sorted(current.live().champions)})


@pages.get("/v1/models/<name>")
@pages.get("/v1/models/<name>/versions/<int:version>")
def status(name: str, version: int | None = None) -> Response:
    """Say that a model is ready, in the words of both servers."""
    found = current.model(name, version)
    fine: dict[str, Any] = {"error_code": "OK", "error_message": ""}
    versions = [{"version": str(found.version), "state": "AVAILABLE", "status": fine}]
    return json_reply({"name": found.name, "ready": True, "model_version_status": versions})


def _inputs(call: Call) -> Inputs:
    """Return the checked rows of a request."""
    found = call.model.rows.read(call.body(), KEYS[:1]) if call.is_json else None
    if found and not found.one:
        return found.inputs
    body = call.json()
    if not isinstance(body, dict) or "instances" not in body or not body.keys() <= set(KEYS):
        raise RequestError("the body must be an object with 'instances', a list of rows")
    if not isinstance(body["instances"], list):
        raise RequestError("'instances' must be a list of rows")
    call.check_count(len(body["instances"]))
    return call.model.schema.read(body["instances"])
