"""Reading JSON bodies and writing replies: JSON, and problems as RFC 9457 has them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response, current_app, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from service.errors import CellarError, InputError, MediaTypeError, RequestError

JSON, PROBLEM = "application/json", "application/problem+json"


def json_body() -> Any:
    """Return the request's JSON, whatever client forgot to name its type; raise RequestError if it is none."""
    media = request.mimetype
    if media and media != JSON and not media.endswith("+json"):
        raise MediaTypeError(f"the body is {media[:80]}; send JSON with the header 'Content-Type: {JSON}'")
    if request.content_encoding:
        raise MediaTypeError(
            f"the body's Content-Encoding {request.content_encoding[:40]!r} is not spoken; send it plain"
        )
    body = _body()
    if not body:
        raise RequestError('the body is empty: send JSON such as {"instances": [...]}')
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise RequestError("the body nests too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"the body is not JSON: {error}") from error


def _body() -> bytes:
    data = request.get_data(cache=False)
    # Werkzeug cuts a body that does not tell its length at its limit, in silence.
    if len(data) > current_app.config["CELLAR"].max_body:
        raise RequestEntityTooLarge
    return data


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
    document = {"type": "about:blank", **document, "id": g.request_id}
    return json_reply(document, document["status"], PROBLEM)
