"""How each set-up wants its rows, and where its reply has the labels."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]
JSON = {"Content-Type": "application/json"}
ARROW = "application/vnd.apache.arrow.stream"
HEADER_LENGTH = "Inference-Header-Content-Length"
DTYPES = {"INT64": "<i8", "INT32": "<i4", "FP32": "<f4", "FP64": "<f8"}


class Request(NamedTuple):
    """What is sent."""

    body: bytes
    headers: dict[str, str]


class Wire(NamedTuple):
    """One wire format: rows with their names into a request, a reply's body and headers into labels."""

    write: Callable[[Rows, Sequence[str]], Request]
    read: Callable[[bytes, Mapping[str, str]], list[Any]]


def _json(document: Any) -> Request:
    return Request(msgspec.json.encode(document), JSON)


def lists(field: str, answer: str = "") -> Wire:
    """Return the format of `{field: [[…], …]}`, answered by `{answer: […]}` or a bare list."""

    def read(body: bytes, headers: Mapping[str, str]) -> list[Any]:
        reply = msgspec.json.decode(body)
        found: list[Any] = reply[answer] if answer else reply
        return found

    return Wire(lambda rows, names: _json({field: rows.tolist()}), read)


def _records(rows: Rows, names: Sequence[str]) -> Request:
    return _json([dict(zip(names, row, strict=True)) for row in rows.tolist()])


RECORDS = Wire(_records, lambda body, headers: msgspec.json.decode(body)["predict"])
"""A bare list of records, as vetiver has it."""


def _tensor(rows: Rows, **rest: Any) -> dict[str, Any]:
    return {"name": "input-0", "shape": list(rows.shape), "datatype": "FP32", **rest}


def _v2(rows: Rows, names: Sequence[str]) -> Request:
    return _json({"inputs": [_tensor(rows, data=rows.ravel().tolist())]})


def _v2_read(body: bytes, headers: Mapping[str, str]) -> list[Any]:
    length = int(headers.get(HEADER_LENGTH) or len(body))
    output = msgspec.json.decode(body[:length])["outputs"][0]
    if "data" in output:
        return np.ravel(output["data"]).tolist()
    size = output["parameters"]["binary_data_size"]
    return np.frombuffer(body[length : length + size], DTYPES[output["datatype"]]).tolist()


V2 = Wire(_v2, _v2_read)
"""Open Inference Protocol, JSON: one tensor, flat."""


def _v2_binary(rows: Rows, names: Sequence[str]) -> Request:
    tensor = rows.astype("<f4").tobytes()
    given = _tensor(rows, parameters={"binary_data_size": len(tensor)})
    head = msgspec.json.encode({"inputs": [given], "parameters": {"binary_data_output": True}})
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return Request(head + tensor, headers)


V2_BINARY = Wire(_v2_binary, _v2_read)
"""Open Inference Protocol, one float32 tensor in its binary extension, answered so, too."""


def _arrow(rows: Rows, names: Sequence[str]) -> Request:
    from arro3.core import Array, DataType, Table
    from arro3.io import write_ipc_stream

    columns = {name: Array(column.copy(), DataType.float64()) for name, column in zip(names, rows.T, strict=True)}
    held = io.BytesIO()
    write_ipc_stream(Table.from_pydict(columns), held, compression=None)
    return Request(held.getvalue(), {"Content-Type": ARROW, "Accept": ARROW})


def _arrow_read(body: bytes, headers: Mapping[str, str]) -> list[Any]:
    from arro3.io import read_ipc_stream

    found: list[Any] = read_ipc_stream(io.BytesIO(body)).read_all().column(0).to_pylist()
    return found


ARROW_STREAM = Wire(_arrow, _arrow_read)
"""An Arrow stream of 64-bit columns, as pyarrow writes what pandas and polars have, answered so, too."""
