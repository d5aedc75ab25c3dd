"""The protocols of others in the OpenAPI document: MLflow, KServe V1, the Open Inference Protocol, vetiver."""

from __future__ import annotations

from http import HTTPStatus

from service.bundle import Bundle
from service.config import Config
from service.explanation import most_explained
from service.openapi import schemas, tables
from service.openapi.operations import ALWAYS, MODEL_HEADERS, answer, as_json, as_text, get, health, operation, ref
from service.openapi.schemas import Schema, closed

MLFLOW, KSERVE, OIP, VETIVER = "MLflow", "KServe V1", "Open Inference Protocol", "vetiver"
TAGS = (MLFLOW, KSERVE, OIP, VETIVER)

TOLD = {MLFLOW: "mlflow.", KSERVE: "error.", OIP: "error.", VETIVER: ""}
"""How each tells a refusal: what the document calls it, before its status."""

REFUSED = (400, 404, 409, 413, 415, 504)
"""What predictions may be refused with besides; none of these protocols knows 422."""

TEXT: Schema = {"type": "string"}
NUMBERS: Schema = {"type": "array", "items": {"type": "integer", "minimum": -1}}


def service_paths() -> Schema:
    """Return the paths that tell of the service."""
    pong = answer("application/json", closed({"ping": {"const": "pong"}}), "It can.")
    pong["content"] |= as_text("text/plain", "")["content"]
    ready = {"ready": {"const": True}, "live": {"const": True}}
    index = closed(dict.fromkeys(("name", "version", "state", "reason"), TEXT))
    listed = _post("repository", "the models", as_json({"type": "array", "items": index}, "They."), OIP)
    asked = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    listed["post"]["requestBody"] = {"content": {"application/json": {"schema": asked}}}
    names = {"type": "array", "items": TEXT}
    return {
        "/ping": health("ping", "whether a model can answer", pong, MLFLOW, TOLD[MLFLOW]),
        "/health": health("health", "whether a model can answer", pong, MLFLOW),
        "/version": _get("version", "the service's version", as_text("text/plain", "It."), MLFLOW),
        "/v1/models": _get("v1", "the models", as_json(closed({"models": names}), "Their names."), KSERVE),
        "/v2": _get(
            "v2", "the service", as_json(closed({"name": TEXT, "version": TEXT, "extensions": names}), "It."), OIP
        ),
        "/v2/health/live": health(
            "v2_live",
            "whether the process answers",
            as_json(closed({"live": {"const": True}}), "It does."),
            OIP,
            TOLD[OIP],
        ),
        "/v2/health/ready": health(
            "v2_ready", "whether a model can answer", as_json(closed(ready), "It can."), OIP, TOLD[OIP]
        ),
        "/v2/repository/index": listed,
    }


def paths(bundle: Bundle, default: bool) -> Schema:
    """Return the paths of one model, and of the protocols that know but one where it is the default."""
    name, number = bundle.manifest.model, bundle.version
    return {
        **(_default_paths(bundle) if default else {}),
        **_places(bundle, f"{name}", name),
        **_places(bundle, f"{name}/versions/{number}", f"{name}_{number}"),
    }


def _default_paths(bundle: Bundle) -> Schema:
    described = as_json({"type": "object"}, "In the fields of a pin.", *MODEL_HEADERS)
    invocations = _predict(bundle, "invocations", MLFLOW, "Invocations", "Predictions")
    invocations["post"]["requestBody"]["content"] |= tables.as_csv(bundle)
    return {
        "/invocations": invocations,
        "/metadata": _get("metadata", "the default model", described, VETIVER),
        "/prototype": _get("prototype", "the JSON Schema of a row", described, VETIVER),
    }


def _places(bundle: Bundle, place: str, key: str) -> Schema:
    name = bundle.manifest.model
    ready = {"name": {"const": name}, "ready": {"const": True}}
    status = closed({**ready, "model_version_status": {"type": "array", "items": {"type": "object"}}})
    state = as_json(status, "It is ready.", *MODEL_HEADERS)
    is_ready = as_json(closed(ready), "It is.", *MODEL_HEADERS)
    tensors = as_json(ref("Tensors"), "Its tensors.", *MODEL_HEADERS)
    return {
        f"/v1/models/{place}": _get(f"v1_{key}", "whether it is ready", state, KSERVE, 404),
        f"/v1/models/{place}:predict": _predict(bundle, f"v1_{key}_predict", KSERVE, "Instances", "Predictions"),
        f"/v1/models/{place}:explain": _predict(bundle, f"v1_{key}_explain", KSERVE, "Explained", "Explanations"),
        f"/v2/models/{place}": _get(f"v2_{key}", "its tensors", tensors, OIP, 404),
        f"/v2/models/{place}/ready": _get(f"v2_{key}_ready", "whether it can answer", is_ready, OIP, 404),
        f"/v2/models/{place}/infer": _predict(bundle, f"v2_{key}_infer", OIP, "Infer", "Outputs"),
    }


def _get(key: str, summary: str, reply: Schema, tag: str, *problems: int) -> Schema:
    return get(key, summary, reply, *problems, tag=tag, told=TOLD[tag])


