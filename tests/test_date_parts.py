from __future__ import annotations

import pickle
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from test_graph import as_onnx

from modeling.learning.date_parts import PARTS, DateParts

EPOCH = date(1970, 1, 1)
TIMED, DAYS_ONLY = [19000.25], [19000.0]
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59)).map(
    lambda moment: float(np.float32((moment - datetime(1970, 1, 1)) / timedelta(days=1)))
)

fitted = DateParts().fit([TIMED])
run_onnx = as_onnx(make_pipeline(fitted), 1)


@given(st.lists(st.dates(), min_size=1, max_size=50))
def test_parts_are_those_of_the_calendar(dates):
    """Month, day and weekday of every date are Python's own; its day is counted from 1970."""
    days = [[(day - EPOCH).days] for day in dates]
    expected = [[(day - EPOCH).days, day.month, day.day, day.weekday(), 0] for day in dates]
    assert fitted.transform(days).tolist() == expected


@given(st.lists(st.dates(), min_size=1, max_size=50))
def test_the_graph_knows_the_same_calendar(dates):
    """ONNX gives exactly what Python says, for any date of years 1 to 9999."""
    days = np.array([[(day - EPOCH).days] for day in dates], dtype=np.float32)
    assert run_onnx(days)[:, 1:4].tolist() == [[day.month, day.day, day.weekday()] for day in dates]


@given(st.lists(MOMENTS | st.just(np.nan), min_size=1, max_size=50))
def test_the_graph_gives_what_scikit_learn_gives(moments):
    """Times of day and missing dates included, bit for bit."""
    column = np.array(moments)[:, np.newaxis]
    np.testing.assert_array_equal(run_onnx(column.astype(np.float32)), fitted.transform(column))


@settings(max_examples=25)
@given(st.lists(MOMENTS, min_size=1, max_size=20))
def test_day_and_hour_put_the_moment_together_again(moments):
    """Nothing of a date is lost: whole days and hours, in 32 bits, are the moment that went in."""
    parts = fitted.transform(np.array(moments)[:, np.newaxis])
    np.testing.assert_allclose(parts[:, 0] + parts[:, 4] / 24, moments, rtol=0, atol=1e-7)


def test_a_missing_date_is_missing_in_every_part():
    """So that an imputer after it fills them all."""
    assert np.isnan(fitted.transform([[np.nan]])).all()


def test_hours_are_given_where_training_saw_a_time():
    """A column of whole days has no hour; its names tell the column and the part."""
    table = pd.DataFrame({"built": [*DAYS_ONLY, np.nan], "sold": [*TIMED, 19001.0]})
    parts = DateParts().fit(table)
    names = parts.get_feature_names_out().tolist()
    assert names == [f"built: {part}" for part in PARTS[:-1]] + [f"sold: {part}" for part in PARTS]
    assert parts.transform(table).shape == (2, len(names))
    assert parts.transform(table)[0, -1] == 6


def test_a_time_that_training_did_not_see_changes_no_part():
    """The day counts whole days, so that noon is the same day as midnight."""
    parts = DateParts().fit([DAYS_ONLY])
    np.testing.assert_array_equal(parts.transform([[19000.5]]), parts.transform([[19000.0]]))


@pytest.mark.parametrize("again", [clone, lambda step: pickle.loads(pickle.dumps(step))])
def test_it_can_be_copied_and_sent_to_another_process(again):
    """Cross-validation clones it, parallel jobs pickle it."""
    np.testing.assert_array_equal(again(fitted).fit([TIMED]).transform([TIMED]), fitted.transform([TIMED]))
