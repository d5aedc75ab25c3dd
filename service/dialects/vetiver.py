"""vetiver's server: what a model is and what a row of it looks like; its predictions are a native form of body."""

from __future__ import annotations

import sys
from typing import Any

from flask import Blueprint, Response, current_app

from service.bundle import Feature
from service.web import current
from service.web.replies import json_reply

TYPES = {
    "number": {"type": "number"},
    "category": {"type": "string"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date-time"},
}

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
    """Return the JSON Schema of a row of the default model, with an example of each field."""
    found = current.model(current_app.config["CELLAR"].default_model)
    features = found.manifest.features
    return json_reply(
        {
            "title": "prototype",
            "type": "object",
            "properties": {feature.name: _property(feature) for feature in features},
            "required": [feature.name for feature in features],
        }
    )


def _property(feature: Feature) -> dict[str, Any]:
    kind = TYPES[feature.kind]
    taken = {"anyOf": [kind, {"type": "null"}]} if feature.nullable else kind
    return {**taken, "description": feature.meaning, "example": feature.example}
