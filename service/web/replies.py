"""Writing replies: JSON, and problems as RFC 9457 has them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response, request

from service.calls import FACTS, JSON
from service.errors import CellarError, InputError

PROBLEM = "application/problem+json"


def json_reply(document: Any, status: int = 200, media: str = JSON) -> Response:
    """Return a reply that holds `document` as JSON."""
    return Response(msgspec.json.encode(document), status, mimetype=media)


def problem(error: CellarError) -> Response:
    """Return the problem document of an error."""
    document: dict[str, Any] = {"title": error.title, "status": error.status, "detail": str(error)}
    if isinstance(error, InputError):
        document["errors"] = error.problems
    return _problem(document)


def http_problem(status: int, detail: str) -> Response:
    """Return the problem document of a bare HTTP status."""
    return _problem({"title": HTTPStatus(status).phrase, "status": status, "detail": detail})


def _problem(document: dict[str, Any]) -> Response:
    document = {"type": "about:blank", **document, "id": request.environ[FACTS].id}
    return json_reply(document, document["status"], PROBLEM)
