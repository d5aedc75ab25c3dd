"""The same rows in every protocol: how each writes a table, where it is sent, and how it tells answers and errors."""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.contents import Feature

JSON = {"Content-Type": "application/json"}
HEADER = "Inference-Header-Content-Length"
DATATYPES = {"number": "FP64", "category": "BYTES", "boolean": "BOOL", "date": "BYTES"}

Record = dict[str, Any]


class Sent(NamedTuple):
    """A request: where to, and what."""

    path: str
    body: bytes
    headers: dict[str, str] = JSON

    def ask(self, client: FlaskClient, **headers: str) -> TestResponse:
        """Send it."""
        return client.post(self.path, data=self.body, headers={**self.headers, **headers})


def lists(records: list[Record]) -> list[list[Any]]:
    """Return rows as lists, in the order of their fields."""
    return [list(record.values()) for record in records]


def columns(records: list[Record]) -> dict[str, list[Any]]:
    """Return rows by column, for every field that any row has, without what a row lacks."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return {name: [record[name] for record in records if name in record] for name in names}


def native(document: Any) -> Callable[[str, list[Feature], list[Record]], Sent]:
    """Return how a native body is made."""
    return lambda model, features, records: _sent(f"/models/{model}/predict", document(records))


def _sent(path: str, document: Any) -> Sent:
    return Sent(path, json.dumps(document).encode())


def mlflow(document: Any) -> Callable[[str, list[Feature], list[Record]], Sent]:
    """Return how a body for MLflow is made, whose model is the default one."""
    return lambda model, features, records: _sent("/invocations", document(records))


def split(records: list[Record]) -> Any:
    """Return a data frame as MLflow's client writes it."""
    table = columns(records)
    rows = lists(records)
    return {"dataframe_split": {"index": [*range(7, 7 + len(rows))], "columns": list(table), "data": rows}}


def mlflow_csv(model: str, features: list[Feature], records: list[Record]) -> Sent:
    """Return a CSV for MLflow, whose model is the default one; a gap is an empty cell."""
    names = list(columns(records)) or [feature.name for feature in features]
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in record.items()} for record in records)
    return Sent("/invocations", text.getvalue().encode(), {"Content-Type": "text/csv; charset=utf-8"})


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool) else value


def v1(document: Any) -> Callable[[str, list[Feature], list[Record]], Sent]:
    """Return how a body for KServe's first protocol is made."""
    return lambda model, features, records: _sent(f"/v1/models/{model}:predict", document(records))


def v2(inputs: Any) -> Callable[[str, list[Feature], list[Record]], Sent]:
    """Return how a body for the Open Inference Protocol is made."""

    def make(model: str, features: list[Feature], records: list[Record]) -> Sent:
        return _sent(f"/v2/models/{model}/infer", {"inputs": inputs(features, records)})

    return make


def tensors(features: list[Feature], records: list[Record]) -> list[Any]:
    """Return a tensor per column."""
    kinds = {feature.name: DATATYPES[feature.kind] for feature in features}
    return [
        {"name": name, "shape": [len(values)], "datatype": kinds.get(name, "FP64"), "data": values}
        for name, values in (columns(records) or {name: [] for name in kinds}).items()
    ]


def one_tensor(features: list[Feature], records: list[Record]) -> list[Any]:
    """Return the whole table as one tensor."""
    return [{"name": "all", "shape": [len(records), len(features)], "datatype": "FP64", "data": lists(records)}]


def flat_tensor(features: list[Feature], records: list[Record]) -> list[Any]:
    """Return the whole table as one tensor whose data is not nested."""
    (tensor,) = one_tensor(features, records)
    return [{**tensor, "data": [value for row in tensor["data"] for value in row]}]


def binary(model: str, features: list[Feature], records: list[Record]) -> Sent:
    """Return a tensor per column, as bytes; a gap is NaN or an empty text."""
    heads, behind = [], []
    for tensor in tensors(features, records):
        behind.append(as_bytes(tensor.pop("data"), tensor["datatype"]))
        heads.append({**tensor, "parameters": {"binary_data_size": len(behind[-1]), "content_type": "pd"}})
    return with_bytes(model, heads, behind)


