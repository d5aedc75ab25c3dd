"""The OpenAPI document and its page: Swagger UI, from files of its own package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, current_app, render_template, send_from_directory

from service.live import Live
from service.openapi.document import document
from service.web.replies import json_reply

documentation = Blueprint("documentation", __name__)

POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; style-src 'self'; "
    "img-src 'self' data:"  # the arrows and locks of Swagger UI stand inside its style sheet
)


@documentation.get("/openapi.json")
def openapi() -> Response:
    """Describe every route, with the fields of the models that answer now."""
    live: Live = current_app.extensions["live"]
    bundles = [model.bundle for model in live.champions.values()]
    return json_reply(document(bundles, current_app.config["CELLAR"]))


@documentation.get("/docs")
def docs() -> Response:
    """Show the document to a person."""
    page = Response(render_template("docs.html"), mimetype="text/html")
    page.headers["Content-Security-Policy"] = POLICY
    return page


@documentation.get("/docs/<file>")
def docs_file(file: str) -> Response:
    """Send one of Swagger UI's own files."""
    return send_from_directory(_files(), file)


def _files() -> Path:
    # The package is found and not imported: it would make a blueprint whose page needs scripts inside the page.
    spec = find_spec("flask_swagger_ui")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "dist"
