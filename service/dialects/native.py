"""Cellar's own prediction API: the shape that goes in decides the shape that comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from flask import Response

from service import include
from service.calls import Answer, Call
from service.errors import RequestError
from service.rows.inputs import Inputs
from service.tables import answering
from service.web.replies import http_problem

NAME = "native"
PREDICT = ("/predict", "/models/<name>/predict", "/models/<name>/versions/<int:version>/predict")
PATHS = ()
"""Its errors are the service's own."""

EXPLAIN = ("/explain", "/models/<name>/explain", "/models/<name>/versions/<int:version>/explain")


class Words(NamedTuple):
    """What a reply calls an answer, several, and those to bare records."""

    one: str
    many: str
    verb: str


PREDICTION, EXPLANATION = Words("prediction", "predictions", "predict"), Words("explanation", "explanations", "explain")

Reply = Callable[[Words, list[Any], dict[str, Any]], Any]


def predict(call: Call) -> Answer:
    """Answer one row or many, given as `instances`, as `features`, as a bare list or as a table."""
    if call.media in answering.READERS:
        return answering.answer(call)
    asked = include.read(call)
    inputs, reply = _inputs(call, f", or a table as {', '.join(answering.READERS)}")
    prediction = call.predict(inputs)
    beside = _named(call) | include.beside(call, asked, inputs, prediction)
    return Answer(msgspec.json.encode(reply(PREDICTION, prediction.values.tolist(), beside)))


def explain(call: Call) -> Answer:
    """Explain one row's prediction or many, given as they are for a prediction."""
    asked = include.read(call, ("probabilities", "interval"))
    inputs, reply = _inputs(call)
    prediction = call.predict(inputs)
    explanations = call.explain(inputs, prediction, asked.label)
    values = zip(prediction.values.tolist(), explanations, strict=True)
    answers = [{"prediction": value, **explanation} for value, explanation in values]
    beside = _named(call) | include.beside(call, asked, inputs, prediction)
    return Answer(msgspec.json.encode(reply(EXPLANATION, answers, beside)))


def error(status: int, detail: str) -> Response:
    """Return the problem document of an error."""
    return http_problem(status, detail)


def _named(call: Call) -> dict[str, Any]:
    return {"model": call.model.name, "version": call.model.version, "id": call.facts.id}


def _inputs(call: Call, beside: str = "") -> tuple[Inputs, Reply]:
    """Return the checked rows of a request and how to dress their answers."""
    found = call.model.rows.read(call.body(), REPLIES) if call.is_json else None
    if found and not (found.one and found.key != "features"):
        bare_records = found.records and not found.key
        return found.inputs, _bare_records if bare_records else _one if found.one else REPLIES[found.key]
    rows, dress = _rows(call.json(beside))
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


def _instances(words: Words, answers: list[Any], beside: dict[str, Any]) -> Any:
    return {words.many: answers, **beside}


def _one(words: Words, answers: list[Any], beside: dict[str, Any]) -> Any:
    return {words.one: answers[0], **beside}


def _many(words: Words, answers: list[Any], beside: dict[str, Any]) -> Any:
    return {words.one: answers, **beside}


def _bare(words: Words, answers: list[Any], beside: dict[str, Any]) -> Any:
    return answers


def _bare_records(words: Words, answers: list[Any], beside: dict[str, Any]) -> Any:
    return {words.verb: answers}


REPLIES: dict[str, Reply] = {"instances": _instances, "features": _many, "": _bare}
"""How answers are dressed, by the key of the rows."""
