"""Whether an ONNX file keeps all its tensors inside itself, told without loading it."""

from __future__ import annotations

from collections.abc import Iterator

from service.errors import BundleError

# Where tensors can stand in onnx.proto: message -> {field number: message held there}.
HOLDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14
DEPTH = 32


def refuse_external_tensors(model: bytes) -> None:
    """Raise BundleError if `model` is not a well-formed ONNX message or refers to another file."""
    try:
        external = _has_external(memoryview(model), "model", DEPTH)
    except (IndexError, ValueError) as error:
        raise BundleError(f"model.onnx is not an ONNX file ({error}): train the model again") from error
    if external:
        raise BundleError("model.onnx keeps tensors outside the file, which is not allowed: export it whole")


def _has_external(message: memoryview, kind: str, depth: int) -> bool:
    if depth == 0:
        raise ValueError("nested too deeply")
    for field, value in _fields(message):
        if kind == "tensor" and (field == EXTERNAL_DATA or (field == DATA_LOCATION and value != 0)):
            return True
        inner = HOLDS[kind].get(field)
        if inner and isinstance(value, memoryview) and _has_external(value, inner, depth - 1):
            return True
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield (field number, value) of one protobuf message: a view for what has a length, else an int."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key >> 32:
            # Parsers drop the high bits and would read another field than this one.
            raise ValueError(f"broken at byte {at}")
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield field, value
            continue
        size, at = _varint(message, at) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), at)
        if size < 0 or at + size > len(message):
            raise ValueError(f"broken at byte {at}")
        yield field, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"broken at byte {at}")
