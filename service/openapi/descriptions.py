"""What the OpenAPI document says of the pages that describe models and their versions."""

from __future__ import annotations

from typing import Any

from service.contents import Data, Feature, Metric, Target
from service.openapi import schemas
from service.openapi.operations import ref
from service.openapi.schemas import Schema, closed
from service.registry import Event


def schemas_of() -> Schema:
    """Return the description of a model and its parts, by the document's names."""
    return {**schemas.of_structs(Feature, Target, Data, Metric, Event), "Description": _description()}


def versions(name: str) -> Schema:
    """Return what is told of one model's versions."""
    number: dict[str, Any] = {"type": ["integer", "null"], "minimum": 1}
    return closed(
        {
            "model": {"const": name},
            "versions": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "verdicts": {"type": "object", "additionalProperties": {"type": "string"}},
            "serving": number,
            "champion": number,
            "history": {"type": "array", "items": ref("Event")},
        }
    )


def _description() -> Schema:
    text, whole = {"type": "string"}, {"type": "integer", "minimum": 1}
    share = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    return closed(
        {
            "name": text,
            "version": whole,
            "task": {"enum": ["classification", "regression"]},
            "estimator": text,
            "features": {"type": "array", "items": ref("Feature")},
            "target": ref("Target"),
            "headline": text,
            "metrics": {"type": "object", "additionalProperties": ref("Metric")},
            "held_out_rows": whole,
            "verdict": text,
            "data": ref("Data"),
            "coverage": {"anyOf": [closed({"default": share, "most": share}), {"type": "null"}]},
            "created": text,
            "report": {"type": ["string", "null"]},
            "predict": text,
        }
    )
