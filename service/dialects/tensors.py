"""Tensors as the Open Inference Protocol writes them: in JSON, or as bytes behind it (Triton's binary extension)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from service.errors import RequestError
from service.rows.inputs import Inputs, Schema

DTYPES = {
    "BOOL": "?",
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
BYTES = "BYTES"
LENGTH = struct.Struct("<I")

Parameters = dict[str, bool | int | float | str | None]


class Tensor(msgspec.Struct):
    """One input of a request; `data` is a list, or the bytes that stood behind the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: Parameters | None = None


def place(tensors: Sequence[Tensor], behind: memoryview) -> None:
    """Give each tensor that says how many bytes it has its part of what is behind the JSON; RequestError if unfit."""
    at = 0
    for tensor in tensors:
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            continue
        if type(size) is not int or not 0 <= size <= len(behind) - at:
            raise RequestError(f"input {told(tensor)} says binary_data_size, but the body does not hold those bytes")
        if tensor.data is not None:
            raise RequestError(f"input {told(tensor)} has both data and binary_data_size")
        tensor.data, at = behind[at : at + size], at + size
    if at != len(behind):
        raise RequestError(f"the body holds {len(behind) - at} bytes behind its tensors: say binary_data_size of each")


def table(tensor: Tensor, schema: Schema) -> Inputs:
    """Return the rows of one `[n, features]` tensor, in the order of the features."""
    count, width = shape_of(tensor, len(schema.names))
    values = _values(tensor, count * width)
    if isinstance(values, list):
        rows = values if values and isinstance(values[0], list) else _in_rows(values, width)
        if len(rows) != count:
            raise RequestError(f"input {told(tensor)} holds {len(rows)} rows, its shape says {count}")
        return schema.read_lists(rows)
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32).reshape(count, width)
    if values.dtype.kind in "fiu" and schema.only_numbers and np.isfinite(numbers).all():
        return schema.inputs(numbers, np.empty((count, 0), dtype=object))
    return schema.read_columns(dict(zip(schema.names, values.reshape(count, width).T, strict=True)))


def column(tensor: Tensor) -> Sequence[Any]:
    """Return the values of a tensor of shape `[n]` or `[n, 1]`."""
    count, _ = shape_of(tensor, 1)
    values = _values(tensor, count)
    if isinstance(values, list):
        if len(tensor.shape) == 2 and all(isinstance(value, list) and len(value) == 1 for value in values):
            values = [value[0] for value in values]
        if len(values) != count:
            raise RequestError(f"input {told(tensor)} holds {len(values)} values, its shape says {count}")
    found: Sequence[Any] = values
    return found


def shape_of(tensor: Tensor, width: int) -> tuple[int, int]:
    """Return how many rows and columns a tensor has; RequestError unless it has `width` columns."""
    shape = tensor.shape if len(tensor.shape) != 1 or width != 1 else [*tensor.shape, 1]
    if len(shape) != 2 or shape[1] != width or shape[0] < 0:
        wanted = f"[n, {width}]" if width > 1 else "[n] or [n, 1]"
        raise RequestError(f"input {told(tensor)} has the shape {str(tensor.shape)[:40]}, it must have {wanted}")
    return shape[0], width


def encoded(values: npt.NDArray[Any], datatype: str) -> bytes:
    """Return an output's values as bytes, little-endian and row by row."""
    if datatype != BYTES:
        return values.astype(DTYPES[datatype], copy=False).tobytes()
    texts = [text.encode() for text in values.ravel().tolist()]
    return b"".join(part for text in texts for part in (LENGTH.pack(len(text)), text))


def told(tensor: Tensor) -> str:
    """Return a tensor's name as errors tell it."""
    return repr(tensor.name[:80])


def _values(tensor: Tensor, count: int) -> Any:
    """Return the list or the array of a tensor's values, as they stand."""
    if tensor.datatype not in DTYPES and tensor.datatype != BYTES:
        known = ", ".join([*DTYPES, BYTES])
        raise RequestError(f"input {told(tensor)} has the datatype {tensor.datatype[:40]!r}; known are {known}")
    if isinstance(tensor.data, memoryview):
        return _texts(tensor, count) if tensor.datatype == BYTES else _array(tensor, count)
    if not isinstance(tensor.data, list):
        raise RequestError(f"input {told(tensor)} has no data, a list of values")
    return tensor.data


def _array(tensor: Tensor, count: int) -> npt.NDArray[Any]:
    dtype = np.dtype(DTYPES[tensor.datatype])
    if len(tensor.data) != count * dtype.itemsize:
        wanted = f"{count} of {tensor.datatype} take {count * dtype.itemsize}"
        raise RequestError(f"input {told(tensor)} has {len(tensor.data)} bytes, {wanted}")
    if tensor.datatype == "BOOL":
        return np.frombuffer(tensor.data, np.uint8).astype(bool)
    values: npt.NDArray[Any] = np.frombuffer(tensor.data, dtype)
    # Whole numbers come through 64 bits in JSON; rounded to 32 at once a few would get another last bit.
    return values.astype(np.float64) if dtype.kind in "iu" else values


def _texts(tensor: Tensor, count: int) -> list[Any]:
    """Return texts, None for an empty one: the extension has no other sign for what is missing."""
    raw, texts, at = tensor.data, [], 0
    try:
        for _ in range(count):
            (size,) = LENGTH.unpack_from(raw, at)
            at += LENGTH.size + size
            if at > len(raw):
                raise ValueError
            texts.append(str(raw[at - size : at], "utf-8") or None)
        if at != len(raw):
            raise ValueError
    except (struct.error, ValueError):
        raise RequestError(f"input {told(tensor)} must hold {count} texts in UTF-8, each behind its length") from None
    return texts


def _in_rows(values: list[Any], width: int) -> list[list[Any]]:
    if len(values) % width:
        raise RequestError(f"data of {len(values)} values does not make rows of {width}")
    return [values[start : start + width] for start in range(0, len(values), width)]
