"""MLflow's scoring server: rows as data frames, arrays or CSV under `/invocations`, its health and its version."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from service import include, shapes
from service.calls import JSON, Answer, Call
from service.config import VERSION
from service.errors import InputError, MediaTypeError, Problem, RequestError
from service.rows.inputs import Inputs
from service.tables import answering, texts
from service.tables.bodies import Body
from service.tables.writing import CSV
from service.web import current
from service.web.replies import json_reply

NAME = "mlflow"
PREDICT = ("/invocations",)
PATHS = ("/invocations", "/ping", "/version")

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
CODES = {404: "RESOURCE_DOES_NOT_EXIST", 500: "INTERNAL_ERROR", 503: "TEMPORARILY_UNAVAILABLE"}
"""MLflow's own words for a status; for every other it is BAD_REQUEST."""

pages = Blueprint("mlflow", __name__)


def predict(call: Call) -> Answer:
    """Answer the rows of one of the four forms or of a CSV; columns that the model does not know are ignored."""
    return include.predictions(call, _inputs(call))


def error(status: int, detail: str) -> Response:
    """Tell an error as MLflow does."""
    return json_reply({"error_code": CODES.get(status, "BAD_REQUEST"), "message": detail}, status)


@pages.get("/ping")
@pages.get("/health")
def ping() -> Response:
    """Say that a model can answer; to a client that asks for JSON as vetiver's server does."""
    current.live().check_ready()
    if request.accept_mimetypes.best_match(["text/plain", JSON]) == JSON:
        return json_reply({"ping": "pong"})
    return Response("\n", content_type="text/plain")


@pages.get("/version")
def version() -> Response:
    """Tell the version of the service, as bare text."""
    return Response(VERSION, content_type="text/plain")


def _inputs(call: Call) -> Inputs:
    _check_media(call)
    if call.media == CSV:
        body = Body(BytesIO(call.body()), None, call.config.max_body)
        schema = call.model.schema
        return answering.whole(texts.read_csv(body, schema, ignore_extra=True), schema)
    found = call.model.rows.read(call.body(), FORMS) if call.is_json else None
    if found and not found.one and (found.records or found.key != "dataframe_records"):
        return found.inputs
    form, rows = _form(call.json())
    if form == "dataframe_split":
        return _split(call, rows)
    if isinstance(rows, dict) and form != "dataframe_records":
        return _by_column(call, form, rows)
    if not isinstance(rows, list):
        raise RequestError(f"'{form}' must be a list of rows")
    call.check_count(len(rows))
    read = call.model.schema.read_records if form == "dataframe_records" else call.model.schema.read
    return read(rows, ignore_extra=True)


def _check_media(call: Call) -> None:
    _, *parameters = (call.environ.get("CONTENT_TYPE") or JSON).split(";")
    for parameter in parameters:
        if parameter.replace(" ", "").lower() not in ("charset=utf-8", 'charset="utf-8"', ""):
            raise MediaTypeError(
                f"the content type's parameter {parameter.strip()[:40]!r} is not spoken: charset=utf-8 is"
            )


def _form(body: Any) -> tuple[str, Any]:
    given = [form for form in FORMS if form in body] if isinstance(body, dict) else []
    if len(given) != 1:
        raise RequestError(f"the body must be an object with exactly one of {', '.join(FORMS)}")
    if not isinstance(body.get("params", {}), dict | None):
        raise RequestError("'params' must be an object")
    return given[0], body[given[0]]


def _split(call: Call, table: Any) -> Inputs:
    """Return a data frame given as `{"columns": [names], "data": [rows]}`; its index tells the model nothing."""
    frame = shapes.convert(table, Frame, "'dataframe_split'")
    width = len(frame.columns)
    if len(set(frame.columns)) < width:
        raise RequestError("'dataframe_split' names a column twice")
    call.check_count(len(frame.data))
    wrong = [
        Problem(f"has {len(row)} values, 'columns' names {width}", at)
        for at, row in enumerate(frame.data)
        if len(row) != width
    ]
    if wrong:
        raise InputError(wrong)
    if not width:  # rows without a field are rows all the same, each of which lacks every feature
        return call.model.schema.read_records([{} for _ in frame.data], ignore_extra=True)
    columns = zip(*frame.data, strict=True) if frame.data else [()] * width
    return call.model.schema.read_table(dict(zip(frame.columns, columns, strict=True)), ignore_extra=True)


def _by_column(call: Call, form: str, columns: dict[str, Any]) -> Inputs:
    lengths = {len(values) if isinstance(values, list) else -1 for values in columns.values()}
    if len(lengths) > 1 or -1 in lengths:
        raise RequestError(f"'{form}' must hold a list of values for each column, all of one length")
    call.check_count(*lengths or (0,))
    return call.model.schema.read_table(columns, ignore_extra=True)


class Frame(msgspec.Struct, frozen=True):
    """A data frame as pandas writes it with `orient="split"`."""

    columns: list[str]
    data: list[list[Any]]