def binary_table(datatype: str) -> Callable[[str, list[Feature], list[Record]], Sent]:
    """Return how the whole table is made one tensor of bytes."""

    def make(model: str, features: list[Feature], records: list[Record]) -> Sent:
        (tensor,) = one_tensor(features, records)
        raw = as_bytes([value for row in tensor.pop("data") for value in row], datatype)
        head = {**tensor, "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}
        return with_bytes(model, [head], [raw])

    return make


def bare_tensor(model: str, features: list[Feature], records: list[Record]) -> Sent:
    """Return the whole table as one tensor of bytes, and nothing else."""
    raw = as_bytes([value for row in lists(records) for value in row], "FP32")
    return Sent(f"/v2/models/{model}/infer", raw, {HEADER: "0"})


def with_bytes(model: str, heads: list[Any], behind: list[bytes]) -> Sent:
    """Return a request of which tensors stand behind the JSON."""
    head = json.dumps({"inputs": heads}).encode()
    return Sent(f"/v2/models/{model}/infer", head + b"".join(behind), {HEADER: str(len(head))})


def as_bytes(values: list[Any], datatype: str) -> bytes:
    """Return values as the binary extension has them."""
    if datatype == "BYTES":
        texts = [(value or "").encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    dtype = {"FP32": "<f4", "FP64": "<f8", "BOOL": "?", "INT64": "<i8"}[datatype]
    return np.array([np.nan if value is None else value for value in values], dtype=dtype).tobytes()


RECORDS = {
    "native": native(lambda records: {"instances": records}),
    "vetiver": native(lambda records: records),
    "mlflow split": mlflow(split),
    "mlflow records": mlflow(lambda records: {"dataframe_records": records}),
    "mlflow instances": mlflow(lambda records: {"instances": records}),
    "mlflow inputs": mlflow(lambda records: {"inputs": records}),
    "mlflow columns": mlflow(lambda records: {"inputs": columns(records)}),
    "kserve": v1(lambda records: {"instances": records}),
    "oip columns": v2(tensors),
}
"""Bodies in JSON that name fields."""

LISTS = {
    "native lists": native(lambda records: {"instances": lists(records)}),
    "native features": native(lambda records: {"features": lists(records)}),
    "native bare": native(lists),
    "mlflow lists": mlflow(lambda records: {"inputs": lists(records)}),
    "mlflow instances as lists": mlflow(lambda records: {"instances": lists(records)}),
    "kserve lists": v1(lambda records: {"instances": lists(records), "signature_name": "serving_default"}),
    "oip table": v2(one_tensor),
}
"""Bodies in JSON that hold rows as lists, in the order of the features."""

FLAT = {"oip flat": v2(flat_tensor)}
BINARY = {"oip binary columns": binary}
CSV = {"mlflow csv": mlflow_csv}
TABLES = {"oip FP32": binary_table("FP32"), "oip FP64": binary_table("FP64"), "oip bare": bare_tensor}
"""Bodies that hold one tensor of bytes, for models that read numbers only."""


def predictions(reply: TestResponse) -> Any:
    """Return what was predicted, whatever the protocol."""
    assert reply.status_code == 200, reply.text
    if "Inference-Header-Content-Length" in reply.headers:
        return dict(outputs(reply))["predict"]
    document = reply.json
    if isinstance(document, list):
        return document
    if "outputs" in document:
        return document["outputs"][0]["data"]
    (key,) = document.keys() & {"predictions", "prediction", "predict"}
    return document[key]


def outputs(reply: TestResponse) -> Iterator[tuple[str, list[Any]]]:
    """Yield the name and the values of each output that came as bytes."""
    length = int(reply.headers[HEADER])
    raw = reply.data[length:]
    for output in json.loads(reply.data[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        part, raw = raw[:size], raw[size:]
        if output["datatype"] == "BYTES":
            values: list[Any] = []
            while part:
                (long,) = struct.unpack_from("<I", part)
                values.append(part[4 : 4 + long].decode())
                part = part[4 + long :]
        else:
            dtype = {"INT64": "<i8", "FP32": "<f4", "FP64": "<f8", "BOOL": "?"}[output["datatype"]]
            values = np.frombuffer(part, dtype).reshape(output["shape"]).tolist()
        yield output["name"], values
    assert not raw


def told(reply: TestResponse, status: int) -> str:
    """Hold that a refusal has its protocol's shape and names no inside, and return its sentence."""
    path = reply.request.path
    assert reply.status_code == status, (path, reply.text)
    document = json.loads(reply.data)
    if path.startswith(("/v1", "/v2")):
        assert reply.headers["Content-Type"] == "application/json"
        assert document.keys() == {"error"}
        sentence = document["error"]
    elif path.startswith(("/invocations", "/ping", "/version")):
        assert document.keys() == {"error_code", "message"}
        assert document["error_code"].isupper()
        sentence = document["message"]
    else:
        assert reply.mimetype == "application/problem+json"
        assert document["status"] == status
        sentence = document["detail"]
    assert isinstance(sentence, str) and sentence
    assert not [secret for secret in ("Traceback", ".py", "/tmp/", "site-packages") if secret in reply.text]
    assert len(reply.data) < 8000
    return sentence


def wrong_rows(path: str) -> int:
    """Return the status with which the protocol at a path refuses rows that do not fit."""
    return 400 if path.startswith(("/v1", "/v2", "/invocations")) else 422
