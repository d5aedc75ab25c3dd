from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.contents import Feature
from service.errors import InputError, RequestError
from service.rows.inputs import WARNED, Schema

LARGEST = float(np.finfo(np.float32).max)
TOO_LARGE = 3.4028235677973366e38
"""The smallest number that becomes infinite in 32 bits; between the two, numbers round down."""


@pytest.fixture
def schema() -> Schema:
    """Two numbers and two categories, one of each may be missing; they are not in the order of their kinds."""
    return Schema(
        [
            Feature("width", "number", min=0.0, max=10.0),
            Feature("colour", "category", categories=["red", "blue"]),
            Feature("height", "number", nullable=True, min=0.1, max=1.0),
            Feature("shape", "category", nullable=True, categories=["round"]),
        ]
    )


def row(**changes: Any) -> dict[str, Any]:
    """Return a record that fits, with changes."""
    return {"width": 1, "colour": "red", "height": 0.5, "shape": "round", **changes}


def reasons(caught: pytest.ExceptionInfo[InputError]) -> list[tuple[int | None, str | None, str]]:
    """Return what was wrong, where."""
    return [(problem.row, problem.field, problem.reason) for problem in caught.value.problems]


def test_rows_become_two_tensors(schema: Schema):
    """Numbers are 32-bit with NaN, categories texts with "" where missing; both keep the features' order."""
    inputs = schema.read([row(), row(height=None, shape=None, width=2**20)])
    assert inputs.numbers.dtype == np.float32
    assert np.array_equal(inputs.numbers, np.array([[1, 0.5], [2**20, np.nan]], np.float32), equal_nan=True)
    assert inputs.categories.tolist() == [["red", "round"], ["red", ""]]
    assert len(inputs) == 2


def test_records_lists_and_columns_are_read_alike(schema: Schema):
    """The same rows in any shape give the same tensors."""
    rows = [row(), row(width=3.25, colour="blue")]
    columns = {name: [record[name] for record in rows] for name in schema.names}
    expected = schema.read(rows)
    for inputs in (schema.read([list(record.values()) for record in rows]), schema.read_columns(columns)):
        assert np.array_equal(inputs.numbers, expected.numbers)
        assert np.array_equal(inputs.categories, expected.categories)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, object])
def test_arrays_are_read_as_lists_are(schema: Schema, dtype: Any):
    """A column may be an array of any type of numbers."""
    values = np.array([1, 2, 3], dtype=dtype)
    columns = {"width": values, "colour": ["red"] * 3, "height": [0.5] * 3, "shape": ["round"] * 3}
    assert schema.read_columns(columns).numbers[:, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, object])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "must not be missing: training saw no missing value here"),
        (np.inf, "must lie between -3.4e38 and 3.4e38, got inf"),
        (-np.inf, "must lie between -3.4e38 and 3.4e38, got -inf"),
    ],
)
def test_wrong_value_of_an_array_is_named(schema: Schema, dtype: Any, value: float, reason: str):
    """In an array, NaN counts as missing and infinity is wrong, and only the row that holds it is named."""
    columns = {"width": np.array([1, value], dtype), "colour": ["red"] * 2, "height": [0.5] * 2, "shape": ["round"] * 2}
    with pytest.raises(InputError) as caught:
        schema.read_columns(columns)
    assert reasons(caught) == [(1, "width", reason)]


def test_missing_value_of_an_array_is_taken_where_it_may_be(schema: Schema):
    """NaN in an array is taken as `null` is; infinity is wrong even where values may be missing."""
    columns = {"width": [1], "colour": ["red"], "height": np.array([np.nan], np.float32), "shape": ["round"]}
    assert np.isnan(schema.read_columns(columns).numbers[0, 1])
    with pytest.raises(InputError, match="'height' must lie between"):
        schema.read_columns({**columns, "height": np.array([np.inf], np.float32)})


def test_array_of_truth_values_is_wrong(schema: Schema):
    """Truth values are no numbers, in arrays neither."""
    columns = {"width": np.array([True]), "colour": ["red"], "height": [0.5], "shape": ["round"]}
    with pytest.raises(InputError, match="'width' must be a number, got true"):
        schema.read_columns(columns)


@pytest.mark.parametrize("value", [LARGEST, 3.4028235e38, -LARGEST, int(LARGEST), 2**127, 5e-324])
def test_every_number_that_fits_32_bits_is_taken(schema: Schema, value: float):
    """Numbers up to what rounds into 32 bits are taken, also beside a wrong one in the same column."""
    assert np.isfinite(schema.read([row(width=value)]).numbers).all()
    with pytest.raises(InputError) as caught:
        schema.read([row(width=value), row(width="x")])
    assert [where for where, _, _ in reasons(caught)] == [1]


@pytest.mark.parametrize("value", [TOO_LARGE, -TOO_LARGE, 1e308, 2**128, 10**400])
def test_every_number_that_does_not_is_named(schema: Schema, value: float):
    """Numbers that would become infinite in 32 bits are wrong, and never reach the model."""
    with pytest.raises(InputError, match=r"'width' must lie between -3\.4e38 and 3\.4e38"):
        schema.read([row(width=value)])


def test_extra_fields_are_ignored_on_request(schema: Schema):
    """A dialect may ask for unknown fields to be passed over; the others are still checked."""
    assert len(schema.read([row(other=1)], ignore_extra=True)) == 1
    with pytest.raises(InputError) as caught:
        schema.read([row(other=1, width="x")], ignore_extra=True)
    assert reasons(caught) == [(0, "width", "must be a number, got 'x'")]


