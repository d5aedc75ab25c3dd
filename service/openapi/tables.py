"""Tables in the OpenAPI document: the media types that hold one, and what its rows have to be."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from service.bundle import Bundle
from service.contents import Feature
from service.openapi import schemas
from service.openapi.operations import ref
from service.openapi.schemas import Schema, closed
from service.tables.writing import ARROW, CSV, NDJSON, PARQUET

BYTES: Schema = {ARROW: {}, PARQUET: {}}
"""What no JSON Schema describes; the columns are those of a CSV."""


def asked(bundle: Bundle) -> Schema:
    """Return the content of a request that is a table, by media type."""
    row = schemas.example(bundle.manifest.features)
    lines = {"schema": ref(f"{bundle.manifest.model}.Lines"), "examples": _one_row(json.dumps(row) + "\n")}
    return {**as_csv(bundle), NDJSON: lines, **BYTES}


def as_csv(bundle: Bundle) -> Schema:
    """Return the content of a request that is a CSV."""
    text = _example(bundle.manifest.features)
    return {CSV: {"schema": ref(f"{bundle.manifest.model}.Table"), "examples": _one_row(text)}}


def answered(bundle: Bundle) -> Schema:
    """Return the content of a reply that is a table, by media type."""
    rows = {"schema": ref(f"{bundle.manifest.model}.Answers")}
    return {CSV: rows, NDJSON: rows, **BYTES}


def schemas_of(bundle: Bundle) -> Schema:
    """Return what the rows of tables have to be, by the document's names."""
    name = bundle.manifest.model
    table: Schema = {"type": "array", "items": ref(f"{name}.Row")}
    told = "Rows below a header with the names of the features, in any order."
    return {
        f"{name}.Table": {"description": told, **table},
        f"{name}.Lines": {
            "description": "A row a line: records, or lists in the order of the features.",
            "anyOf": [table, {"type": "array", "items": ref(f"{name}.Values")}],
        },
        f"{name}.Answers": {"type": "array", "items": _columns(bundle)},
    }


def _columns(bundle: Bundle) -> Schema:
    """Return what a row of answers is."""
    classes, included = bundle.manifest.target.classes, schemas.includes(bundle)
    number: Schema = {"description": schemas.OVERFLOW, "anyOf": schemas.NUMBER_OR_NULL}
    columns: Schema = {"prediction": schemas.answer(bundle)}
    if "probabilities" in included:
        columns |= {f"probability_{label}": number for label in classes}
    if "interval" in included:
        columns |= {f"set_{label}": {"type": "boolean"} for label in classes} or {"lower": number, "upper": number}
    return closed(columns, ("prediction",))


def _one_row(text: str) -> Schema:
    return {"one row": {"value": text}}


def _example(features: Sequence[Feature]) -> str:
    row = schemas.example(features)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(row)
    writer.writerow(json.dumps(value) if isinstance(value, bool) else value for value in row.values())
    return text.getvalue()
