"""Reading rows from text, CSV (RFC 4180) or JSON a line, some at a time, with the same verdicts as JSON."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from io import BufferedReader, TextIOWrapper
from typing import IO, Any

import msgspec

from service import shapes
from service.contents import Feature
from service.errors import SHOWN, InputError, Problem, RequestError
from service.rows.inputs import Inputs, Schema
from service.rows.values import MISSING_WORDS, TRUTHS
from service.tables.bodies import SOME, Body

LONGEST = 1 << 20
"""Characters that one row may have."""

ROWS, AT_ONCE = 500, 8 << 20
"""Rows and characters that are read at once; more rows at once keep the garbage collector busy."""

NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


def read_csv(body: Body, schema: Schema, ignore_extra: bool = False) -> Iterator[Inputs]:
    """Yield the rows below a header, checked; raise InputError with the rows of that piece.

    RequestError tells what is no CSV. An empty cell is missing, and among numbers, dates and truth values also such as
    NA and NaN; numbers have a decimal point. An unknown column is a problem unless `ignore_extra`.
    """
    lines = _Lines(body)
    reader = csv.reader(lines, strict=True)
    try:
        names = next(reader, [])
        if not names:
            raise RequestError("the table is empty: send a header with the names of the features, then rows")
        if len(names) == 1 and len(schema.names) > 1 and re.search("[;\t]", names[0]):
            raise RequestError("the header has no comma: separate the columns by commas and write decimal points")
        schema.check_names(names, ignore_extra)
        places = {name: names.index(name) for name in schema.names}
        features = [(feature, places[feature.name]) for feature in schema.features]
        for rows in _pieces(reader, lines, len(names)):
            columns = list(zip(*rows, strict=True))
            yield schema.read_columns({feature.name: _cells(feature, columns[at]) for feature, at in features})
    except UnicodeDecodeError as error:
        raise RequestError(f"the table is not UTF-8: {error.reason} near line {reader.line_num + 1}") from error
    except csv.Error as error:
        raise RequestError(f"line {reader.line_num} is no CSV: {error}") from error


def read_ndjson(body: Body, schema: Schema) -> Iterator[Inputs]:
    """Yield the rows of a body that holds a record, or a list, a line; raise InputError with the rows of that piece."""
    at, buffered = 1, BufferedReader(body, SOME)
    while lines := _json_lines(buffered):
        rows = [_decode(line, number) for number, line in enumerate(lines, at) if not line.isspace()]
        at += len(lines)
        if rows:
            yield schema.read(rows)


class _Lines:
    """The lines of a text; `taken` counts their characters until whoever reads them sets it back."""

    def __init__(self, body: Body) -> None:
        self._text = TextIOWrapper(BufferedReader(body, SOME), encoding="utf-8-sig", newline="")
        self.taken = 0
        self.row = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST + 1)
        if not line:
            raise StopIteration
        self.row += len(line)
        self.taken += len(line)
        if self.row > LONGEST:
            raise RequestError(f"a row has more than {LONGEST} characters: is a quote missing?")
        return line


def _pieces(reader: Iterator[list[str]], lines: _Lines, width: int) -> Iterator[list[list[str]]]:
    """Yield rows that have `width` cells each, as many as are read at once."""
    rows: list[list[str]] = []
    lines.taken = lines.row = 0
    for row in reader:
        lines.row = 0
        if row or width == 1:
            rows.append(row or [""])
        if len(rows) == ROWS or lines.taken > AT_ONCE:
            lines.taken = 0
            yield _even(rows, width)
            rows = []
    if rows:
        yield _even(rows, width)


def _even(rows: list[list[str]], width: int) -> list[list[str]]:
    if set(map(len, rows)) != {width}:
        wrong = [
            Problem(f"has {len(row)} values, the header names {width} columns", at)
            for at, row in enumerate(rows)
            if len(row) != width
        ]
        raise InputError(wrong[: SHOWN + 1])
    return rows


def _cells(feature: Feature, cells: tuple[str, ...]) -> list[Any]:
    """Return a column of texts as JSON would have it."""
    return CELLS[feature.kind](cells)


def _numbers(cells: tuple[str, ...]) -> list[Any]:
    joined = "".join(cells)
    # float() also takes underscores and the digits of every script.
    if joined.isascii() and "_" not in joined:
        try:
            return list(map(float, cells))
        except ValueError:
            pass
    return [_number(cell) for cell in cells]


def _number(cell: str) -> float | str | None:
    return float(cell) if NUMBER.fullmatch(cell) else None if _is_missing(cell) else cell


def _is_missing(cell: str) -> bool:
    stripped = cell.strip()
    return not stripped or stripped in MISSING_WORDS


def _truths(cells: tuple[str, ...]) -> list[Any]:
    return [None if _is_missing(cell) else TRUTHS.get(cell.strip().lower(), cell) for cell in cells]


def _dates(cells: tuple[str, ...]) -> list[Any]:
    return [None if _is_missing(cell) else cell.strip() for cell in cells]


CELLS: dict[str, Callable[[tuple[str, ...]], list[Any]]] = {
    "number": _numbers,
    "category": list,
    "boolean": _truths,
    "date": _dates,
}


def _json_lines(body: IO[bytes]) -> list[bytes]:
    """Return the next lines, as many as are read at once."""
    lines: list[bytes] = []
    size = 0
    while len(lines) < ROWS and size <= AT_ONCE and (line := body.readline(LONGEST + 1)):
        if len(line) > LONGEST:
            raise RequestError(f"a row has more than {LONGEST} characters: write one record a line")
        lines.append(line)
        size += len(line)
    return lines


def _decode(line: bytes, at: int) -> Any:
    try:
        return msgspec.json.decode(line)
    except RecursionError as error:
        raise RequestError(f"line {at} nests too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"line {at} is not JSON: {shapes.unreadable(error, line)}") from error
