"""The Flask application: `create_app` puts settings, models and dialects together; `app` is what a server runs."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, IntegerConverter

from service import config as settings
from service.calls import FACTS, REFUSED, Answer, Call
from service.dialects import kserve, mlflow, native, oip, vetiver
from service.errors import BusyError, CellarError, LoadingError, OverloadError, UnauthorizedError
from service.live import Live
from service.registry import Registry
from service.trial import trial
from service.web.catalogue import catalogue
from service.web.control import control
from service.web.documentation import documentation
from service.web.edge import Edge
from service.web.lane import Dialect
from service.web.metrics import MEDIA, Metrics
from service.web.replies import http_problem, problem

log = logging.getLogger("cellar")

DIALECTS: tuple[Dialect, ...] = (native, mlflow, kserve, oip)
PAGES = (catalogue, control, documentation, mlflow.pages, kserve.pages, oip.pages, vetiver.pages)

PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Name(BaseConverter):
    """A name in a route, which has no colon: behind one stands a verb of KServe's."""

    regex = "[^/:]+"
    part_isolating = True


class Number(IntegerConverter):
    """A version in an address: only the digits that every client writes, and no more than a version has."""

    regex = "[0-9]{1,18}"


def create_app(config: Mapping[str, Any] | None = None, served: bool = False) -> Flask:
    """Return the application; `config` overrides the `CELLAR_*` variables, which override the defaults.

    Where it is `served`, each version is tried in a process of its own first, and promotions are looked for.
    """
    app = Flask(__name__, template_folder="web/templates", static_folder="web/static")
    app.url_map.converters |= {"default": Name, "int": Number}
    given = app.config["CELLAR"] = settings.read(config)
    registry = Registry(given.artifacts)
    live = Live(registry, partial(trial, memory=given.max_memory)) if served else Live(registry)
    app.extensions["live"] = live
    live.look()
    metrics = Metrics(live)
    app.before_request(_begin)
    app.after_request(_finish)
    for pages in PAGES:
        app.register_blueprint(pages)
    for dialect in DIALECTS:
        _add_routes(app, dialect.NAME, dialect.PREDICT, dialect.predict)
    _add_routes(app, "explain", native.EXPLAIN, native.explain)
    _add_routes(app, "kserve.explain", kserve.EXPLAIN, kserve.explain)
    app.add_url_rule("/metrics", "metrics", lambda: Response(metrics.text(), content_type=MEDIA))
    app.register_error_handler(CellarError, _cellar_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    app.wsgi_app = Edge(app.wsgi_app, DIALECTS, live, given, metrics)  # type: ignore[method-assign]
    if served:
        live.watch(given.poll)
    return app


def _add_routes(app: Flask, endpoint: str, rules: Sequence[str], answer: Callable[[Call], Answer]) -> None:
    """Route a dialect's requests to the function that answers them."""
    config, live = app.config["CELLAR"], app.extensions["live"]

    def view(name: str = config.default_model, version: int | None = None) -> Response:
        return _response(answer(Call(request.environ, config, live.get(name, version))))

    view.__doc__ = answer.__doc__
    for rule in rules:
        app.add_url_rule(rule, endpoint, view, methods=["POST"])


def _response(answer: Answer) -> Response:
    headers = [*answer.headers, ("Content-Length", str(answer.length))]
    return Response(answer.body, content_type=answer.media, headers=headers)


def _begin() -> None:
    request.environ[FACTS].route = request.endpoint or ""
    if REFUSED in request.environ:
        raise request.environ[REFUSED]


def _finish(response: Response) -> Response:
    if "model" in g:
        facts = request.environ[FACTS]
        facts.model, facts.version = g.model.name, g.model.version
    if response.mimetype == "text/html":
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _cellar_error(error: CellarError) -> Response:
    request.environ[FACTS].error = type(error).__name__
    shape = _shape()
    told = 400 if error.status == 422 else error.status  # no protocol of another's knows 422
    reply = shape(told, str(error)) if shape else problem(error)
    if isinstance(error, (BusyError, LoadingError, OverloadError)):
        reply.headers["Retry-After"] = "1"
    if isinstance(error, UnauthorizedError):
        reply.headers["WWW-Authenticate"] = error.challenge
    return reply


def _http_error(error: HTTPException) -> Response:
    request.environ[FACTS].error = type(error).__name__
    status, shape = error.code or 500, _shape()
    allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or []))
    told = {
        404: "nothing is at this address: /docs shows every address there is",
        405: f"this address takes {allowed}: send one of these",
    }
    reply = (shape or http_problem)(status, told.get(status, error.description or ""))
    if allowed:
        reply.headers["Allow"] = allowed
    return reply


def _fault(error: Exception) -> Response:
    request.environ[FACTS].error = type(error).__name__
    log.exception("request %s failed", request.environ[FACTS].id, exc_info=error)
    detail = "the service failed on this request; its log names the cause beside the request's id"
    return (_shape() or http_problem)(500, detail)


def _shape() -> Callable[[int, str], Response] | None:
    """Return how the dialect that was addressed tells an error; None where that is a problem document."""
    for dialect in DIALECTS:
        if request.path.startswith(dialect.PATHS):
            return dialect.error
    return None


def __getattr__(name: str) -> Flask:
    """Make `app` when a server first asks for it, so that importing this module loads no model."""
    if name != "app":
        raise AttributeError(name)
    globals()["app"] = create_app(served=True)
    gc.collect()
    gc.freeze()  # what lives as long as the process need not be looked at again and again
    made: Flask = globals()["app"]
    return made
