"""Columns of an Arrow record batch as numpy arrays and lists: only what lies inside the buffers is ever read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from service.errors import TooLargeError
from service.tables.flatbuffer import FlatTable

TEXTS = 64 * 1024 * 1024
"""How many bytes of text one column may hold in the rows that are read at once."""

WIDEST_SCALE = 76
"""More decimals than a decimal of 256 bits can have."""

Buffers = Sequence[memoryview]
Valid = npt.NDArray[np.bool_] | None
Values = Any
"""A numpy array, or a list where numpy has no mark for what is missing."""


class Kind(msgspec.Struct, frozen=True):
    """How a type is laid out: `read(buffers, start, count, valid)` returns that many values, missing ones marked.

    `buffers` is how many a column of it has, the bitmap of what is valid among them; `views` may have more.
    """

    buffers: int
    read: Callable[[Buffers, int, int, Valid], Values]
    views: bool = False


OTHERS = {
    4: "binary",
    9: "time of day",
    11: "interval",
    12: "list",
    13: "struct",
    14: "union",
    15: "binary",
    16: "list",
    17: "map",
    18: "duration",
    19: "binary",
    21: "list",
    22: "run-end encoded",
    23: "binary",
    25: "list",
    26: "list",
}
"""Types that hold no value that a model reads, by their number in `Schema.fbs`."""

UNITS = ("s", "ms", "us", "ns")


def kind_of(number: int, of: FlatTable) -> Kind | str:
    """Return how the type with this number in `Schema.fbs` is laid out, or its name if the service does not read it."""
    if number in OTHERS:
        return OTHERS[number]
    if number not in READ:
        raise ValueError("the schema names a type that is not known")
    return READ[number](of)


def bits(buffer: memoryview, start: int, count: int) -> npt.NDArray[np.bool_]:
    """Return `count` truth values from a bitmap."""
    first, last = start // 8, (start + count + 7) // 8
    packed = np.frombuffer(buffer, np.uint8, last - first, first)
    return np.unpackbits(packed, bitorder="little")[start % 8 :][:count].view(np.bool_)


def taken(values: Values, indices: npt.NDArray[Any], valid: Valid) -> Values:
    """Return a column that is stored as places in a dictionary's values."""
    places = indices.astype(np.int64) if valid is None else np.where(valid, indices.astype(np.int64), 0)
    if len(values) == 0 and valid is not None and not valid.any():
        return [None] * len(indices)
    if places.min() < 0 or places.max() >= len(values):
        raise ValueError("a place leads out of its dictionary")
    if isinstance(values, np.ndarray):
        return marked(values[places], valid)
    _bound(np.array([len(text or "") for text in values])[places].sum())
    return _with_none([values[place] for place in places.tolist()], valid)


def marked(values: npt.NDArray[Any], valid: Valid) -> Values:
    """Return values with NaN, NaT or None where they are not valid."""
    if valid is None:
        return values
    if values.dtype.kind == "b":
        return _with_none(values.tolist(), valid)
    if values.dtype.kind == "M":
        return np.where(valid, values, np.datetime64("NaT"))
    return np.where(valid, values, np.float32("nan") if values.dtype.kind == "f" else np.float64("nan"))


def _with_none(values: list[Any], valid: Valid) -> list[Any]:
    if valid is not None:
        for at in np.flatnonzero(~valid).tolist():
            values[at] = None
    return values


def _bound(size: int) -> None:
    if size > TEXTS:
        raise TooLargeError(f"a column holds more than {TEXTS} bytes of text in few rows: shorten the texts")


def fixed(dtype: str) -> Kind:
    """Return the kind of numbers or moments that stand one behind the other in this form."""
    form = np.dtype(dtype)

    def read(buffers: Buffers, start: int, count: int, valid: Valid) -> Values:
        values = np.frombuffer(buffers[0], form, count, start * form.itemsize)
        # What a dialect without nanoseconds can say is told no finer.
        return marked(values.astype("M8[us]") if form == "M8[ns]" else values, valid)

    return Kind(2, read)


def _truths(buffers: Buffers, start: int, count: int, valid: Valid) -> Values:
    return marked(bits(buffers[0], start, count), valid)


def _nothing(buffers: Buffers, start: int, count: int, valid: Valid) -> Values:
    return [None] * count


