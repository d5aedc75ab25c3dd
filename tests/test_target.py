from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling.tables import target
from service.errors import DataError

PATH = Path("t.csv")


@given(st.lists(st.integers(0, 100) | st.none(), min_size=1))
def test_a_gap_changes_no_task(values):
    """Numbers are classes or a regression whether a missing value makes them floats or not."""
    present = pd.Series([value for value in values if value is not None], dtype="int64")
    assert target.task_of(present) == target.task_of(pd.Series(values, dtype="float64"))


def test_a_rare_class_of_numbers_may_be_a_number():
    """The other task is named as the cure where the classes are numbers, and only there."""
    with pytest.raises(DataError, match=r'class 2025: .*, or say `task = "regression"` as parameter or in the card'):
        target.check_target(PATH, pd.Series([2024, 2024, 2025], name="y"), "classification")
    with pytest.raises(DataError, match=r"class 'b': add rows of it or remove it$"):
        target.check_target(PATH, pd.Series(["a", "a", "b"], name="y"), "classification")


@pytest.mark.parametrize("kind", ["number", "category", "boolean"])
def test_what_is_learned_as_a_feature_is_learned_as_a_target(kind):
    """Only dates, identifiers and free texts are refused for their kind."""
    target.check_kind(PATH, pd.Series([1, 2], name="y"), kind, "")


@pytest.mark.parametrize(("values", "better"), [([1, 2], "number"), (["a", "b"], "category")])
def test_the_cure_of_an_identifier_is_a_kind_that_it_can_be(values, better):
    """Numbers may be said to be a number, texts to be a category."""
    with pytest.raises(DataError, match=rf'is an identifier \(why\): choose .*, or say `kind = "{better}"` of it'):
        target.check_kind(PATH, pd.Series(values, name="y"), "identifier", "why")
