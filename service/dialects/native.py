"""Cellar's own prediction API: the shape that goes in decides the shape that comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from flask import Blueprint, Response, current_app, g, request

from service.errors import RequestError, TooLargeError
from service.live import Live
from service.model import Model, Prediction
from service.replies import json_body, json_reply

native = Blueprint("native", __name__)

INCLUDES = ("probabilities",)

Reply = Callable[[list[Any], dict[str, Any]], Any]


@native.post("/predict")
@native.post("/models/<name>/predict")
@native.post("/models/<name>/versions/<int:version>/predict")
def predict(name: str | None = None, version: int | None = None) -> Response:
    """Answer one row or many, given as `instances`, as `features` or as a bare list."""
    live: Live = current_app.extensions["live"]
    model = live.get(name or current_app.config["CELLAR"].default_model, version)
    g.model = model
    rows, reply = _rows(json_body())
    _check_count(len(rows))
    include = _include(model)
    inputs = model.schema.read(rows)
    prediction = model.predict(inputs)
    beside = {"model": model.name, "version": model.version, "id": g.request_id}
    if include:
        beside["probabilities"] = _probabilities(model, prediction)
    if inputs.warnings:
        beside["warnings"] = msgspec.to_builtins(inputs.warnings)
    return json_reply(reply(prediction.values.tolist(), beside))


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


def _check_count(count: int) -> None:
    limit = current_app.config["CELLAR"].max_rows
    if count > limit:
        raise TooLargeError(
            f"the request holds {count} rows, the limit is {limit} (CELLAR_MAX_ROWS): send fewer at once"
        )


def _include(model: Model) -> list[str]:
    asked = [word for word in request.args.get("include", "").split(",") if word]
    for word in asked:
        if word not in INCLUDES:
            raise RequestError(f"include={word[:40]!r} is not known; known: {', '.join(INCLUDES)}")
    if "probabilities" in asked and not model.classes:
        raise RequestError(f"{model.name} predicts a number and has no probabilities")
    return asked


def _probabilities(model: Model, prediction: Prediction) -> list[dict[str, float]]:
    assert prediction.probabilities is not None
    names = [str(label) for label in model.classes]
    return [dict(zip(names, row, strict=True)) for row in prediction.probabilities.tolist()]
