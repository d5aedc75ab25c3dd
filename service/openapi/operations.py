"""What the operations of the OpenAPI document are made of."""

from __future__ import annotations

from http import HTTPStatus

from service.openapi import schemas
from service.openapi.schemas import Schema

WHEN = {
    400: "The request cannot be read: it is not JSON, has another form, or a parameter is wrong.",
    401: "The token is missing or wrong (`CELLAR_READ_TOKEN`).",
    404: "There is no such model, version or page.",
    409: "The version was made by an earlier Cellar and keeps nothing to explain by: train it again.",
    413: "More rows or bytes than the service takes at once (`CELLAR_MAX_ROWS`, `CELLAR_MAX_BODY`).",
    415: "The body is of a media type that is not spoken here.",
    422: "The rows do not fit the model: `errors` names row, field and reason.",
    500: "The service failed; its log names the cause beside the request's id.",
    503: "No model can answer yet, or more requests are being answered than `CELLAR_MAX_INFLIGHT`.",
    504: "The request took longer than `CELLAR_DEADLINE`.",
}
"""When an error is answered, by its status."""

ALWAYS = (401, 500, 503)
"""What every operation but those of health may be answered with."""

SECURITY: list[dict[str, list[str]]] = [{"token": []}, {"password": []}]
"""Either of them will do."""

PROBLEM = "ProblemDocument"

MODEL_HEADERS = ("X-Model", "X-Model-Version")
TIMING = "^model;dur=[0-9.]+, total;dur=[0-9.]+$"
"""Milliseconds in the model, and in all."""


def get(key: str, summary: str, answer: Schema, *problems: int, tag: str = "service", told: str = "") -> Schema:
    """Return an operation of GET by its method."""
    return {"get": operation(key, summary, answer, *problems, tag=tag, told=told)}


def health(key: str, summary: str, answer: Schema, tag: str = "service", told: str = "") -> Schema:
    """Return an operation of health, which needs no token."""
    made = get(key, summary, answer, tag=tag, told=told)
    del made["get"]["responses"]["401"]
    return {"get": {**made["get"], "security": []}}


def operation(key: str, summary: str, answer: Schema, *problems: int, tag: str, told: str = "") -> Schema:
    """Return an operation with its answer and the statuses of its `problems`, whose names begin with `told`."""
    statuses = sorted({*problems, *ALWAYS})
    refused = {str(status): {"$ref": f"#/components/responses/{told}{status}"} for status in statuses}
    return {
        "operationId": key,
        "summary": summary[0].upper() + summary[1:],
        "tags": [tag],
        "parameters": [{"$ref": "#/components/parameters/X-Request-Id"}],
        "responses": {"200": answer, **refused},
    }


def as_json(schema: Schema, told: str, *headers: str) -> Schema:
    """Return an answer in JSON."""
    return answer("application/json", schema, told, *headers)


def as_page(told: str, *headers: str) -> Schema:
    """Return an answer that is a page."""
    return as_text("text/html", told, *headers)


def as_text(media: str, told: str, *headers: str) -> Schema:
    """Return an answer that is a text."""
    return answer(media, {"type": "string"}, told, *headers)


def answer(media: str, schema: Schema, told: str, *headers: str) -> Schema:
    """Return an answer of a media type, with the headers that every reply has and `headers`."""
    names = ("X-Request-Id", "Server-Timing", *headers)
    return {
        "description": told,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {media: {"schema": schema}},
    }


def header(schema: Schema) -> Schema:
    """Return a header that is always there."""
    return {"required": True, "schema": schema}


def refusal(status: int, when: str) -> Schema:
    """Return the answer of a status that tells a problem."""
    narrower: Schema = {"properties": {"status": {"const": status}}}
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        narrower["required"] = ["errors"]
    return answer("application/problem+json", {"allOf": [ref(PROBLEM), narrower]}, when)


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": schemas.reference(name)}
