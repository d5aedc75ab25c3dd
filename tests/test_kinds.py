from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.tables.form import Form
from modeling.tables.kinds import Column, read_column, stray_text
from service.errors import DataError

FORM = Form(",", ".", "", "utf-8-sig")
DRAW = np.random.default_rng(0)


def kind(values, name: str = "x", form: Form = FORM, **column) -> str:
    """Return the kind of a column with these values."""
    return read_column(pd.Series(values, name=name), Column(**column), form).kind


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.5, 2.5, None], "number"),
        (["1", "NA", "3"], "number"),
        (["1", " NA", "3", " "], "number"),
        (["346", "76.571"], "number"),
        (["100 200 300", "100 200 301"] * 20, "text"),
        ([f"{n}E{n}" for n in range(6)] * 5, "category"),
        (["1" * 24, "2"], "number"),
        ([f"{10**20 + n}" for n in range(40)], "identifier"),
        ([0, 1] * 20, "number"),
        ([True, False], "boolean"),
        (["true", "FALSE", None, "NA"], "boolean"),
        (["yes", "no"] * 20, "category"),
        (["2024-05-01", None, "?", "2024-05-01T10:30Z"], "date"),
        (["01.05.2024", "2.5.2024"], "date"),
        (["13/5/2024", "1/5/2024"], "date"),
        (["5/13/2024", "5/1/2024"], "date"),
        (["2024/5/1", "2024/05/02", "2024-5-3"], "date"),
        (["5/1/2024", "4/1/2024"] * 20, "text"),
        (["13/5/2024", "5/13/2024"] * 20, "text"),
        (["2024-02-30", "2024-02-28"] * 20, "text"),
        (["1,234", "12", "5,678"], "text"),
        (["01067", "10115", "NA"] * 9, "category"),
        ([f"{n:05}" for n in range(40)], "identifier"),
        (["007.5", "10115"] * 9, "number"),
        (["0", "10115"] * 9, "number"),
        ([f"customer {n}" for n in range(40)], "identifier"),
        ([f"{n:08x}" for n in range(40)], "identifier"),
        ([f"a long review of thing {n} that somebody wrote" for n in range(40)], "text"),
        ([f"word{n // 3 * 3}" for n in range(900)], "text"),
        (list("uvw") * 20, "category"),
        (["north"] * 19 + ["south"], "category"),
        (["1.5", "x", "y"] * 9, "category"),
        ([None, None], "category"),
    ],
)
def test_the_kind_follows_from_the_values(values, expected):
    """Numbers, truth values, dates, categories, and what tells rows apart rather than alike."""
    assert kind(values) == expected


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        (range(1, 41), "n", "identifier"),
        (DRAW.permutation(40) + 1000, "n", "identifier"),
        (range(1, 11), "n", "number"),
        (DRAW.permutation(10**6)[:40], "population", "number"),
        (DRAW.permutation(10**6)[:40], "customer_id", "identifier"),
        (DRAW.permutation(10**6)[:40], "customerId", "identifier"),
        (DRAW.permutation(10**6)[:40], "humid", "number"),
        (DRAW.normal(size=40), "id", "number"),
        ([*range(1, 40), 39], "n", "number"),
    ],
)
def test_what_counts_the_rows_is_an_identifier(values, name, expected):
    """Whole numbers, all different, that fill their range or are named as keys; a measurement never is."""
    assert kind(values, name) == expected


@pytest.mark.parametrize(
    ("values", "column", "first"),
    [
        ([0, 1, None], {"kind": "boolean"}, True),
        (["5/1/2024", "4/1/2024"], {"kind": "date", "first": "day"}, None),
        (["1", "2"], {"kind": "category"}, None),
        (range(40), {"kind": "number"}, None),
    ],
)
def test_the_card_has_the_last_word(values, column, first):
    """A kind that the card names is taken, where the values allow it."""
    assert kind(values, **column) == column["kind"]


@pytest.mark.parametrize(
    ("values", "column", "told"),
    [
        (["1", "x"], {"kind": "number"}, "a number, but it holds 'x': correct one of the two"),
        ([1, 2], {"kind": "boolean"}, "a boolean, but it holds '1': correct one of the two"),
        (["2024-05-01", "soon"], {"kind": "date"}, "a date, but it holds 'soon': correct one of the two"),
        (["13/5/2024", "5/13/2024"], {"kind": "date"}, "a date, but it is not said what comes first: say `first ="),
        (["12", "1,234"], {"kind": "number"}, "a number, but in numbers such as '1,234' the comma may"),
        ([None, None], {"kind": "boolean"}, "a boolean, but it holds nothing of that kind: correct the card"),
    ],
)
def test_a_card_that_is_wrong_is_told(values, column, told):
    """Where the values are not of the card's kind one of them is named."""
    with pytest.raises(DataError, match=f"the card calls the column 'x' {told}"):
        kind(values, **column)


@settings(deadline=None)
@given(st.lists(st.dates(), min_size=1), st.sampled_from(["{d}.{m}.{y:04}", "{d:02}/{m:02}/{y:04}", "{m}/{d}/{y:04}"]))
def test_dates_are_read_as_they_were_written_or_not_at_all(moments, form):
    """With points, or where some day is over 12, a column of dates comes back; otherwise it is no column of dates."""
    texts = [form.format(d=day.day, m=day.month, y=day.year) for day in moments]
    found = read_column(pd.Series(texts, name="x", dtype="str"), Column(), FORM)
    if found.kind == "date":
        assert found.values.dt.date.tolist() == moments
    else:
        assert "." not in form and all(day.day <= 12 for day in moments)
        assert "say `kind" in found.note or len(texts) < 20


def test_a_stray_text_is_found_among_numbers_and_dates():
    """One mistake among many numbers or dates is told; texts as such are none."""
    assert stray_text(pd.Series(["1"] * 20 + ["x"]), FORM) == "a column of numbers, but row 20 is 'x'"
    assert stray_text(pd.Series(["2024-05-01"] * 20 + ["soon"]), FORM) == "a column of dates, but row 20 is 'soon'"
    assert stray_text(pd.Series(["u", "v"] * 20 + ["1"]), FORM) == ""
    assert stray_text(pd.Series([1, 2]), FORM) == ""


def test_numbers_with_a_decimal_comma_and_gaps_are_numbers():
    """Words for a missing value do not make a column of numbers a text, in the file's own form."""
    found = read_column(pd.Series(["1,5", "NA", "2"], name="x"), Column(), Form(";", ",", "", "utf-8"))
    assert found.kind == "number" and found.values.fillna(-1).tolist() == [1.5, -1, 2]
