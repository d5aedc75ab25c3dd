"""The service's OpenAPI 3.1 document, made from the manifests of the models that answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from service.bundle import Bundle
from service.calibration import most
from service.config import Config
from service.contents import Feature
from service.explanation import most_explained
from service.include import usual_coverage
from service.openapi import control, descriptions, protocols, schemas, tables
from service.openapi.operations import (
    MODEL_HEADERS,
    PROBLEM,
    SECURITY,
    TIMING,
    WHEN,
    as_json,
    as_page,
    as_text,
    get,
    header,
    health,
    operation,
    ref,
    refusal,
)
from service.openapi.schemas import Schema, closed, plain

PAGES = ("01_explore", "02_train", "03_evaluate")


def document(bundles: Sequence[Bundle], config: Config) -> Schema:
    """Return the document of a service that answers with these bundles within these limits."""
    paths = _service_paths() | protocols.service_paths()
    for bundle in bundles:
        paths |= _model_paths(bundle) | protocols.paths(bundle, bundle.manifest.model == config.default_model)
        if bundle.manifest.model == config.default_model:
            paths |= _answers(bundle, "", "default", "by the default model")
    made = {
        "openapi": "3.1.0",
        "info": {
            "title": "Cellar",
            "version": "1",
            "description": "Models made by notebooks. Each has its own fields, units and example here.",
        },
        "servers": [{"url": "/"}],
        "tags": [
            *(_tag(bundle) for bundle in bundles),
            {"name": "service"},
            *({"name": name} for name in protocols.TAGS),
        ],
        "security": SECURITY,
        "paths": paths,
        "components": _components(bundles, config),
    }
    return made if config.read_token else _without_read_token(made, bool(config.token))


def _without_read_token(made: Schema, controlled: bool) -> Schema:
    """Take out of a document what is so only where a token is asked for; `controlled`: one is, to change models."""
    del made["security"]
    for methods in made["paths"].values():
        for each in methods.values():
            if not (controlled and each.get("security") is control.SECURITY):
                each.pop("security", None)
                each["responses"].pop("401", None)
    parts = made["components"]
    for name in [name for name in parts["responses"] if name.endswith("401")]:
        if not (controlled and name.startswith(control.TOLD)):
            del parts["responses"][name]
    del parts["securitySchemes"]["password"]
    if not controlled:
        del parts["securitySchemes"]
    return made


def _tag(bundle: Bundle) -> Schema:
    manifest = bundle.manifest
    told = f"{manifest.estimator.replace('_', ' ')} for {manifest.target.name}, version {bundle.version}"
    return {"name": manifest.model, "description": plain(told)}


def _service_paths() -> Schema:
    counts = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}}
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    names = {"type": "array", "items": {"type": "string"}}
    described = {"type": "array", "items": ref("Description")}
    front = as_json(closed({"status": {"const": "alive"}, "models": counts}), "What is served.")
    front["content"] |= as_page("")["content"]
    return {
        "/": get("front", "a page for a person, JSON for a program", front),
        "/models": get(
            "models", "every model", as_json(closed({"models": described, "refused": texts}), "The models.")
        ),
        "/health/live": health(
            "live", "whether the process answers", as_json(closed({"live": {"const": True}}), "It does.")
        ),
        "/health/ready": health(
            "ready",
            "whether a verified model can answer",
            as_json(closed({"ready": {"const": True}, "models": names, "refused": texts}), "It can."),
        ),
        "/metrics": get("metrics", "counters and times for Prometheus", as_text("text/plain", "The metrics.")),
        "/openapi.json": get("openapi", "this document", as_json({"type": "object"}, "OpenAPI 3.1.")),
        "/docs": get("docs", "this document as a page", as_page("Swagger UI.")),
    }


def _model_paths(bundle: Bundle) -> Schema:
    name, number = bundle.manifest.model, bundle.version
    return {
        **_places(bundle, f"/models/{name}", name, "by the champion"),
        **_places(bundle, f"/models/{name}/versions/{number}", f"{name}_{number}", f"by version {number}"),
        f"/models/{name}/versions": get(
            f"versions_{name}",
            "published versions and history",
            as_json(descriptions.versions(name), "They."),
            404,
            tag=name,
        ),
        **control.paths(name),
    }


def _places(bundle: Bundle, place: str, key: str, who: str) -> Schema:
    name = bundle.manifest.model
    described = as_json(ref("Description"), "Features, target, metrics.", *MODEL_HEADERS)
    page = {"name": "page", "in": "path", "required": True, "schema": {"enum": list(PAGES)}}
    pages = get(f"page_{key}", "a page of its reports", as_page("A page.", *MODEL_HEADERS), 404, tag=name)
    pages["get"]["parameters"].append(page)
    pages["get"]["responses"]["308"] = {"description": "The evaluation has an address of its own, `report`."}
    return {
        **_answers(bundle, place, key, who),
        place: get(f"describe_{key}", "what it reads and how good it is", described, 404, tag=name),
        f"{place}/report": get(
            f"report_{key}", "its evaluation", as_page("The report.", *MODEL_HEADERS), 404, tag=name
        ),
        f"{place}/{{page}}.html": pages,
    }


def _answers(bundle: Bundle, place: str, key: str, who: str) -> Schema:
    included = schemas.includes(bundle)
    explained = [name for name in included if name != "explanation"]
    predict = _ask(bundle, "", f"predict_{key}", f"a prediction {who}", included)
    predict["requestBody"]["content"] |= tables.asked(bundle)
    predict["responses"]["200"]["content"] |= tables.answered(bundle)
    return {
        f"{place}/predict": {"post": predict},
        f"{place}/explain": {"post": _ask(bundle, "Explain", f"explain_{key}", f"why {who}", explained)},
    }


def _ask(bundle: Bundle, kind: str, key: str, summary: str, included: Sequence[str]) -> Schema:
    name = bundle.manifest.model
    body = {"schema": ref(f"{name}.{kind}Request"), "examples": _bodies(bundle.manifest.features)}
    made = operation(
        key,
        summary,
        as_json(ref(f"{name}.{kind}Reply"), "In the form in which the rows came.", *MODEL_HEADERS),
        *(400, 404, 409, 413, 415, 422, 504),
        tag=name,
    )
    made["parameters"] += _parameters(bundle, included)
    return {**made, "requestBody": {"required": True, "content": {"application/json": body}}}


def _bodies(features: Sequence[Feature]) -> Schema:
    row = schemas.example(features)
    values = list(row.values())
    bodies = {"instances": {"instances": [row]}, "features": {"features": values}, "list": [values], "records": [row]}
    return {name: {"value": body} for name, body in bodies.items()}


def _parameters(bundle: Bundle, included: Sequence[str]) -> list[Schema]:
    asked = {"type": "array", "items": {"enum": list(included)}, "minItems": 1}
    parameters = [_query("include", "What else is answered.", asked, explode=False)] if included else []
    classes = [str(label) for label in bundle.manifest.target.classes]
    if classes:
        parameters.append(_query("class", "Whose probability is explained.", {"type": "string", "enum": classes}))
    calibration = bundle.metrics and bundle.metrics.calibration
    if calibration:
        usual = usual_coverage(calibration)
        limits = {"exclusiveMinimum": 0, "maximum": most(calibration.rows), "examples": [usual]}
        told = (
            f"How often an interval has to hold the truth, {usual:.4g} if it is not said; "
            f"{calibration.rows} calibration rows promise {most(calibration.rows):.4g} at most."
        )
        parameters.append(_query("coverage", told, {"type": "number", **limits}))
    return parameters


def _query(name: str, told: str, schema: Schema, **more: Any) -> Schema:
    return {"name": name, "in": "query", "description": told, "schema": schema, **more}


def _components(bundles: Sequence[Bundle], config: Config) -> Schema:
    given = {"name": "X-Request-Id", "in": "header", "description": "A name of your own for the request."}
    return {
        "schemas": _schemas(bundles, config),
        "responses": {str(status): refusal(status, when) for status, when in WHEN.items()}
        | control.responses()
        | protocols.responses(),
        "parameters": {"X-Request-Id": {**given, "schema": {"type": "string"}}},
        "headers": {
            "X-Request-Id": header(schemas.REQUEST_ID),
            "Server-Timing": header({"type": "string", "pattern": TIMING}),
            "X-Model": header({"type": "string"}),
            "X-Model-Version": header({"type": "integer", "minimum": 1}),
        },
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer"},
            "password": {"type": "http", "scheme": "basic", "description": "The token as password of any name."},
        },
    }


def _schemas(bundles: Iterable[Bundle], config: Config) -> Schema:
    made = {
        "Problem": schemas.problem(),
        **descriptions.schemas_of(),
        **control.schemas_of(),
        PROBLEM: schemas.problem_document(),
    }
    for bundle in bundles:
        name, features = bundle.manifest.model, bundle.manifest.features
        row, listed = f"{name}.Row", f"{name}.Values"
        made[row], made[listed] = schemas.record(features), schemas.values(features)
        made[f"{name}.Request"] = schemas.request(ref(row), ref(listed), config.max_rows)
        most = min(config.max_rows, most_explained(len(bundle.golden.background), len(features)))
        made[f"{name}.ExplainRequest"] = schemas.request(ref(row), ref(listed), most)
        made |= _replies(bundle) | tables.schemas_of(bundle) | protocols.schemas_of(bundle, config)
    return made


def _replies(bundle: Bundle) -> Schema:
    name, one = bundle.manifest.model, schemas.answer(bundle)
    included = schemas.includes(bundle)
    beside = schemas.beside_answers(bundle, included)
    why = schemas.explanation(bundle, prediction=one)
    beside_why = schemas.beside_answers(bundle, [word for word in included if word != "explanation"])
    return {
        f"{name}.Reply": schemas.reply(one, beside),
        f"{name}.ExplainReply": schemas.reply(why, beside_why, schemas.EXPLANATION),
    }