def _post(key: str, summary: str, reply: Schema, tag: str) -> Schema:
    return {"post": operation(key, summary, reply, *REFUSED, tag=tag, told=TOLD[tag])}


def _predict(bundle: Bundle, key: str, tag: str, asked: str, told: str) -> Schema:
    name = bundle.manifest.model
    made = _post(key, f"predictions by {name}", as_json(ref(f"{name}.{told}"), "They.", *MODEL_HEADERS), tag)
    body = {"schema": ref(f"{name}.{asked}"), "examples": {"one row": {"value": _example(bundle, asked)}}}
    made["post"]["requestBody"] = {"required": True, "content": {"application/json": body}}
    return made


def _example(bundle: Bundle, asked: str) -> Schema:
    row = schemas.example(bundle.manifest.features)
    examples: Schema = {
        "Invocations": {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}},
        "Instances": {"instances": [row]},
        "Explained": {"instances": [row]},
        "Infer": {"inputs": [_tensor(name, value) for name, value in row.items()]},
    }
    example: Schema = examples[asked]
    return example


def _tensor(name: str, value: object) -> Schema:
    datatype = "BOOL" if isinstance(value, bool) else "BYTES" if isinstance(value, str) else "FP32"
    return {"name": name, "shape": [1], "datatype": datatype, "data": [value]}


def responses() -> Schema:
    """Return the refusals in the protocols' own shapes, by the document's name and status."""
    text = {"type": "string", "minLength": 1}
    shapes = {TOLD[MLFLOW]: closed({"error_code": text, "message": text}), TOLD[OIP]: closed({"error": text})}
    return {
        f"{name}{status}": as_json(shape, HTTPStatus(status).phrase)
        for name, shape in shapes.items()
        for status in (*REFUSED, *ALWAYS)
    }


def schemas_of(bundle: Bundle, config: Config) -> Schema:
    """Return what the bodies and replies of one model have to be, by the document's names."""
    name = bundle.manifest.model
    rows = _rows(bundle, config.max_rows)
    told = {"predictions": {"type": "array", "items": schemas.answer(bundle)}, "warnings": schemas.warnings()}
    most = min(config.max_rows, most_explained(len(bundle.golden.background), len(bundle.manifest.features)))
    why = {"type": "array", "items": schemas.explanation(bundle)}
    instances = {"properties": {"instances": rows, "signature_name": {}}, "required": ["instances"]}
    return {
        "Tensors": _tensors(),
        f"{name}.Instances": {"type": "object", **instances, "additionalProperties": False},
        f"{name}.Explained": closed({"instances": _rows(bundle, most), "signature_name": {}}, ("instances",)),
        f"{name}.Predictions": closed(told, ("predictions",)),
        f"{name}.Explanations": closed({"explanations": why}),
        f"{name}.Invocations": {"anyOf": [_frame(bundle), *(closed({form: rows}) for form in ("instances", "inputs"))]},
        f"{name}.Infer": _infer(),
        f"{name}.Outputs": _outputs(name),
    }


def _rows(bundle: Bundle, most: int) -> Schema:
    name = bundle.manifest.model
    forms = (ref(f"{name}.Row"), ref(f"{name}.Values"))
    return {"anyOf": [{"type": "array", "items": form, "maxItems": most} for form in forms]}


def _frame(bundle: Bundle) -> Schema:
    """Return a data frame whose columns stand as the features do; other orders, and more columns, are taken too."""
    names = [feature.name for feature in bundle.manifest.features]
    data = {"type": "array", "items": ref(f"{bundle.manifest.model}.Values")}
    return closed({"dataframe_split": closed({"columns": {"const": names}, "data": data})})


def _tensors() -> Schema:
    one = {"type": "array", "items": closed({"name": TEXT, "datatype": TEXT, "shape": NUMBERS})}
    versions = {"type": "array", "items": TEXT}
    return closed({"name": TEXT, "versions": versions, "platform": TEXT, "inputs": one, "outputs": one})


def _infer() -> Schema:
    """Return a request for inference: that the data fill the shape is more than JSON Schema can say."""
    tensor = {
        "name": TEXT,
        "shape": {**NUMBERS, "minItems": 1, "maxItems": 2},
        "datatype": TEXT,
        "data": {"type": "array"},
    }
    wanted = {"type": "object", "properties": {"name": TEXT, "parameters": {"type": "object"}}, "required": ["name"]}
    fields = {
        "id": TEXT,
        "inputs": {"type": "array", "items": closed(tensor), "minItems": 1},
        "outputs": {"type": "array", "items": wanted},
    }
    return {"type": "object", "properties": fields, "required": ["inputs"]}


def _outputs(name: str) -> Schema:
    output = closed({"name": TEXT, "datatype": TEXT, "shape": NUMBERS, "data": {"type": "array"}})
    head = {"model_name": {"const": name}, "model_version": TEXT, "id": TEXT}
    told = {"parameters": closed({"warnings": TEXT})}
    return closed({**head, "outputs": {"type": "array", "items": output}, **told}, (*head, "outputs"))
