"""JSON Schemas of rows and answers, made from the same features that the rows are checked by."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from service.bundle import Bundle
from service.contents import Feature
from service.errors import SHOWN
from service.rows import dates
from service.rows.inputs import WARNED

Schema = dict[str, Any]

LARGEST = 340282356779733642748073463979561713663
"""The largest whole number that is finite in 32 bits, which is all a model reads; so is every fraction below it."""

PREDICTION, EXPLANATION = ("prediction", "predictions", "predict"), ("explanation", "explanations", "explain")
"""What a reply calls an answer, several, and those to bare records."""

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


def reply(one: Schema, beside: Schema, words: tuple[str, str, str] = PREDICTION) -> Schema:
    """Return what a request for such answers is answered with: its form follows that of the body."""
    many = {"type": "array", "items": one}
    single, several, verb = words
    always = ("model", "version", "id")
    return {
        "anyOf": [
            {"title": "of instances", **closed({several: many, **beside}, (several, *always))},
            {"title": "of features, one row", **closed({single: one, **beside}, (single, *always))},
            {"title": "of features, rows", **closed({single: many, **beside}, (single, *always))},
            {"title": "of a bare list of records", **closed({verb: many})},
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
    has = {
        "probabilities": bundle.manifest.target.classes,
        "interval": bundle.metrics and bundle.metrics.calibration,
        "explanation": bundle.golden.background,
    }
    return [name for name, given in has.items() if given]


def beside_answers(bundle: Bundle, included: Sequence[str]) -> Schema:
    """Return what stands beside answers, by its name, where so much may be asked for."""
    classes = bundle.manifest.target.classes
    share = {"minimum": 0, "description": OVERFLOW, "anyOf": NUMBER_OR_NULL}
    limits = {"type": "array", "items": {"anyOf": NUMBER_OR_NULL}, "minItems": 2, "maxItems": 2}
    members = {"type": "array", "items": {"enum": classes}, "minItems": 1, "uniqueItems": True}
    known = {
        "probabilities": ("probabilities", closed(dict.fromkeys(map(str, classes), share))),
        "interval": ("interval", {"description": "The set of classes.", **members} if classes else limits),
        "explanation": ("explanations", explanation(bundle)),
    }
    parts = [known[name] for name in included]
    return {
        "model": {"const": bundle.manifest.model},
        "version": {"type": "integer", "minimum": 1},
        "id": REQUEST_ID,
        "warnings": warnings(),
        **{name: {"type": "array", "items": part} for name, part in parts},
    }


def explanation(bundle: Bundle, **more: Schema) -> Schema:
    """Return what explains one prediction."""
    number = {"description": OVERFLOW, "anyOf": NUMBER_OR_NULL}
    classes = bundle.manifest.target.classes
    named = {"class": {"enum": classes}} if classes else {}
    contributions = closed({one.name: number for one in bundle.manifest.features})
    return closed({**named, "base": number, "contributions": contributions, **more})


def warnings() -> Schema:
    """Return what is told of values that training did not see."""
    return {"type": "array", "items": {"$ref": reference("Problem")}, "minItems": 1, "maxItems": WARNED}


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


def of_bodies(*examples: msgspec.Struct) -> dict[str, Schema]:
    """Return {name: schema} of documents as the service reads them, of which one of each kind is given."""
    given = {type(example).__name__: example for example in examples}
    _, components = msgspec.json.schema_components(map(type, examples), ref_template=reference("{name}"))
    return {name: {**each, "examples": [msgspec.to_builtins(given[name])]} for name, each in components.items()}


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
