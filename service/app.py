"""The Flask application: `create_app` puts settings, models and dialects together; `app` is what a server runs."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from service import config as settings
from service.catalogue import catalogue
from service.dialects.native import native
from service.documentation import documentation
from service.errors import CellarError
from service.live import Live
from service.registry import Registry
from service.replies import http_problem, problem

log = logging.getLogger("cellar")

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'"


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the application; `config` overrides the `CELLAR_*` variables, which override the defaults."""
    app = Flask(__name__)
    app.config["CELLAR"] = settings.read(config)
    app.config["MAX_CONTENT_LENGTH"] = app.config["CELLAR"].max_body + 1  # the one more shows what is too long
    app.extensions["live"] = Live(Registry(app.config["CELLAR"].artifacts))
    app.extensions["live"].load()
    app.before_request(_name_request)
    app.after_request(_add_headers)
    app.register_blueprint(catalogue)
    app.register_blueprint(native)
    app.register_blueprint(documentation)
    app.register_error_handler(CellarError, problem)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    return app


def _name_request() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if re.fullmatch(r"[\x21-\x7e]{1,128}", given) else uuid.uuid4().hex


def _add_headers(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    if "model" in g:
        response.headers["X-Model"] = g.model.name
        response.headers["X-Model-Version"] = str(g.model.version)
    if response.mimetype == "text/html":
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
    return response


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status == 413:
        limit = current_app.config["CELLAR"].max_body
        return http_problem(status, f"the body is larger than {limit} bytes (CELLAR_MAX_BODY): send fewer rows at once")
    reply = http_problem(status, error.description or "")
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        reply.headers["Allow"] = ", ".join(sorted(allowed))
    return reply


def _fault(error: Exception) -> Response:
    log.exception("request %s failed", g.request_id, exc_info=error)
    return http_problem(500, "the service failed on this request; its log names the cause beside the request's id")


def __getattr__(name: str) -> Flask:
    """Make `app` when a server first asks for it, so that importing this module loads no model."""
    if name != "app":
        raise AttributeError(name)
    globals()["app"] = create_app()
    made: Flask = globals()["app"]
    return made
