"""vetiver's server: what a model is and what a row of it looks like; its predictions are a native form of body."""

from __future__ import annotations

import sys

from flask import Blueprint, Response, current_app

from service.openapi import schemas
from service.web import current
from service.web.replies import json_reply

pages = Blueprint("vetiver", __name__)


@pages.get("/metadata")
def metadata() -> Response:
    """Describe the default model in the fields that vetiver's pins have."""
    found = current.model(current_app.config["CELLAR"].default_model)
    manifest = found.manifest
    return json_reply(
        {
            "user": {"model": manifest.model, "task": manifest.task, "estimator": manifest.estimator},
            "version": str(found.version),
            "url": f"/models/{found.name}",
            "required_pkgs": [],  # a client needs none: the model runs here
            "python_version": [*sys.version_info],
        }
    )


@pages.get("/prototype")
def prototype() -> Response:
    """Return the JSON Schema of a row of the default model, with an example."""
    found = current.model(current_app.config["CELLAR"].default_model)
    return json_reply({"title": "prototype", **schemas.record(found.manifest.features)})
