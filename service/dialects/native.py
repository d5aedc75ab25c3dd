"""Cellar's own prediction API: the shape that goes in decides the shape that comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from flask import Response

from service import include
from service.calls import Answer, Call
from service.errors import RequestError
from service.inputs import Inputs
from service.replies import http_problem

NAME = "native"
PREDICT = ("/predict", "/models/<name>/predict", "/models/<name>/versions/<int:version>/predict")
PATHS = ()
"""Its errors are the service's own."""

Reply = Callable[[list[Any], dict[str, Any]], Any]


def predict(call: Call) -> Answer:
    """Answer one row or many, given as `instances`, as `features` or as a bare list."""
    asked = include.read(call)
    inputs, reply = _inputs(call)
    prediction = call.predict(inputs)
    beside = {"model": call.model.name, "version": call.model.version, "id": call.id}
    beside |= include.beside(call, asked, inputs, prediction)
    return Answer(msgspec.json.encode(reply(prediction.values.tolist(), beside)))


def error(status: int, detail: str) -> Response:
    """Return the problem document of an error."""
    return http_problem(status, detail)


def _inputs(call: Call) -> tuple[Inputs, Reply]:
    """Return the checked rows of a request and how to dress their answers."""
    found = call.model.rows.read(call.body(), REPLIES) if call.is_json else None
    if found and not (found.one and found.key != "features"):
        bare_records = found.records and not found.key
        return found.inputs, _bare_records if bare_records else _one if found.one else REPLIES[found.key]
    rows, dress = _rows(call.json())
    call.check_count(len(rows))
    return call.model.schema.read(rows), dress


def _rows(body: Any) -> tuple[list[Any], Reply]:
    """Return the rows of a body and how to dress their answers."""
    if isinstance(body, list):
        if body and not isinstance(body[0], (list, dict)):
            raise RequestError("a bare list holds rows: put one row into a list of its own, [[...]]")
        return body, _bare_records if body and isinstance(body[0], dict) else _bare
    if not isinstance(body, dict):
        raise RequestError("the body must be an object with 'instances' or 'features', or a list of rows")
    given = [key for key in ("instances", "features") if key in body]
    if len(given) != 1 or len(body) != 1:
        keys = ", ".join(repr(key[:40]) for key in list(body)[:6]) or "nothing"
        raise RequestError(f"the body must hold exactly one of 'instances' and 'features', it holds {keys}")
    rows = body[given[0]]
    if not isinstance(rows, list):
        raise RequestError(f"'{given[0]}' must be a list")
    if given == ["instances"]:
        return rows, _instances
    if rows and not isinstance(rows[0], (list, dict)):
        return [rows], _one
    return rows, _many


def _instances(answers: list[Any], beside: dict[str, Any]) -> Any:
    return {"predictions": answers, **beside}


def _one(answers: list[Any], beside: dict[str, Any]) -> Any:
    return {"prediction": answers[0], **beside}


def _many(answers: list[Any], beside: dict[str, Any]) -> Any:
    return {"prediction": answers, **beside}


def _bare(answers: list[Any], beside: dict[str, Any]) -> Any:
    return answers


def _bare_records(answers: list[Any], beside: dict[str, Any]) -> Any:
    return {"predict": answers}


REPLIES: dict[str, Reply] = {"instances": _instances, "features": _many, "": _bare}
"""How answers are dressed, by the key of the rows."""