def _texts(dtype: str) -> Kind:
    form = np.dtype(dtype)

    def read(buffers: Buffers, start: int, count: int, valid: Valid) -> Values:
        offsets = np.frombuffer(buffers[0], form, count + 1, start * form.itemsize)
        first, last = int(offsets[0]), int(offsets[-1])
        if first < 0 or last > len(buffers[1]) or (np.diff(offsets) < 0).any():
            raise ValueError("a text leads out of its buffer")
        _bound(last - first)
        raw, ends = bytes(buffers[1][first:last]), (offsets - first).tolist()
        if raw.isascii():
            text = raw.decode("ascii")
            return _with_none([text[begin:end] for begin, end in pairwise(ends)], valid)
        return _with_none([raw[begin:end].decode() for begin, end in pairwise(ends)], valid)

    return Kind(3, read)


VIEW = np.dtype([("size", "<i4"), ("start", "S4"), ("buffer", "<i4"), ("offset", "<i4")])


def _views(buffers: Buffers, start: int, count: int, valid: Valid) -> Values:
    views = np.frombuffer(buffers[0], VIEW, count, start * VIEW.itemsize)
    here = np.ones(count, bool) if valid is None else valid
    sizes = np.where(here, views["size"], 0)
    if (sizes < 0).any():
        raise ValueError("a text has a negative length")
    _bound(int(sizes.sum(dtype=np.int64)))
    texts = []
    for row, (size, index, offset) in enumerate(
        zip(sizes.tolist(), views["buffer"].tolist(), views["offset"].tolist(), strict=True)
    ):
        short = size <= 12
        begin = (start + row) * VIEW.itemsize + 4 if short else offset
        if not short and not 0 <= index < len(buffers) - 1:
            raise ValueError("a text leads out of its buffers")
        held = buffers[0] if short else buffers[1 + index]
        if not 0 <= begin <= len(held) - size:
            raise ValueError("a text leads out of its buffer")
        texts.append(str(held[begin : begin + size], "utf-8"))
    return _with_none(texts, valid)


def _integer(of: FlatTable) -> Kind:
    width, signed = of.scalar(0, "i32"), of.scalar(1, "u8")
    if width not in (8, 16, 32, 64):
        raise ValueError("an integer has an odd width")
    return fixed(f"<{'i' if signed else 'u'}{width // 8}")


def _floating(of: FlatTable) -> Kind:
    return fixed(("<f2", "<f4", "<f8")[_choice(of.scalar(0, "i16"), 3)])


def _decimal(of: FlatTable) -> Kind:
    scale, size = of.scalar(1, "i32"), of.scalar(2, "i32", 128) // 8
    if abs(scale) > WIDEST_SCALE or size not in (4, 8, 16, 32):
        raise ValueError("a decimal has an odd width or scale")
    factor = 10 ** abs(scale)

    def read(buffers: Buffers, start: int, count: int, valid: Valid) -> Values:
        held = buffers[0][start * size : (start + count) * size]
        if len(held) != count * size:
            raise ValueError("a column ends before its last row")
        whole = [int.from_bytes(held[at : at + size], "little", signed=True) for at in range(0, len(held), size)]
        # Dividing whole numbers rounds once, as reading the decimal's text would.
        return marked(np.array([value / factor if scale > 0 else float(value * factor) for value in whole]), valid)

    return Kind(2, read)


def _date(of: FlatTable) -> Kind:
    if of.scalar(0, "i16", 1) == 1:
        return fixed("<M8[ms]")
    days = fixed("<i4")

    def read(buffers: Buffers, start: int, count: int, valid: Valid) -> Values:
        return marked(np.asarray(days.read(buffers, start, count, None)).astype("M8[D]"), valid)

    return Kind(2, read)


def _timestamp(of: FlatTable) -> Kind:
    return fixed(f"<M8[{UNITS[_choice(of.scalar(0, 'i16'), 4)]}]")


def _choice(number: int, among: int) -> int:
    if not 0 <= number < among:
        raise ValueError("the schema names a type that is not known")
    return number


READ: dict[int, Callable[[FlatTable], Kind]] = {
    1: lambda of: Kind(0, _nothing),
    2: _integer,
    3: _floating,
    5: lambda of: _texts("<i4"),
    6: lambda of: Kind(2, _truths),
    7: _decimal,
    8: _date,
    10: _timestamp,
    20: lambda of: _texts("<i8"),
    24: lambda of: Kind(2, _views, views=True),
}
"""What is read, by its number in `Schema.fbs`; a timestamp with a zone is stored in UTC, which is how it is read."""
