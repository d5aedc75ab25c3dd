"""Rows in JSON straight into a model's tensors, as fast as that can be done; whatever is odd is left to `Schema`."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import simdjson

from service.errors import CellarError
from service.rows.inputs import Inputs, Schema
from service.rows.values import limit

BEGINNING = re.compile(rb'\s*(?:\{\s*"([a-z_]{1,32})"\s*:\s*)?\[\s*([\[{"0-9tfn-])')
"""The key of an object's rows, none where they stand bare, and how the first of them begins."""

UNNAMEABLE = re.compile(r'["\\\x00-\x1f]')
"""What no field of a msgspec struct can have in its name."""

SMALL = 1 << 20
"""Bytes of a body up to which a parser is kept for the next: it keeps its largest document's memory."""

TYPES: dict[str, Any] = {"number": float, "category": str, "boolean": bool}


class Body(msgspec.Struct, frozen=True):
    """What a body held: the key of its rows ("" for none), how they were written, and the rows."""

    key: str
    one: bool
    records: bool
    inputs: Inputs


_parsers: list[simdjson.Parser] = []
"""Those that nobody uses: the last one used is the next, so that there are no more than read at the same time."""


class RowReader:
    """Reads bodies such as `{"instances": [[13.2, …]]}` or `[{"alcohol": 13.2, …}]` for one model."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        kinds = [feature.kind for feature in schema.features]
        self._known = set(kinds) <= set(TYPES)  # a date is text that has to be read first
        self._nameable = not any(UNNAMEABLE.search(name) for name in schema.names)
        self._types = [TYPES[f.kind] | None if f.nullable else TYPES[f.kind] for f in schema.features if self._known]
        self._numbers = _taking([at for at, kind in enumerate(kinds) if kind != "category"])
        self._categories = _taking([at for at, kind in enumerate(kinds) if kind == "category"])
        self._low = np.array([limit(feature.min, -np.inf) for feature in schema.numbers])
        self._high = np.array([limit(feature.max, np.inf) for feature in schema.numbers])
        self._decoders: dict[tuple[str, bytes], Callable[[bytes], Any]] = {}

    def read(self, body: bytes, keys: Container[str]) -> Body | None:
        """Return the checked rows under one of `keys` ("" for bare rows), or None if `Schema` has to look at them."""
        begins = BEGINNING.match(body)
        if not begins or not self._known:
            return None
        key, first = (begins[1] or b"").decode(), begins[2]
        if key not in keys or (first == b"{" and not self._nameable):
            return None
        one = first not in b"[{"
        try:
            if self.schema.only_numbers and first == b"[":
                inputs = self._read_buffer(body, key)
            else:
                inputs = self._read_typed(body, key, b"" if one else first)
        except (ValueError, TypeError, RuntimeError, MemoryError, RecursionError, CellarError):
            return None
        return Body(key, one, first == b"{", inputs) if inputs else None

    def _read_buffer(self, body: bytes, key: str) -> Inputs | None:
        try:
            parser = _parsers.pop()
        except IndexError:
            parser = simdjson.Parser()
        found = self._values(parser.parse(body), body, key)
        if len(body) <= SMALL:
            _parsers.append(parser)
        return None if found is None else self._checked(found, np.empty((len(found), 0), dtype=object))

    def _values(self, document: Any, body: bytes, key: str) -> npt.NDArray[np.float64] | None:
        """Return the numbers of a document, `[rows, features]`; nothing of it is held, its parser would not go on."""
        if key and len(document) != 1:
            return None
        rows = document[key] if key else document
        width, count = len(self.schema.names), len(rows)
        # A value inside a row that is a list itself would be flattened into its neighbours.
        if body.count(b"[") != count + 1 or (count > 1 and set(map(len, rows)) != {width}):
            return None
        return np.frombuffer(rows.as_buffer(of_type="d"), dtype=np.float64).reshape(count, width)

    def _read_typed(self, body: bytes, key: str, first: bytes) -> Inputs | None:
        if (key, first) not in self._decoders:
            self._decoders[key, first] = self._decoder(key, first)
        rows = self._decoders[key, first](body)
        if first == b"{":
            rows = [msgspec.structs.astuple(row) for row in rows]
        values = np.array([self._numbers(row) for row in rows], dtype=np.float64).reshape(len(rows), -1)
        texts = np.empty((len(rows), len(self.schema.categories)), dtype=object)
        if self.schema.categories:
            texts[:] = [[text or "" for text in self._categories(row)] for row in rows]
            if any("" in texts[:, at] for at, f in enumerate(self.schema.categories) if not f.nullable):
                return None
        return self._checked(values, texts)

    def _checked(self, values: npt.NDArray[np.float64], texts: npt.NDArray[np.object_]) -> Inputs | None:
        # What lies between the limits in 64 bits does so when both are rounded to 32.
        within = (values >= self._low) & (values <= self._high)
        if not texts.size and np.count_nonzero(within) == within.size:
            return Inputs(values.astype(np.float32), texts, [])
        with np.errstate(over="ignore"):
            numbers = values.astype(np.float32)
        # What is missing came as null, which was taken only where that is allowed.
        return None if np.isinf(numbers).any() else self.schema.inputs(numbers, texts)

    def _decoder(self, key: str, first: bytes) -> Callable[[bytes], Any]:
        """Return what decodes the rows below a key, or bare ones, to tuples or to records, and takes nothing else."""
        row: Any = tuple[tuple(self._types)]  # type: ignore[misc]
        if first == b"{":
            names = [f"f{at}" for at in range(len(self._types))]
            fields = list(zip(names, self._types, strict=True))
            renamed = dict(zip(names, self.schema.names, strict=True))
            row = msgspec.defstruct("Row", fields, rename=renamed, forbid_unknown_fields=True, gc=False)
        kind: Any = list[row] if first else row
        if not key:
            bare = msgspec.json.Decoder(kind).decode
            return bare if first else lambda body: [bare(body)]
        whole = msgspec.defstruct("Whole", [("rows", kind)], rename={"rows": key}, forbid_unknown_fields=True)
        decode: Callable[[bytes], Any] = msgspec.json.Decoder(whole).decode
        return (lambda body: decode(body).rows) if first else (lambda body: [decode(body).rows])


def _taking(places: list[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Return what takes the values at `places` from a row."""
    if len(places) < 2:
        return lambda row: [row[at] for at in places]
    return itemgetter(*places)
