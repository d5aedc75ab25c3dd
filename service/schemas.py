"""JSON Schemas of rows and answers, made from the same features that the rows are checked by."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from service import dates
from service.bundle import Bundle, Feature
from service.errors import SHOWN
from service.inputs import WARNED

Schema = dict[str, Any]

LARGEST = 340282356779733642748073463979561713663
"""The largest whole number that is finite in 32 bits, which is all a model reads; so is every fraction below it."""

NAMED = 20
"""How many categories a description names."""

REQUEST_ID: Schema = {
    "type": "string",
    "pattern": "^[!-~]{1,128}$",
    "description": "Names the request in the log.",
    "examples": ["0d1c2f3a4b5c6d7e8f90a1b2c3d4e5f6"],
}


def feature(given: Feature) -> Schema:
    """Return what a value of one feature has to be; what training saw is told, for the rest is answered too."""
    schema = {"title": given.name, **KINDS[given.kind](given)}
    if given.nullable:
        schema["type"] = [schema["type"], "null"]
    told = _told(given)
    if told:
        schema["description"] = told
    if given.unit:
        schema["x-unit"] = given.unit
    if given.min is not None:
        schema["x-range"] = [given.min, given.max]
    return schema


def record(features: Sequence[Feature]) -> Schema:
    """Return what a row given by field name has to be."""
    return closed({one.name: feature(one) for one in features}) | {"examples": [example(features)]}


def values(features: Sequence[Feature]) -> Schema:
    """Return what a row given as a list of values has to be."""
    width = len(features)
    return {
        "type": "array",
        "description": "A row as a list of values, in the order of the features.",
        "prefixItems": [feature(one) for one in features],
        "items": False,
        "minItems": width,
        "maxItems": width,
        "examples": [list(example(features).values())],
    }


def example(features: Sequence[Feature]) -> dict[str, Any]:
    """Return the row of the training table that the manifest keeps."""
    return {one.name: one.example for one in features}


def request(row: Schema, listed: Schema, most: int) -> Schema:
    """Return what the body of a prediction has to be, given the schemas of both forms of a row and the most rows."""
    forms = [{"type": "array", "items": form, "maxItems": most} for form in (row, listed)]
    return {
        "anyOf": [
            {"title": "instances", **closed({"instances": {"anyOf": forms}})},
            {"title": "features", **closed({"features": {"anyOf": [listed, *forms]}})},
            {"title": "a bare list of records", **forms[0]},
            {"title": "a bare list of rows", **forms[1]},
        ]
    }


def reply(bundle: Bundle) -> Schema:
    """Return what the answer to a prediction is: its form follows that of the body."""
    one = answer(bundle)
    many = {"type": "array", "items": one}
    beside = beside_predictions(bundle)
    always = ("model", "version", "id")
    return {
        "anyOf": [
            {"title": "of instances", **closed({"predictions": many, **beside}, ("predictions", *always))},
            {"title": "of features, one row", **closed({"prediction": one, **beside}, ("prediction", *always))},
            {"title": "of features, rows", **closed({"prediction": many, **beside}, ("prediction", *always))},
            {"title": "of a bare list of records", **closed({"predict": many})},
            {"title": "of a bare list of rows", **many},
        ]
    }


def answer(bundle: Bundle) -> Schema:
    """Return what one prediction is."""
    target = bundle.manifest.target
    told = {"title": target.name, "description": plain(_sentences(target.meaning))}
    unit = {"x-unit": target.unit} if target.unit else {}
    if target.classes:
        return {**told, "enum": target.classes}
    return {**told, **unit, "description": f"{told['description']} {OVERFLOW}".strip(), "anyOf": NUMBER_OR_NULL}


def includes(bundle: Bundle) -> list[str]:
    """Return what may be asked for beside predictions."""
    has = {"probabilities": bundle.manifest.target.classes, "interval": bundle.metrics and bundle.metrics.calibration}
    return [name for name, given in has.items() if given]


def beside_predictions(bundle: Bundle) -> Schema:
    """Return what stands beside predictions, by its name."""
    classes = bundle.manifest.target.classes
    share = {"minimum": 0, "description": OVERFLOW, "anyOf": NUMBER_OR_NULL}
    limits = {"type": "array", "items": {"anyOf": NUMBER_OR_NULL}, "minItems": 2, "maxItems": 2}
    members = {"type": "array", "items": {"enum": classes}, "minItems": 1, "uniqueItems": True}
    included = {
        "probabilities": closed(dict.fromkeys(map(str, classes), share)),
        "interval": {"description": "The set of classes.", **members} if classes else {"title": "low, high", **limits},
    }
    return {
        "model": {"const": bundle.manifest.model},
        "version": {"type": "integer", "minimum": 1},
        "id": REQUEST_ID,
        "warnings": {"type": "array", "items": {"$ref": reference("Problem")}, "minItems": 1, "maxItems": WARNED},
        **{name: {"type": "array", "items": included[name]} for name in includes(bundle)},
    }


def problem_document() -> Schema:
    """Return what an error is answered with."""
    text = {"type": "string", "minLength": 1}
    status = {"type": "integer", "minimum": 400, "maximum": 599}
    errors = {"type": "array", "items": {"$ref": reference("Problem")}, "minItems": 1, "maxItems": SHOWN}
    fields = {"type": {"const": "about:blank"}, "title": text, "detail": text, "status": status, "id": REQUEST_ID}
    return {"description": "A problem as RFC 9457 has it.", **closed({**fields, "errors": errors}, tuple(fields))}


def problem() -> Schema:
    """Return what is told of one value."""
    row, text = {"type": "integer", "minimum": 0}, {"type": "string"}
    value = {"type": ["string", "number", "boolean"], "description": "What was sent, where it is short."}
    return closed({"reason": text, "row": row, "field": text, "value": value}, ("reason",))


def of_structs(*kinds: type[msgspec.Struct]) -> dict[str, Schema]:
    """Return {name: schema} of documents as the service writes them: whole, and with nothing else in them."""
    _, components = msgspec.json.schema_components(kinds, ref_template=reference("{name}"))
    return {name: schema | closed(schema["properties"]) for name, schema in components.items()}


def closed(properties: Schema, required: Sequence[str] | None = None) -> Schema:
    """Return the schema of an object with these properties and no others, all of them required unless said."""
    needed = list(properties if required is None else required)
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def reference(name: str) -> str:
    """Return the address of a schema within the document."""
    return f"#/components/schemas/{name}"


def plain(text: str) -> str:
    """Return a text from a table or its card so that the Markdown of a description shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>&])", r"\\\1", text)