def test_problems_are_in_the_order_of_rows(schema: Schema):
    """Problems of several fields come row by row."""
    with pytest.raises(InputError) as caught:
        schema.read([row(shape=1), row(colour=2), row(width="x", height="y")])
    assert [where for where, _, _ in reasons(caught)] == [0, 1, 2, 2]


def test_problems_beyond_the_cap_are_not_looked_for(schema: Schema):
    """A record of very many unknown fields costs no more than the problems that are told."""
    looked_at = []

    class Record(dict[str, Any]):
        def __iter__(self):
            for name in super().__iter__():
                looked_at.append(name)
                yield name

    with pytest.raises(InputError):
        schema.read([Record(row(**{f"x{number}": 1 for number in range(1000)}))])
    assert len(looked_at) < 50


@pytest.mark.parametrize("depth", [60, 70])
def test_depth_is_measured_only_where_rows_are_refused(schema: Schema, depth: int):
    """A row that nests deeper than the limit is no wrong value but a request that cannot be read."""
    deep: Any = 1
    for _ in range(depth):
        deep = [deep]
    with pytest.raises(RequestError) as caught:
        schema.read([row(width=deep)])
    assert isinstance(caught.value, InputError) == (depth < 64)


def test_limits_of_the_range_give_no_warning(schema: Schema):
    """The smallest and largest values of training are inside the range, though 0.1 is no 32-bit number."""
    assert schema.read([row(width=0, height=0.1), row(width=10, height=1)]).warnings == []


def test_warnings_are_capped_and_in_order(schema: Schema):
    """However many values are unheard of, so many are told, those of the first rows."""
    warnings = schema.read([row(width=-1, colour="green")] * 1000).warnings
    assert len(warnings) == WARNED
    assert [warning.row for warning in warnings] == sorted(warning.row or 0 for warning in warnings)
    assert {warning.field for warning in warnings} == {"width", "colour"}


def test_missing_values_give_no_warning(schema: Schema):
    """A value that may be missing and is gives no warning."""
    assert schema.read([row(height=None, shape=None)]).warnings == []


def test_truth_values_become_0_and_1():
    """JSON's true and false are taken for a feature of truth values, and nothing else is."""
    paid = Schema([Feature("paid", "boolean", nullable=True)])
    inputs = paid.read([{"paid": True}, {"paid": False}, {"paid": None}])
    assert np.array_equal(inputs.numbers[:, 0], [1, 0, np.nan], equal_nan=True) and inputs.warnings == []
    for value in ("true", 1, 0.0, "", [True]):
        with pytest.raises(InputError, match=r"row 1: 'paid' must be true or false, got "):
            paid.read([[True], [value]])
    with pytest.raises(InputError, match="'paid' must not be missing"):
        Schema([Feature("paid", "boolean")]).read([[None]])


def test_truth_values_are_no_texts_and_no_numbers(schema: Schema):
    """true and false are refused where a text or a number is wanted."""
    with pytest.raises(InputError) as caught:
        schema.read([row(width=True, colour=False)])
    assert reasons(caught) == [
        (0, "width", "must be a number, got true"),
        (0, "colour", "must be a text, got false"),
    ]


@pytest.fixture
def sold() -> Schema:
    """One feature of dates that may be missing."""
    return Schema([Feature("sold", "date", nullable=True, min="2020-01-01", max="2024-05-01T12:00:00")])


def test_dates_become_days(sold: Schema):
    """A date is the days since 1970-01-01 in UTC, the time of day as their fraction, NaN where it is missing."""
    texts = ["1970-01-02", "2024-05-01T12:00", "2024-05-01 12:00:00Z", "2024-05-01T14:00+02:00", None]
    numbers = sold.read([[text] for text in texts]).numbers[:, 0]
    assert np.array_equal(numbers, np.array([1, *[19844.5] * 3, np.nan], np.float32), equal_nan=True)


@pytest.mark.parametrize("value", ["01.05.2024", "2024-5-1", "2024-02-30", "0000-01-01", "", "now", 19844, True, ["x"]])
def test_what_is_no_date_is_told(sold: Schema, value: Any):
    """Anything but an ISO date is told how to write one, and only the row that holds it."""
    with pytest.raises(InputError, match="must be a date such as 2024-05-01, got ") as caught:
        sold.read([["2024-05-01"], [value]])
    assert [where for where, _, _ in reasons(caught)] == [1]


def test_dates_outside_of_the_range_are_told_as_dates(sold: Schema):
    """The warning names the range and the value as dates; the limits themselves are inside."""
    first, second = sold.read([["2019-12-31"], ["2020-01-01"], ["2024-05-01T12:00"], ["2025-01-01"]]).warnings
    assert (first.row, first.field, first.value) == (0, "sold", "2019-12-31")
    assert str(second) == ("row 3: 'sold' is outside the range seen in training, 2020-01-01 to 2024-05-01T12:00:00")


def test_numbers_truth_values_and_dates_share_a_tensor():
    """All three stand in `numbers` in the features' order, whatever stands between them."""
    features = [Feature("d", "date"), Feature("t", "category"), Feature("b", "boolean"), Feature("n", "number")]
    inputs = Schema(features).read([["1970-01-03", "u", True, 7]])
    assert inputs.numbers.tolist() == [[2, 1, 7]] and inputs.categories.tolist() == [["u"]]
