from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling import legible


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (25835.821, "25,836"),
        (102345.6, "102,346"),
        (-1234567.8, "-1,234,568"),
        (9999.4, "9999"),
        (9999.6, "10,000"),
        (1999, "1999"),
        (999.7, "1000"),
        (99.96, "100"),
        (187.4, "187"),
        (0.01234, "0.0123"),
        (0.5, "0.5"),
        (0, "0"),
        (-0.0, "0"),
        (3e-7, "3e-07"),
        (2.5e30, "2.5e+30"),
        (np.float32(0.1), "0.1"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_are_told_as_people_write_them(given, told):
    """Large numbers whole with separated thousands, years as they are, small ones with three significant digits."""
    assert legible.number(given) == told


@given(st.floats(-1e14, 1e14), st.integers(2, 6))
def test_a_told_number_is_the_number(value, digits):
    """Read back, it is off by less than its last significant digit, and never by as much as one where it is large."""
    told = float(legible.number(value, digits).replace(",", ""))
    assert told == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))
    assert abs(told - value) <= max(0.5, 0.51 * abs(value) * 10 ** (1 - digits))


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        (19629.0, "date", "2023-09-29"),
        (19629.375, "date", "2023-09-29 09:00"),
        (np.float32(19629.37), "date", "2023-09-29 08:52"),
        (1.0, "boolean", "true"),
        (0.0, "boolean", "false"),
        (14.23, "number", "14.23"),
        (25835.821, "number", "25,835.8"),
        ("red", "category", "red"),
        ("", "category", "missing"),
        (float("nan"), "date", "missing"),
        (None, "number", "missing"),
    ],
)
def test_values_are_told_by_their_kind(given, kind, told):
    """Dates and truth values are not shown as the numbers that the model reads; an empty value is missing."""
    assert legible.value(given, kind) == told


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pd.Series([False]), "false"),
        (pd.Series([True], dtype="boolean"), "true"),
        (pd.Series(pd.to_datetime(["2024-05-01"])), "2024-05-01"),
        (pd.Series(pd.to_datetime(["2024-05-01 10:30"])), "2024-05-01 10:30:00"),
        (pd.Series(["False"]), "False"),
        (pd.Series([14.23]), "14.23"),
    ],
)
def test_cells_of_a_table_are_told(column, told):
    """Truth values are words, a date has no midnight, and texts stay as they are."""
    assert legible.cell(next(iter(column))) == told


def test_a_table_shows_each_column_in_its_way():
    """By their kind or their size columns become texts; others keep their numbers, rounded, and the table is left."""
    frame = pd.DataFrame(
        {
            "seen": [19629.0, np.nan],
            "paid": [1.0, 0.0],
            "price": [25835.821, 12.5],
            "tiny": [1.234567e-4, np.nan],
            "share": [0.12345, np.nan],
            "visits": [6.0, np.nan],
            "rows": [123456, 7],
            "class": ["a", "b"],
        },
        index=[5, 9],
    )
    kept = frame.copy()
    shown = legible.table(frame, {"seen": "date", "paid": "boolean", "price": "number"})
    assert shown["seen"].tolist() == ["2023-09-29", "missing"] and shown["paid"].tolist() == ["true", "false"]
    assert shown["price"].tolist() == ["25,836", "12.5"] and shown["tiny"].iloc[0] == "0.000123"
    assert shown["tiny"].isna().tolist() == [False, True] and shown["share"].iloc[0] == 0.123
    assert shown["visits"].iloc[0] == "6" and pd.isna(shown["visits"].iloc[1])
    assert shown["rows"].tolist() == [123456, 7] and shown.index.tolist() == [5, 9]
    pd.testing.assert_frame_equal(frame, kept)


def test_columns_of_one_name_and_no_rows_are_shown():
    """A feature may be called like a column of the table, and there may be nothing to show."""
    twice = pd.DataFrame([[1.5, 20000.0]], columns=["true", "true"])
    assert legible.table(twice).iloc[0].tolist() == [1.5, "20,000"]
    assert legible.table(twice.iloc[:0], {"true": "date"}).shape == (0, 2)
