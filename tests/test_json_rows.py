from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.contents import Feature
from service.errors import CellarError
from service.rows.inputs import Inputs, Schema
from service.rows.json_rows import RowReader

KEYS = ("instances", "features", "")
NUMBERS = Schema([Feature("a/b", "number", min=0.0, max=10.0), Feature("it's <c>", "number", min=-1.5, max=1.5)])
MIXED = Schema(
    [
        Feature("size", "number", nullable=True, min=0.0, max=10.0),
        Feature("sold", "boolean"),
        Feature("side", "category", categories=["n", "s"]),
        Feature("fuel", "category", nullable=True, categories=["gas"]),
    ]
)
PLENTY = settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

CELL = (
    st.floats(-20, 20)
    | st.integers(-5, 2**70)
    | st.booleans()
    | st.none()
    | st.sampled_from(["n", "s", "gas", "", "other", "[1]"])
    | st.sampled_from([1e39, -1e308, 3.4028235677973366e38])
    | st.lists(st.floats(0, 1), max_size=2)
)


def looked_at(schema: Schema, body: bytes) -> Inputs | None:
    """Return what `Schema` makes of the rows in a body, None if it refuses them."""
    document = msgspec.json.decode(body)
    rows = next(iter(document.values())) if isinstance(document, dict) else document
    if not rows or not isinstance(rows[0], (list, dict)):
        rows = [rows]
    try:
        return schema.read(rows)
    except CellarError:
        return None


def same(one: Inputs, other: Inputs) -> bool:
    """Whether two sets of rows are the same to the last bit, with the same warnings."""
    return (
        one.numbers.dtype == other.numbers.dtype == np.float32
        and one.numbers.tobytes() == other.numbers.tobytes()
        and one.categories.tolist() == other.categories.tolist()
        and one.warnings == other.warnings
    )


@pytest.mark.parametrize("schema", [NUMBERS, MIXED], ids=["numbers", "mixed"])
@PLENTY
@given(data=st.data())
def test_what_is_read_is_what_the_schema_reads(schema: Schema, data: st.DataObject):
    """Whatever stands in a body: the rows are those that `Schema` makes of it, or nothing is said."""
    width = len(schema.names)
    cells = st.lists(CELL, min_size=width, max_size=width) | st.lists(CELL, max_size=width + 1)
    record = st.fixed_dictionaries(dict.fromkeys(schema.names, CELL)) | st.dictionaries(
        st.sampled_from([*schema.names, "other"]), CELL
    )
    rows = data.draw(st.lists(cells, max_size=4) | st.lists(record, max_size=4) | cells)
    key = data.draw(st.sampled_from(KEYS))
    body = json.dumps({key: rows} if key else rows, indent=data.draw(st.none() | st.just(1))).encode()
    found = RowReader(schema).read(body, KEYS)
    if found:
        expected = looked_at(schema, body)
        assert expected is not None and same(found.inputs, expected)
        assert (found.key, found.one) == (key, bool(rows) and not isinstance(rows[0], (list, dict)))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("schema", "row"),
    [(NUMBERS, [5, -0.25]), (NUMBERS, [99.5, 0]), (MIXED, [None, True, "s", None]), (MIXED, [3, False, "x", "gas"])],
)
def test_rows_that_fit_are_read(schema: Schema, row: list[Any], key: str):
    """Rows that fit are not left to `Schema`, as lists or as records in any order of the fields."""
    record = dict(reversed(list(zip(schema.names, row, strict=True))))
    for rows, records in (([row, row], False), ([record, record, record], True)):
        body = json.dumps({key: rows} if key else rows).encode()
        found = RowReader(schema).read(body, KEYS)
        assert found and found.records is records and len(found.inputs) == len(rows)
        assert same(found.inputs, schema.read(rows))


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [[1, 1]], "instances": [[2, 1]]}',
        b'{"instances": [[1, 1]], "other": 1}',
        b'{"other": [[1, 1]]}',
        b'{"instances": [[[1], 1]]}',
        b'{"instances": [[1, [1]], [1]]}',
        b'{"instances": [[1, 1], [1], [1, 1, 1]]}',
        b'{"instances": [[1, 1], 1]}',
        b'{"instances": [[1, true]]}',
        b'{"instances": [[1, null]]}',
        b'{"instances": [[1, "1"]]}',
        b'{"instances": [[1, 1e999]]}',
        b'{"instances": [[1, 1e39]]}',
        b'{"instances": [[1, NaN]]}',
        b'{"instances": [[1, 01]]}',
        b'{"instances": [[1, 1]]} x',
        b'{"instances": [[1, 1]',
        b'{"instances": []}',
        b"[]",
        b"",
        b"\xef\xbb\xbf[[1, 1]]",
        b"\xff",
    ],
)
def test_what_is_odd_is_left_alone(body: bytes):
    """A body that is not plainly rows of numbers is not read here: `Schema` says what is wrong, or right, with it."""
    found = RowReader(NUMBERS).read(body, KEYS)
    assert found is None


def test_names_that_no_record_can_have_are_left_to_the_schema():
    """A quote or a backslash in a feature's name leaves records to `Schema`; lists need no names."""
    reader = RowReader(Schema([Feature('a "b"', "number", min=0.0, max=9.0)]))
    assert reader.read(b'[{"a \\"b\\"": 1}]', KEYS) is None
    assert reader.read(b"[[1]]", KEYS)


def test_dates_are_left_to_the_schema():
    """A model with a date has its texts read by the one reader of dates."""
    schema = Schema([Feature("day", "date", min="2020-01-01", max="2024-01-01")])
    assert RowReader(schema).read(b'{"instances": [["2021-01-01"]]}', KEYS) is None


def test_values_at_the_limits_are_within():
    """The smallest and the largest value of training, which have no exact form in 32 bits, are not warned of."""
    schema = Schema([Feature("a", "number", min=0.1, max=14.83), Feature("b", "number", min=0.1, max=14.83)])
    found = RowReader(schema).read(b"[[0.1, 14.83], [14.83, 0.1]]", KEYS)
    assert found and not found.inputs.warnings


def test_large_bodies_are_read():
    """A body of many megabytes is read by a parser of its own."""
    rows = [[1.5, -1.0]] * 300_000
    found = RowReader(NUMBERS).read(json.dumps(rows).encode(), KEYS)
    assert found and found.inputs.numbers.shape == (300_000, 2)
