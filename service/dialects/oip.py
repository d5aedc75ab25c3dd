"""The Open Inference Protocol (KServe's V2, Triton, MLServer): tensors in and out, as JSON or as bytes behind it."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from flask import Blueprint, Response, current_app, request

from service.calls import Answer, Call, decode, read_body
from service.config import VERSION
from service.dialects import outputs, tensors
from service.dialects.outputs import HEADER, Wanted
from service.dialects.tensors import BYTES, Parameters, Tensor
from service.errors import InputError, Problem, RequestError
from service.model import Model
from service.rows.inputs import Inputs
from service.web import current
from service.web.replies import json_reply

NAME = "oip"
PREDICT = ("/v2/models/<name>/infer", "/v2/models/<name>/versions/<int:version>/infer")
PATHS = ("/v2",)

TABLE = "input"
"""What the one tensor of a whole table is called in metadata; a request may call it anything that is no feature."""
KINDS = {"number": "FP32", "category": BYTES, "boolean": "BOOL", "date": BYTES}
TOLD = 20
"""How many warnings a reply tells."""

pages = Blueprint("oip", __name__)


class Infer(msgspec.Struct, frozen=True):
    """The JSON of a request for inference."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[Wanted] | None = None


DECODE = msgspec.json.Decoder(Infer).decode


def predict(call: Call) -> Answer:
    """Answer a table given as one tensor, or as a tensor per column."""
    asked = _read(call)
    wanted = asked.outputs or [Wanted("predict")]
    if len({one.name for one in wanted}) < len(wanted):
        raise RequestError("'outputs' names an output twice: name it once")
    for one in wanted:
        outputs.check(call.model, one)
    binary = outputs.truth(asked.parameters, "binary_data_output")
    inputs = _inputs(call, asked.inputs)
    prediction = call.predict(inputs)
    given = [outputs.compute(call.model, prediction, one) for one in wanted]
    head: dict[str, Any] = {
        "model_name": call.model.name,
        "model_version": str(call.model.version),
        "id": asked.id or call.id,
    }
    if inputs.warnings:
        head["parameters"] = {"warnings": "; ".join(map(str, inputs.warnings[:TOLD]))}
    answer = outputs.answer(head, given, binary)
    return outputs.compressed(answer, call.header("Accept-Encoding"))


def error(status: int, detail: str) -> Response:
    """Tell an error as the protocol has it."""
    return json_reply({"error": detail}, status)


@pages.get("/v2", strict_slashes=False)
def server() -> Response:
    """Describe the service."""
    return json_reply({"name": "cellar", "version": VERSION, "extensions": ["binary_tensor_data"]})


@pages.get("/v2/health/live")
def live() -> Response:
    """Say that the process answers."""
    return json_reply({"live": True})


@pages.get("/v2/health/ready")
def ready() -> Response:
    """Say that a verified model can answer."""
    current.live().check_ready()
    return json_reply({"ready": True, "live": True})


@pages.get("/v2/models/<name>")
@pages.get("/v2/models/<name>/versions/<int:version>")
def metadata(name: str, version: int | None = None) -> Response:
    """Describe a model by its tensors."""
    found = current.model(name, version)
    return json_reply(
        {
            "name": found.name,
            "versions": [str(number) for number in current.live().registry.versions(name)],
            "platform": "onnxruntime_onnx",
            "inputs": _described_inputs(found),
            "outputs": outputs.described(found.manifest),
        }
    )


@pages.get("/v2/models/<name>/ready")
@pages.get("/v2/models/<name>/versions/<int:version>/ready")
def model_ready(name: str, version: int | None = None) -> Response:
    """Say that a model can answer."""
    return json_reply({"name": current.model(name, version).name, "ready": True})


@pages.post("/v2/repository/index")
def index() -> Response:
    """List the models, and unless only those that are ready are asked for, what was refused and why."""
    body = read_body(request.environ, current_app.config["CELLAR"].max_body)
    asked = decode(body) if body else {}
    if not isinstance(asked, dict) or not isinstance(asked.get("ready", False), bool):
        raise RequestError('the body must be an object such as {"ready": true}')
    served = current.live().champions
    listed = [{"name": m.name, "version": str(m.version), "state": "READY", "reason": ""} for m in served.values()]
    if not asked.get("ready"):
        refused = {name: why for name, why in current.live().refused.items() if name not in served}
        listed += [{"name": n, "version": "", "state": "UNAVAILABLE", "reason": w} for n, w in refused.items()]
    return json_reply(listed)


def _read(call: Call) -> Infer:
    """Return the request with each tensor's bytes in place; the body may also be the bytes of the one tensor alone."""
    body, length = call.body(), call.header(HEADER)
    if not length:
        if not call.is_json:
            call.json()  # raises what is wrong with that
        return _placed(decode(body, DECODE), memoryview(b""))
    if not re.fullmatch("[0-9]{1,12}", length) or int(length) > len(body):
        raise RequestError(f"the header {HEADER} must be the length of the JSON at the body's beginning")
    if int(length) == 0:
        return _alone(call.model, body)
    return _placed(decode(body[: int(length)], DECODE), memoryview(body)[int(length) :])


def _placed(asked: Infer, behind: memoryview) -> Infer:
    tensors.place(asked.inputs, behind)
    return asked


def _alone(model: Model, body: bytes) -> Infer:
    """Return the request that is meant by a bare tensor, whose answer is binary, too."""
    width = 4 * len(model.schema.names)
    if not model.schema.only_numbers or len(body) % width:
        raise RequestError(
            f"a body without JSON must be one FP32 tensor of {width // 4} features: rows of {width} bytes"
        )
    tensor = Tensor(TABLE, [len(body) // width, width // 4], "FP32", memoryview(body))
    return Infer([tensor], parameters={"binary_data_output": True})


def _inputs(call: Call, given: list[Tensor]) -> Inputs:
    """Return the checked rows of the tensors."""
    schema = call.model.schema
    names = [tensor.name for tensor in given]
    if not given or len(set(names)) < len(names):
        raise RequestError("'inputs' must hold one tensor, or one for each feature, each name once")
    if given[0].shape:
        call.check_count(given[0].shape[0])
    if len(given) == 1 and names[0] not in schema.names:
        return tensors.table(given[0], schema)
    columns = {tensor.name: tensors.column(tensor) for tensor in given}
    counts = {name: len(values) for name, values in columns.items()}
    for name, count in counts.items():
        if count != counts[names[0]]:
            wrong = f"has {count} rows, {names[0][:80]!r} has {counts[names[0]]}"
            raise InputError([Problem(wrong, min(count, counts[names[0]]), name[:80])])
    return schema.read_table(columns)


def _described_inputs(model: Model) -> list[dict[str, Any]]:
    schema = model.schema
    if schema.only_numbers:
        return [{"name": TABLE, "datatype": "FP32", "shape": [-1, len(schema.names)]}]
    return [{"name": one.name, "datatype": KINDS[one.kind], "shape": [-1]} for one in schema.features]