NUMBER_OR_NULL = [{"type": "number"}, {"type": "null"}]
OVERFLOW = "null where the model's answer is no finite number, as it may be for values far beyond all that were seen."


def _number(given: Feature) -> Schema:
    return {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}


def _category(given: Feature) -> Schema:
    return {"type": "string", "examples": given.categories[:NAMED]} | ({} if given.nullable else {"minLength": 1})


def _boolean(given: Feature) -> Schema:
    return {"type": "boolean"}


def _date(given: Feature) -> Schema:
    # Python's $ alone would also stand before a last line's end.
    return {"type": "string", "pattern": rf"^{dates.PATTERN}(?!\n)$"}


KINDS: dict[str, Callable[[Feature], Schema]] = {
    "number": _number,
    "category": _category,
    "boolean": _boolean,
    "date": _date,
}


def _told(given: Feature) -> str:
    parts = [given.meaning, f"In {given.unit}" if given.unit else ""]
    if given.min is not None:
        parts.append(f"Training saw {given.min} to {given.max}, what lies outside is answered with a warning")
    if given.categories:
        more = len(given.categories) - NAMED
        names = ", ".join(map(repr, given.categories[:NAMED])) + (f" and {more} more" if more > 0 else "")
        parts.append(f"Training saw {names}; another category is answered with a warning")
    if given.nullable:
        parts.append("May be missing")
    return plain(_sentences(*parts))


def _sentences(*parts: str) -> str:
    return " ".join(f"{part[0].upper()}{part[1:].rstrip('.')}." for part in parts if part)
