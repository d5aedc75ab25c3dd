"""Ask by NVIDIA's client, `tritonclient[http]`, and print what it was answered."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

TYPES = {"number": ("FP32", np.float32), "category": ("BYTES", np.object_)}

given = json.load(sys.stdin)
client = triton.InferenceServerClient(given["address"])
answers: dict[str, dict[str, Any]] = {name: {} for name in given["tables"]}


def tensor(name: str, values: np.ndarray, datatype: str, binary: bool) -> triton.InferInput:
    """Return one input."""
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def whole(table: dict[str, Any], datatype: str = "FP32", binary: bool = True) -> list[triton.InferInput]:
    """Return a table as one tensor."""
    kinds = {"FP32": np.float32, "FP64": np.float64}
    return [tensor("input", np.array(table["rows"], dtype=kinds[datatype]), datatype, binary)]


def by_column(table: dict[str, Any], binary: bool = True, wide: bool = False) -> list[triton.InferInput]:
    """Return a table as a tensor per column, the last column first."""
    made = []
    for name, kind, values in zip(table["names"], table["kinds"], zip(*table["rows"], strict=True), strict=True):
        datatype, dtype = TYPES[kind]
        gap = "" if kind == "category" else np.nan
        column = np.array([gap if value is None else value for value in values], dtype=dtype)
        made.insert(0, tensor(name, column.reshape(-1, 1) if wide else column, datatype, binary))
    return made


def asked(*names: str, binary: bool) -> list[triton.InferRequestedOutput]:
    """Return the outputs that are asked for."""
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def infer(model: str, inputs: list[triton.InferInput], **options: Any) -> Any:
    """Return the predicted values; texts come as bytes."""
    return listed(client.infer(model, inputs, **options).as_numpy("predict"))


def listed(values: np.ndarray) -> list[Any]:
    """Return values as JSON knows them."""
    return [value.decode() if isinstance(value, bytes) else value for value in values.tolist()]


def refused(call: Callable[[], Any]) -> list[str]:
    """Return the status and the message of a refusal."""
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    raise AssertionError("it was not refused")


for name, table in given["tables"].items():
    told, model = answers[name], table["model"]
    gaps = any(None in row for row in table["rows"])  # JSON has no NaN for this client to send
    for form in ("binary",) if gaps else ("binary", "json"):
        binary = form == "binary"
        for packed in (None, "gzip", "deflate"):
            told[f"columns {form} {packed}"] = infer(
                model, by_column(table, binary), request_compression_algorithm=packed
            )
        for packed in ("gzip", "deflate"):
            told[f"columns {form}, answered in {packed}"] = infer(
                model, by_column(table, binary), response_compression_algorithm=packed
            )
        told[f"columns [n, 1] {form}"] = infer(model, by_column(table, binary, wide=True))
        told[f"columns {form}, output as JSON"] = infer(
            model, by_column(table, binary), outputs=asked("predict", binary=False)
        )
        told[f"columns {form}, output binary"] = infer(
            model, by_column(table, binary), outputs=asked("predict", binary=True)
        )
        if set(table["kinds"]) == {"number"}:
            for datatype in ("FP32", "FP64"):
                for packed in (None, "gzip", "deflate"):
                    told[f"table {form} {datatype} {packed}"] = infer(
                        model, whole(table, datatype, binary), request_compression_algorithm=packed
                    )
            told[f"table {form} version 1"] = infer(model, whole(table, binary=binary), model_version="1")

first = given["tables"]["wine"]
both = {
    form: client.infer("wine", whole(first), outputs=asked("predict", "predict_proba", binary=form == "binary"))
    for form in ("binary", "json")
}
mixed = client.infer(
    "houses", by_column(given["tables"]["houses"]), outputs=asked("predict", "predict_proba", "interval", binary=True)
)
prices = client.infer("prices", by_column(given["tables"]["prices"]), outputs=asked("interval", binary=True))
few = {"names": first["names"][:3], "kinds": first["kinds"][:3], "rows": [row[:3] for row in first["rows"]]}
other = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "model ready": client.is_model_ready("wine"),
    "version ready": client.is_model_ready("wine", "1"),
    "unknown model ready": client.is_model_ready("beer"),
    "unknown version ready": client.is_model_ready("wine", "7"),
    "server": client.get_server_metadata(),
    "wine": client.get_model_metadata("wine"),
    "houses": client.get_model_metadata("houses", "1"),
    "index": client.get_model_repository_index(),
    "id": client.infer("wine", whole(first), request_id="my own").get_response()["id"],
    "probabilities": {form: result.as_numpy("predict_proba").tolist() for form, result in both.items()},
    "labels": {form: result.as_numpy("predict").tolist() for form, result in both.items()},
    "houses probabilities": mixed.as_numpy("predict_proba").tolist(),
    "houses sets": mixed.as_numpy("interval").tolist(),
    "prices intervals": prices.as_numpy("interval").tolist(),
    "later": listed(client.async_infer("wine", whole(first)).get_result().as_numpy("predict")),
    "no rows": infer("wine", [tensor("input", np.empty((0, 13), dtype=np.float32), "FP32", True)]),
    "refused": {
        "unknown model": refused(lambda: infer("beer", whole(first))),
        "unknown version": refused(lambda: infer("wine", whole(first), model_version="7")),
        "another width": refused(lambda: infer("wine", whole({"rows": [row[:3] for row in first["rows"]]}))),
        "columns missing": refused(lambda: infer("wine", by_column(few))),
        "infinity": refused(lambda: infer("wine", whole({"rows": [[float("inf")] * 13]}))),
        "NaN as JSON": refused(lambda: infer("wine", whole({"rows": [[float("nan")] * 13]}, binary=False))),
        "another output": refused(lambda: infer("wine", whole(first), outputs=asked("predicted", binary=True))),
        "a table of texts": refused(
            lambda: infer("houses", [tensor("input", np.zeros((2, 5), dtype=np.float32), "FP32", True)])
        ),
    },
}
print(json.dumps({"answers": answers, "other": other}))
