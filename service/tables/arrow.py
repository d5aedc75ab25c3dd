"""Reading an Arrow stream (IPC streaming format) without copying it and without trusting a single length in it.

The readers in compiled languages allocate what a message declares before they look whether it is there, and end the
process where that fails; here every message is a view into bytes that have come.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import cast

import msgspec
import numpy as np

from service.errors import InputError, Problem, RequestError
from service.model import CHUNK
from service.rows.inputs import Inputs, Schema
from service.rows.values import WANTED, listed
from service.tables.arrow_columns import Kind, Valid, Values, bits, fixed, kind_of, taken
from service.tables.bodies import let_go
from service.tables.flatbuffer import FlatTable

SCHEMA, DICTIONARY, RECORDS = 1, 2, 3
"""What a message holds, by its number in `Message.fbs`."""

COMPRESSION = 3
"""Where a record batch says how it is compressed."""

INTEGER = 2
"""The number of the type of whole numbers in `Schema.fbs`."""

CONTINUED = b"\xff\xff\xff\xff"
LONGEST_MESSAGE = 4 * 1024 * 1024
MOST_COLUMNS = 10_000
MOST_VALUES = 4_000_000
"""How many values are read at once, so that wide tables are read in fewer rows at a time."""


class Column(msgspec.Struct, frozen=True):
    """A column of the schema: its kind, or the name of the type that is not read, and where its dictionary is."""

    name: str
    kind: Kind | str
    indices: Kind | None = None
    dictionary: int = 0


def read(data: memoryview, schema: Schema) -> Iterator[Inputs]:
    """Yield the rows of an Arrow stream, checked, some at a time; raise InputError with the rows of that piece.

    RequestError tells what is damaged.
    """
    with _faults_told():
        yield from _pieces(data, schema)


def is_compressed(data: memoryview) -> bool:
    """Whether the first rows of an Arrow stream are compressed; RequestError if it is damaged before them."""
    with _faults_told():
        for kind, header, _ in _messages(data):
            records = header.table(1) if kind == DICTIONARY else header
            if kind != SCHEMA and records is not None:
                return records.table(COMPRESSION) is not None
    return False


@contextmanager
def _faults_told() -> Iterator[None]:
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise RequestError(f"the Arrow stream is damaged: {str(error)[:200]}") from error


def _pieces(data: memoryview, schema: Schema) -> Iterator[Inputs]:
    columns: list[Column] = []
    dictionaries: dict[int, Values] = {}
    for kind, header, body in _messages(data):
        if (kind == SCHEMA) == bool(columns):
            raise ValueError("it must begin with its schema, and hold one")
        if kind == SCHEMA:
            columns = _columns(header, schema)
        elif kind == DICTIONARY:
            _learn(header, body, columns, dictionaries)
        elif kind == RECORDS:
            yield from _records(header, body, columns, dictionaries, schema)
        else:
            raise ValueError("it holds a message that belongs to no table")
    if not columns:
        raise ValueError("it ends before its schema")


def _messages(data: memoryview) -> Iterator[tuple[int, FlatTable, memoryview]]:
    """Yield what kind of message it is, the message and the bytes that belong to it."""
    if bytes(data[:6]) == b"ARROW1":
        raise ValueError("it is an Arrow file: write it in the streaming format")
    at = 0
    while at < len(data):
        at += 4 if bytes(data[at : at + 4]) == CONTINUED else 0
        size = int.from_bytes(_span(data, at, 4), "little")
        if size == 0:
            return
        if size > LONGEST_MESSAGE:
            raise ValueError(f"a message of {size} bytes; at most {LONGEST_MESSAGE} are read")
        message = FlatTable.root(_span(data, at + 4, size))
        header = message.table(2)
        if header is None:
            raise ValueError("a message holds nothing")
        body = _span(data, at + 4 + size, message.scalar(3, "i64"))
        yield message.scalar(1, "u8"), header, body
        at += 4 + size + len(body)


def _span(data: memoryview, at: int, size: int) -> memoryview:
    if not 0 <= size <= len(data) - at or at < 0:
        raise ValueError("it ends in the middle of a message")
    return data[at : at + size]


def _columns(header: FlatTable, schema: Schema) -> list[Column]:
    """Return the columns of a stream's schema, or raise InputError if they are not the features."""
    if header.scalar(0, "i16"):
        raise ValueError("its numbers are big-endian: write them little-endian")
    fields = list(islice(header.tables(1), MOST_COLUMNS + 1))
    schema.check_names([field.text(0) for field in fields])
    columns = [_column(field) for field in fields]
    kinds = {feature.name: feature.kind for feature in schema.features}
    odd = [
        Problem(f"{WANTED[kinds[column.name]]}, got a column of type {column.kind}", None, column.name)
        for column in columns
        if isinstance(column.kind, str)
    ]
    if odd:
        raise InputError(odd)
    return columns


