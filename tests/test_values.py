from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.contents import Feature
from service.rows.values import FILL, WANTED, fill_categories, limit, problems_of, shortest, shown

ANY = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.just([1]), st.just({}))
KIND = st.sampled_from(["number", "boolean", "date", "category"])


@settings(deadline=None, database=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_shortest_is_the_same_number(value: float):
    """The short form of a 32-bit number is that number, and no longer than 14.23 for 14.23."""
    assert np.float32(shortest(value)) == np.float32(value)
    assert shortest(np.float32(14.23)) == 14.23


@settings(deadline=None)
@given(KIND, st.booleans(), st.lists(ANY, max_size=6))
@example("boolean", True, [np.nan])
@example("date", True, [""])
@example("category", True, [np.nan])
@example("category", False, [""])
def test_what_is_filled_in_is_what_has_no_problem(kind, nullable, values):
    """A column is taken as a whole exactly where none of its values, alone, has a problem."""
    feature = Feature("x", kind, nullable=nullable)
    into = np.empty(len(values), dtype=object if kind == "category" else np.float32)
    taken = (fill_categories if kind == "category" else FILL[kind])(into, feature, values)
    assert taken == (not problems_of(feature, enumerate(values)))
    if taken and kind != "category":
        assert np.isfinite(into.astype(float)).all() or nullable


@settings(deadline=None)
@given(KIND, ANY)
def test_a_wrong_value_is_told_shortly(kind, value):
    """Whatever was sent, the sentence is short, says what is wanted, and is one line."""
    for problem in problems_of(Feature("x", kind), [(0, value)]):
        assert len(problem.reason) < 200 and "\n" not in problem.reason
        assert problem.reason.startswith((WANTED[kind], "must not be missing", "must lie between"))


@pytest.mark.parametrize(
    ("value", "told"),
    [([1], "a list"), ({}, "an object"), (None, "null"), (True, "true"), (10**50, "a number of more than 40 digits")],
)
def test_a_value_is_shown_as_what_it_is(value, told):
    """Containers are named and not shown, JSON's words are JSON's, and huge numbers are described."""
    assert shown(value) == told and len(shown("x" * 500)) == 80


def test_limits_of_dates_are_days():
    """The range of a date is compared as its number, that of a number as it is, and none is none."""
    assert (limit("1970-01-02T12:00", 0), limit(2.5, 0), limit(None, -np.inf)) == (1.5, 2.5, -np.inf)