def _column(field: FlatTable) -> Column:
    of, encoding = field.table(3), field.table(4)
    if of is None:
        raise ValueError("a column has no type")
    kind = kind_of(field.scalar(2, "u8"), of)
    if encoding is None:
        return Column(field.text(0), kind)
    index = encoding.table(1)
    # A dictionary that names no type of its places has 32-bit ones.
    places = kind_of(INTEGER, index) if index else fixed("<i4")
    assert isinstance(places, Kind)
    return Column(field.text(0), kind, places, encoding.scalar(0, "i64"))


def _learn(header: FlatTable, body: memoryview, columns: list[Column], dictionaries: dict[int, Values]) -> None:
    """Keep a dictionary, or add to it where the message says so."""
    number, records = header.scalar(0, "i64"), header.table(1)
    kinds = [cast("Kind", column.kind) for column in columns if column.indices and column.dictionary == number]
    if records is None or not kinds:
        raise ValueError("a dictionary belongs to no column")
    (part,) = _parts(records, body, kinds[:1])
    if not 0 <= part.rows <= len(body):
        raise ValueError("a dictionary is longer than its bytes")
    values = part.read(0, part.rows) if part.rows else []
    before = dictionaries.get(number, []) if header.scalar(2, "u8") else []
    if not len(before):
        dictionaries[number] = values
        return
    # Copied at most once: a stream may add to a long dictionary again and again.
    dictionaries[number] = grown = before if isinstance(before, list) else listed(before)
    grown.extend(listed(values))


def _records(
    header: FlatTable, body: memoryview, columns: list[Column], dictionaries: dict[int, Values], schema: Schema
) -> Iterator[Inputs]:
    """Yield a record batch in pieces that are small enough, however long it is."""
    kinds = [cast("Kind", column.indices or column.kind) for column in columns]
    parts = _parts(header, body, kinds)
    rows = header.scalar(0, "i64")
    if rows < 0 or any(part.rows != rows for part in parts):
        raise ValueError("its columns differ in length")
    step = max(1, min(CHUNK, MOST_VALUES // len(columns)))
    for start in range(0, rows, step):
        count = min(step, rows - start)
        yield schema.read_columns(
            {
                column.name: _values(column, part, dictionaries, start, count)
                for column, part in zip(columns, parts, strict=True)
            }
        )
        let_go(body)


def _values(column: Column, part: Part, dictionaries: dict[int, Values], start: int, count: int) -> Values:
    if column.indices is None:
        return part.read(start, count)
    if column.dictionary not in dictionaries:
        raise ValueError("a dictionary is missing")
    valid = part.valid(start, count)
    places = np.asarray(column.indices.read(part.buffers[1:], start, count, None))
    return taken(dictionaries[column.dictionary], places, valid)


class Part(msgspec.Struct, frozen=True):
    """One column of one record batch."""

    kind: Kind
    rows: int
    missing: int
    buffers: list[memoryview]

    def valid(self, start: int, count: int) -> Valid:
        """Return which values are there, None if all are."""
        return bits(self.buffers[0], start, count) if self.missing and self.buffers and len(self.buffers[0]) else None

    def read(self, start: int, count: int) -> Values:
        """Return `count` of its values."""
        valid = self.valid(start, count)
        if valid is not None and not valid.any():
            return [None] * count  # whatever type the writer gave to a column of nothing
        return self.kind.read(self.buffers[1:], start, count, valid)


def _parts(records: FlatTable, body: memoryview, kinds: list[Kind]) -> list[Part]:
    """Return the columns of a record batch, each with its own buffers."""
    if records.table(COMPRESSION) is not None:
        raise ValueError("only some of its record batches are compressed")
    nodes, places = records.numbers(1, 2), iter(records.numbers(2, 2))
    more = iter(count for (count,) in records.numbers(4, 1))
    if len(nodes) != len(kinds):
        raise ValueError("a record batch has another number of columns than the schema")
    parts = []
    for kind, (rows, missing) in zip(kinds, nodes, strict=True):
        wanted = kind.buffers + (next(more, 0) if kind.views else 0)
        buffers = [_span(body, start, size) for start, size in islice(places, max(wanted, 0))]
        if len(buffers) != wanted:
            raise ValueError("a record batch lacks buffers")
        parts.append(Part(kind, rows, missing, buffers))
    return parts
